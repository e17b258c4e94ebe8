//! The world of a hostile layer: the destination, and beside it what must never change.
//!
//! ```text
//! <world>/canary/{secret 0600, file 0644, exec 0755, dir/ 0700, dir/inner}
//! <world>/dest-evil/secret        a sibling whose path has the root's as a string prefix
//! <world>/dest                    where the layer goes
//! ```
//! The process's working directory is another canary, so that a name resolved against it is noticed too.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::snapshot::{Data, Kind, Tree, assert_same};

/// What every file of the canary holds: none of it may be found below the root.
const SECRET: &str = "CANARY-7d1f3c";

pub struct World {
    dir: TempDir,
    before: Tree,
    before_cwd: Tree,
}

impl World {
    #[track_caller]
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// A world in a new directory of `place`: on a filesystem of the caller's choice.
    #[track_caller]
    pub fn below(place: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("safe-layers-test-").tempdir_in(place).unwrap();
        plant_canary(&dir.path().join("canary"));
        fs::create_dir(dir.path().join("dest-evil")).unwrap();
        fs::write(dir.path().join("dest-evil/secret"), format!("{SECRET} sibling")).unwrap();
        let mut world = Self { dir, before: Tree::default(), before_cwd: Tree::take(working_directory(), |_| false) };
        world.before = world.outside();
        world
    }

    /// The directory that holds everything: the final parent of the destination.
    pub fn parent(&self) -> &Path {
        self.dir.path()
    }

    /// The absolute path of the canary and what is appended to it.
    pub fn canary(&self, rest: &str) -> String {
        format!("{}{rest}", self.parent().join("canary").display())
    }

    /// The absolute path of the destination and what is appended to it.
    pub fn dest(&self, rest: &str) -> String {
        format!("{}{rest}", self.dest_path().display())
    }

    pub fn dest_path(&self) -> PathBuf {
        self.parent().join("dest")
    }

    /// Everything below the destination, if it is there.
    #[track_caller]
    pub fn tree(&self) -> Option<Tree> {
        self.dest_path().symlink_metadata().ok().map(|_| Tree::take(&self.dest_path(), |_| false))
    }

    /// Everything but the destination.
    #[track_caller]
    pub fn outside(&self) -> Tree {
        let mut tree = Tree::take(self.parent(), |name| name == b"dest");
        // Making and removing the destination touches its parent's time.
        tree.nodes.get_mut(&b""[..]).unwrap().mtime = (0, 0);
        tree
    }

    /// Removes what the last run left, so that the world can be used again: an escape has failed the test before this.
    pub fn clear(&self) {
        let dest = self.dest_path();
        if dest.symlink_metadata().is_ok() {
            make_removable(&dest).ok();
            fs::remove_dir_all(&dest).unwrap();
        }
    }

    /// I1 and I4: nothing outside the destination was made, changed or removed, and no staging directory is left.
    #[track_caller]
    pub fn assert_outside_untouched(&self, what: &str) {
        assert_same(&self.before, &self.outside(), &format!("{what}: outside the root"));
        assert_same(&self.before_cwd, &Tree::take(working_directory(), |_| false), &format!("{what}: the working directory"));
    }

    /// As [`assert_outside_untouched`](Self::assert_outside_untouched), but the inode at `path` may have lost names:
    /// the link in the destination that made it shared was replaced.
    #[track_caller]
    pub fn assert_outside_untouched_but_links(&self, what: &str, path: &str) {
        let (mut before, mut after) = (self.before.clone(), self.outside());
        for tree in [&mut before, &mut after] {
            tree.nodes.get_mut(path.as_bytes()).unwrap().nlink = 1;
        }
        assert_same(&before, &after, &format!("{what}: outside the root"));
    }

    /// I2: no inode below the destination is one of the outside, and no byte of the canary is there.
    #[track_caller]
    pub fn assert_nothing_taken(&self, what: &str) {
        let taken = self.tree().and_then(|tree| self.taken(&tree));
        assert!(taken.is_none(), "{what}: {}", taken.unwrap_or_default());
    }

    /// Says what a tree below the destination has of the outside, if anything.
    #[track_caller]
    pub fn taken(&self, tree: &Tree) -> Option<String> {
        let outside = self.outside().inodes();
        if !tree.inodes().is_disjoint(&outside) {
            return Some(format!("inodes below the root are shared with the outside: {:?}", tree.paths()));
        }
        let leaked = tree.nodes.iter().find(|(_, node)| match &node.kind {
            Kind::File(Data::Small(bytes)) => bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()),
            _ => false,
        });
        leaked.map(|(path, _)| format!("bytes of the canary are at {}", path.escape_ascii()))
    }

    /// I4: nothing stands under the final name.
    #[track_caller]
    pub fn assert_not_exposed(&self, what: &str) {
        assert!(self.dest_path().symlink_metadata().is_err(), "{what}: refused, and yet the destination is there");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The directory's own drop removes the rest.
        make_removable(&self.dest_path()).ok();
    }
}

/// Makes the directory `canary` with files whose every change, loss and copy can be told.
pub fn plant_canary(canary: &Path) {
    fs::create_dir_all(canary.join("dir")).unwrap();
    for (name, mode) in [("secret", 0o600), ("file", 0o644), ("exec", 0o755), ("dir/inner", 0o644)] {
        fs::write(canary.join(name), format!("{SECRET} {name}")).unwrap();
        fs::set_permissions(canary.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(canary.join("dir"), Permissions::from_mode(0o700)).unwrap();
}

/// Sets the process's working directory, once, to a canary of its own.
fn working_directory() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        // One for each test program, which run at the same time under some runners, and for each user.
        let program = std::env::current_exe().unwrap();
        let name = format!("{}-{}", program.file_name().unwrap().display(), rustix::process::geteuid().as_raw());
        let target = option_env!("CARGO_TARGET_TMPDIR").map(PathBuf::from);
        let made = target
            .into_iter()
            .chain([std::env::temp_dir()])
            .map(|place| place.join(&name).join("cwd"))
            .find(|dir| fs::create_dir_all(dir).is_ok());
        let dir = made.expect("a place for the working directory");
        plant_canary(&dir);
        std::env::set_current_dir(&dir).unwrap();
        dir
    })
}

/// Gives an ordinary user the permission to remove a tree whose directories may have none.
pub fn make_removable(dir: &Path) -> std::io::Result<()> {
    if dir.symlink_metadata()?.is_dir() {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(dir)? {
            make_removable(&entry?.path())?;
        }
    }
    Ok(())
}
