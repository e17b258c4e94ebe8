//! What a mounted overlay shows of the directories of its layers, in memory: for where nobody may mount. And what of it is compared.

use std::collections::{BTreeMap, BTreeSet};

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

/// The tree without what overlayfs makes up.
pub fn loose(tree: &Tree) -> Tree {
    let node = |node: &Node| Node { nlink: 0, same_as: None, ..node.clone() };
    Tree::from_nodes(tree.nodes.iter().map(|(path, found)| (path.clone(), node(found))).collect())
}

/// Names that one layer shows share an inode there if and only if they do in the merged tree.
#[track_caller]
pub fn assert_groups(merged: &Tree, layers: &[Tree], what: &str) {
    type Groups<'a> = BTreeSet<BTreeSet<&'a [u8]>>;
    let (mut wanted, mut found) = (BTreeMap::new(), BTreeMap::new());
    for (path, node) in merged.nodes.iter().filter(|(_, node)| node.kind != Kind::Dir) {
        let home = layers.iter().rposition(|layer| layer.get(path).is_some());
        let Some(home) = home else { panic!("{what}: no layer has {}", path.escape_ascii()) };
        let group = node.same_as.as_ref().unwrap_or(path);
        wanted.entry((home, group)).or_insert_with(BTreeSet::new).insert(&path[..]);
        found.entry((home, layers[home].inode(path))).or_insert_with(BTreeSet::new).insert(&path[..]);
    }
    let (wanted, found): (Groups<'_>, Groups<'_>) = (wanted.into_values().collect(), found.into_values().collect());
    let shown = |groups: Groups<'_>| format!("{:?}", groups.iter().map(names).collect::<Vec<_>>());
    assert_eq!(shown(wanted), shown(found), "{what}: names that share an inode in one layer");
}

fn names(group: &BTreeSet<&[u8]>) -> Vec<String> {
    group.iter().map(|path| path.escape_ascii().to_string()).collect()
}
