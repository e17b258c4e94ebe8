//! Which calls are made, and what becomes of one that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::sys::{Calls, Fault, inject};
use super::super::{Kind, Reach, Removal, Resolution, Root, Step};
use super::{name, open, roots};
use crate::error::ErrorKind;

const EPERM: i32 = 1;
const EIO: i32 = 5;
const ENOSYS: i32 = 38;

struct Unheard;

impl Removal for Unheard {
    fn directory_removed(&mut self, _: crate::root::ObjectId) {}
}

#[test]
fn a_kernel_without_openat2_is_walked_and_an_error_of_it_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let opened = |errno| {
        inject(Fault::Named("openat2", errno), || Root::try_from(fs::File::open(dir.path()).map(std::os::fd::OwnedFd::from).unwrap())).0
    };
    for absent in [ENOSYS, EPERM] {
        assert!(opened(absent).unwrap().with_openat2().is_err());
    }
    assert_eq!(opened(EIO).unwrap_err().errno(), Some(EIO));
}

#[test]
fn permission_is_given_only_where_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    for (mode, given) in [(0o700, None), (0o755, None), (0o500, Some("fchmod"))] {
        let inner = dir.path().join("d");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("f"), "").unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(mode)).unwrap();
        let (removed, Calls { failed, .. }) = inject(Fault::Named("fchmod", EPERM), || root.remove(root.top(), name("d"), &mut Unheard));
        assert_eq!(failed, given, "{mode:o}");
        // Who may not give it may not take names out either, but root.
        assert_eq!(removed.is_ok(), super::is_root() || given.is_none(), "{mode:o}");
    }
    if !super::is_root() {
        root.remove(root.top(), name("d"), &mut Unheard).unwrap();
    }
}

#[test]
fn a_directory_far_below_is_entered_by_one_call_where_the_kernel_resolves() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b/c/d")).unwrap();
    let counts = roots(dir.path()).map(|root| {
        let (step, calls) = inject(Fault::Never, || root.enter_below(b"a/b/c", name("d")));
        assert!(matches!(step.unwrap(), Step::Directory(_)));
        calls.count
    });
    assert!(counts[0] < counts[1], "{counts:?}");
}

#[test]
fn a_walk_ends_after_so_many_components_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path()).with_walk();
    let most = 40 * 256;
    let walk = |count: usize| super::super::walk(&root, root.top(), "../".repeat(count).as_bytes(), 256, &mut Reach::Inside);
    assert!(matches!(walk(most).unwrap(), Resolution::Directory(trail) if trail.is_empty()));
    assert_eq!(walk(most + 1).unwrap_err().kind(), ErrorKind::SymlinkLoop);
}

#[test]
fn a_walk_goes_as_deep_as_it_may_and_no_deeper() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
    let root = open(dir.path()).with_walk();
    let walk = |depth| super::super::walk(&root, root.top(), b"a/b/c", depth, &mut Reach::Inside);
    assert!(matches!(walk(3).unwrap(), Resolution::Directory(trail) if trail.len() == 3));
    let error = walk(2).unwrap_err();
    assert_eq!((error.kind(), error.limit().map(|limit| (limit.name, limit.value))), (ErrorKind::LimitExceeded, Some(("depth", 2))));
}

#[test]
fn every_name_is_listed_once_however_the_kernel_hands_them_over() {
    let dir = tempfile::tempdir().unwrap();
    // More in one of the kernel's buffers than make a batch, as their names are short.
    let mut made: Vec<String> = (0..3000).map(|number| format!("{number:x}")).collect();
    made.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
    let mut listing = super::super::remove::Listing::open(open(dir.path()).top()).unwrap();
    let (mut found, mut batches) = (Vec::new(), 0);
    while let Some(batch) = listing.next_batch().unwrap() {
        batches += 1;
        assert!(batch.len() < 3000, "all at once");
        found.extend(batch.into_iter().map(|(name, _)| name.into_string().unwrap()));
    }
    made.sort();
    found.sort();
    assert_eq!(found, made);
    assert!((2..=3).contains(&batches), "{batches}");
}

#[test]
fn a_device_that_the_kernel_makes_another_is_taken_back() {
    if !super::is_root() {
        return super::skip("only root makes devices");
    }
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path());
    // The kernel keeps 12 bits of the major number: this would be 0:1, a device too.
    let device = crate::entry::Device { kind: crate::entry::DeviceKind::Character, major: 4096, minor: 1 };
    assert_eq!(root.make_device(root.top(), name("d"), device).unwrap_err().kind(), ErrorKind::NumberOutOfRange);
    assert!(root.top().stat_of(name("d")).unwrap().is_none());
    let null = crate::entry::Device { major: 1, minor: 3, ..device };
    root.make_device(root.top(), name("d"), null).unwrap();
    assert_eq!(root.top().stat_of(name("d")).unwrap().unwrap().kind, Kind::CharacterDevice);
}
