//! §10 Owners, and the ids in capabilities and ACLs.

use std::fs;
use std::path::Path;

use rustix::fs::XattrFlags;
use safe_layers::{ErrorKind, Expect, IdMap, IdRange, Ownership, Policy, Reason, Unmapped, Unpacker};

use crate::check::*;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPABILITY: &str = "security.capability";
const RECORD: &str = "user.containers.override_stat";
const NONE: u32 = u32::MAX;

/// `cap_net_bind_service,cap_net_raw+ep`, revision 2, or 3 with the id of a root.
fn capability(root: Option<u32>) -> Vec<u8> {
    let revision = if root.is_some() { 0x0300_0001 } else { 0x0200_0001_u32 };
    // A line feed in the value: 1 << 10 and 1 << 13 make 0x24, inheritable 0x0a.
    let words = [revision, 1 << 10 | 1 << 13, 0x0a, 0, 0];
    words.into_iter().chain(root).flat_map(u32::to_le_bytes).collect()
}

fn with_xattr(entry: Entry, name: &str, value: impl AsRef<[u8]>) -> Entry {
    entry.pax(format!("SCHILY.xattr.{name}"), value)
}

fn owned_by(policy: Policy, ownership: Ownership) -> Policy {
    with(policy, |policy| policy.ownership = ownership)
}

fn range(container: u32, host: u32, count: u32) -> IdRange {
    IdRange { container, host, count }
}

/// 0:0 is the caller; the ids from 1 on are mapped as given.
fn map(more: &[IdRange], unmapped: Unmapped) -> Policy {
    let (uid, gid) = me();
    let ranges = |own| std::iter::once(range(0, own, 1)).chain(more.iter().copied()).collect();
    owned_by(container(), Ownership::Map(IdMap { uids: ranges(uid), gids: ranges(gid), unmapped }))
}

fn recording() -> Policy {
    owned_by(container(), Ownership::RecordXattr)
}

impl Want {
    fn record(self, value: &str) -> Self {
        self.xattr(RECORD, value)
    }
}

/// An entry of each kind that container policies make, of another owner, with special bits.
fn foreign() -> Tar {
    let (uid, gid) = me();
    let own = |entry: Entry| entry.uid(i128::from(uid) + 7).gid(i128::from(gid) + 8);
    tar()
        .add(own(Entry::file("f", "x").mode(0o6755)))
        .add(own(Entry::dir("d").mode(0o3770)))
        .add(own(Entry::symlink("s", "f")))
        .add(own(Entry::fifo("p").mode(0o4600)))
        .add(own(Entry::hardlink("h", "f").mode(0o6755)))
}

/// The ids that [`foreign`] gives, as a record starts.
fn foreign_ids() -> String {
    let (uid, gid) = me();
    format!("{}:{}", u64::from(uid) + 7, u64::from(gid) + 8)
}

fn stripped() -> Want {
    tree().file("f", "x").mode(0o755).dir("d").mode(0o1770).symlink("s", "f").fifo("p").mode(0o600).hardlink("h", "f")
}

fn recorded() -> Want {
    let ids = foreign_ids();
    let want = tree().record("0:0:0755:dir");
    let want = want.file("f", "x").mode(0o755).record(&format!("{ids}:6755:file"));
    want.dir("d").mode(0o1770).record(&format!("{ids}:3770:dir")).symlink("s", "f").fifo("p").mode(0o600).hardlink("h", "f")
}

#[test]
fn an_owner_without_a_mapping_is_an_error_that_names_id_and_path() {
    let (uid, gid) = me();
    let policy = map(&[], Unmapped::default());
    let want = tree().file("f", "x").dir("d").symlink("s", "f");
    gives(&policy, &[tar().file("f", "x").dir("d").symlink("s", "f")], want).events(&[]);
    for entry in [Entry::file("f", "x"), Entry::dir("f"), Entry::symlink("f", "x"), Entry::fifo("f")] {
        for (entry, name) in [(entry.clone().uid(1), "uid 1"), (entry.gid(1), "gid 1")] {
            assert_eq!(refuses(&policy, &[tar().add(entry)], ErrorKind::UnmappedId, (0, "f")).detail(), name);
        }
    }
    // Without container root not even the root directory has an owner.
    let rootless = IdMap { uids: vec![range(5, uid, 1)], gids: vec![range(5, gid, 1)], ..IdMap::default() };
    let policy = owned_by(container(), Ownership::Map(rootless));
    let layer = || tar().add(Entry::file("d/f", "x").uid(5).gid(5));
    assert_eq!(refuses(&policy, &[layer()], ErrorKind::UnmappedId, (0, "d/f")).detail(), "uid 0");
    gives(&policy, &[tar().add(Entry::dir("").uid(5).gid(5)).add(Entry::file("f", "x").uid(5).gid(5))], tree().dir("").file("f", "x"));
}

#[test]
fn an_owner_without_a_mapping_is_squashed_with_an_event_and_loses_setuid_and_setgid() {
    let (uid, gid) = me();
    let policy = map(&[], Unmapped::Squash { uid, gid });
    let events = [(Reason::OwnerSquashed, 4), (Reason::SpecialBitsStripped, 3)];
    let applied = gives(&policy, &[foreign()], stripped()).events(&events);
    let detail = format!("{} to {uid}:{gid}", foreign_ids());
    assert!(applied.reports[0].events.first().iter().any(|event| event.detail == detail), "{:?}", applied.reports[0].events);
    // One of the two ids is enough, and both are squashed.
    let layer = tar().add(Entry::file("f", "x").uid(9).mode(0o4755)).add(Entry::file("g", "x").gid(9).mode(0o2755));
    let want = tree().file("f", "x").mode(0o755).file("g", "x").mode(0o755);
    gives(&policy, &[layer], want).events(&[(Reason::OwnerSquashed, 2), (Reason::SpecialBitsStripped, 2)]);
    // One with a mapping keeps them.
    gives(&policy, &[tar().add(Entry::file("f", "x").mode(0o6755))], tree().file("f", "x").mode(0o6755)).events(&[]);
}

#[test]
fn an_owner_is_squashed_to_ids_of_the_host() {
    if needs_root("another owner") {
        let policy = map(&[range(1, 5001, 9)], Unmapped::Squash { uid: 3, gid: 4 });
        let layer = tar().add(Entry::file("f", "x").uid(10)).add(Entry::dir("d").uid(9).gid(9)).add(Entry::symlink("s", "f").gid(10));
        let want = tree().file("f", "x").owner(3, 4).dir("d").owner(5009, 5009).symlink("s", "f").owner(3, 4);
        gives(&policy, &[layer], want).events(&[(Reason::OwnerSquashed, 2)]);
        // Directories without an entry have no owner in the archive: no event.
        let nobody = IdMap { unmapped: Unmapped::Squash { uid: 3, gid: 4 }, ..IdMap::default() };
        let policy = owned_by(container(), Ownership::Map(nobody));
        let want = tree().owner(3, 4).implicit("d").owner(3, 4).file("d/f", "x").owner(3, 4);
        gives(&policy, &[tar().file("d/f", "x")], want).events(&[(Reason::OwnerSquashed, 1)]);
    }
}

#[test]
fn an_owner_without_a_mapping_is_recorded_and_one_with_a_mapping_is_not() {
    let policy = map(&[], Unmapped::Record);
    let ids = foreign_ids();
    let want = tree().file("f", "x").mode(0o755).record(&format!("{ids}:6755:file"));
    let want = want.dir("d").mode(0o1770).record(&format!("{ids}:3770:dir")).symlink("s", "f").fifo("p").mode(0o600).hardlink("h", "f");
    let want = want.file("mine", "x").mode(0o4755).implicit("i").file("i/f", "x");
    let layer = foreign().add(Entry::file("mine", "x").mode(0o4755)).file("i/f", "x");
    gives(&policy, &[layer], want).events(&[(Reason::OwnerSquashed, 2), (Reason::SpecialBitsStripped, 3)]);
    // A record that no longer holds goes with the attributes of the directory.
    let layers = [tar().add(Entry::dir("d").uid(9)), tar().dir("d")];
    gives(&policy, &layers, tree().dir("d")).events(&[]);
}

#[test]
fn owners_are_recorded_on_files_and_directories_and_others_are_the_callers_with_an_event() {
    gives(&recording(), &[foreign()], recorded()).events(&[(Reason::OwnerSquashed, 2), (Reason::SpecialBitsStripped, 3)]);
    // The root's entry, a mode that is all zeros, the greatest ids.
    let layer =
        tar().add(Entry::dir("").mode(0o700).uid(1).gid(2)).add(Entry::file("f", "x").mode(0).uid(4_294_967_294).gid(4_294_967_294));
    let want = tree().dir("").mode(0o700).record("1:2:0700:dir").file("f", "x").mode(0).record("4294967294:4294967294:0000:file");
    gives(&recording(), &[layer], want).events(&[]);
}

#[test]
fn bits_that_the_policy_strips_are_not_recorded() {
    let policy = owned_by(strict(), Ownership::RecordXattr);
    let layer = tar().add(Entry::file("f", "x").mode(0o6755)).add(Entry::dir("d").mode(0o1777));
    let want = tree().record("0:0:0755:dir").file("f", "x").mode(0o755).record("0:0:0755:file").dir("d").mode(0o777).record("0:0:0777:dir");
    gives(&policy, &[layer], want).events(&[(Reason::SpecialBitsStripped, 2)]);
}

#[test]
fn directories_without_an_entry_are_recorded_as_the_containers_roots() {
    let root = "0:0:0755:dir";
    let want = tree().record(root).implicit("a").record(root).implicit("a/b").record(root).file("a/b/f", "x").record("0:0:0644:file");
    gives(&recording(), &[tar().file("a/b/f", "x")], want.clone()).events(&[]);
    // An entry later replaces the record, and a directory that is passed through keeps its own.
    let layers = [tar().file("a/b/f", "x"), tar().add(Entry::dir("a").uid(5).mode(0o750)), tar().file("a/g", "y")];
    let want = want.dir("a").mode(0o750).record("5:0:0750:dir").file("a/g", "y").record("0:0:0644:file");
    gives(&recording(), &layers, want);
}

#[test]
fn a_directory_whose_lower_twin_is_hidden_is_recorded_as_the_containers_roots() {
    let lower = || tar().add(with_xattr(Entry::dir("d").uid(5).mode(0o700), "user.k", "v")).file("d/x", "old");
    let root = "0:0:0755:dir";
    let want = tree().record(root).implicit("d").record(root).file("d/y", "new").record("0:0:0644:file");
    gives(&recording(), &[lower(), tar().file(".wh.d", "").file("d/y", "new")], want.clone());
    gives(&recording(), &[lower(), tar().file("d/y", "new").file(".wh.d", "")], want.clone());
    // With an entry it is the entry's, in either order.
    let entry = || Entry::dir("d").uid(6).mode(0o711);
    let want = want.dir("d").mode(0o711).record("6:0:0711:dir");
    gives(&recording(), &[lower(), tar().file(".wh.d", "").add(entry()).file("d/y", "new")], want.clone());
    gives(&recording(), &[lower(), tar().add(entry()).file("d/y", "new").file(".wh.d", "")], want);
}

#[test]
fn a_forged_record_is_dropped_with_an_event_and_refused_by_strict_while_records_are_written() {
    for name in [RECORD, "user.containers.override_security.capability", "user.fuseoverlayfs.override_stat"] {
        let layer = || tar().add(with_xattr(Entry::file("f", "x").uid(7), name, "0:0:4755:file"));
        let want = tree().record("0:0:0755:dir").file("f", "x").record("7:0:0644:file");
        gives(&recording(), &[layer()], want).events(&[(Reason::XattrDropped, 1)]);
        refuses(&owned_by(strict(), Ownership::RecordXattr), &[layer()], ErrorKind::ForbiddenXattr, (0, "f"));
        gives(&mine(container()), &[layer()], tree().file("f", "x")).events(&[(Reason::XattrDropped, 1)]);
    }
    // As near as an ordinary attribute may come.
    let near = with_xattr(Entry::file("f", "x"), "user.containers.other", "v");
    gives(&mine(container()), &[tar().add(near)], tree().file("f", "x").xattr("user.containers.other", "v")).events(&[]);
}

#[test]
fn a_record_that_the_filesystem_does_not_hold_is_an_error_in_every_policy() {
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
    for policy in [Policy::strict(), Policy::container(), Policy::rootless()] {
        // An entry, a parent without one, the root without one.
        for layer in [tar().dir("").file("f", "x"), tar().symlink("d/s", "x"), tar()] {
            let policy = owned_by(policy.clone(), Ownership::RecordXattr);
            let mut unpacker = Unpacker::rootfs(open_root(&at), "tree", policy).unwrap();
            let applied = unpacker.apply(&Expect::dangerous_unverified(), layer.source().open());
            let result = applied.and_then(|_| unpacker.commit());
            assert_eq!(result.map(drop).map_err(|error| error.kind()), Err(ErrorKind::XattrUnsupported));
            assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_directory_that_is_replaced_keeps_the_attributes_that_are_no_layers_to_set() {
    let foreign = [("user.overlay.opaque", "y"), ("user.rootlesscontainers", "r")];
    let prepare = |root: &Path| {
        for name in ["d", "hidden"] {
            fs::create_dir(root.join(name)).unwrap();
            for (xattr, value) in foreign.into_iter().chain([("user.k", "v"), (RECORD, "1:2:0700:dir")]) {
                rustix::fs::setxattr(root.join(name), xattr, value.as_bytes(), XattrFlags::empty()).unwrap();
            }
        }
        fs::File::open(root).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        std::os::unix::fs::chown(root, Some(me().0), Some(me().1)).unwrap();
    };
    let layer = || {
        tar()
            .add(with_xattr(Entry::dir("d").uid(me().0.into()).gid(me().1.into()), "user.n", "w"))
            .file("hidden/f", "x")
            .file(".wh.hidden", "")
    };
    let kept = |want: Want| foreign.iter().fold(want, |want, (name, value)| want.xattr(name, value));
    let want = |old: &dyn Fn(Want, &str) -> Want, file: &dyn Fn(Want) -> Want| {
        let want = old(kept(tree().dir("d")).xattr("user.n", "w"), "d");
        file(old(kept(want.implicit("hidden")), "hidden").file("hidden/f", "x"))
    };
    let stays = want(&|want, _| want.record("1:2:0700:dir"), &|want| want);
    gives_in_place(&mine(container()), prepare, &[layer()], stays);
    let (uid, gid) = me();
    let own = format!("{uid}:{gid}:0755:dir");
    let written = want(&|want, name| want.record(if name == "d" { &own } else { "0:0:0755:dir" }), &|want| want.record("0:0:0644:file"));
    gives_in_place(&recording(), prepare, &[layer()], written);
}

#[test]
fn a_capability_counts_where_the_containers_root_is_root() {
    if !needs_root("a capability") {
        return;
    }
    let layer = |root| tar().add(with_xattr(Entry::file("f", "x"), CAPABILITY, capability(root)));
    let owned = |map: IdMap| owned_by(container(), Ownership::Map(map));
    let ids = |ranges: &[IdRange]| owned(IdMap { uids: ranges.to_vec(), gids: ranges.to_vec(), ..IdMap::default() });
    let mapped = ids(&[range(0, 5000, 100)]);
    let identity = ids(&[range(0, 0, 100)]);
    let squash = owned_by(container(), Ownership::Squash { uid: 10, gid: 10 });
    let cases = [
        (&mapped, None, Some(5000), 5000),
        (&mapped, Some(7), Some(5007), 5000),
        (&mapped, Some(10), Some(5010), 5000),
        (&identity, None, None, 0),
        (&identity, Some(10), Some(10), 0),
        (&squash, None, Some(10), 10),
        (&squash, Some(7), Some(10), 10),
        (&Policy::rootless(), None, None, 0),
        (&Policy::rootless(), Some(7), None, 0),
        (&Policy::container(), None, None, 0),
        (&Policy::container(), Some(7), Some(7), 0),
    ];
    for (policy, before, after, owner) in cases {
        let want = tree().owner(owner, owner).file("f", "x").owner(owner, owner).xattr(CAPABILITY, capability(after));
        gives(policy, &[layer(before)], want).events(&[]);
    }
}

#[test]
fn a_capability_whose_root_has_no_id_on_disk_is_dropped_with_an_event() {
    let dropped = [(Reason::XattrDropped, 1)];
    let layer = |root| tar().add(with_xattr(Entry::file("f", "x"), CAPABILITY, capability(root)));
    gives(&map(&[], Unmapped::Error), &[layer(Some(1))], tree().file("f", "x")).events(&dropped);
    let want = tree().record("0:0:0755:dir").file("f", "x").record("0:0:0644:file");
    gives(&recording(), &[layer(None)], want).events(&dropped);
    let layer = tar().add(with_xattr(Entry::file("f", "x").uid(1), CAPABILITY, capability(None)));
    let recorded = [(Reason::XattrDropped, 1)];
    gives(&map(&[], Unmapped::Record), &[layer], tree().file("f", "x").record("1:0:0644:file")).events(&recorded);
}

#[test]
fn a_capability_that_the_kernel_refuses_is_an_event_or_an_error_by_policy() {
    if is_root() {
        eprintln!("skipped: the kernel takes a capability from root");
        return;
    }
    let layer = || tar().add(with_xattr(Entry::file("f", "x"), CAPABILITY, capability(None)));
    gives(&Policy::rootless(), &[layer()], tree().file("f", "x")).events(&[(Reason::XattrUnsupported, 1)]);
    for policy in [mine(strict()), mine(Policy::container())] {
        refuses(&policy, &[layer()], ErrorKind::XattrUnsupported, (0, "f"));
    }
}

/// `rwx`, two users, two groups, and a mask.
fn names(users: [u32; 2], groups: [u32; 2]) -> Vec<u8> {
    let ([u, v], [g, h]) = (users, groups);
    named_acl(&[(1, 7, NONE), (2, 6, u), (2, 4, v), (4, 5, NONE), (8, 7, g), (8, 5, h), (16, 7, NONE), (32, 5, NONE)])
}

#[test]
fn the_names_of_an_acl_are_mapped_and_sorted_as_the_kernel_wants_it() {
    let policy = map(&[range(1, 70_001, 5), range(10, 60_010, 5)], Unmapped::Error);
    let before = names([2, 10], [1, 11]);
    let swapped = |[u, v]: [u32; 2], [g, h]: [u32; 2]| {
        named_acl(&[(1, 7, NONE), (2, 4, u), (2, 6, v), (4, 5, NONE), (8, 5, g), (8, 7, h), (16, 7, NONE), (32, 5, NONE)])
    };
    let after = swapped([60_010, 70_002], [60_011, 70_001]);
    let layer = tar().add(with_xattr(Entry::file("f", "x").mode(0o775), ACCESS, &before)).add(with_xattr(
        with_xattr(Entry::dir("d").mode(0o775), ACCESS, &before),
        DEFAULT,
        &before,
    ));
    let want = tree().file("f", "x").mode(0o775).xattr(ACCESS, &after).dir("d").mode(0o775).xattr(ACCESS, &after).xattr(DEFAULT, &after);
    gives(&policy, &[layer], want).events(&[]);
    // Also where the owner himself has no mapping and is squashed.
    let (uid, gid) = me();
    let policy = map(&[range(1, 70_001, 5), range(10, 60_010, 5)], Unmapped::Squash { uid, gid });
    let layer = tar().add(with_xattr(Entry::file("f", "x").uid(99).mode(0o775), ACCESS, &before));
    gives(&policy, &[layer], tree().file("f", "x").mode(0o775).xattr(ACCESS, &after)).events(&[(Reason::OwnerSquashed, 1)]);
}

#[test]
fn an_acl_that_names_an_id_without_a_mapping_is_an_error_or_dropped_by_policy() {
    let named = |users, groups| names(users, groups);
    for (acl, what) in [(named([1, 9], [1, 2]), "uid 9"), (named([1, 2], [1, 9]), "gid 9")] {
        for name in [ACCESS, DEFAULT] {
            let layer = || tar().add(with_xattr(Entry::dir("d"), name, &acl));
            let policy = |unmapped| map(&[range(1, 70_001, 5)], unmapped);
            let error = refuses(&policy(Unmapped::Error), &[layer()], ErrorKind::UnmappedId, (0, "d"));
            assert_eq!(error.detail(), format!("{what} in {name}"));
            for unmapped in [Unmapped::Squash { uid: 1, gid: 1 }, Unmapped::Record] {
                gives(&policy(unmapped), &[layer()], tree().dir("d")).events(&[(Reason::XattrDropped, 1)]);
            }
        }
    }
}

#[test]
fn an_acl_of_which_two_names_become_one_is_dropped_with_an_event() {
    let policy = map(&[range(1, 70_001, 1), range(2, 70_001, 1), range(3, 70_003, 1)], Unmapped::Error);
    let layer = |acl: &[u8]| tar().add(with_xattr(Entry::dir("d").mode(0o775), DEFAULT, acl));
    gives(&policy, &[layer(&names([1, 2], [1, 3]))], tree().dir("d").mode(0o775)).events(&[(Reason::XattrDropped, 1)]);
    let kept = names([70_001, 70_003], [70_001, 70_003]);
    gives(&policy, &[layer(&names([1, 3], [2, 3]))], tree().dir("d").mode(0o775).xattr(DEFAULT, kept)).events(&[]);
}

#[test]
fn an_acl_that_names_ids_is_dropped_with_an_event_where_owners_are_squashed_or_recorded_and_kept_without_names() {
    let (uid, gid) = me();
    let plain = acl(&[(1, 7), (4, 5), (32, 5)]);
    let layer = |acl: &[u8]| tar().add(with_xattr(with_xattr(Entry::dir("d"), ACCESS, acl), DEFAULT, acl));
    let dropped = [(Reason::XattrDropped, 2)];
    for ownership in [Ownership::Squash { uid, gid }, Ownership::SquashToCaller] {
        let policy = owned_by(container(), ownership);
        gives(&policy, &[layer(&names([1, 2], [1, 2]))], tree().dir("d")).events(&dropped);
        // The kernel folds such an access ACL into the mode.
        gives(&policy, &[layer(&plain)], tree().dir("d").xattr(DEFAULT, &plain)).events(&[]);
    }
    let recorded = || tree().record("0:0:0755:dir").dir("d").record("0:0:0755:dir");
    gives(&recording(), &[layer(&names([1, 2], [1, 2]))], recorded()).events(&dropped);
    gives(&recording(), &[layer(&plain)], recorded().xattr(DEFAULT, &plain)).events(&[]);
    let foreign = tar().add(with_xattr(Entry::dir("d").uid(9), DEFAULT, names([0, 1], [0, 1])));
    let policy = map(&[range(1, 70_001, 1)], Unmapped::Record);
    gives(&policy, &[foreign], tree().dir("d").record("9:0:0755:dir")).events(&[(Reason::XattrDropped, 1)]);
}
