//! Tests of the tree and of the order. That the rules are those of a tree on disk is shown by `tests/conformance`, case by case.

use super::plan::Plan;
use super::tree::{DirId, Inode, Kind, Mark, Object, Tree};
use super::*;
use crate::archive::{Timestamp, Xattr};
use crate::entry::Name;
use crate::error::ErrorKind;
use crate::limits::Limits;

fn name(raw: &str) -> Name<'_> {
    Name::new(raw.as_bytes()).unwrap()
}

fn file(layer: u32, entry: u64) -> Inode {
    Inode { kind: Kind::File { len: 0 }, links: 0, layer, entry, mode: 0o644, owner: NOBODY, mtime: Timestamp::default() }
}

fn tree() -> Tree {
    let mut tree = Tree::new(&Limits::default()).unwrap();
    tree.begin_layer();
    tree
}

fn dir(tree: &mut Tree, parent: DirId, raw: &str) -> DirId {
    tree.add_directory((parent, name(raw)), Mark::NONE).unwrap()
}

fn with_xattr(value: usize) -> Metadata {
    let xattr = Xattr { name: b"user.k".to_vec(), value: vec![0; value] };
    Metadata { mode: 0o755, uid: 0, gid: 0, mtime: Timestamp::default(), xattrs: vec![xattr] }
}

#[test]
fn what_is_removed_gives_back_all_that_it_cost() {
    let mut tree = tree();
    let empty = tree.bytes();
    let d = dir(&mut tree, Tree::TOP, "d");
    let below = dir(&mut tree, d, "below");
    tree.set_metadata(below, with_xattr(1000)).unwrap();
    let inode = tree.add_inode((below, name("f")), file(0, 0)).unwrap();
    tree.add_name((d, name("second")), inode).unwrap();
    assert!(tree.bytes() > empty + 1000);
    tree.set_metadata(below, with_xattr(0)).unwrap();
    assert!(tree.bytes() < empty + 2000);
    tree.clear(Tree::TOP, name("d")).unwrap();
    assert_eq!(tree.bytes(), empty);
    assert_eq!((tree.find(Tree::TOP, name("d")), tree.find(d, name("second"))), (None, None));
    assert!(tree.inode(inode).is_err());
}

#[test]
fn an_inode_lives_as_long_as_one_of_its_names() {
    let mut tree = tree();
    let d = dir(&mut tree, Tree::TOP, "d");
    let inode = tree.add_inode((d, name("f")), file(0, 0)).unwrap();
    tree.add_name((Tree::TOP, name("g")), inode).unwrap();
    tree.clear(Tree::TOP, name("d")).unwrap();
    assert_eq!((tree.find(Tree::TOP, name("g")), tree.inode(inode).unwrap().links), (Some(Object::Inode(inode)), 1));
    tree.clear(Tree::TOP, name("g")).unwrap();
    assert!(tree.inode(inode).is_err());
}

#[test]
fn a_mark_outlives_the_object_and_not_the_layer() {
    let mut tree = tree();
    tree.add_inode((Tree::TOP, name("f")), file(0, 0)).unwrap();
    assert!(tree.is_written(Tree::TOP, name("f")));
    let mark = tree.clear(Tree::TOP, name("f")).unwrap();
    assert!(!tree.is_written(Tree::TOP, name("f")));
    tree.add_directory((Tree::TOP, name("f")), mark).unwrap();
    assert!(tree.is_written(Tree::TOP, name("f")));
    tree.begin_layer();
    assert!(!tree.is_written(Tree::TOP, name("f")));
}

#[test]
fn using_a_directory_uses_those_above_it_in_this_layer() {
    let mut tree = tree();
    let d = dir(&mut tree, Tree::TOP, "d");
    let (below, beside) = (dir(&mut tree, d, "below"), dir(&mut tree, d, "beside"));
    tree.touch(below).unwrap();
    assert_eq!([Tree::TOP, d, below, beside].map(|dir| tree.is_touched(dir)), [true, true, true, false]);
    tree.begin_layer();
    assert_eq!([Tree::TOP, d, below, beside].map(|dir| tree.is_touched(dir)), [false; 4]);
}

#[test]
fn a_directory_deeper_than_the_limit_is_refused() {
    let mut tree = Tree::new(&Limits { depth: 2, ..Limits::default() }).unwrap();
    let (a, limit) = (dir(&mut tree, Tree::TOP, "a"), ("depth", 2));
    let b = dir(&mut tree, a, "b");
    let error = tree.add_directory((b, name("c")), Mark::NONE).unwrap_err();
    assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(limit));
}

#[test]
fn without_a_proof_for_a_layer_there_is_no_plan() {
    let error = Plan::of(tree(), &[], &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LayerCountMismatch);
}
