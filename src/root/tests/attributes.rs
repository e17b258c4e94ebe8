//! What is set by handle is what is read by handle.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rustix::io::Errno;

use super::super::attributes::{Attributes, check_mode, ids};
use super::super::{Made, NewFile, XattrRefusal, always_held, handle_limit, read_xattrs};
use super::{is_root, name, open};
use crate::archive::{Timestamp, Xattr};
use crate::entry::{DEFAULT_ACL, Owner};
use crate::error::ErrorKind;

/// u::rwx g::rwx o::rwx.
fn acl() -> Vec<u8> {
    let entry = |tag: u16| [&tag.to_le_bytes()[..], &7_u16.to_le_bytes(), &u32::MAX.to_le_bytes()].concat();
    [&2_u32.to_le_bytes()[..], &entry(1), &entry(4), &entry(32)].concat()
}

fn xattr(name: &[u8], value: &[u8]) -> Xattr {
    Xattr { name: name.to_vec(), value: value.to_vec() }
}

fn new_file(root: &super::Root) -> NewFile {
    match root.make_file(root.top(), name("f")).unwrap() {
        Made::New(file) => file,
        Made::Exists => panic!("exists"),
    }
}

#[test]
fn an_attribute_is_read_as_it_was_set_and_is_gone_when_removed() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let file = new_file(&root);
    if file.set_xattr(&xattr(b"user.a", b"one")).unwrap() == Err(XattrRefusal::NotSupported) {
        return super::skip("no user.* attributes here");
    }
    file.set_xattr(&xattr(b"user.b", b"")).unwrap().unwrap();
    assert_eq!(file.xattr(b"user.a").unwrap(), Some(b"one".to_vec()));
    assert_eq!((file.xattr(b"user.b").unwrap(), file.xattr(b"user.c").unwrap()), (Some(Vec::new()), None));
    let mut names = file.xattr_names().unwrap();
    names.retain(|name| name.starts_with(b"user."));
    names.sort();
    assert_eq!(names, [b"user.a", b"user.b"]);
    assert_eq!(read_xattrs(&file, |name| name == b"user.a").unwrap(), [xattr(b"user.a", b"one")]);
    file.remove_xattr(b"user.a").unwrap();
    file.remove_xattr(b"user.a").unwrap();
    assert_eq!(file.xattr(b"user.a").unwrap(), None);
}

#[test]
fn a_default_acl_is_seen_until_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    assert!(!root.top().has_default_acl().unwrap());
    if root.top().set_xattr(&xattr(DEFAULT_ACL, &acl())).unwrap() == Err(XattrRefusal::NotSupported) {
        return super::skip("no ACLs here");
    }
    assert!(root.top().has_default_acl().unwrap());
    root.top().remove_acls().unwrap();
    assert!(!root.top().has_default_acl().unwrap());
}

#[test]
fn an_owner_is_set_or_the_error_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let file = new_file(&root);
    let set = file.set_owner(Owner { uid: 12, gid: 34 });
    if is_root() {
        set.unwrap();
        let held = fs::metadata(dir.path().join("f")).unwrap();
        assert_eq!((held.uid(), held.gid()), (12, 34));
    } else {
        let error = set.unwrap_err();
        assert_eq!((error.errno(), error.to_string().contains("12:34")), (Some(Errno::PERM.raw_os_error()), true));
    }
}

#[test]
fn a_time_is_restored_or_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let before = root.top().stat().unwrap().mtime;
    let time = Timestamp::new(1_000_000_000, 5).unwrap();
    assert!(root.top().restore_time(time).unwrap());
    assert_eq!(root.top().stat().unwrap().mtime, time);
    let changed = fs::metadata(dir.path()).unwrap();
    assert!(root.top().restore_time(time).unwrap());
    // What is as it should be is not set again: the kernel would tell the time of that.
    let after = fs::metadata(dir.path()).unwrap();
    assert_eq!((changed.ctime(), changed.ctime_nsec()), (after.ctime(), after.ctime_nsec()));
    assert!(root.top().restore_time(before).unwrap());
    assert_eq!(root.top().stat().unwrap().mtime, before);
}

#[test]
fn the_owner_of_a_directory_gets_permission_beside_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    let mode = |name| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
    for name in ["d", "f"] {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o1055)).unwrap();
    }
    let root = open(dir.path());
    root.grant_owner(root.top(), name("d")).unwrap();
    assert_eq!(mode("d"), 0o1755);
    assert_eq!(root.grant_owner(root.top(), name("f")).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(mode("f"), 0o1055);
}

#[test]
fn the_limit_of_handles_is_that_of_the_process() {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft = line.split_whitespace().next().unwrap();
    assert_eq!(handle_limit(), soft.parse().unwrap_or(u64::MAX));
}

#[test]
fn an_id_that_the_kernel_takes_for_none_is_refused() {
    let kind = |uid, gid| ids(Owner { uid, gid }).map(drop).map_err(|error| error.kind());
    assert_eq!((kind(u32::MAX, 0), kind(0, u32::MAX)), (Err(ErrorKind::NumberOutOfRange), Err(ErrorKind::NumberOutOfRange)));
    assert_eq!(kind(u32::MAX - 1, u32::MAX - 1), Ok(()));
}

#[test]
fn a_mode_that_is_not_held_is_an_error_that_says_both() {
    assert!(check_mode(0o2755, 0o2755).is_ok());
    let error = check_mode(0o2755, 0o755).unwrap_err();
    assert!(error.to_string().contains("2755") && error.to_string().contains(" 755"), "{error}");
}

#[test]
fn times_from_1980_to_2037_need_not_be_read_back() {
    let held = |secs| always_held(Timestamp::new(secs, 0).unwrap());
    assert!(held(315_532_800) && held(1_000_000_000) && held(2_145_916_799));
    assert!(!held(315_532_799) && !held(0) && !held(-1) && !held(2_145_916_800) && !held(i64::MAX));
}
