//! §10 Extended attributes: the allow-list, capabilities, ACLs and their inheritance.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::XattrFlags;
use safe_layers::{ErrorKind, Expect, Policy, Reason, Unpacker};

use crate::check::*;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
pub const CAPABILITY: &str = "security.capability";

/// `cap_net_raw+ep`, revision 2.
pub fn capability() -> Vec<u8> {
    let words = [0x0200_0001_u32, 1 << 13, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub fn with_xattr(entry: Entry, name: &str, value: impl AsRef<[u8]>) -> Entry {
    entry.pax(format!("SCHILY.xattr.{name}"), value)
}

#[test]
fn xattrs_of_the_allow_list_are_set_in_both_spellings() {
    for policy in both() {
        let file = with_xattr(Entry::file("f", "x"), "user.a", "1");
        let dir = Entry::dir("d").pax("LIBARCHIVE.xattr.user.p%20q", "dg==");
        let want = tree().file("f", "x").xattr("user.a", "1").dir("d").xattr("user.p q", "v");
        gives(&policy, &[tar().add(file).add(dir)], want).events(&[]);
    }
}

#[test]
fn an_empty_xattr_is_an_empty_xattr_and_one_may_hold_any_bytes() {
    for policy in both() {
        let entry = with_xattr(with_xattr(Entry::file("f", "x"), "user.empty", ""), "user.bytes", b"\0\n=\xff");
        gives(&policy, &[tar().add(entry)], tree().file("f", "x").xattr("user.empty", "").xattr("user.bytes", b"\0\n=\xff")).events(&[]);
    }
}

#[test]
fn xattrs_outside_the_allow_list_are_dropped_with_an_event_and_refused_by_strict() {
    let names = [
        "security.selinux",
        "security.ima",
        "security.evm",
        "trusted.k",
        "user.containers.override_stat",
        "user.rootlesscontainers",
        "system.other",
        "unknown",
        "user.",
    ];
    for name in names {
        let layer = || tar().add(with_xattr(Entry::file("f", "x"), name, "v"));
        gives(&container(), &[layer()], tree().file("f", "x")).events(&[(Reason::XattrDropped, 1)]);
        refuses(&strict(), &[layer()], ErrorKind::ForbiddenXattr, (0, "f"));
    }
}

#[test]
fn a_capability_survives_owner_mode_and_data() {
    if needs_root("a capability") {
        let file = with_xattr(Entry::file("f", "x".repeat(300_000)).mode(0o4755).uid(7).gid(8), CAPABILITY, capability());
        let want = tree().file("f", "x".repeat(300_000)).mode(0o4755).owner(7, 8).xattr(CAPABILITY, capability());
        gives(&container(), &[tar().add(with_xattr(file, "user.k", "v"))], want.xattr("user.k", "v")).events(&[]);
        let file = with_xattr(Entry::file("f", "x"), CAPABILITY, capability());
        gives(&strict(), &[tar().add(file)], tree().file("f", "x").xattr(CAPABILITY, capability()));
    }
}

#[test]
fn a_capability_that_is_not_well_formed_is_an_error_in_every_policy() {
    let good = capability();
    let unknown_revision = [&[1, 0, 0, 9][..], &good[4..]].concat();
    for policy in both() {
        for bad in [&good[..19], &[&good[..], &[0]].concat(), b"", &unknown_revision] {
            let layer = tar().add(with_xattr(Entry::file("f", "x"), CAPABILITY, bad));
            refuses(&policy, &[layer], ErrorKind::ForbiddenXattr, (0, "f"));
        }
    }
    let layer = || tar().add(with_xattr(Entry::dir("d"), CAPABILITY, &good));
    gives(&container(), &[layer()], tree().dir("d")).events(&[(Reason::XattrDropped, 1)]);
    refuses(&strict(), &[layer()], ErrorKind::ForbiddenXattr, (0, "d"));
}

#[test]
fn an_access_acl_is_set_and_the_mode_is_the_headers_all_the_same() {
    if needs_root("an ACL with names") {
        let acl = named_acl(&[(1, 6, u32::MAX), (2, 7, 1234), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 4, u32::MAX)]);
        for policy in both() {
            let layer = tar().add(with_xattr(Entry::file("f", "x").mode(0o674), ACCESS, &acl));
            gives(&policy, &[layer], tree().file("f", "x").mode(0o674).xattr(ACCESS, &acl)).events(&[]);
            let layer = tar().add(with_xattr(Entry::dir("f").mode(0o674), ACCESS, &acl));
            gives(&policy, &[layer], tree().dir("f").mode(0o674).xattr(ACCESS, &acl)).events(&[]);
            // Mode bits that contradict the ACL win: they become its mask and its owner's and others' permissions.
            let masked = named_acl(&[(1, 7, u32::MAX), (2, 7, 1234), (4, 4, u32::MAX), (16, 5, u32::MAX), (32, 0, u32::MAX)]);
            let layer = tar().add(with_xattr(Entry::file("f", "x").mode(0o750), ACCESS, &acl));
            gives(&policy, &[layer], tree().file("f", "x").mode(0o750).xattr(ACCESS, &masked)).events(&[]);
        }
    }
}

#[test]
fn an_acl_that_names_ids_is_dropped_with_an_event_where_owners_are_squashed() {
    let acl = named_acl(&[(1, 6, u32::MAX), (2, 7, 1234), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 4, u32::MAX)]);
    let layer = tar().add(with_xattr(Entry::file("f", "x").mode(0o674), ACCESS, &acl));
    gives(&Policy::rootless(), &[layer], tree().file("f", "x").mode(0o674)).events(&[(Reason::XattrDropped, 1)]);
}

#[test]
fn an_acl_that_is_not_well_formed_is_an_error_in_every_policy() {
    for policy in both() {
        for bad in [&b""[..], b"\x02\0\0\0", &acl(&[(1, 7), (4, 7)]), &acl(&[(4, 7), (1, 7), (32, 7)]), &acl(&[(1, 8), (4, 7), (32, 7)])] {
            for name in [ACCESS, DEFAULT] {
                refuses(&policy, &[tar().add(with_xattr(Entry::dir("d"), name, bad))], ErrorKind::ForbiddenXattr, (0, "d"));
            }
        }
    }
}

#[test]
fn a_default_acl_is_set_and_nothing_inherits_it_in_this_layer_or_a_later_one() {
    let default = acl(&[(1, 7), (4, 7), (32, 7)]);
    let lower = || tar().add(with_xattr(Entry::dir("d"), DEFAULT, &default)).file("d/f", "x").dir("d/e").file("d/i/g", "y");
    let upper = || tar().file("d/h", "x").dir("d/j").symlink("d/s", "t").file("d/k/l", "y").hardlink("d/m", "d/h");
    let want = tree().dir("d").xattr(DEFAULT, &default).file("d/f", "x").dir("d/e").implicit("d/i").file("d/i/g", "y");
    for policy in both() {
        let more = want.clone().file("d/h", "x").dir("d/j").symlink("d/s", "t").implicit("d/k").file("d/k/l", "y").hardlink("d/m", "d/h");
        gives(&policy, &[lower(), upper()], more);
        gives(&policy, &[lower()], want.clone());
    }
    gives(&container(), &[lower(), tar().fifo("d/p")], want.fifo("d/p"));
}

/// What directories that stand in the root, and it, hand down to what is made in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandsDown {
    Acl,
    Group,
    Both,
}

#[test]
fn in_place_nothing_is_inherited_from_default_acls_and_setgid_bits() {
    for hands_down in [HandsDown::Acl, HandsDown::Group, HandsDown::Both] {
        nothing_is_inherited(hands_down);
    }
}

fn nothing_is_inherited(hands_down: HandsDown) {
    let default = acl(&[(1, 7), (4, 7), (32, 7)]);
    let (with_acl, with_group) = (hands_down != HandsDown::Group, hands_down != HandsDown::Acl);
    let mode = if with_group { 0o2755 } else { 0o755 };
    let prepare = |root: &Path| {
        fs::create_dir(root.join("d")).unwrap();
        for path in [root.join("d"), root.to_path_buf()] {
            if is_root() {
                std::os::unix::fs::chown(&path, None, Some(4242)).unwrap();
            }
            if with_acl {
                rustix::fs::setxattr(&path, DEFAULT, &default, XattrFlags::empty()).unwrap();
            }
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    };
    let gid = if is_root() { 4242 } else { me().1 };
    let kept = |want: Want| {
        let want = want.mode(mode).owner(me().0, gid);
        if with_acl { want.xattr(DEFAULT, &default) } else { want }
    };
    for policy in both() {
        let layers =
            [tar().file("f", "x").file("d/f", "x").dir("e").file("i/f", "y"), tar().dir("d/e").symlink("d/s", "t").file("e/g", "z")];
        let want = kept(kept(tree()).implicit("d")).file("f", "x").file("d/f", "x").dir("e").implicit("i").file("i/f", "y");
        gives_in_place(&policy, prepare, &layers, want.dir("d/e").symlink("d/s", "t").file("e/g", "z"));
    }
    let want = kept(kept(tree()).implicit("d")).fifo("d/p");
    gives_in_place(&container(), prepare, &[tar().fifo("d/p")], want);
}

#[test]
fn an_xattr_value_that_no_filesystem_takes_is_an_error_in_every_policy() {
    for policy in both() {
        let layer = tar().add(with_xattr(Entry::file("f", "x"), "user.k", vec![b'v'; 70_000]));
        let error = refuses(&policy, &[layer], ErrorKind::Io, (0, "f"));
        // E2BIG, ENOSPC or ERANGE.
        assert!(matches!(error.errno(), Some(7 | 28 | 34)), "{error}");
        assert!(error.detail().contains("user.k"), "{error}");
    }
}

#[test]
fn an_xattr_that_the_filesystem_does_not_hold_is_an_event_or_an_error_by_policy() {
    if !needs_root("a mount") {
        return;
    }
    let world = World::new();
    let at = world.parent().join("ramfs");
    fs::create_dir(&at).unwrap();
    let Some(_mounted) = Mounted::new("ramfs", &at) else {
        eprintln!("skipped: this root may not mount");
        return;
    };
    let user = tar().add(with_xattr(Entry::file("f", "x"), "user.k", "v"));
    let acl = tar().add(with_xattr(Entry::dir("d"), DEFAULT, acl(&[(1, 7), (4, 7), (32, 7)])));
    let cases = [
        (Policy::strict(), &user, Err(ErrorKind::XattrUnsupported)),
        (Policy::container(), &user, Ok(1)),
        (Policy::rootless(), &user, Ok(1)),
        (Policy::strict(), &acl, Err(ErrorKind::XattrUnsupported)),
        (Policy::container(), &acl, Err(ErrorKind::XattrUnsupported)),
    ];
    for (policy, layer, expected) in cases {
        for way in ways() {
            let mut unpacker = Unpacker::rootfs(open_root(&at), "tree", way.policy(&policy)).unwrap().threads(way.threads());
            let result = unpacker.apply(&Expect::dangerous_unverified(), layer.source().open());
            let found = result.and_then(|report| unpacker.commit().map(|_| report.events.count(Reason::XattrUnsupported)));
            assert_eq!(found.map_err(|error| error.kind()), expected);
            fs::remove_dir_all(at.join("tree")).unwrap_or_default();
            assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
        }
    }
}
