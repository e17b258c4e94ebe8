//! Extended attributes.

use super::*;

/// Revision 2, effective, CAP_NET_RAW.
const CAPABILITY_VALUE: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn acl(named: Option<u32>) -> Vec<u8> {
    let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &7_u16.to_le_bytes(), &id.to_le_bytes()].concat();
    let mut entries = vec![entry(1, u32::MAX)];
    entries.extend(named.map(|id| entry(2, id)));
    entries.push(entry(4, u32::MAX));
    entries.extend(named.map(|_| entry(16, u32::MAX)));
    entries.push(entry(32, u32::MAX));
    [&2_u32.to_le_bytes()[..], &entries.concat()].concat()
}

/// What is kept of one attribute, by value, and the reasons; or the kind of the error.
fn judge(policy: &Policy, entry: &Entry, name: &str, value: &[u8]) -> Result<(Option<Vec<u8>>, Vec<Reason>), ErrorKind> {
    let xattrs = vec![Xattr { name: name.into(), value: value.to_vec() }];
    let entry = entry.clone().with_metadata(Metadata { xattrs, ..entry.metadata().clone() });
    let judged = policy.judge_metadata(entry, CALLER).map_err(|error| error.kind())?;
    let kept = judged.entry.metadata().xattrs.iter().find(|xattr| xattr.name == name.as_bytes()).map(|xattr| xattr.value.clone());
    let reasons = reasons(&judged).into_iter().filter(|reason| *reason != Reason::OwnerSquashed).collect();
    Ok((kept, reasons))
}

fn kept(value: &[u8]) -> Result<(Option<Vec<u8>>, Vec<Reason>), ErrorKind> {
    Ok((Some(value.to_vec()), vec![]))
}

fn dropped(reason: Reason) -> Result<(Option<Vec<u8>>, Vec<Reason>), ErrorKind> {
    Ok((None, vec![reason]))
}

#[test]
fn an_attribute_is_kept_where_its_kind_of_object_can_have_it() {
    let [directory, file, specials @ ..] = objects();
    let policy = Policy::container();
    let good: [(&str, &[u8]); 4] = [
        ("user.a", b"v"),
        ("security.capability", &CAPABILITY_VALUE),
        ("system.posix_acl_access", &acl(None)),
        ("system.posix_acl_default", &acl(None)),
    ];
    for (number, (name, value)) in good.into_iter().enumerate() {
        let (of_file, of_directory) = (number != 3, number != 1);
        let expected = |has| if has { kept(value) } else { dropped(Reason::XattrDropped) };
        assert_eq!(judge(&policy, &file, name, value), expected(of_file), "{name}");
        assert_eq!(judge(&policy, &directory, name, value), expected(of_directory), "{name}");
        for special in &specials {
            assert_eq!(judge(&policy, special, name, value), dropped(Reason::XattrOnSpecialDropped), "{name}");
        }
    }
}

#[test]
fn names_outside_the_list_are_dropped_or_refused() {
    let file = &objects()[1];
    let refusing = Policy { other_xattrs: OtherXattrs::Reject, ..Policy::container() };
    let names = [
        "trusted.overlay.opaque",
        "security.selinux",
        "user.",
        "user",
        "user.overlay.opaque",
        "user.fuseoverlayfs.uid",
        "user.containers.override_stat",
        "user.rootlesscontainers",
        "system.posix_acl_other",
    ];
    for name in names {
        assert_eq!(judge(&Policy::container(), file, name, b"v"), dropped(Reason::XattrDropped), "{name}");
        assert_eq!(judge(&refusing, file, name, b"v"), Err(ErrorKind::ForbiddenXattr), "{name}");
        assert!(!refusing.sets_xattr(name.as_bytes()), "{name}");
    }
    for name in ["user.a", "user.overlayx", "user.containers.x", "security.capability", "system.posix_acl_access"] {
        assert!(refusing.sets_xattr(name.as_bytes()), "{name}");
    }
}

#[test]
fn what_is_malformed_is_refused_whatever_becomes_of_others() {
    let file = &objects()[1];
    for (name, value) in [("security.capability", &CAPABILITY_VALUE[..19]), ("system.posix_acl_access", b"\x02\0\0\0")] {
        assert_eq!(judge(&Policy::container(), file, name, value), Err(ErrorKind::ForbiddenXattr), "{name}");
    }
}

#[test]
fn ids_in_attributes_follow_the_owners() {
    let file = &objects()[1];
    let map = |unmapped| {
        let ranges = vec![IdRange { container: 0, host: 100, count: 10 }];
        Ownership::Map(IdMap { uids: ranges.clone(), gids: ranges, unmapped })
    };
    let rooted = |root: u32| [&[1, 0, 0, 3], &CAPABILITY_VALUE[4..], &root.to_le_bytes()].concat();
    let gone = || dropped(Reason::XattrDropped);
    let rows = [
        (Ownership::Preserve, kept(&CAPABILITY_VALUE), kept(&acl(Some(5))), kept(&acl(Some(50)))),
        (Ownership::Ignore, kept(&CAPABILITY_VALUE), kept(&acl(Some(5))), kept(&acl(Some(50)))),
        (map(Unmapped::Error), kept(&rooted(100)), kept(&acl(Some(105))), Err(ErrorKind::UnmappedId)),
        (map(Unmapped::Squash { uid: 1, gid: 1 }), kept(&rooted(100)), kept(&acl(Some(105))), gone()),
        (map(Unmapped::Record), kept(&rooted(100)), kept(&acl(Some(105))), gone()),
        (Ownership::Squash { uid: 3, gid: 4 }, kept(&rooted(3)), gone(), gone()),
        (Ownership::Squash { uid: 0, gid: 4 }, kept(&CAPABILITY_VALUE), gone(), gone()),
        (Ownership::SquashToCaller, kept(&rooted(CALLER.uid)), gone(), gone()),
        (Ownership::RecordXattr, gone(), gone(), gone()),
    ];
    for (ownership, of_capability, of_acl, of_unmapped) in rows {
        let policy = Policy { ownership, ..Policy::container() };
        assert_eq!(judge(&policy, file, "security.capability", &CAPABILITY_VALUE), of_capability, "{:?}", policy.ownership);
        assert_eq!(judge(&policy, file, "system.posix_acl_access", &acl(Some(5))), of_acl, "{:?}", policy.ownership);
        assert_eq!(judge(&policy, file, "system.posix_acl_access", &acl(Some(50))), of_unmapped, "{:?}", policy.ownership);
        // One that names nobody means the same everywhere.
        assert_eq!(judge(&policy, file, "system.posix_acl_access", &acl(None)), kept(&acl(None)), "{:?}", policy.ownership);
    }
}

#[test]
fn ids_in_attributes_are_mapped_where_the_owner_of_the_object_alone_is_squashed() {
    let stranger = entry(RawEntry { uid: 10, ..raw(b'0', "f") });
    let ranges = vec![IdRange { container: 0, host: 100, count: 10 }];
    let map = IdMap { uids: ranges.clone(), gids: ranges, unmapped: Unmapped::Squash { uid: 3, gid: 4 } };
    let policy = Policy { ownership: Ownership::Map(map), ..Policy::container() };
    let rooted = [&[1, 0, 0, 3], &CAPABILITY_VALUE[4..], &100_u32.to_le_bytes()].concat();
    assert_eq!(judge(&policy, &stranger, "security.capability", &CAPABILITY_VALUE), kept(&rooted));
    assert_eq!(judge(&policy, &stranger, "system.posix_acl_access", &acl(Some(5))), kept(&acl(Some(105))));
}

#[test]
fn a_refusal_is_tolerated_as_the_knob_says_but_never_that_of_the_record() {
    for (knob, of_user, of_others) in
        [(UnsupportedXattrs::Error, false, false), (UnsupportedXattrs::EventForUser, true, false), (UnsupportedXattrs::Event, true, true)]
    {
        let policy = Policy { unsupported_xattrs: knob, ..Policy::container() };
        assert_eq!(policy.tolerates_refusal_of(b"user.a"), of_user, "{knob:?}");
        assert_eq!(policy.tolerates_refusal_of(b"security.capability"), of_others, "{knob:?}");
        assert!(!policy.tolerates_refusal_of(OVERRIDE_STAT), "{knob:?}");
    }
}

#[test]
fn the_record_is_the_policys_own_where_it_writes_one() {
    let map = |unmapped| Ownership::Map(IdMap { unmapped, ..IdMap::default() });
    let rows = [
        (Ownership::RecordXattr, true),
        (map(Unmapped::Record), true),
        (map(Unmapped::Error), false),
        (Ownership::Preserve, false),
        (Ownership::SquashToCaller, false),
    ];
    for (ownership, records) in rows {
        assert_eq!(Policy { ownership, ..Policy::container() }.sets_xattr(OVERRIDE_STAT), records);
    }
}
