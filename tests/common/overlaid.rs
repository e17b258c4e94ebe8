//! What a mounted overlay shows of the directories of its layers, in memory: for where nobody may mount.

use super::snapshot::{Kind, Node, Tree};

/// The names of the attribute that makes a directory opaque.
const OPAQUE: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];

/// Lays the layers over each other, bottom first.
///
/// Names that share an inode are not told: in the mount they do so only within one layer.
pub fn overlaid(layers: &[Tree]) -> Tree {
    let merged = layers.iter().fold(Tree::default(), |mut below, layer| {
        for (path, node) in &layer.nodes {
            let covers = node.kind != Kind::Dir || is_opaque(node) || below.get(path).is_some_and(|old| old.kind != Kind::Dir);
            if covers {
                let inside = [path, &b"/"[..]].concat();
                below.nodes.retain(|other, _| other != path && !other.starts_with(&inside));
            }
            if node.kind != Kind::Char(0) {
                below.nodes.insert(path.clone(), shown(node));
            }
        }
        below
    });
    Tree::from_nodes(merged.nodes)
}

fn is_opaque(node: &Node) -> bool {
    OPAQUE.iter().any(|name| node.xattrs.get(*name).is_some_and(|value| value == b"y"))
}

fn shown(node: &Node) -> Node {
    let mut node = node.clone();
    node.xattrs.retain(|name, _| !OPAQUE.contains(&&name[..]));
    (node.nlink, node.same_as) = (0, None);
    node
}
