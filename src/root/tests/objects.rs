//! Objects are made exclusively, and with the attributes asked for or none.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::super::{Attributes as _, Made};
use super::{name, open, roots};
use crate::archive::Timestamp;
use crate::entry::{Device, DeviceKind};
use crate::error::ErrorKind;

#[test]
fn nothing_is_made_through_what_stands_there() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), "host").unwrap();
    symlink(outside.path().join("f"), dir.path().join("l")).unwrap();
    symlink(outside.path().join("new"), dir.path().join("dangling")).unwrap();
    for root in roots(dir.path()) {
        for taken in ["l", "dangling"] {
            assert!(matches!(root.make_file(root.top(), name(taken)).unwrap(), Made::Exists));
            assert!(matches!(root.make_directory(root.top(), name(taken), 0o700).unwrap(), Made::Exists));
            assert!(matches!(root.make_fifo(root.top(), name(taken)).unwrap(), Made::Exists));
        }
    }
    assert_eq!(fs::read(outside.path().join("f")).unwrap(), b"host");
    assert!(!outside.path().join("new").exists());
}

#[test]
fn bytes_in_several_places_are_written_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let Made::New(file) = root.make_file(root.top(), name("f")).unwrap() else { panic!("exists") };
    file.write_joined_at(3, &[b"", b"ab", b"", b"cde", b""]).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"\0\0\0abcde");
    file.write_joined_at(0, &[b"", b""]).unwrap();
    // More than one call takes.
    let numbers: Vec<[u8; 4]> = (0..2500_u32).map(u32::to_be_bytes).collect();
    file.write_joined_at(8, &numbers.iter().map(<[u8; 4]>::as_slice).collect::<Vec<_>>()).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap()[8..], numbers.concat());
}

#[test]
fn a_device_number_that_the_kernel_wraps_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    // The kernel keeps 12 bits of the major number: this would be 0:0, which anybody may make.
    let device = Device { kind: DeviceKind::Character, major: 4096, minor: 0 };
    let error = root.make_device(root.top(), name("d"), device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NumberOutOfRange);
    assert!(!dir.path().join("d").exists());
}

#[test]
fn a_hardlink_whose_target_was_exchanged_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    fs::write(dir.path().join("a"), "").unwrap();
    fs::write(dir.path().join("b"), "").unwrap();
    let other = root.top().stat_of(name("b")).unwrap().unwrap();
    let error = root.make_hardlink((root.top(), name("a")), &other, (root.top(), name("h"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HardlinkEscape);
    assert!(!dir.path().join("h").exists());
    let right = root.top().stat_of(name("a")).unwrap().unwrap();
    assert!(matches!(root.make_hardlink((root.top(), name("a")), &right, (root.top(), name("h"))).unwrap(), Made::New(())));
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().nlink(), 2);
}

#[test]
fn the_mode_of_a_fifo_is_set_and_that_of_a_links_target_is_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    fs::set_permissions(dir.path().join("f"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("f", dir.path().join("l")).unwrap();
    for (number, root) in roots(dir.path()).into_iter().enumerate() {
        let fifo = format!("p{number}");
        assert!(matches!(root.make_fifo(root.top(), name(&fifo)).unwrap(), Made::New(())));
        root.new_special(root.top(), name(&fifo)).unwrap().set_mode(0o4751).unwrap();
        assert_eq!(fs::metadata(dir.path().join(&fifo)).unwrap().mode() & 0o7777, 0o4751);
        root.new_special(root.top(), name("l")).unwrap().set_mode(0o777).unwrap_err();
        root.new_special(root.top(), name("f")).unwrap_err();
    }
    assert_eq!(fs::metadata(dir.path().join("f")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_hardlink_that_took_the_name_of_a_new_symlink_or_fifo_keeps_its_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    fs::write(outside.path().join("f"), "host").unwrap();
    symlink("host", outside.path().join("l")).unwrap();
    let kept = |name: &str| outside.path().join(name).symlink_metadata().map(|held| (held.mtime(), held.uid(), held.mode())).unwrap();
    let before = (kept("f"), kept("l"));
    for (number, root) in roots(dir.path()).into_iter().enumerate() {
        for other in ["f", "l"] {
            let raw = format!("{other}{number}");
            let made = name(&raw);
            assert!(matches!(root.make_fifo(root.top(), made).unwrap(), Made::New(())));
            let first = root.new_special(root.top(), made).unwrap();
            fs::rename(dir.path().join(&raw), dir.path().join("aside")).unwrap();
            fs::hard_link(outside.path().join(other), dir.path().join(&raw)).unwrap();
            assert_eq!(root.new_special(root.top(), made).unwrap_err().kind(), ErrorKind::Io);
            let time = Timestamp::new(1_000_000_000, 5).unwrap();
            assert_eq!(first.set_time(time).unwrap(), None);
            first.set_mode(0o622).unwrap();
            let aside = root.top().stat_of(name("aside")).unwrap().unwrap();
            assert_eq!((aside.mtime, aside.mode), (time, 0o622));
        }
    }
    assert_eq!((kept("f"), kept("l")), before);
}

#[test]
fn a_time_is_kept_to_the_nanosecond_and_before_1970() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let Made::New(file) = root.make_file(root.top(), name("f")).unwrap() else { panic!("exists") };
    for (secs, nanos) in [(1_000_000_000, 123_456_789), (-2, 500_000_000), (0, 0)] {
        let time = Timestamp::new(secs, nanos).unwrap();
        assert_eq!(file.set_time(time).unwrap(), None);
        assert_eq!(root.top().stat_of(name("f")).unwrap().unwrap().mtime, time);
    }
}

#[test]
fn a_time_beyond_the_filesystem_tells_what_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    let Made::New(file) = root.make_file(root.top(), name("f")).unwrap() else { panic!("exists") };
    let far = Timestamp::new(i64::MAX, 999_999_999).unwrap();
    let held = file.set_time(far).unwrap().unwrap_or(far);
    assert_eq!(root.top().stat_of(name("f")).unwrap().unwrap().mtime, held);
}
