//! Entries over a small alphabet of names, unpacked beside a canary.
//!
//! ```text
//! input: flags, then operations of a few bytes each (see [`Program`])
//! flags: 1 strict · 2 two threads
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use safe_layers::{Error, Expect, Ownership, Policy, Resolver, Root, Unpacked, Unpacker};
use tempfile::TempDir;

use super::Accepted;
use super::pass::limited;
use super::tar::{Header, end, push_with_pax};

const NAMES: [&str; 16] =
    ["a", "b", "c", "d", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh..wh.plnk", ".wh.", "A", "canary", "\n", "dest"];
const MODES: [u32; 8] = [0o644, 0o755, 0, 0o700, 0o4755, 0o1777, 0o2770, 0o400];
const MTIMES: [u32; 4] = [0, 1, 1_700_000_000, u32::MAX];
const MAX_ENTRIES: usize = 64;

pub fn unpack(input: &[u8]) -> Accepted {
    let [flags, program @ ..] = input else { return Accepted::default() };
    let world = World::new();
    let program = Program::read(program, &world.canary());
    let mut policy = limited(if flags & 1 != 0 { Policy::strict() } else { Policy::container() });
    policy.ownership = Ownership::SquashToCaller;
    let threads = if flags & 2 != 0 { 2 } else { 1 };

    let outcomes = [(Resolver::Auto, 1), (Resolver::Walk, threads)].map(|(resolver, threads)| {
        policy.resolver = resolver;
        let result = world.run(&program.layers, &policy, threads);
        let tree = world.check(&result);
        world.clear();
        (result, tree)
    });
    assert_eq!(outcomes[0], outcomes[1], "openat2 and the walk differ");

    let mut accepted = Accepted::default();
    if let (Ok(unpacked), _) = &outcomes[0] {
        for layer in &unpacked.layers {
            accepted.files += layer.entries.files;
            accepted.symlinks += layer.entries.symlinks;
            accepted.hardlinks += layer.entries.hardlinks;
            accepted.whiteouts += layer.entries.whiteouts;
        }
        accepted.xattrs += program.xattrs;
    }
    accepted
}

/// The layers that an input spells.
///
/// ```text
/// operation: kind, attributes, path, and for links a target
/// kind:      0 file · 1 directory · 2 symlink · 3 hardlink · 4 FIFO · 5 and 6 devices · 7 file with an attribute
///            8 the next layer · 9 file with a body · 10 contiguous file · 11 an unknown type
/// path:      a byte (3 how many names, less one · 4 starts with / · 8 ends with / · 16 the path of the canary before it), then a byte for each
/// ```
struct Program {
    layers: Vec<Vec<u8>>,
    xattrs: u64,
}

impl Program {
    fn read(mut bytes: &[u8], canary: &[u8]) -> Self {
        let (mut layers, mut layer, mut xattrs) = (Vec::new(), Vec::new(), 0);
        let mut next = || {
            let (first, rest) = bytes.split_first()?;
            bytes = rest;
            Some(*first)
        };
        for _ in 0..MAX_ENTRIES {
            let (Some(kind), Some(attributes)) = (next(), next()) else { break };
            let kind = kind % 12;
            if kind == 8 {
                end(&mut layer);
                layers.push(std::mem::take(&mut layer));
                if layers.len() == 3 {
                    break;
                }
                continue;
            }
            let Some(name) = path(&mut next, canary) else { break };
            let typeflag = [b'0', b'5', b'2', b'1', b'6', b'3', b'4', b'0', 0, b'0', b'7', b'Z'][usize::from(kind)];
            let link = if matches!(kind, 2 | 3) { path(&mut next, canary).unwrap_or_default() } else { Vec::new() };
            let mode = MODES[usize::from(attributes & 7)];
            let mtime = MTIMES[usize::from(attributes >> 3 & 3)];
            let device = [(0, 0), (1, 3), (4096, 0), (8, 1)][usize::from(attributes >> 5 & 3)];
            let xattr: &[(&[u8], &[u8])] = match (kind, attributes >> 5) {
                (7, 0) => &[(b"security.capability", b"no capability")],
                (7, 1) => &[(b"user.overlay.opaque", b"y")],
                (7, _) => &[(b"user.x", b"value")],
                _ => &[],
            };
            xattrs += u64::from(kind == 7 && attributes >> 5 > 1);
            let body: &[u8] = if kind == 9 { b"body" } else { b"" };
            push_with_pax(&mut layer, Header { link: &link, mode, mtime, device, ..Header::of(typeflag, &name) }, xattr, body);
        }
        if layers.is_empty() || !layer.is_empty() {
            end(&mut layer);
            layers.push(layer);
        }
        Self { layers, xattrs }
    }
}

fn path(next: &mut impl FnMut() -> Option<u8>, canary: &[u8]) -> Option<Vec<u8>> {
    let shape = next()?;
    let mut path = if shape & 16 != 0 { canary.to_vec() } else { Vec::new() };
    for i in 0..=shape & 3 {
        if i > 0 || shape & 4 != 0 || shape & 16 != 0 {
            path.push(b'/');
        }
        path.extend(NAMES[usize::from(next()? % 16)].as_bytes());
    }
    if shape & 8 != 0 {
        path.push(b'/');
    }
    Some(path)
}

/// An object: its type and mode, time, names, length, and content or target.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    mode: u32,
    mtime: (i64, i64),
    nlink: u64,
    content: Vec<u8>,
    inode: (u64, u64),
}

type Tree = BTreeMap<PathBuf, Node>;

/// A directory with a canary in it; the destination stands beside that.
struct World {
    dir: TempDir,
    before: Tree,
}

impl World {
    fn new() -> Self {
        let shm = Path::new("/dev/shm");
        let dir = tempfile::Builder::new().prefix("safe-layers-fuzz-").tempdir_in(shm).or_else(|_| tempfile::tempdir()).unwrap();
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

    fn canary(&self) -> Vec<u8> {
        self.dir.path().join("canary").as_os_str().as_bytes().to_vec()
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    fn outside(&self) -> Tree {
        let mut tree = Tree::new();
        walk(&self.dir.path().join("canary"), Path::new(""), &mut tree, false);
        tree
    }

    fn run(&self, layers: &[Vec<u8>], policy: &Policy, threads: usize) -> Result<Unpacked, Error> {
        let parent = Root::try_from(OwnedFd::from(File::open(self.dir.path()).unwrap())).unwrap();
        let mut unpacker = Unpacker::rootfs(parent, "dest", policy.clone())?.threads(NonZeroUsize::new(threads).unwrap());
        for layer in layers {
            unpacker.apply(&Expect::dangerous_unverified(), layer.as_slice())?;
        }
        unpacker.commit()
    }

    /// Checks what must hold after every run, and gives the tree.
    fn check(&self, result: &Result<Unpacked, Error>) -> Tree {
        assert_eq!(self.before, self.outside(), "the canary changed");
        let mut beside = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        beside.sort();
        let mut tree = Tree::new();
        if let Err(error) = result {
            assert_eq!(beside, ["canary"], "something is left after {error}");
            assert!(!error.partially_applied());
            return tree;
        }
        assert_eq!(beside, ["canary", "dest"]);
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

    fn clear(&self) {
        if self.dest().symlink_metadata().is_ok() {
            fs::remove_dir_all(self.dest()).unwrap();
        }
    }
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
