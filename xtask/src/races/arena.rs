//! A place to fight: the destination, the canary beside it, and a place of the attacker's own outside.
//!
//! ```text
//! <arena>/canary/    must never change
//! <arena>/outside/   holds nothing but the directory `moved` that an attacker takes out of the root
//! <arena>/root/      the destination; `.pool` in it holds what the attacker swaps in
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, XattrFlags};

/// What every file of the canary holds: none of it may be found below the root.
const SECRET: &str = "CANARY-races-51c0ffee";
/// The object of the canary that the attacker gives names in the root. How many it has is his doing, and so is its ctime.
pub const LINKED: &str = "linked";
/// Names that victims use, so that an escape hits something.
const FILES: [&str; 10] = ["secret", LINKED, "dir/f", "dir/l", "dir/p", "dir/t", "dir/s/f", "dir/x/f", "dir/y/f", "y/f"];

pub struct Arena {
    dir: tempfile::TempDir,
    sealed: Seal,
}

/// What is known of each object outside of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    inode: (u64, u64),
    mode: u32,
    owner: (u32, u32),
    links: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
    content: Vec<u8>,
    xattrs: Vec<u8>,
}

type Seal = BTreeMap<PathBuf, Fact>;

impl Arena {
    /// Makes one in a directory of `place`, with the directories `prepared` in the root.
    pub fn new(place: &Path, prepared: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("arena-").tempdir_in(place).expect("an arena");
        let mut arena = Self { dir, sealed: Seal::new() };
        let make = |dir: PathBuf| fs::create_dir_all(dir).expect("an arena");
        ["canary", "outside", "root/.pool"].iter().for_each(|name| make(arena.path().join(name)));
        prepared.iter().for_each(|name| make(arena.root().join(name)));
        arena.plant_decoys();
        arena.restore();
        arena
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    pub fn canary(&self) -> PathBuf {
        self.path().join("canary")
    }

    /// Where a link to the canary leads inside of the root: there it is allowed to write.
    fn plant_decoys(&self) {
        let absolute = self.canary();
        let below = absolute.strip_prefix("/").expect("an absolute path");
        for canary in [Path::new("canary"), below] {
            for dir in ["dir/s", "dir/x", "dir/y", "y"] {
                fs::create_dir_all(self.root().join(canary).join(dir)).expect("a decoy");
            }
        }
    }

    /// Makes the canary as it was: the object that has names in the root is kept.
    pub fn restore(&mut self) {
        let canary = self.canary();
        for entry in fs::read_dir(&canary).expect("the canary").flatten().filter(|entry| entry.file_name() != LINKED) {
            remove(&entry.path());
        }
        for entry in fs::read_dir(self.path().join("outside")).expect("outside").flatten().filter(|entry| entry.file_name() != "moved") {
            remove(&entry.path());
        }
        for name in FILES {
            plant_file(&canary.join(name));
        }
        symlink("secret", canary.join("link")).expect("the canary");
        fs::set_permissions(canary.join("dir"), Permissions::from_mode(0o700)).expect("the canary");
        self.sealed = self.seal();
    }

    fn seal(&self) -> Seal {
        let mut seal = Seal::new();
        look(&self.canary(), &mut seal);
        if let Some(linked) = seal.get_mut(&self.canary().join(LINKED)) {
            (linked.links, linked.ctime) = (0, (0, 0));
        }
        seal
    }

    /// Says what changed outside of the root, if anything did.
    pub fn damage(&self) -> Option<String> {
        let now = self.seal();
        let paths: BTreeSet<_> = self.sealed.keys().chain(now.keys()).collect();
        let changed = paths.into_iter().find(|path| self.sealed.get(*path) != now.get(*path));
        let named = |dir: &str, allowed: &[&str]| {
            let names = fs::read_dir(self.path().join(dir)).expect("the arena").flatten().map(|entry| entry.file_name());
            names.into_iter().find(|name| !allowed.iter().any(|allowed| name == allowed)).map(|name| format!("{dir}/{name:?} was made"))
        };
        changed
            .map(|path| format!("{} was {:?}, is {:?}", path.display(), self.sealed.get(path), now.get(path)))
            .or_else(|| named("", &["canary", "outside", "root"]))
            .or_else(|| named("outside", &["moved"]))
    }

    /// Says what of the canary is in the root, if anything is. Nobody may swap meanwhile.
    pub fn taken(&self) -> Option<String> {
        let inodes: BTreeSet<_> = self.sealed.iter().filter(|(path, _)| !path.ends_with(LINKED)).map(|(_, fact)| fact.inode).collect();
        let linked = self.sealed.get(&self.canary().join(LINKED)).map(|fact| fact.inode);
        let mut inside = Seal::new();
        look(&self.root(), &mut inside);
        let others = inside.iter().filter(|(_, fact)| Some(fact.inode) != linked);
        let mut stolen = others.filter(|(_, fact)| inodes.contains(&fact.inode) || holds_secret(&fact.content));
        stolen.next().map(|(path, _)| format!("{} is of the canary", path.display()))
    }
}

fn holds_secret(content: &[u8]) -> bool {
    content.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

/// Writes in place, so that an object with more names stays the same.
fn plant_file(path: &Path) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("the canary");
    fs::write(path, format!("{SECRET} {}", path.display())).expect("the canary");
    rustix::fs::chown(path, Some(rustix::fs::Uid::ROOT), Some(rustix::fs::Gid::ROOT)).expect("the canary");
    rustix::fs::chmod(path, Mode::from_raw_mode(0o640)).expect("the canary");
    rustix::fs::setxattr(path, "user.canary", b"sings", XattrFlags::empty()).expect("the canary");
    for name in ["user.k", "user.l"] {
        rustix::fs::removexattr(path, name).unwrap_or_default();
    }
    fs::File::options().write(true).open(path).and_then(|file| file.set_modified(std::time::UNIX_EPOCH)).expect("the canary");
}

/// Takes note of `path` and all below it, following nothing.
fn look(path: &Path, seal: &mut Seal) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    let content = match FileType::from_raw_mode(metadata.mode()) {
        FileType::RegularFile => fs::read(path).unwrap_or_default(),
        FileType::Symlink => fs::read_link(path).map(|target| target.into_os_string().into_encoded_bytes()).unwrap_or_default(),
        FileType::Directory => {
            fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| look(&entry.path(), seal));
            Vec::new()
        }
        _ => Vec::new(),
    };
    let mut xattrs = [0_u8; 1024];
    let listed = rustix::fs::llistxattr(path, xattrs.as_mut_slice()).unwrap_or(0);
    let fact = Fact {
        inode: (metadata.dev(), metadata.ino()),
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        links: metadata.nlink(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        ctime: (metadata.ctime(), metadata.ctime_nsec()),
        content,
        xattrs: xattrs[..listed].to_vec(),
    };
    seal.insert(path.to_path_buf(), fact);
}

/// Removes whatever stands at `path`; what comes in between is left.
pub fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).unwrap_or_default(),
        Ok(_) => fs::remove_file(path).unwrap_or_default(),
        Err(_) => {}
    }
}
