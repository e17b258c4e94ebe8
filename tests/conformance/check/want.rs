//! The expected tree, written down as it is meant to be read.

use std::collections::BTreeMap;

use super::{TIME, me};
use crate::common::snapshot::{Data, Kind, Node, Tree};

/// The tree that is wanted.
#[derive(Clone)]
pub struct Want {
    nodes: BTreeMap<Vec<u8>, Node>,
    links: Vec<(Vec<u8>, Vec<u8>)>,
    last: Vec<u8>,
}

/// Starts with a new root that has no entry: 0755, time 0.
pub fn tree() -> Want {
    Want { nodes: BTreeMap::new(), links: Vec::new(), last: Vec::new() }.node("", Kind::Dir, 0o755, 0)
}

impl Want {
    pub fn node(mut self, path: impl AsRef<[u8]>, kind: Kind, mode: u32, mtime: i64) -> Self {
        let (uid, gid) = me();
        let nlink = u64::from(kind != Kind::Dir);
        let node = Node { kind, mode, uid, gid, mtime: (mtime, 0), xattrs: BTreeMap::new(), nlink, same_as: None };
        self.last = path.as_ref().to_vec();
        self.nodes.insert(self.last.clone(), node);
        self
    }

    /// A directory with an entry.
    pub fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Dir, 0o755, TIME)
    }

    /// A directory without one.
    pub fn implicit(self, path: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Dir, 0o755, 0)
    }

    pub fn file(self, path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::File(Data::of(data.as_ref())), 0o644, TIME)
    }

    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Symlink(target.as_ref().to_vec()), 0o777, TIME)
    }

    pub fn fifo(self, path: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Fifo, 0o644, TIME)
    }

    /// A further name of what stands at `target`.
    pub fn hardlink(mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.links.push((path.as_ref().to_vec(), target.as_ref().to_vec()));
        self
    }

    /// Changes the object added last.
    pub fn but(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(self.nodes.get_mut(&self.last).unwrap());
        self
    }

    pub fn mode(self, mode: u32) -> Self {
        self.but(|node| node.mode = mode)
    }

    pub fn mtime(self, seconds: i64, nanos: u32) -> Self {
        self.but(|node| node.mtime = (seconds, nanos))
    }

    pub fn owner(self, uid: u32, gid: u32) -> Self {
        self.but(|node| (node.uid, node.gid) = (uid, gid))
    }

    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.but(|node| drop(node.xattrs.insert(name.into(), value.as_ref().into())))
    }

    pub fn tree(mut self) -> Tree {
        let mut groups: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (path, target) in std::mem::take(&mut self.links) {
            let node = self.nodes[&target].clone();
            self.nodes.insert(path.clone(), node);
            groups.entry(target.clone()).or_insert_with(|| vec![target]).push(path);
        }
        for mut group in groups.into_values() {
            group.sort();
            for path in &group {
                let node = self.nodes.get_mut(path).unwrap();
                (node.nlink, node.same_as) = (group.len() as u64, Some(group[0].clone()));
            }
        }
        Tree::from_nodes(self.nodes)
    }
}

impl Want {
    /// The objects of `upper` in place of those here: a directory keeps what is in it, anything else does not.
    pub fn merged(mut self, upper: &Self) -> Self {
        self.links.retain(|(path, _)| !upper.has(path));
        for (path, node) in upper.nodes.iter().filter(|(path, _)| !path.is_empty()) {
            self.make_room(path, &node.kind);
            self.nodes.insert(path.clone(), node.clone());
        }
        for (path, target) in &upper.links {
            self.make_room(path, &Kind::Fifo);
            self.links.push((path.clone(), target.clone()));
        }
        self
    }

    fn has(&self, path: &[u8]) -> bool {
        self.nodes.contains_key(path) || self.links.iter().any(|(link, _)| link == path)
    }

    fn make_room(&mut self, path: &[u8], kind: &Kind) {
        if *kind != Kind::Dir {
            let below = [path, b"/"].concat();
            self.nodes.retain(|other, _| other != path && !other.starts_with(&below));
        }
    }
}
