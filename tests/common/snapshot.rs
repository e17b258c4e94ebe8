//! A snapshot of a whole tree, taken by handle and without following a link, and its comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// Bytes of a file that are kept as they are; of a larger one the digest is.
const SMALL: usize = 4096;

/// What an object is, with what only that type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Dir,
    File(Data),
    Symlink(Vec<u8>),
    Fifo,
    Socket,
    Char(u64),
    Block(u64),
}

/// The content of a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Data {
    Small(Vec<u8>),
    Large { len: u64, sha256: [u8; 32] },
}

impl Data {
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() <= SMALL {
            return Self::Small(bytes.to_vec());
        }
        Self::Large { len: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Small(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Large { len, sha256 } => write!(f, "{len} bytes, sha256 {:02x?}", &sha256[..4]),
        }
    }
}

/// One object of a tree: everything that an unpack decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    /// The permission bits, 07777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many names the inode has; 0 for a directory, where filesystems differ.
    pub nlink: u64,
    /// The first path of the same inode in this tree, where it has more than one.
    pub same_as: Option<Vec<u8>>,
}

/// A tree: each path, relative to the root, whose own path is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub nodes: BTreeMap<Vec<u8>, Node>,
    /// Device and inode of each: not compared, for they never repeat.
    inodes: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Tree {
    /// Takes the snapshot of the tree at `root`, leaving out the children of `root` that `skip` names.
    #[track_caller]
    pub fn take(root: &Path, skip: impl Fn(&[u8]) -> bool) -> Self {
        let mut tree = Self::default();
        let handle = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tree.visit(&handle, Vec::new(), &skip).unwrap();
        tree.group();
        tree
    }

    pub fn from_nodes(nodes: BTreeMap<Vec<u8>, Node>) -> Self {
        Self { nodes, inodes: BTreeMap::new() }
    }

    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Node> {
        self.nodes.get(path.as_ref())
    }

    /// The paths, without the root's own.
    pub fn paths(&self) -> Vec<String> {
        self.nodes.keys().filter(|path| !path.is_empty()).map(|path| path.escape_ascii().to_string()).collect()
    }

    /// The inodes of everything that is no directory.
    pub fn inodes(&self) -> BTreeSet<(u64, u64)> {
        self.inodes.iter().filter(|(path, _)| self.nodes[*path].kind != Kind::Dir).map(|(_, inode)| *inode).collect()
    }

    /// Device and inode of the object at `path`, in a tree that was taken from a disk.
    pub fn inode(&self, path: impl AsRef<[u8]>) -> Option<(u64, u64)> {
        self.inodes.get(path.as_ref()).copied()
    }

    fn visit(&mut self, handle: &OwnedFd, path: Vec<u8>, skip: &dyn Fn(&[u8]) -> bool) -> rustix::io::Result<()> {
        let stat = rustix::fs::statat(handle, "", AtFlags::EMPTY_PATH)?;
        let mode = stat.st_mode & 0o7777;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let kind = match file_type {
            FileType::Directory => Kind::Dir,
            FileType::RegularFile => Kind::File(read(handle, mode)?),
            FileType::Symlink => Kind::Symlink(rustix::fs::readlinkat(handle, "", Vec::new())?.into_bytes()),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::Char(stat.st_rdev),
            FileType::BlockDevice => Kind::Block(stat.st_rdev),
            FileType::Unknown => panic!("an unknown type at {}", path.escape_ascii()),
        };
        let node = Node {
            mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap()),
            xattrs: if kind == Kind::Dir { xattrs_of_dir(handle, mode)? } else { BTreeMap::new() },
            nlink: if kind == Kind::Dir { 0 } else { stat.st_nlink },
            same_as: None,
            kind,
        };
        let is_dir = node.kind == Kind::Dir;
        self.nodes.insert(path.clone(), node);
        self.inodes.insert(path.clone(), (stat.st_dev, stat.st_ino));
        if !is_dir {
            return Ok(());
        }
        for name in opened(handle, mode, LIST, names)? {
            if path.is_empty() && skip(&name) {
                continue;
            }
            opened(handle, mode, LIST, |dir| {
                let child = rustix::fs::openat(dir, &name[..], OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
                let below = if path.is_empty() { name.clone() } else { [&path[..], b"/", &name].concat() };
                self.visit(&child, below.clone(), skip)?;
                if let Some(node) = self.nodes.get_mut(&below).filter(|node| node.kind != Kind::Dir) {
                    let found = || xattrs(&[magic_path(dir).as_bytes(), b"/", &name].concat());
                    let is_file = matches!(node.kind, Kind::File(_));
                    node.xattrs = if is_file { opened(&child, node.mode, READ, |_| found())? } else { found()? };
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Finds the paths that share an inode.
    fn group(&mut self) {
        let mut first = BTreeMap::new();
        for (path, inode) in &self.inodes {
            if self.nodes[path].kind == Kind::Dir {
                continue;
            }
            if let Some(earlier) = first.insert(*inode, path.clone()) {
                first.insert(*inode, earlier.clone());
                for same in [&earlier, path] {
                    self.nodes.get_mut(same).unwrap().same_as = Some(earlier.clone());
                }
            }
        }
    }

    /// The differences, one a line; empty where there is none.
    pub fn diff(&self, other: &Self) -> String {
        let mut text = String::new();
        let paths = self.nodes.keys().chain(other.nodes.keys()).collect::<BTreeSet<_>>();
        for path in paths {
            let (was, is) = (self.get(path), other.get(path));
            if was == is {
                continue;
            }
            let shown = if path.is_empty() { "(root)".into() } else { path.escape_ascii().to_string() };
            match (was, is) {
                (Some(was), Some(is)) => {
                    let (was, is) = (format!("{was:#?}"), format!("{is:#?}"));
                    let changes = changed_lines(&was, &is);
                    writeln!(text, "~ {shown}: {changes}").unwrap();
                }
                (Some(was), None) => writeln!(text, "- {shown}: {was:?}").unwrap(),
                (None, is) => writeln!(text, "+ {shown}: {is:?}").unwrap(),
            }
        }
        text
    }
}

/// Panics with the differences of two trees, if there are any.
#[track_caller]
pub fn assert_same(expected: &Tree, found: &Tree, what: &str) {
    let diff = expected.diff(found);
    assert!(diff.is_empty(), "{what}: the trees differ (- expected, + found):\n{diff}");
}

/// The lines in which two pretty prints differ.
fn changed_lines(was: &str, is: &str) -> String {
    let (was, is) = (was.lines().collect::<Vec<_>>(), is.lines().collect::<Vec<_>>());
    let only = |a: &[&str], b: &[&str]| a.iter().filter(|line| !b.contains(line)).map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    format!("{} -> {}", only(&was, &is), only(&is, &was))
}

fn names(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The path of an open object: only for calls that no `O_PATH` handle can take.
fn magic_path(handle: impl AsFd) -> String {
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd())
}

/// What the owner needs to list a directory and to look at what is in it.
const LIST: u32 = 0o500;
/// What the owner needs to read a file.
const READ: u32 = 0o400;

/// Opens the object of an `O_PATH` handle for reading. An ordinary user may have to add the permission `needed` for that long.
fn opened<T>(
    handle: &OwnedFd,
    mode: u32,
    needed: u32,
    with: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    let path = magic_path(handle);
    let closed = mode & needed != needed && !rustix::process::geteuid().is_root();
    if closed {
        rustix::fs::chmod(&path, Mode::from_raw_mode(mode | needed))?;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let result = rustix::fs::openat(CWD, &path, flags, Mode::empty()).and_then(|file| with(file.as_fd()));
    if closed {
        rustix::fs::chmod(&path, Mode::from_raw_mode(mode))?;
    }
    result
}

fn read(handle: &OwnedFd, mode: u32) -> rustix::io::Result<Data> {
    opened(handle, mode, READ, |file| {
        let (mut small, mut hash, mut len) = (Vec::new(), Sha256::new(), 0);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let got = rustix::io::read(file, &mut buffer[..])?;
            if got == 0 {
                break;
            }
            len += got as u64;
            hash.update(&buffer[..got]);
            if small.len() <= SMALL {
                small.extend_from_slice(&buffer[..got]);
            }
        }
        Ok(if len <= SMALL as u64 { Data::Small(small) } else { Data::Large { len, sha256: hash.finalize().into() } })
    })
}

fn xattrs_of_dir(handle: &OwnedFd, mode: u32) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    opened(handle, mode, LIST, |dir| xattrs([magic_path(dir).as_bytes(), b"/."].concat().as_slice()))
}

/// All extended attributes of the object at `path`, whose last component is not followed.
fn xattrs(path: &[u8]) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut list = vec![0; 64 * 1024];
    let len = match rustix::fs::llistxattr(path, &mut list) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(errno),
    };
    let mut found = BTreeMap::new();
    for name in list[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        match rustix::fs::lgetxattr(path, name, &mut value) {
            Ok(len) => {
                value.truncate(len);
                found.insert(name.to_vec(), value);
            }
            // A label of the running system that an ordinary user may not read.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}
