//! Removal follows nothing and needs no memory for depth.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::super::{Clearing, Dir, Keep, Made, ObjectId, Removal};
use super::{name, open, roots};
use crate::entry::Name;
use crate::error::Error;

/// Remembers what was removed; keeps what starts with "keep".
#[derive(Default)]
pub(super) struct Heard(Vec<ObjectId>);

impl Removal for Heard {
    fn directory_removed(&mut self, id: ObjectId) {
        self.0.push(id);
    }
}

impl Clearing for Heard {
    fn judge(&mut self, _: &Dir, name: Name<'_>) -> Result<Keep, Error> {
        Ok(if name.as_bytes().starts_with(b"keep") { Keep::Keep } else { Keep::Remove })
    }
}

#[test]
fn a_tree_goes_with_all_below_it_and_nothing_a_link_leads_to() {
    for which in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/a/b/c")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/kept"), "x").unwrap();
        fs::write(dir.path().join("tree/a/.removed-1"), "x").unwrap();
        fs::create_dir(dir.path().join("tree/.removed-1")).unwrap();
        symlink(dir.path().join("outside"), dir.path().join("tree/a/link")).unwrap();
        symlink("../outside", dir.path().join("tree/link")).unwrap();
        let root = &roots(dir.path())[which];
        let mut heard = Heard::default();
        root.remove(root.top(), name("tree"), &mut heard).unwrap();
        assert!(!dir.path().join("tree").exists());
        assert!(dir.path().join("outside/kept").exists());
        assert_eq!(heard.0.len(), 5);
        root.remove(root.top(), name("tree"), &mut heard).unwrap();
    }
}

#[test]
fn a_symlink_is_removed_not_its_target() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    symlink("d", dir.path().join("l")).unwrap();
    let root = open(dir.path());
    root.remove(root.top(), name("l"), &mut Heard::default()).unwrap();
    assert!(dir.path().join("d").exists());
    assert!(fs::symlink_metadata(dir.path().join("l")).is_err());
}

#[test]
fn three_thousand_levels_go_with_few_handles() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let make = |dir: &Dir, raw| {
        let Made::New(made) = root.make_directory(dir, name(raw), 0o700).unwrap() else { panic!("exists") };
        made.dir
    };
    let mut deep = make(root.top(), "top");
    for _ in 0..3000 {
        deep = make(&deep, "d");
    }
    drop(deep);
    let mut heard = Heard::default();
    root.remove(root.top(), name("top"), &mut heard).unwrap();
    assert_eq!(heard.0.len(), 3001);
    assert!(!dir.path().join("top").exists());
}

#[test]
fn a_wide_directory_goes_in_batches() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wide")).unwrap();
    for number in 0..5000 {
        fs::write(dir.path().join(format!("wide/{number}")), "").unwrap();
    }
    let root = open(dir.path());
    root.remove(root.top(), name("wide"), &mut Heard::default()).unwrap();
    assert!(!dir.path().join("wide").exists());
}

#[test]
fn directories_without_permission_go_too() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("tree/a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "").unwrap();
    for path in ["tree/a/b", "tree/a", "tree"] {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let root = open(dir.path());
    root.remove(root.top(), name("tree"), &mut Heard::default()).unwrap();
    assert!(!dir.path().join("tree").exists());
}

#[test]
fn clearing_keeps_what_the_judge_keeps() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..100 {
        fs::create_dir_all(dir.path().join(format!("go{number}/sub"))).unwrap();
        fs::write(dir.path().join(format!("keep{number}")), "").unwrap();
    }
    for root in roots(dir.path()) {
        root.clear(root.top(), &mut Heard::default()).unwrap();
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 100);
    assert!(left.iter().all(|name| name.to_str().unwrap().starts_with("keep")));
}
