//! What a stack of layers means, in memory: the rules of whiteouts, replacement and hardlinks as the layer specification states them.
//!
//! It works the other way round than an unpacker that streams: first the markers of a layer take away from what lies below,
//! then the entries are put in. The one thing that depends on the order, whether a hardlink comes before the marker that hides its
//! target, is looked up in what was taken away. Out of its scope: parents that are symlinks, devices, extended attributes.

use std::collections::BTreeMap;

use super::builder::{Entry, Tar, tar};
use super::snapshot::{Data, Kind, Node, Tree};

type Path = String;

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Dir {
        path: Path,
        mode: u32,
        mtime: i64,
    },
    File {
        path: Path,
        mode: u32,
        mtime: i64,
        data: Vec<u8>,
    },
    Symlink {
        path: Path,
        mtime: i64,
        target: Vec<u8>,
    },
    Fifo {
        path: Path,
        mtime: i64,
    },
    Hardlink {
        path: Path,
        target: Path,
    },
    /// `.wh.NAME` for the object at `path`.
    Whiteout {
        path: Path,
    },
    /// `.wh..wh..opq` in the directory at `path`.
    Opaque {
        path: Path,
    },
}

impl Op {
    fn path(&self) -> &str {
        match self {
            Self::Dir { path, .. }
            | Self::File { path, .. }
            | Self::Symlink { path, .. }
            | Self::Fifo { path, .. }
            | Self::Hardlink { path, .. }
            | Self::Whiteout { path }
            | Self::Opaque { path } => path,
        }
    }

    fn is_marker(&self) -> bool {
        matches!(self, Self::Whiteout { .. } | Self::Opaque { .. })
    }

    fn entry(&self) -> Entry {
        match self {
            Self::Dir { path, mode, mtime } => Entry::dir(path).mode(i128::from(*mode)).mtime(i128::from(*mtime)),
            Self::File { path, mode, mtime, data } => Entry::file(path, data).mode(i128::from(*mode)).mtime(i128::from(*mtime)),
            Self::Symlink { path, mtime, target } => Entry::symlink(path, target).mtime(i128::from(*mtime)),
            Self::Fifo { path, mtime } => Entry::fifo(path).mtime(i128::from(*mtime)),
            Self::Hardlink { path, target } => Entry::hardlink(path, target),
            Self::Whiteout { path } => {
                let (parent, name) = split(path);
                Entry::file(join(parent, &format!(".wh.{name}")), "")
            }
            Self::Opaque { path } => Entry::file(join(path, ".wh..wh..opq"), ""),
        }
    }
}

/// The archive of a layer.
pub fn layer(ops: &[Op]) -> Tar {
    ops.iter().fold(tar(), |tar, op| tar.add(op.entry()))
}

/// An object of the model: `inode` is what hardlinks share.
#[derive(Clone, Debug)]
struct Object {
    inode: usize,
    kind: Kind,
    mode: u32,
    mtime: i64,
}

/// A tree in memory.
#[derive(Clone, Debug)]
pub struct Model {
    objects: BTreeMap<Path, Object>,
    inodes: usize,
    /// What markers of this layer hide that are still to come: hardlinks may name it until then.
    doomed: BTreeMap<Path, Object>,
}

impl Default for Model {
    /// A new root, as it is without a root entry: 0755, time 0.
    fn default() -> Self {
        let root = Object { inode: 0, kind: Kind::Dir, mode: 0o755, mtime: 0 };
        Self { objects: [(Path::new(), root)].into(), inodes: 1, doomed: BTreeMap::new() }
    }
}

/// A hardlink whose target was not there.
struct Waiting {
    path: Path,
    target: Path,
    inode: usize,
}

impl Model {
    /// What the layers give, bottom first, or `None` where a hardlink has no target.
    pub fn of(layers: &[Vec<Op>]) -> Option<Self> {
        layers.iter().try_fold(Self::default(), |model, ops| model.apply(ops))
    }

    /// Puts a layer on top.
    pub fn apply(mut self, ops: &[Op]) -> Option<Self> {
        let before = self.objects.clone();
        for op in ops.iter().filter(|op| op.is_marker()) {
            hide(&mut self.objects, op);
        }
        self.doomed = before.into_iter().filter(|(path, _)| !self.objects.contains_key(path)).collect();
        let mut waiting = Vec::new();
        for op in ops {
            self.step(op, &mut waiting)?;
        }
        self.doomed.clear();
        self.link_all(waiting).then_some(self)
    }

    fn step(&mut self, op: &Op, waiting: &mut Vec<Waiting>) -> Option<()> {
        match op {
            Op::Whiteout { .. } | Op::Opaque { .. } => hide(&mut self.doomed, op),
            Op::Dir { path, mode, mtime } => self.put_dir(path, *mode, *mtime),
            Op::File { path, mode, mtime, data } => _ = self.put_new(path, Kind::File(Data::of(data)), *mode, *mtime),
            Op::Symlink { path, mtime, target } => _ = self.put_new(path, Kind::Symlink(target.clone()), 0o777, *mtime),
            Op::Fifo { path, mtime } => _ = self.put_new(path, Kind::Fifo, 0o644, *mtime),
            Op::Hardlink { path, target } if path == target => {
                self.objects.get(path).filter(|object| object.kind != Kind::Dir)?;
            }
            Op::Hardlink { path, target } => {
                // Its directory is there before its target is looked for, which may be one of those that this made.
                self.make_parent(path);
                if self.is_there(target, waiting) {
                    self.link(path, target)?;
                } else {
                    // Something holds its place, as the link itself would.
                    let inode = self.put_new(path, Kind::File(Data::of(b"")), 0o600, 0);
                    waiting.push(Waiting { path: path.clone(), target: target.clone(), inode });
                }
            }
        }
        Some(())
    }

    /// The model as a snapshot of a tree whose objects all belong to `owner`.
    pub fn tree(&self, owner: (u32, u32)) -> Tree {
        let names = |inode: usize| self.objects.iter().filter(move |(_, object)| object.inode == inode && object.kind != Kind::Dir);
        let node = |object: &Object| {
            let count = names(object.inode).count() as u64;
            Node {
                kind: object.kind.clone(),
                mode: object.mode,
                uid: owner.0,
                gid: owner.1,
                mtime: (object.mtime, 0),
                xattrs: BTreeMap::new(),
                nlink: count,
                same_as: names(object.inode).next().filter(|_| count > 1).map(|(path, _)| path.clone().into_bytes()),
            }
        };
        Tree::from_nodes(self.objects.iter().map(|(path, object)| (path.clone().into_bytes(), node(object))).collect())
    }

    fn inode(&mut self) -> usize {
        self.inodes += 1;
        self.inodes
    }

    /// Makes the links that waited and still hold their place, those to others of them after these.
    fn link_all(&mut self, mut waiting: Vec<Waiting>) -> bool {
        let mut before = usize::MAX;
        while waiting.len() < before {
            before = waiting.len();
            waiting.retain(|link| self.objects.get(&link.path).is_some_and(|object| object.inode == link.inode));
            let ready = waiting.iter().position(|link| self.is_there(&link.target, &waiting));
            if let Some(ready) = ready {
                let link = waiting.remove(ready);
                if self.link(&link.path, &link.target).is_none() {
                    return false;
                }
            }
        }
        waiting.is_empty()
    }

    /// Whether something stands there that is not the place of a link that waits.
    fn is_there(&self, path: &str, waiting: &[Waiting]) -> bool {
        let seen = self.objects.get(path).or_else(|| self.doomed.get(path));
        seen.is_some_and(|object| !waiting.iter().any(|link| link.inode == object.inode))
    }

    fn is_dir(&self, path: &str) -> bool {
        self.objects.get(path).is_some_and(|object| object.kind == Kind::Dir)
    }

    fn make_parent(&mut self, path: &str) {
        let (parent, _) = split(path);
        if !self.is_dir(parent) {
            self.put_dir(parent, 0o755, 0);
        }
    }

    fn link(&mut self, path: &str, target: &str) -> Option<()> {
        let seen = self.objects.get(target).or_else(|| self.doomed.get(target));
        // The link takes the place of the directory that holds its target.
        let gone = is_below(target, path);
        let object = seen.filter(|object| object.kind != Kind::Dir && !gone)?.clone();
        self.put(path, object);
        Some(())
    }

    fn put_new(&mut self, path: &str, kind: Kind, mode: u32, mtime: i64) -> usize {
        let inode = self.inode();
        self.put(path, Object { inode, kind, mode, mtime });
        inode
    }

    /// A directory over a directory takes its attributes; over anything else its place.
    fn put_dir(&mut self, path: &str, mode: u32, mtime: i64) {
        match self.objects.get_mut(path).filter(|object| object.kind == Kind::Dir) {
            Some(object) => (object.mode, object.mtime) = (mode, mtime),
            None => {
                let inode = self.inode();
                self.put(path, Object { inode, kind: Kind::Dir, mode, mtime });
            }
        }
    }

    fn put(&mut self, path: &str, object: Object) {
        self.make_parent(path);
        remove_below(&mut self.objects, path);
        let merges = object.kind == Kind::Dir && self.doomed.get(path).is_none_or(|lower| lower.kind == Kind::Dir);
        if !merges {
            remove_below(&mut self.doomed, path);
            self.doomed.remove(path);
        }
        self.objects.insert(path.into(), object);
    }
}

/// Takes away what a marker hides.
fn hide(objects: &mut BTreeMap<Path, Object>, marker: &Op) {
    remove_below(objects, marker.path());
    if let Op::Whiteout { path } = marker {
        objects.remove(path);
    }
}

fn remove_below(objects: &mut BTreeMap<Path, Object>, path: &str) {
    objects.retain(|other, _| !is_below(other, path));
}

fn is_below(path: &str, above: &str) -> bool {
    if above.is_empty() { !path.is_empty() } else { path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/')) }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.into() } else { format!("{parent}/{name}") }
}
