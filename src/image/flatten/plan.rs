//! What is handed out, and in which order: a merged tree taken apart ([`Plan`]), once every layer is verified.

use std::collections::btree_map::IntoIter;
use std::collections::{HashMap, HashSet};

use super::tree::{DirId, Directory, Inode, InodeId, Kind, Object, Slot, Tree};
use super::{FlatEntry, FlatKind};
use crate::convert::len_u64;
use crate::entry::{AbsoluteNames, EntryPath, Metadata};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::stage::LayerVerified;

/// A merged tree in the order in which it is handed out.
#[derive(Debug)]
pub(super) struct Plan {
    tree: Tree,
    limits: Limits,
    /// Each before those below it, names in order.
    directories: Vec<DirId>,
    /// In the order of their entries.
    firsts: Vec<First>,
    /// In the order of their paths.
    links: Vec<Link>,
}

/// The first name of an inode, in the order of paths, and the entry that brings it.
#[derive(Debug)]
pub(super) struct First {
    pub(super) layer: u32,
    pub(super) entry: u64,
    at: Place,
    inode: InodeId,
}

/// A further name.
#[derive(Debug)]
struct Link {
    at: Place,
    inode: InodeId,
}

/// A name in a directory.
#[derive(Clone, Debug)]
struct Place {
    dir: DirId,
    name: Box<[u8]>,
}

/// A directory that is being gone through: its number, the length of its path, the names that are left.
struct Level {
    dir: DirId,
    path_len: usize,
    left: IntoIter<Box<[u8]>, Slot>,
}

impl Plan {
    /// Takes a tree apart. Of each layer that is in it, every claim matched.
    ///
    /// # Errors
    /// [`ErrorKind::LayerCountMismatch`] where there is no layer, [`ErrorKind::NameTooLong`] where a path is over `path_bytes`: a
    /// link can make it longer than that of any entry.
    pub(super) fn of(tree: Tree, verified: &[LayerVerified], limits: &Limits) -> Result<Self, Error> {
        if verified.is_empty() {
            return Err(Error::new(ErrorKind::LayerCountMismatch, "the image has no layer"));
        }
        let mut plan = Self { tree, limits: limits.clone(), directories: vec![Tree::TOP], firsts: Vec::new(), links: Vec::new() };
        let mut shared = HashSet::new();
        let mut way = vec![Level { dir: Tree::TOP, path_len: 0, left: plan.tree.take_children(Tree::TOP)?.into_iter() }];
        while let Some(level) = way.last_mut() {
            let Some((name, slot)) = level.left.next() else {
                way.pop();
                continue;
            };
            let (dir, path_len) = (level.dir, below(level.path_len, &name));
            if len_u64(path_len) > plan.limits.path_bytes {
                return Err(plan.too_long(&Place { dir, name }));
            }
            match slot.object {
                Object::Directory(dir) => {
                    plan.directories.push(dir);
                    way.push(Level { dir, path_len, left: plan.tree.take_children(dir)?.into_iter() });
                }
                Object::Inode(inode) => plan.add_name(Place { dir, name }, inode, &mut shared)?,
            }
        }
        plan.firsts.sort_unstable_by_key(|first| (first.layer, first.entry));
        Ok(plan)
    }

    /// Adds the next name in the order of paths; `shared` holds the inodes with more names than one that were met.
    fn add_name(&mut self, at: Place, id: InodeId, shared: &mut HashSet<InodeId>) -> Result<(), Error> {
        let Inode { links, layer, entry, .. } = *self.tree.inode(id)?;
        if links > 1 && !shared.insert(id) {
            self.links.push(Link { at, inode: id });
        } else {
            self.firsts.push(First { layer, entry, at, inode: id });
        }
        Ok(())
    }

    /// Gives every directory to `give`, each before those below it.
    pub(super) fn directories(&self, give: &mut dyn FnMut(FlatEntry) -> Result<(), Error>) -> Result<(), Error> {
        for dir in &self.directories {
            let metadata = self.tree.directory(*dir).map(Directory::metadata)?.clone();
            give(FlatEntry { path: self.path(self.tree.path(*dir)?)?, kind: FlatKind::Directory, metadata })?;
        }
        Ok(())
    }

    /// The first names of what one layer brings, in the order of its entries.
    pub(super) fn of_layer(&self, layer: u32) -> &[First] {
        let start = self.firsts.partition_point(|first| first.layer < layer);
        let end = self.firsts.partition_point(|first| first.layer <= layer);
        self.firsts.get(start..end).unwrap_or_default()
    }

    /// What is handed out for the first name of an inode, with the attributes of its entry.
    pub(super) fn first(&self, first: &First, metadata: Metadata) -> Result<FlatEntry, Error> {
        let kind = match &self.tree.inode(first.inode)?.kind {
            Kind::File { len } => FlatKind::File { len: *len },
            Kind::Symlink(target) => FlatKind::Symlink(target.clone()),
            Kind::Fifo => FlatKind::Fifo,
            Kind::Device(device) => FlatKind::Device(*device),
            Kind::Placeholder(_) => return Err(super::tree::internal("a link that still waits")),
        };
        Ok(FlatEntry { path: self.path_of(&first.at)?, kind, metadata })
    }

    /// Whether an entry that was read again is the one that was merged.
    pub(super) fn is_same(&self, first: &First, kind: &Kind) -> Result<bool, Error> {
        Ok(self.tree.inode(first.inode)?.kind == *kind)
    }

    /// Gives every further name to `give`, in the order of their paths.
    pub(super) fn links(&self, give: &mut dyn FnMut(FlatEntry) -> Result<(), Error>) -> Result<(), Error> {
        let linked: HashMap<InodeId, &Place> = match self.links.is_empty() {
            true => HashMap::new(),
            false => self.firsts.iter().filter(|first| self.has_more(first)).map(|first| (first.inode, &first.at)).collect(),
        };
        for Link { at, inode: id } in &self.links {
            let first = linked.get(id).ok_or_else(|| super::tree::internal("a further name of nothing"))?;
            let Inode { mode, owner, mtime, .. } = *self.tree.inode(*id)?;
            let metadata = Metadata { mode, uid: owner.uid, gid: owner.gid, mtime, xattrs: Vec::new() };
            give(FlatEntry { path: self.path_of(at)?, kind: FlatKind::Hardlink(self.path_of(first)?), metadata })?;
        }
        Ok(())
    }

    fn has_more(&self, first: &First) -> bool {
        self.tree.inode(first.inode).is_ok_and(|inode| inode.links > 1)
    }

    fn path_of(&self, at: &Place) -> Result<EntryPath, Error> {
        self.path(self.raw_path(at)?)
    }

    fn raw_path(&self, Place { dir, name }: &Place) -> Result<Vec<u8>, Error> {
        let mut path = self.tree.path(*dir)?;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(path)
    }

    fn path(&self, joined: Vec<u8>) -> Result<EntryPath, Error> {
        EntryPath::parse(&joined, AbsoluteNames::Reject, &self.limits)
    }

    fn too_long(&self, at: &Place) -> Error {
        let error = Error::over(ErrorKind::NameTooLong, "path_bytes", self.limits.path_bytes);
        error.with_path(&self.raw_path(at).unwrap_or_default())
    }
}

/// The length of the path of a name in a directory.
fn below(dir: usize, name: &[u8]) -> usize {
    let slash = usize::from(dir > 0);
    dir.saturating_add(slash).saturating_add(name.len())
}
