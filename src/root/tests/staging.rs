//! Private directories: locked, moved into place exclusively, found again.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{name, open};
use crate::error::ErrorKind;

#[test]
fn a_private_directory_is_the_callers_alone_whatever_the_parent_hands_down() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    // u::rwx g::rwx o::rwx and user 12345:rwx with its mask, as a default ACL.
    let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &7_u16.to_le_bytes(), &id.to_le_bytes()].concat();
    let entries = [entry(1, u32::MAX), entry(2, 12345), entry(4, u32::MAX), entry(16, u32::MAX), entry(32, u32::MAX)];
    let acl = [&2_u32.to_le_bytes()[..], &entries.concat()].concat();
    let root = open(dir.path());
    match rustix::fs::fsetxattr(&root.top.fd, "system.posix_acl_default", &acl, rustix::fs::XattrFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
        Err(errno) => panic!("{errno}"),
    }
    let private = root.make_private_dir(b".x-").unwrap();
    let made = fs::metadata(dir.path().join(str::from_utf8(&private.name).unwrap())).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o700);
    assert_eq!(made.gid(), crate::root::caller().gid);
    assert!(!crate::root::Attributes::xattr_names(private.root.top()).unwrap().iter().any(|name| name.starts_with(b"system.posix_acl")));
}

#[test]
fn publishing_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    fs::create_dir(dir.path().join("taken")).unwrap();
    let private = root.make_private_dir(b".x-").unwrap();
    let error = root.publish(&private, name("taken")).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Io, Some(17)));
    root.publish(&private, name("free")).unwrap();
    assert!(dir.path().join("free").is_dir());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn the_way_without_renameat2_replaces_nothing_either() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    fs::create_dir(dir.path().join("taken")).unwrap();
    fs::create_dir(dir.path().join("tree")).unwrap();
    fs::write(dir.path().join("tree/f"), "").unwrap();
    let error = root.publish_over_empty(name("tree"), name("taken")).unwrap_err();
    assert_eq!(error.errno(), Some(17));
    root.publish_over_empty(name("tree"), name("free")).unwrap();
    assert!(dir.path().join("free/f").exists());
}

#[test]
fn only_what_nobody_holds_is_a_leftover() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let held = root.make_private_dir(b".x-").unwrap();
    fs::create_dir(dir.path().join(".x-dead")).unwrap();
    fs::write(dir.path().join(".x-file"), "").unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    let found = || -> Vec<Vec<u8>> {
        root.unlocked_dirs(|name| name.starts_with(b".x-")).unwrap().into_iter().map(|leftover| leftover.name).collect()
    };
    assert_eq!(found(), [b".x-dead"]);
    drop(held);
    assert_eq!(found().len(), 2);
}
