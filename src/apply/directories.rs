//! Every directory that an unpack met, and the attributes it is to have in the end: a table, a few dozen bytes for each, no handle.

use std::collections::HashMap;

use crate::archive::{Timestamp, Xattr};
use crate::convert::len_u64;
use crate::entry::{Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::root::{ObjectId, Removal, Stat};

/// The number of a directory in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodeId(pub(super) u32);

impl NodeId {
    /// The root.
    pub(super) const TOP: Self = Self(0);

    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// What a directory is to have in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Final {
    pub(super) mode: Mode,
    pub(super) mtime: Timestamp,
}

/// The mode of a directory in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As it stands: the directory was only passed through.
    AsFound,
    /// This one.
    Set(u32),
}

/// Whether what is made in a directory takes something over from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inheritance {
    /// Known to hand nothing down.
    Nothing,
    /// It may have a default ACL or the setgid bit.
    Possible,
}

/// What the directory has of what it is to have in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing that could be relied on.
    Private,
    /// The mode, which lets its owner work there.
    Mode,
    /// The mode and the time: nothing is to be done, unless something changes in it.
    All,
}

#[derive(Debug)]
struct Node {
    parent: NodeId,
    /// Where its name starts in `names`; the next node's start ends it.
    name_start: u64,
    name_len: u8,
    alive: bool,
    depth: u32,
    id: ObjectId,
    last: Final,
    standing: Standing,
    inheritance: Inheritance,
    /// Who owns what is made in it, where that is known.
    gives: Option<Owner>,
    /// The last layer that put something at or below it, counted from 1.
    touched: u32,
    /// The last layer that had an entry for it, counted from 1; 0 for none.
    entry: u32,
    /// The layer, counted from 1, in which nothing of a lower one is left in it; 0 for none.
    cleared: u32,
}

/// The table.
#[derive(Debug)]
pub(super) struct Directories {
    nodes: Vec<Node>,
    names: Vec<u8>,
    by_id: HashMap<ObjectId, NodeId>,
    default_acls: HashMap<NodeId, Xattr>,
    /// The current layer, counted from 1.
    layer: u32,
}

impl Directories {
    /// Starts with the root.
    pub(super) fn new(top: &Stat, last: Final, inheritance: Inheritance) -> Self {
        let node = Node {
            parent: NodeId::TOP,
            name_start: 0,
            name_len: 0,
            alive: true,
            depth: 0,
            id: top.id,
            last,
            standing: Standing::Private,
            inheritance,
            gives: None,
            touched: 0,
            entry: 0,
            cleared: 0,
        };
        let by_id = HashMap::from([(top.id, NodeId::TOP)]);
        Self { nodes: vec![node], names: Vec::new(), by_id, default_acls: HashMap::new(), layer: 0 }
    }

    /// Begins the next layer: what earlier ones wrote is lower from now on.
    pub(super) fn next_layer(&mut self) {
        self.layer = self.layer.saturating_add(1);
    }

    /// Gives the directory's number if it was met before.
    pub(super) fn find(&self, id: ObjectId) -> Option<NodeId> {
        self.by_id.get(&id).copied()
    }

    /// Adds the directory `name` of `parent`.
    pub(super) fn add(
        &mut self,
        (parent, name): (NodeId, Name<'_>),
        id: ObjectId,
        last: Final,
        inheritance: Inheritance,
        limits: &Limits,
    ) -> Result<NodeId, Error> {
        let depth = self.node(parent)?.depth.saturating_add(1);
        if u64::from(depth) > limits.depth {
            return Err(Error::limit_exceeded("depth", limits.depth));
        }
        let number = u32::try_from(self.nodes.len()).map_err(|_| Error::limit_exceeded("entries", limits.entries))?;
        let name_len = u8::try_from(name.as_bytes().len()).map_err(|_| internal("a name over 255 bytes"))?;
        let name_start = len_u64(self.names.len());
        self.names.extend_from_slice(name.as_bytes());
        let (alive, standing, gives, touched, entry, cleared) = (true, Standing::Private, None, 0, 0, 0);
        let node = Node { parent, name_start, name_len, alive, depth, id, last, standing, inheritance, gives, touched, entry, cleared };
        self.nodes.push(node);
        self.by_id.insert(id, NodeId(number));
        Ok(NodeId(number))
    }

    /// Whether the directory is still there.
    pub(super) fn is_alive(&self, node: NodeId) -> bool {
        self.node(node).is_ok_and(|node| node.alive)
    }

    /// Marks the directory and those above it as used by this layer, so that a whiteout spares them.
    pub(super) fn touch(&mut self, node: NodeId) -> Result<(), Error> {
        self.reopen(node)?;
        let (layer, mut at) = (self.layer, node);
        loop {
            let node = self.node_mut(at)?;
            if node.touched == layer {
                return Ok(());
            }
            node.touched = layer;
            if at == NodeId::TOP {
                return Ok(());
            }
            at = node.parent;
        }
    }

    /// Gives the directory's number if this layer used it.
    pub(super) fn touched(&self, id: ObjectId) -> Option<NodeId> {
        self.find(id).filter(|node| self.node(*node).is_ok_and(|node| node.touched == self.layer))
    }

    /// Marks that this layer has an entry for the directory.
    pub(super) fn set_entry(&mut self, node: NodeId) -> Result<(), Error> {
        let layer = self.layer;
        self.node_mut(node).map(|node| node.entry = layer)
    }

    /// Whether this layer has an entry for the directory.
    pub(super) fn has_entry(&self, node: NodeId) -> bool {
        self.node(node).is_ok_and(|node| node.entry == self.layer)
    }

    /// Marks that nothing of a lower layer is left in the directory.
    pub(super) fn set_cleared(&mut self, node: NodeId) -> Result<(), Error> {
        let layer = self.layer;
        self.node_mut(node).map(|node| node.cleared = layer)
    }

    /// Whether nothing of a lower layer is left in the directory.
    pub(super) fn is_cleared(&self, node: NodeId) -> bool {
        self.node(node).is_ok_and(|node| node.cleared == self.layer && node.cleared != 0)
    }

    /// Whether any layer had an entry for the directory.
    pub(super) fn ever_had_entry(&self, node: NodeId) -> bool {
        self.node(node).is_ok_and(|node| node.entry != 0)
    }

    /// Sets what the directory is to have in the end.
    pub(super) fn set_last(&mut self, node: NodeId, last: Final) -> Result<(), Error> {
        let node = self.node_mut(node)?;
        (node.last, node.standing) = (last, Standing::Private);
        Ok(())
    }

    /// Says what of [`last`](Self::last) the directory has.
    pub(super) fn set_standing(&mut self, node: NodeId, standing: Standing) -> Result<(), Error> {
        self.node_mut(node).map(|node| node.standing = standing)
    }

    /// What of [`last`](Self::last) the directory has.
    pub(super) fn standing(&self, node: NodeId) -> Result<Standing, Error> {
        self.node(node).map(|node| node.standing)
    }

    /// Says that something may change in the directory: its time will be another.
    pub(super) fn reopen(&mut self, node: NodeId) -> Result<(), Error> {
        let node = self.node_mut(node)?;
        if node.standing == Standing::All {
            node.standing = Standing::Mode;
        }
        Ok(())
    }

    /// What the directory is to have in the end.
    pub(super) fn last(&self, node: NodeId) -> Result<Final, Error> {
        self.node(node).map(|node| node.last)
    }

    /// Sets or takes away the default ACL that the directory is to have in the end; gives the change of memory, in bytes.
    pub(super) fn set_default_acl(&mut self, node: NodeId, acl: Option<Xattr>) -> (u64, u64) {
        // Whoever does this changes the mode too.
        if let Ok(node) = self.node_mut(node) {
            node.standing = Standing::Private;
        }
        let len = |acl: &Xattr| len_u64(acl.value.len()).saturating_add(ACL_OVERHEAD);
        let added = acl.as_ref().map_or(0, len);
        let freed = match acl {
            Some(acl) => self.default_acls.insert(node, acl),
            None => self.default_acls.remove(&node),
        };
        (added, freed.as_ref().map_or(0, len))
    }

    /// The default ACL that the directory is to have in the end.
    pub(super) fn default_acl(&self, node: NodeId) -> Option<&Xattr> {
        self.default_acls.get(&node)
    }

    /// Whether what is made in the directory takes something over from it.
    pub(super) fn inheritance(&self, node: NodeId) -> Inheritance {
        self.node(node).map_or(Inheritance::Possible, |node| node.inheritance)
    }

    /// Says that the directory is the caller's, as it was made: so is what is made in it. Its group is the caller's or, on filesystems
    /// mounted so, the directory's, which is the same; and nobody else can make it hand down another.
    pub(super) fn set_gives(&mut self, node: NodeId, owner: Owner) -> Result<(), Error> {
        self.node_mut(node).map(|node| node.gives = Some(owner))
    }

    /// Says that who owns what is made in the directory is not known any more.
    pub(super) fn forget_gives(&mut self, node: NodeId) -> Result<(), Error> {
        self.node_mut(node).map(|node| node.gives = None)
    }

    /// As [`forget_gives`](Self::forget_gives), of all: the caller is another now.
    pub(super) fn forget_all_gives(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.gives = None);
    }

    /// Says that the directory may hand something down: somebody else owns it, and can reach it.
    pub(super) fn set_inheritance(&mut self, node: NodeId, inheritance: Inheritance) -> Result<(), Error> {
        self.node_mut(node).map(|node| node.inheritance = inheritance)
    }

    /// Whether something that was just made in the directory is owned by `owner` already.
    pub(super) fn gives(&self, node: NodeId, owner: Owner) -> bool {
        self.node(node).is_ok_and(|node| node.gives == Some(owner))
    }

    /// Which object the directory is.
    pub(super) fn id(&self, node: NodeId) -> Result<ObjectId, Error> {
        self.node(node).map(|node| node.id)
    }

    /// The directory's name in the one above; none for the root.
    pub(super) fn name(&self, node: NodeId) -> Option<Name<'_>> {
        let node = self.node(node).ok()?;
        let start = usize::try_from(node.name_start).ok()?;
        let end = start.checked_add(usize::from(node.name_len))?;
        Name::new(self.names.get(start..end)?)
    }

    /// The directory above this one; the root's is itself.
    pub(super) fn above(&self, node: NodeId) -> Result<NodeId, Error> {
        self.node(node).map(|node| node.parent)
    }

    /// The directories from below the root down to this one.
    pub(super) fn chain(&self, node: NodeId) -> Result<Vec<NodeId>, Error> {
        let mut chain = Vec::new();
        let mut at = node;
        while at != NodeId::TOP {
            chain.push(at);
            at = self.node(at)?.parent;
        }
        chain.reverse();
        Ok(chain)
    }

    /// The path of the directory, for messages.
    pub(super) fn path(&self, node: NodeId) -> Vec<u8> {
        let chain = self.chain(node).unwrap_or_default();
        let names: Vec<&[u8]> = chain.iter().filter_map(|node| self.name(*node)).map(Name::as_bytes).collect();
        names.join(&b'/')
    }

    /// The directories that are still there, each before the ones above it; the root last.
    pub(super) fn deepest_first(&self) -> impl Iterator<Item = NodeId> + use<> {
        let alive: Vec<u32> = (0..u32::MAX).zip(&self.nodes).filter(|(_, node)| node.alive).map(|(number, _)| number).collect();
        // A directory is added after the one above it.
        alive.into_iter().rev().map(NodeId)
    }

    fn node(&self, node: NodeId) -> Result<&Node, Error> {
        self.nodes.get(node.index()).ok_or_else(|| internal("a directory that is not in the table"))
    }

    fn node_mut(&mut self, node: NodeId) -> Result<&mut Node, Error> {
        self.nodes.get_mut(node.index()).ok_or_else(|| internal("a directory that is not in the table"))
    }
}

impl Removal for Directories {
    fn directory_removed(&mut self, id: ObjectId) {
        if let Some(node) = self.by_id.remove(&id) {
            self.default_acls.remove(&node);
            if let Ok(node) = self.node_mut(node) {
                node.alive = false;
            }
        }
    }
}

/// What a default ACL costs beside its bytes.
const ACL_OVERHEAD: u64 = 128;

pub(super) fn internal(what: &'static str) -> Error {
    Error::new(ErrorKind::Io, what)
}
