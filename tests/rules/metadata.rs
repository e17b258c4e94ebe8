//! §10 Ownership, modes, times, xattrs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, XattrFlags};
use safe_layers::{ErrorKind, Expect, IdMap, IdRange, Ownership, Policy, Reason, Times, Timestamp, Unpacker};

use crate::check::*;
use crate::common::builder::Field;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPABILITY: &str = "security.capability";

/// `cap_net_raw+ep`, revision 2.
fn capability() -> Vec<u8> {
    let words = [0x0200_0001_u32, 1 << 13, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An entry of the caller's: what its owner decides stays as it is, whoever runs this.
fn own(entry: Entry) -> Entry {
    let (uid, gid) = me();
    entry.uid(uid.into()).gid(gid.into())
}

fn with_xattr(entry: Entry, name: &str, value: impl AsRef<[u8]>) -> Entry {
    entry.pax(format!("SCHILY.xattr.{name}"), value)
}

#[test]
fn a_mode_is_exactly_the_headers() {
    for policy in both() {
        for mode in [0, 0o1, 0o20, 0o400, 0o644, 0o666, 0o777] {
            let layer =
                tar().add(own(Entry::file("f", "x").mode(mode))).add(own(Entry::dir("d").mode(mode))).add(own(Entry::file("d/g", "y")));
            let bits = u32::try_from(mode).unwrap();
            gives(&policy, &[layer], tree().file("f", "x").mode(bits).dir("d").mode(bits).file("d/g", "y")).events(&[]);
        }
    }
}

#[test]
fn special_bits_are_kept_and_strict_strips_them_with_an_event() {
    for mode in [0o1777, 0o2755, 0o4755, 0o7777] {
        let layer = || tar().add(own(Entry::file("f", "x").mode(mode))).add(own(Entry::dir("d").mode(mode)));
        let bits = u32::try_from(mode).unwrap();
        gives(&container(), &[layer()], tree().file("f", "x").mode(bits).dir("d").mode(bits)).events(&[]);
        let plain = bits & 0o777;
        gives(&strict(), &[layer()], tree().file("f", "x").mode(plain).dir("d").mode(plain)).events(&[(Reason::SpecialBitsStripped, 2)]);
    }
}

#[test]
fn setuid_and_setgid_are_stripped_where_the_owner_was_squashed() {
    let (uid, gid) = me();
    let layer = tar().add(Entry::file("f", "x").mode(0o7755).uid(i128::from(uid) + 1).gid(gid.into()));
    gives(&mine(container()), &[layer], tree().file("f", "x").mode(0o1755)).events(&[(Reason::SpecialBitsStripped, 1)]);
    let layer = tar().add(own(Entry::file("f", "x").mode(0o7755)));
    gives(&mine(container()), &[layer], tree().file("f", "x").mode(0o7755)).events(&[]);
}

#[test]
fn setuid_and_setgid_survive_the_owner_and_the_data() {
    if needs_root("another owner") {
        let layer = tar().add(Entry::file("f", "x".repeat(300_000)).mode(0o6755).uid(7).gid(8)).add(Entry::dir("d").mode(0o2755).gid(9));
        let want = tree().file("f", "x".repeat(300_000)).mode(0o6755).owner(7, 8).dir("d").mode(0o2755).owner(0, 9);
        gives(&container(), &[layer], want).events(&[]);
    }
}

#[test]
fn type_bits_of_a_mode_are_ignored_with_an_event_and_refused_by_strict() {
    let layer = |mode| tar().add(own(Entry::file("f", "x").mode(mode)));
    gives(&container(), &[layer(0o100_640)], tree().file("f", "x").mode(0o640)).events(&[(Reason::ModeTypeBits, 1)]);
    refuses(&strict(), &[layer(0o100_640)], ErrorKind::BadMode, (0, "f"));
    for policy in both() {
        refuses(&policy, &[layer(0o1_000_640)], ErrorKind::BadMode, (0, "f"));
    }
}

#[test]
fn owners_are_preserved_with_privilege() {
    if needs_root("another owner") {
        let entry = |entry: Entry| entry.uid(70_000).gid(4_294_967_294);
        let layer = tar().add(entry(Entry::file("f", "x"))).add(entry(Entry::dir("d"))).add(entry(Entry::symlink("s", "f")));
        let want = tree().file("f", "x").owner(70_000, 4_294_967_294).dir("d").owner(70_000, 4_294_967_294);
        gives(&container(), std::slice::from_ref(&layer), want.symlink("s", "f").owner(70_000, 4_294_967_294)).events(&[]);
        // The caller's, by the other policies.
        for policy in [strict(), Policy::rootless()] {
            gives(&policy, std::slice::from_ref(&layer), tree().file("f", "x").dir("d").symlink("s", "f"));
        }
        let squash = with(container(), |policy| policy.ownership = Ownership::Squash { uid: 3, gid: 4 });
        gives(&squash, &[layer], tree().owner(3, 4).file("f", "x").owner(3, 4).dir("d").owner(3, 4).symlink("s", "f").owner(3, 4));
    }
}

#[test]
fn owners_are_mapped_by_ranges_and_one_outside_them_is_an_error_that_names_it() {
    let (uid, gid) = me();
    let range = |host| vec![IdRange { container: 0, host, count: 1 }];
    let policy =
        with(container(), |policy| policy.ownership = Ownership::Map(IdMap { uids: range(uid), gids: range(gid), ..IdMap::default() }));
    gives(&policy, &[tar().file("f", "x")], tree().file("f", "x")).events(&[]);
    for (entry, name) in [(Entry::file("f", "x").uid(1), "uid 1"), (Entry::file("f", "x").gid(1), "gid 1")] {
        let error = refuses(&policy, &[tar().add(entry)], ErrorKind::UnmappedId, (0, "f"));
        assert_eq!(error.detail(), name);
    }
}

#[test]
fn an_id_that_is_no_id_is_an_error_in_every_policy() {
    for policy in both() {
        for id in [-1, 4_294_967_295, 1 << 32, 1 << 40] {
            for entry in [Entry::file("f", "x").uid(id), Entry::file("f", "x").gid(id)] {
                let error = apply(&policy, &[tar().add(entry)]).unwrap_err();
                assert_eq!((error.kind(), error.location().entry), (ErrorKind::NumberOutOfRange, Some(0)), "{id}: {error}");
            }
        }
        for id in ["4294967295", "4294967296"] {
            let error = apply(&policy, &[tar().add(Entry::file("f", "x").pax("uid", id))]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NumberOutOfRange);
        }
    }
}

#[test]
fn names_of_owners_are_ignored() {
    for policy in both() {
        let entry = own(Entry::file("f", "x")).owner_names("nobody", "nogroup").pax("uname", "daemon").pax("gname", "daemon");
        gives(&policy, &[tar().add(entry)], tree().file("f", "x")).events(&[]);
    }
}

#[test]
fn times_keep_their_nanoseconds_and_their_sign() {
    let times = [
        ("1700000000.123456789", 1_700_000_000, 123_456_789),
        ("1700000000.1234567899", 1_700_000_000, 123_456_789),
        ("5.", 5, 0),
        ("0", 0, 0),
        ("-1", -1, 0),
        ("-1.5", -2, 500_000_000),
    ];
    for policy in both() {
        for (text, seconds, nanos) in times {
            let entries = [Entry::file("f", "x"), Entry::dir("d"), Entry::symlink("s", "f")];
            let layer = entries.into_iter().fold(tar(), |tar, entry| tar.add(entry.pax("mtime", text)));
            let want = tree().file("f", "x").mtime(seconds, nanos).dir("d").mtime(seconds, nanos).symlink("s", "f").mtime(seconds, nanos);
            gives(&policy, &[layer], want).events(&[]);
        }
        let layer = tar().add(Entry::file("f", "x").mtime(-77));
        gives(&policy, &[layer], tree().file("f", "x").mtime(-77, 0));
        for bad in ["", "1e9", " 1", "+1", "0x1", "1.-5", "1,5"] {
            if bad.is_empty() && policy != strict() {
                continue;
            }
            let error = apply(&policy, &[tar().add(Entry::file("f", "x").pax("mtime", bad))]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PaxMalformed, "{bad:?}");
        }
    }
}

#[test]
fn a_time_beyond_what_the_filesystem_holds_is_clamped_with_an_event() {
    for policy in both() {
        for (entry, path) in [(Entry::file("f", "x"), "f"), (Entry::symlink("f", "x"), "f")] {
            let applied = apply(&policy, &[tar().add(entry.number(Field::Mtime, 1 << 45))]).unwrap();
            let held = applied.tree.get(path).unwrap().mtime;
            // Filesystems differ; what none may do is to hold another time and say nothing.
            assert_eq!(applied.reports[0].events.count(Reason::TimeClamped), u64::from(held != (1 << 45, 0)), "{held:?}");
        }
    }
}

#[test]
fn times_are_fixed_or_clamped_where_the_policy_says_so() {
    let time = |seconds| Timestamp::new(seconds, 5).unwrap();
    let layer = || tar().add(Entry::file("old", "x").mtime(10)).add(Entry::dir("d").mtime(30)).file("d/f/new", "x").hardlink("h", "old");
    let seen = |policy: &Policy, at: [(i64, u32); 3], events: &[(Reason, u64)]| {
        let [old, new, implicit] = at;
        let want = tree().file("old", "x").mtime(old.0, old.1).dir("d").mtime(new.0, new.1);
        let want = want.implicit("d/f").mtime(implicit.0, implicit.1).file("d/f/new", "x").mtime(new.0, new.1).hardlink("h", "old");
        gives(policy, &[layer()], want).events(events);
    };
    let fixed = with(container(), |policy| policy.times = Times::Fixed(time(20)));
    // The root, which has no entry, gets it too.
    let applied = apply(&fixed, &[layer()]).unwrap();
    assert_eq!(applied.tree.get("d/f").unwrap().mtime, (20, 5));
    assert_eq!(applied.tree.get("old").unwrap().mtime, (20, 5));
    let clamp = with(container(), |policy| policy.times = Times::Clamp(time(25)));
    let events = [(Reason::TimeReplaced, 2), (Reason::HardlinkMetadataIgnored, 1)];
    seen(&clamp, [(10, 0), (25, 5), (0, 0)], &events);
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

#[test]
fn in_place_nothing_is_inherited_from_default_acls_and_setgid_bits() {
    let default = acl(&[(1, 7), (4, 7), (32, 7)]);
    let prepare = |root: &Path| {
        fs::create_dir(root.join("d")).unwrap();
        for path in [root.join("d"), root.to_path_buf()] {
            if is_root() {
                std::os::unix::fs::chown(&path, None, Some(4242)).unwrap();
            }
            rustix::fs::setxattr(&path, DEFAULT, &default, XattrFlags::empty()).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o2755)).unwrap();
            fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    };
    let gid = if is_root() { 4242 } else { me().1 };
    let kept = |want: Want| want.mode(0o2755).owner(me().0, gid).xattr(DEFAULT, &default);
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
fn directories_get_mode_and_time_when_the_tree_is_complete() {
    for policy in both() {
        let first = tar().add(Entry::dir("d").mode(0o500).mtime(3)).add(Entry::dir("d/e").mode(0).mtime(4)).file("d/e/f", "x");
        let later = tar().file("d/e/g", "y").file("d/h", "z");
        let want =
            tree().node("d", Kind::Dir, 0o500, 3).node("d/e", Kind::Dir, 0, 4).file("d/e/f", "x").file("d/e/g", "y").file("d/h", "z");
        gives(&policy, &[first.clone(), later.clone()], want.clone());
        let prepare = |root: &Path| fs::File::open(root).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        gives_in_place(&policy, prepare, &[first, later], want);
    }
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
        for way in WAYS {
            let mut unpacker = Unpacker::rootfs(open_root(&at), "tree", way.policy(&policy)).unwrap().threads(way.threads());
            let result = unpacker.apply(&Expect::dangerous_unverified(), layer.source().open());
            let found = result.and_then(|report| unpacker.commit().map(|_| report.events.count(Reason::XattrUnsupported)));
            assert_eq!(found.map_err(|error| error.kind()), expected);
            fs::remove_dir_all(at.join("tree")).unwrap_or_default();
            assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
        }
    }
}

/// What a process of its own does below this directory, when this test program is started again by [`in_a_child`].
const CHILD_DIR: &str = "SAFE_LAYERS_TEST_CHILD_DIR";

/// Runs one test of this program in a process of its own, as nobody where asked.
#[track_caller]
fn in_a_child(test: &str, variables: &[(&str, &str)], nobody: bool) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    let mut command = Command::new(&program);
    command.args(["--exact", test, "--nocapture"]).env(CHILD_DIR, &work).envs(variables.iter().copied()).current_dir("/");
    if nobody {
        std::os::unix::fs::chown(&work, Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed") && said.contains("the child is done"), "{said}");
}

fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["0", "0077", "0777"] {
        in_a_child("metadata::child_with_a_umask", &[("SAFE_LAYERS_TEST_UMASK", umask)], false);
    }
}

#[test]
fn child_with_a_umask() {
    let (Some(dir), Ok(umask)) = (child_dir(), std::env::var("SAFE_LAYERS_TEST_UMASK")) else { return };
    rustix::process::umask(Mode::from_raw_mode(u32::from_str_radix(&umask, 8).unwrap()));
    for (number, policy) in both().into_iter().enumerate() {
        for way in WAYS {
            let name = format!("tree-{number}-{}-{:?}", way.threads, way.resolver);
            let mut unpacker = Unpacker::rootfs(open_root(&dir), &name, way.policy(&policy)).unwrap().threads(way.threads());
            let layer = tar().add(own(Entry::dir("d").mode(0o777))).add(own(Entry::file("d/f", "x").mode(0o666))).file("i/j/g", "y");
            unpacker.apply(&Expect::dangerous_unverified(), layer.source().open()).unwrap();
            let layer = if number == 1 { tar().add(own(Entry::fifo("p").mode(0o666))) } else { tar() };
            unpacker.apply(&Expect::dangerous_unverified(), layer.source().open()).unwrap();
            unpacker.commit().unwrap();
            let want = tree().dir("d").mode(0o777).file("d/f", "x").mode(0o666).implicit("i").implicit("i/j").file("i/j/g", "y");
            let want = if number == 1 { want.fifo("p").mode(0o666) } else { want };
            assert_same(&want.tree(), &Tree::take(&dir.join(&name), |_| false), &format!("umask {umask}"));
        }
    }
    eprintln!("the child is done");
}

#[test]
fn preserve_without_the_privilege_is_an_error_that_names_id_and_path() {
    in_a_child("metadata::child_without_privilege", &[("SAFE_LAYERS_TEST_ORDINARY", "1")], is_root());
}

#[test]
fn child_without_privilege() {
    let (Some(dir), Ok(_)) = (child_dir(), std::env::var("SAFE_LAYERS_TEST_ORDINARY")) else { return };
    assert!(!is_root());
    let apply = |policy: &Policy, layer: Tar| {
        let mut unpacker = Unpacker::rootfs(open_root(&dir), "tree", policy.clone()).unwrap();
        let result = unpacker.apply(&Expect::dangerous_unverified(), layer.source().open());
        result.and_then(|_| unpacker.commit()).map(|_| fs::remove_dir_all(dir.join("tree")).unwrap())
    };
    let error = apply(&Policy::container(), tar().add(Entry::file("d/f", "x").uid(7).gid(8))).unwrap_err();
    // An implicit parent belongs to the container's root, which is refused first.
    assert_eq!((error.kind(), error.errno(), error.location().path.as_deref()), (ErrorKind::Io, Some(1), Some(&b"d/f"[..])));
    assert!(error.detail().contains("0:0"), "{error}");
    let error = apply(&Policy::container(), tar().add(Entry::file("f", "x").uid(7).gid(8))).unwrap_err();
    assert_eq!((error.kind(), error.errno(), error.location().path.as_deref()), (ErrorKind::Io, Some(1), Some(&b"f"[..])));
    assert!(error.detail().contains("7:8"), "{error}");
    // setgid of a group that is not the caller's never stays silently away; without privilege all is the caller's.
    apply(&Policy::rootless(), tar().add(Entry::file("f", "x").uid(7).gid(8).mode(0o6755))).unwrap();
    apply(&Policy::strict(), tar().add(Entry::file("f", "x").uid(7).gid(8))).unwrap();
    let capable = tar().add(with_xattr(Entry::file("f", "x"), CAPABILITY, capability()));
    assert_eq!(apply(&Policy::strict(), capable.clone()).unwrap_err().kind(), ErrorKind::XattrUnsupported);
    apply(&Policy::rootless(), capable).unwrap();
    // Directories without permission for their owner are written to, passed through and removed.
    let closed = tar().add(Entry::dir("d").mode(0)).add(Entry::dir("d/e").mode(0)).file("d/e/f", "x").file("d/e/.wh.f", "");
    let mut unpacker = Unpacker::rootfs(open_root(&dir), "tree", Policy::rootless()).unwrap();
    for layer in [closed, tar().file("d/e/g", "y"), tar().file(".wh.d", "")] {
        unpacker.apply(&Expect::dangerous_unverified(), layer.source().open()).unwrap();
    }
    unpacker.commit().unwrap();
    assert_same(&tree().tree(), &Tree::take(&dir.join("tree"), |_| false), "closed directories");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    eprintln!("the child is done");
}
