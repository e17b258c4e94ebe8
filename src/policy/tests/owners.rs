//! Owners, modes and times.

use super::*;

fn judged(policy: &Policy, entry: Entry) -> Judged {
    policy.judge_metadata(entry, CALLER).unwrap()
}

fn owned_by(ownership: Ownership) -> Policy {
    Policy { ownership, ..Policy::container() }
}

fn mapped(unmapped: Unmapped) -> Ownership {
    let range = |host| vec![IdRange { container: 0, host, count: 10 }];
    Ownership::Map(IdMap { uids: range(100), gids: range(500), unmapped })
}

fn owner(uid: u32, gid: u32) -> Option<Owner> {
    Some(Owner { uid, gid })
}

fn setuid(typeflag: u8) -> Entry {
    entry(RawEntry { mode: 0o7755, ..raw(typeflag, "x") })
}

#[test]
fn an_owner_is_kept_mapped_squashed_or_left_and_set_ids_go_with_a_squashed_one() {
    let rows = [
        (Ownership::Preserve, owner(7, 8), 0o7755, &[][..]),
        (mapped(Unmapped::Error), owner(107, 508), 0o7755, &[]),
        (Ownership::Ignore, None, 0o7755, &[]),
        (Ownership::Squash { uid: 5, gid: 6 }, owner(5, 6), 0o1755, &[Reason::SpecialBitsStripped]),
        (Ownership::Squash { uid: 7, gid: 8 }, owner(7, 8), 0o7755, &[]),
        (Ownership::Squash { uid: 7, gid: 9 }, owner(7, 9), 0o1755, &[Reason::SpecialBitsStripped]),
        (Ownership::SquashToCaller, Some(CALLER), 0o1755, &[Reason::SpecialBitsStripped]),
        (Ownership::RecordXattr, Some(CALLER), 0o1755, &[Reason::SpecialBitsStripped]),
    ];
    for (ownership, expected, mode, events) in rows {
        for typeflag in [b'0', b'5'] {
            let judged = judged(&owned_by(ownership.clone()), setuid(typeflag));
            assert_eq!((judged.owner, judged.entry.metadata().mode), (expected, mode), "{ownership:?}");
            assert_eq!(reasons(&judged), events, "{ownership:?}");
        }
    }
}

#[test]
fn an_owner_without_a_mapping_is_an_error_squashed_or_recorded() {
    let stranger = |typeflag| entry(RawEntry { uid: 10, mode: 0o4755, ..raw(typeflag, "x") });
    let error = owned_by(mapped(Unmapped::Error)).judge_metadata(stranger(b'0'), CALLER).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnmappedId);
    let squashed = judged(&owned_by(mapped(Unmapped::Squash { uid: 5, gid: 6 })), stranger(b'0'));
    assert_eq!((squashed.owner, squashed.entry.metadata().mode), (owner(5, 6), 0o755));
    assert_eq!(reasons(&squashed), [Reason::OwnerSquashed, Reason::SpecialBitsStripped]);
    assert_eq!(squashed.events[0].detail, "10:8 to 5:6");
    let recorded = judged(&owned_by(mapped(Unmapped::Record)), stranger(b'0'));
    assert_eq!((recorded.owner, recorded.entry.metadata().xattrs.len()), (Some(CALLER), 1));
    let known = judged(&owned_by(mapped(Unmapped::Record)), setuid(b'0'));
    assert_eq!((known.owner, known.entry.metadata().xattrs.len()), (owner(107, 508), 0));
}

#[test]
fn a_group_without_a_mapping_is_one_too() {
    let error = owned_by(mapped(Unmapped::Error)).judge_metadata(entry(RawEntry { gid: 10, ..raw(b'0', "x") }), CALLER);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::UnmappedId);
}

#[test]
fn a_record_has_the_ids_the_mode_and_the_type_and_only_files_and_directories_carry_it() {
    let policy = owned_by(Ownership::RecordXattr);
    let record =
        |entry| judged(&policy, entry).entry.metadata().xattrs.first().map(|xattr| String::from_utf8(xattr.value.clone()).unwrap());
    assert_eq!(record(setuid(b'0')).as_deref(), Some("7:8:7755:file"));
    assert_eq!(record(entry(RawEntry { mode: 0o5, ..raw(b'5', "d") })).as_deref(), Some("7:8:0005:dir"));
    for special in &objects()[2..] {
        let judged = judged(&policy, special.clone());
        assert_eq!((judged.owner, judged.entry.metadata().xattrs.len()), (Some(CALLER), 0));
        assert!(reasons(&judged).contains(&Reason::OwnerSquashed));
    }
}

#[test]
fn special_bits_are_stripped_on_demand_and_symlinks_have_no_mode_to_speak_of() {
    let policy = Policy { special_bits: SpecialBits::Strip, ..Policy::container() };
    let stripped = judged(&policy, setuid(b'0'));
    assert_eq!((stripped.entry.metadata().mode, reasons(&stripped)), (0o755, vec![Reason::SpecialBitsStripped]));
    let symlink = entry(RawEntry { link: b"t".to_vec(), mode: 0o7777, ..raw(b'2', "s") });
    assert_eq!(reasons(&judged(&policy, symlink)), []);
}

#[test]
fn a_time_is_kept_fixed_or_clamped() {
    let at = |seconds| Timestamp::new(seconds, 5).unwrap();
    let with = |times| Policy { times, ..Policy::container() };
    let time = |policy: &Policy, seconds| {
        let judged = judged(policy, entry(RawEntry { mtime: at(seconds), ..raw(b'0', "f") }));
        (judged.entry.metadata().mtime.secs(), reasons(&judged))
    };
    assert_eq!(time(&with(Times::Archive), 40), (40, vec![]));
    assert_eq!(time(&with(Times::Fixed(at(30))), 40), (30, vec![Reason::TimeReplaced]));
    assert_eq!(time(&with(Times::Fixed(at(30))), 30), (30, vec![]));
    assert_eq!(time(&with(Times::Clamp(at(30))), 40), (30, vec![Reason::TimeReplaced]));
    assert_eq!(time(&with(Times::Clamp(at(30))), 20), (20, vec![]));
    assert_eq!((with(Times::Archive).implicit_time(), with(Times::Fixed(at(30))).implicit_time()), (Timestamp::default(), at(30)));
}

#[test]
fn a_hardlinks_header_is_only_prepared_for_comparison_and_a_marker_makes_nothing() {
    let policy = Policy { times: Times::Fixed(Timestamp::default()), ..owned_by(Ownership::SquashToCaller) };
    let hardlink = entry(RawEntry { link: b"t".to_vec(), mode: 0o6755, mtime: Timestamp::new(9, 0).unwrap(), ..raw(b'1', "h") });
    let judged_link = judged(&policy, hardlink.clone());
    let metadata = judged_link.entry.metadata();
    assert_eq!((judged_link.owner, metadata.mode, metadata.mtime), (Some(CALLER), 0o755, Timestamp::default()));
    assert_eq!(reasons(&judged_link), []);
    assert_eq!(judged(&Policy::container(), hardlink.clone()).entry.metadata().mode, 0o6755);
    let stripping = Policy { special_bits: SpecialBits::Strip, ..Policy::container() };
    assert_eq!(judged(&stripping, hardlink.clone()).entry.metadata().mode, 0o755);
    let both = Policy { special_bits: SpecialBits::Strip, ..owned_by(Ownership::SquashToCaller) };
    assert_eq!(judged(&both, hardlink).entry.metadata().mode, 0o755);
    let marker = judged(&policy, entry(RawEntry { mode: 0o7777, ..raw(b'0', ".wh.x") }));
    assert_eq!((marker.owner, reasons(&marker)), (None, vec![]));
}

#[test]
fn a_directory_without_an_entry_is_the_containers_root() {
    let implicit = |ownership| owned_by(ownership).implicit(CALLER).unwrap();
    assert_eq!(implicit(Ownership::Preserve).owner, owner(0, 0));
    assert_eq!(implicit(mapped(Unmapped::Error)).owner, owner(100, 500));
    assert_eq!(implicit(Ownership::Ignore).owner, None);
    assert!(implicit(Ownership::SquashToCaller).record.is_none());
    let recorded = implicit(Ownership::RecordXattr);
    assert_eq!((recorded.owner, recorded.record.unwrap().value), (Some(CALLER), b"0:0:0755:dir".to_vec()));
}

#[test]
fn the_owner_of_a_copy_is_what_it_is_on_disk_unless_all_have_one() {
    let over = |ownership| owned_by(ownership).owner_over(Owner { uid: 3, gid: 4 }, CALLER);
    assert_eq!((over(Ownership::Preserve), over(mapped(Unmapped::Error))), (owner(3, 4), owner(3, 4)));
    assert_eq!((over(Ownership::Squash { uid: 5, gid: 6 }), over(Ownership::Ignore)), (owner(5, 6), None));
    assert_eq!((over(Ownership::SquashToCaller), over(Ownership::RecordXattr)), (Some(CALLER), Some(CALLER)));
}

#[test]
fn ids_are_mapped_by_the_first_range_that_holds_them_to_its_last_id() {
    let ranges = vec![IdRange { container: 10, host: 1000, count: 2 }, IdRange { container: 20, host: 5, count: 1 }];
    let map = IdMap { uids: ranges.clone(), gids: ranges, unmapped: Unmapped::Error };
    for (id, expected) in [(9, None), (10, Some(1000)), (11, Some(1001)), (12, None), (19, None), (20, Some(5)), (21, None)] {
        assert_eq!((map.user(id).ok(), map.group(id).ok()), (expected, expected), "{id}");
    }
}
