//! The place that targets unpack in: a canary, and the destination beside it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use safe_layers::{Error, Expect, Policy, Root, Unpacked, Unpacker};
use tempfile::TempDir;

use crate::common::canary::make_removable;

/// An object: its type and mode, time, names, length, and content or target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    mode: u32,
    mtime: (i64, i64),
    nlink: u64,
    content: Vec<u8>,
    inode: (u64, u64),
}

pub type Tree = BTreeMap<PathBuf, Node>;

/// A new directory in [`place`]. It goes with the value, whatever an unpack made there: an ordinary user cannot enter each of that.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("safe-layers-fuzz-").tempdir_in(place()).unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        make_removable(self.path()).ok();
    }
}

/// A directory with a canary in it; the destination stands beside that.
pub struct World {
    dir: Scratch,
    before: Tree,
}

impl World {
    pub fn new() -> Self {
        let dir = Scratch::new();
        let canary = dir.path().join("canary");
        fs::create_dir_all(canary.join("a")).unwrap();
        for name in ["b", "a/a"] {
            fs::write(canary.join(name), SECRET).unwrap();
        }
        symlink("a", canary.join("c")).unwrap();
        let mut world = Self { dir, before: Tree::new() };
        world.before = world.outside();
        world
    }

    pub fn canary(&self) -> Vec<u8> {
        self.dir.path().join("canary").as_os_str().as_bytes().to_vec()
    }

    pub fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    fn outside(&self) -> Tree {
        let mut tree = Tree::new();
        walk(&self.dir.path().join("canary"), Path::new(""), &mut tree, false);
        tree
    }

    /// The directory that holds all of it.
    pub fn root(&self) -> Result<Root, Error> {
        Root::try_from(OwnedFd::from(File::open(self.dir.path()).unwrap()))
    }

    pub fn run(&self, layers: &[Vec<u8>], policy: &Policy, threads: usize) -> Result<Unpacked, Error> {
        self.run_from(layers.iter().map(Vec::as_slice), policy, threads)
    }

    pub fn run_from<R: Read + Send>(
        &self,
        layers: impl IntoIterator<Item = R>,
        policy: &Policy,
        threads: usize,
    ) -> Result<Unpacked, Error> {
        let unpacker = Unpacker::rootfs(self.root()?, "dest", policy.clone())?;
        apply_all(unpacker.threads(NonZeroUsize::new(threads).unwrap()), layers)
    }

    /// Where a target has layers that it gives to an unpack.
    pub fn lower(&self) -> PathBuf {
        self.dir.path().join("lower")
    }

    /// What stands beside the canary.
    pub fn beside(&self) -> Vec<OsString> {
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "canary").collect()
    }

    pub fn assert_canary(&self) {
        assert_eq!(self.before, self.outside(), "the canary changed");
    }

    /// Checks what must hold after every run, and gives the tree.
    pub fn check(&self, result: &Result<Unpacked, Error>) -> Tree {
        self.assert_canary();
        let beside = self.beside();
        let mut tree = Tree::new();
        if let Err(error) = result {
            assert_eq!(beside, [""; 0], "something is left after {error}");
            assert!(!error.partially_applied());
            return tree;
        }
        assert_eq!(beside, ["dest"]);
        walk(&self.dest(), Path::new(""), &mut tree, true);
        let mut names = BTreeMap::<(u64, u64), u64>::new();
        for node in tree.values() {
            *names.entry(node.inode).or_default() += 1;
        }
        for (path, node) in &mut tree {
            let shared = self.before.values().any(|outside| outside.inode == node.inode);
            assert!(!shared, "{} is an inode of the outside", path.display());
            let leaked = node.content.windows(SECRET.len()).any(|window| window == SECRET);
            assert!(!leaked, "{} holds bytes of the outside", path.display());
            if node.mode & S_IFMT == S_IFDIR {
                node.nlink = 0;
            } else {
                assert_eq!(names.get(&node.inode), Some(&node.nlink), "{} has a name outside", path.display());
            }
            // Never the same twice.
            node.inode = (0, 0);
        }
        tree
    }

    pub fn clear(&self) {
        self.clear_at(&self.dest());
    }

    pub fn clear_at(&self, dir: &Path) {
        if dir.symlink_metadata().is_ok() {
            make_removable(dir).unwrap();
            fs::remove_dir_all(dir).unwrap();
        }
    }
}

/// Applies the layers, bottom first, and commits.
pub fn apply_all<R: Read + Send>(mut unpacker: Unpacker, layers: impl IntoIterator<Item = R>) -> Result<Unpacked, Error> {
    for layer in layers {
        unpacker.apply(&Expect::dangerous_unverified(), layer)?;
    }
    unpacker.commit()
}

const SECRET: &[u8] = b"CANARY";
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;

/// Takes a tree, following no link. `opened`: directories may be left open, for the tree is removed after this.
fn walk(root: &Path, below: &Path, tree: &mut Tree, opened: bool) {
    let path = if below.as_os_str().is_empty() { root.to_path_buf() } else { root.join(below) };
    let stat = path.symlink_metadata().unwrap();
    let kind = stat.file_type();
    assert!(kind.is_dir() || kind.is_file() || kind.is_symlink() || stat.mode() & S_IFMT == 0o010_000, "{stat:?} at {}", below.display());
    let chmod = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let closed = opened && !kind.is_symlink() && stat.mode() & 0o700 != 0o700;
    if closed {
        chmod(stat.mode() | 0o700);
    }
    let content = match () {
        () if kind.is_file() => fs::read(&path).unwrap(),
        () if kind.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
        () => Vec::new(),
    };
    let mtime = (stat.mtime(), stat.mtime_nsec());
    tree.insert(below.to_path_buf(), Node { mode: stat.mode(), mtime, nlink: stat.nlink(), content, inode: (stat.dev(), stat.ino()) });
    if kind.is_dir() {
        for entry in fs::read_dir(&path).unwrap() {
            walk(root, &below.join(entry.unwrap().file_name()), tree, opened);
        }
    }
    if closed && !kind.is_dir() {
        // Another name of it may come.
        chmod(stat.mode());
    }
}

/// Memory, if its files hold attributes of users, else where temporary files go.
fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let shm = Path::new("/dev/shm");
        let holds = |probe: &TempDir| rustix::fs::setxattr(probe.path(), "user.k", b"v", rustix::fs::XattrFlags::empty()).is_ok();
        if tempfile::tempdir_in(shm).is_ok_and(|probe| holds(&probe)) { shm.into() } else { std::env::temp_dir() }
    })
}
