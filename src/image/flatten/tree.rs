//! The merged tree in memory: directories, inodes, names, and what they cost. It knows no rule of layers; the files beside it do.

use std::collections::BTreeMap;

use crate::archive::Timestamp;
use crate::convert::len_u64;
use crate::entry::{Device, DeviceKind, Entry, EntryKind, Metadata, Name, Owner, SymlinkTarget};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::policy::IMPLICIT_MODE;
use crate::root::Kind as KindOnDisk;

use super::slab::Slab;

/// What a name costs beside its bytes: its place in the directory. Measured, as the other two: a B-tree half full, an allocation.
const NAME_COST: u64 = 96;
/// What an inode costs beside its target: its place in a vector that grows by doubling.
const INODE_COST: u64 = 160;
/// What a directory costs beside its name, which it holds a second time, and its attributes.
const DIRECTORY_COST: u64 = 352;
/// What an extended attribute of a directory costs beside its bytes.
const XATTR_COST: u64 = 96;

/// The number of a directory. No other one gets it within a layer, so that whoever keeps it in mind finds that one or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DirId(u32);

/// The number of an inode; as with [`DirId`], none is given twice within a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct InodeId(u32);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Directory(DirId),
    Inode(InodeId),
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) object: Object,
    mark: Mark,
}

/// The last layer, counted from 1, that put something else than a directory under a name; 0 for none. It outlives the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u32);

impl Mark {
    pub(super) const NONE: Self = Self(0);
}

/// The names in a directory, in order.
pub(super) type Children = BTreeMap<Box<[u8]>, Slot>;

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    parent: DirId,
    name: Box<[u8]>,
    depth: u64,
    children: Children,
    metadata: Metadata,
    /// The last layer that put something at or below it, counted from 1.
    touched: u32,
    /// The last layer that had an entry for it, counted from 1; 0 for none.
    entry: u32,
    /// The layer, counted from 1, in which nothing of a lower one is left in it; 0 for none.
    cleared: u32,
}

/// Anything but a directory.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) links: u64,
    /// The entry that made it: the layer, counted from 0, and its index there.
    pub(super) layer: u32,
    pub(super) entry: u64,
    pub(super) mode: u32,
    pub(super) owner: Owner,
    pub(super) mtime: Timestamp,
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File {
        len: u64,
    },
    Symlink(SymlinkTarget),
    Fifo,
    Device(Device),
    /// It holds the place of the hardlink of this number, which waits for its target.
    Placeholder(usize),
}

impl Kind {
    /// What an entry makes; none for directories, hardlinks and what makes nothing.
    pub(super) fn of(kind: &EntryKind) -> Option<Self> {
        match kind {
            EntryKind::File { len } => Some(Self::File { len: *len }),
            EntryKind::Symlink(target) => Some(Self::Symlink(target.clone())),
            EntryKind::Fifo => Some(Self::Fifo),
            EntryKind::Device(device) => Some(Self::Device(*device)),
            _ => None,
        }
    }

    /// As a filesystem would call it.
    pub(super) fn on_disk(&self) -> KindOnDisk {
        match self {
            Self::File { .. } | Self::Placeholder(_) => KindOnDisk::File,
            Self::Symlink(_) => KindOnDisk::Symlink,
            Self::Fifo => KindOnDisk::Fifo,
            Self::Device(Device { kind: DeviceKind::Character, .. }) => KindOnDisk::CharacterDevice,
            Self::Device(Device { kind: DeviceKind::Block, .. }) => KindOnDisk::BlockDevice,
        }
    }

    fn cost(&self) -> u64 {
        match self {
            Self::Symlink(target) => INODE_COST.saturating_add(len_u64(target.as_bytes().len())),
            _ => INODE_COST,
        }
    }
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree {
    directories: Slab<Directory>,
    inodes: Slab<Inode>,
    /// The current layer, counted from 1.
    layer: u32,
    bytes: u64,
    limits: Limits,
}

impl Tree {
    /// An empty root.
    pub(super) fn new(limits: &Limits) -> Result<Self, Error> {
        let mut tree = Self { directories: Slab::new(), inodes: Slab::new(), layer: 0, bytes: 0, limits: limits.clone() };
        tree.directories.insert(Directory::new(DirId(0), &[], 0))?;
        Ok(tree)
    }

    /// Begins the next layer: what earlier ones put there is lower from now on.
    pub(super) fn begin_layer(&mut self) {
        self.layer = self.layer.saturating_add(1);
        self.directories.reuse();
        self.inodes.reuse();
    }

    /// The current layer, counted from 0.
    pub(super) fn layer(&self) -> u32 {
        self.layer.saturating_sub(1)
    }

    /// The root.
    pub(super) const TOP: DirId = DirId(0);

    pub(super) fn directory(&self, id: DirId) -> Result<&Directory, Error> {
        self.directories.get(id.0).ok_or_else(|| internal("a directory that is not in the tree"))
    }

    fn directory_mut(&mut self, id: DirId) -> Result<&mut Directory, Error> {
        self.directories.get_mut(id.0).ok_or_else(|| internal("a directory that is not in the tree"))
    }

    pub(super) fn inode(&self, id: InodeId) -> Result<&Inode, Error> {
        self.inodes.get(id.0).ok_or_else(|| internal("an inode that is not in the tree"))
    }

    /// Gives what stands under a name. A directory that is gone holds nothing.
    pub(super) fn find(&self, dir: DirId, name: Name<'_>) -> Option<Object> {
        self.directories.get(dir.0)?.children.get(name.as_bytes()).map(|slot| slot.object)
    }

    /// Adds an empty directory under a name that is free.
    pub(super) fn add_directory(&mut self, (parent, name): (DirId, Name<'_>), mark: Mark) -> Result<DirId, Error> {
        let depth = self.directory(parent)?.depth.saturating_add(1);
        if depth > self.limits.depth {
            return Err(Error::limit_exceeded("depth", self.limits.depth));
        }
        let directory = Directory { cleared: self.layer, ..Directory::new(parent, name.as_bytes(), depth) };
        self.charge(directory.cost())?;
        let id = DirId(self.directories.insert(directory)?);
        self.put((parent, name), Slot { object: Object::Directory(id), mark })?;
        Ok(id)
    }

    /// Adds an inode under a name that is free; this layer put it there.
    pub(super) fn add_inode(&mut self, (dir, name): (DirId, Name<'_>), inode: Inode) -> Result<InodeId, Error> {
        self.charge(inode.kind.cost())?;
        let id = InodeId(self.inodes.insert(Inode { links: 0, ..inode })?);
        self.add_name((dir, name), id)?;
        Ok(id)
    }

    /// Adds a name, which must be free, to an inode; this layer put it there.
    pub(super) fn add_name(&mut self, (dir, name): (DirId, Name<'_>), id: InodeId) -> Result<(), Error> {
        let inode = self.inodes.get_mut(id.0).ok_or_else(|| internal("an inode that is not in the tree"))?;
        inode.links = inode.links.saturating_add(1);
        let mark = Mark(self.layer);
        self.put((dir, name), Slot { object: Object::Inode(id), mark })
    }

    fn put(&mut self, (dir, name): (DirId, Name<'_>), slot: Slot) -> Result<(), Error> {
        self.charge(name_cost(name.as_bytes()))?;
        self.directory_mut(dir)?.children.insert(name.as_bytes().into(), slot);
        Ok(())
    }

    /// Removes what stands under a name, with all below it, and gives the mark of the name.
    pub(super) fn clear(&mut self, dir: DirId, name: Name<'_>) -> Result<Mark, Error> {
        let Some(slot) = self.directory_mut(dir)?.children.remove(name.as_bytes()) else { return Ok(Mark::NONE) };
        self.refund(name_cost(name.as_bytes()));
        self.destroy(vec![slot.object]);
        Ok(slot.mark)
    }

    /// Removes what `keep` does not keep of the names in a directory, each with all below it.
    pub(super) fn retain(&mut self, dir: DirId, keep: &mut dyn FnMut(&Self, &Slot) -> bool) -> Result<(), Error> {
        let mut children = std::mem::take(&mut self.directory_mut(dir)?.children);
        let (mut gone, mut freed) = (Vec::new(), 0_u64);
        children.retain(|name, slot| {
            let kept = keep(self, slot);
            if !kept {
                freed = freed.saturating_add(name_cost(name));
                gone.push(slot.object);
            }
            kept
        });
        self.directory_mut(dir)?.children = children;
        self.refund(freed);
        self.destroy(gone);
        Ok(())
    }

    /// Takes objects, which have no name any more, and all below them out of the tree.
    fn destroy(&mut self, mut todo: Vec<Object>) {
        while let Some(object) = todo.pop() {
            match object {
                Object::Inode(id) => self.unlink(id),
                Object::Directory(id) => {
                    let Some(directory) = self.directories.remove(id.0) else { continue };
                    self.refund(directory.cost());
                    for (name, slot) in directory.children {
                        self.refund(name_cost(&name));
                        todo.push(slot.object);
                    }
                }
            }
        }
    }

    fn unlink(&mut self, id: InodeId) {
        let Some(inode) = self.inodes.get_mut(id.0) else { return };
        inode.links = inode.links.saturating_sub(1);
        if inode.links == 0 {
            let cost = inode.kind.cost();
            self.inodes.remove(id.0);
            self.refund(cost);
        }
    }

    /// Whether this layer put something else than a directory under a name.
    pub(super) fn is_written(&self, dir: DirId, name: Name<'_>) -> bool {
        let slot = self.directories.get(dir.0).and_then(|directory| directory.children.get(name.as_bytes()));
        slot.is_some_and(|slot| self.is_marked(slot))
    }

    /// As [`is_written`](Self::is_written), of a name at hand.
    pub(super) fn is_marked(&self, slot: &Slot) -> bool {
        slot.mark == Mark(self.layer)
    }

    /// Says that this layer put under a name what stands there.
    pub(super) fn set_written(&mut self, dir: DirId, name: Name<'_>) -> Result<(), Error> {
        let mark = Mark(self.layer);
        if let Some(slot) = self.directory_mut(dir)?.children.get_mut(name.as_bytes()) {
            slot.mark = mark;
        }
        Ok(())
    }

    /// Marks the directory and those above it as used by this layer, so that a whiteout spares them.
    pub(super) fn touch(&mut self, mut at: DirId) -> Result<(), Error> {
        let layer = self.layer;
        loop {
            let directory = self.directory_mut(at)?;
            if directory.touched == layer {
                return Ok(());
            }
            directory.touched = layer;
            if at == Self::TOP {
                return Ok(());
            }
            at = directory.parent;
        }
    }

    /// Whether this layer used the directory.
    pub(super) fn is_touched(&self, dir: DirId) -> bool {
        self.directories.get(dir.0).is_some_and(|directory| directory.touched == self.layer)
    }

    /// Whether this layer has an entry for the directory.
    pub(super) fn has_entry(&self, dir: DirId) -> bool {
        self.directories.get(dir.0).is_some_and(|directory| directory.entry == self.layer)
    }

    /// Marks that this layer has an entry for the directory.
    pub(super) fn set_entry(&mut self, dir: DirId) -> Result<(), Error> {
        let layer = self.layer;
        self.directory_mut(dir).map(|directory| directory.entry = layer)
    }

    /// Whether any layer had an entry for the directory.
    pub(super) fn ever_had_entry(&self, dir: DirId) -> bool {
        self.directories.get(dir.0).is_some_and(|directory| directory.entry != 0)
    }

    /// Marks that nothing of a lower layer is left in the directory; gives whether that was known before.
    pub(super) fn set_cleared(&mut self, dir: DirId) -> Result<bool, Error> {
        let layer = self.layer;
        self.directory_mut(dir).map(|directory| std::mem::replace(&mut directory.cleared, layer) == layer)
    }

    /// Gives a directory other attributes.
    pub(super) fn set_metadata(&mut self, dir: DirId, metadata: Metadata) -> Result<(), Error> {
        self.charge(xattrs_cost(&metadata))?;
        let before = std::mem::replace(&mut self.directory_mut(dir)?.metadata, metadata);
        self.refund(xattrs_cost(&before));
        Ok(())
    }

    /// The path of a directory, as joined names.
    pub(super) fn path(&self, dir: DirId) -> Result<Vec<u8>, Error> {
        let (mut names, mut at) = (Vec::new(), dir);
        while at != Self::TOP {
            let directory = self.directory(at)?;
            names.push(&*directory.name);
            at = directory.parent;
        }
        names.reverse();
        Ok(names.join(&b'/'))
    }

    /// Takes the names out of a directory: for who takes the tree apart.
    pub(super) fn take_children(&mut self, dir: DirId) -> Result<Children, Error> {
        self.directory_mut(dir).map(|directory| std::mem::take(&mut directory.children))
    }

    /// Takes memory from what a merged tree may have.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.limits.tree_bytes;
        if self.bytes > limit { Err(Error::limit_exceeded("tree_bytes", limit)) } else { Ok(()) }
    }

    /// Gives memory back.
    pub(super) fn refund(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// What the tree costs, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Directory {
    fn new(parent: DirId, name: &[u8], depth: u64) -> Self {
        let metadata = Metadata { mode: IMPLICIT_MODE, uid: 0, gid: 0, mtime: Timestamp::default(), xattrs: Vec::new() };
        Self { parent, name: name.into(), depth, children: Children::new(), metadata, touched: 0, entry: 0, cleared: 0 }
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn cost(&self) -> u64 {
        DIRECTORY_COST.saturating_add(len_u64(self.name.len())).saturating_add(xattrs_cost(&self.metadata))
    }
}

impl Inode {
    /// The inode that an entry makes.
    pub(super) fn of(kind: Kind, entry: &Entry, owner: Owner, layer: u32) -> Self {
        let metadata = entry.metadata();
        Self { kind, links: 0, layer, entry: entry.index(), mode: metadata.mode, owner, mtime: metadata.mtime }
    }
}

fn name_cost(name: &[u8]) -> u64 {
    NAME_COST.saturating_add(len_u64(name.len()))
}

fn xattrs_cost(metadata: &Metadata) -> u64 {
    let cost = |len: usize| XATTR_COST.saturating_add(len_u64(len));
    let costs = metadata.xattrs.iter().map(|xattr| cost(xattr.name.len().saturating_add(xattr.value.len())));
    costs.fold(0, u64::saturating_add)
}

pub(super) fn internal(what: &'static str) -> Error {
    Error::new(ErrorKind::Io, what)
}
