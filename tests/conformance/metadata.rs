//! §10 Ownership, modes, times, xattrs.

use std::fs;
use std::path::Path;

use safe_layers::{ErrorKind, Expect, IdMap, IdRange, Ownership, Policy, Reason, Times, Timestamp, Unpacker};

use crate::check::*;
use crate::common::builder::Field;
use crate::xattrs::{CAPABILITY, capability, with_xattr};

/// An entry of the caller's: what its owner decides stays as it is, whoever runs this.
fn own(entry: Entry) -> Entry {
    let (uid, gid) = me();
    entry.uid(uid.into()).gid(gid.into())
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
fn a_setgid_directory_of_the_image_hands_nothing_down() {
    let lower =
        |gid: i128| tar().add(own(Entry::dir("d").mode(0o2775)).gid(gid)).add(own(Entry::dir("d/e"))).add(own(Entry::file("d/f", "x")));
    let upper = || tar().add(own(Entry::dir("d/g"))).add(own(Entry::file("d/i", "y"))).symlink("d/s", "t").file("d/j/k", "z");
    let want = |gid: u32| tree().dir("d").mode(0o2775).owner(me().0, gid).dir("d/e").file("d/f", "x").dir("d/g").file("d/i", "y");
    let more = |want: Want| want.symlink("d/s", "t").implicit("d/j").file("d/j/k", "z");
    gives(&container(), &[lower(me().1.into()), upper()], more(want(me().1)));
    if needs_root("another owner") {
        gives(&container(), &[lower(9), upper()], more(want(9)));
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
fn the_time_of_access_is_that_of_the_content() {
    use std::os::unix::fs::MetadataExt as _;
    let layer = tar().file("f", "x").add(Entry::file("e", "").pax("mtime", "5.25")).symlink("s", "f").fifo("p");
    for way in ways() {
        let world = way.world();
        run(&world, &container(), std::slice::from_ref(&layer), way).unwrap();
        for (name, time) in [("f", (TIME, 0)), ("e", (5, 250_000_000)), ("s", (TIME, 0)), ("p", (TIME, 0))] {
            let found = world.dest_path().join(name).symlink_metadata().unwrap();
            assert_eq!([(found.atime(), found.atime_nsec()), (found.mtime(), found.mtime_nsec())], [time; 2], "{way:?} {name}");
        }
    }
}

#[test]
fn a_time_beyond_what_the_filesystem_holds_is_clamped_with_an_event() {
    for policy in both() {
        for (entry, path) in [(Entry::file("f", "x"), "f"), (Entry::symlink("f", "x"), "f")] {
            let layer = tar().add(entry.number(Field::Mtime, 1 << 45));
            for way in ways() {
                let world = way.world();
                let reports = run(&world, &policy, std::slice::from_ref(&layer), way).unwrap();
                let held = world.tree().unwrap().get(path).unwrap().mtime;
                // Filesystems differ; what none may do is to hold another time and say nothing.
                assert_eq!(reports[0].events.count(Reason::TimeClamped), u64::from(held != (1 << 45, 0)), "{way:?}: {held:?}");
            }
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
fn preserve_without_the_privilege_is_an_error_that_names_id_and_path() {
    in_a_child(
        "metadata::child_without_privilege",
        &[("SAFE_LAYERS_TEST_ORDINARY", "1")],
        if is_root() { User::Nobody } else { User::Same },
    );
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
    done();
}
