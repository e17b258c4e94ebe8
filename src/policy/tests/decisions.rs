//! What is applied, skipped, refused.

use super::*;

/// In a word: the kind of the error, the reason for skipping, or that it is applied.
fn decided(policy: &Policy, entry: &Entry, body_len: u64) -> String {
    match policy.decide(entry, body_len) {
        Decision::Apply => "applied".into(),
        Decision::Skip(reason) => format!("{reason:?}"),
        Decision::Refuse(error) => format!("{:?}", error.kind()),
    }
}

#[track_caller]
fn decides(change: impl Fn(&mut Policy), entry: &Entry, expected: &str) {
    let mut policy = Policy::container();
    change(&mut policy);
    assert_eq!(decided(&policy, entry, 0), expected, "{entry:?}");
}

#[test]
fn directories_and_files_are_applied_under_any_policy() {
    for policy in [Policy::strict(), Policy::container(), Policy::rootless()] {
        for object in &objects()[..2] {
            assert_eq!(decided(&policy, object, 0), "applied");
        }
    }
}

#[test]
fn symlinks_are_kept_or_refused_or_refused_where_they_lead_out() {
    let (inside, outside) = (link(b'2', "a/s", "../b"), link(b'2', "a/s", "../../b"));
    for (knob, of_inside, of_outside) in [
        (Symlinks::Keep, "applied", "applied"),
        (Symlinks::RejectEscaping, "applied", "SymlinkEscape"),
        (Symlinks::Reject, "SymlinkEscape", "SymlinkEscape"),
    ] {
        decides(|policy| policy.symlinks = knob, &inside, of_inside);
        decides(|policy| policy.symlinks = knob, &outside, of_outside);
    }
}

#[test]
fn hardlinks_fifos_and_whiteouts_are_made_or_refused() {
    let (hardlink, fifo) = (link(b'1', "h", "t"), entry(raw(b'6', "p")));
    for (knob, expected) in [(Hardlinks::InRoot, "applied"), (Hardlinks::InLayer, "applied"), (Hardlinks::Reject, "HardlinkEscape")] {
        decides(|policy| policy.hardlinks = knob, &hardlink, expected);
    }
    decides(|policy| policy.fifos = Fifos::Create, &fifo, "applied");
    decides(|policy| policy.fifos = Fifos::Reject, &fifo, "SpecialFile");
    for marker in ["d/.wh.x", "d/.wh..wh..opq"] {
        decides(|policy| policy.whiteouts = Whiteouts::Honour, &entry(raw(b'0', marker)), "applied");
        decides(|policy| policy.whiteouts = Whiteouts::Reject, &entry(raw(b'0', marker)), "InvalidWhiteout");
    }
    decides(|_| {}, &entry(raw(b'0', ".wh..wh.plnk/x")), "AufsMetadataSkipped");
}

#[test]
fn devices_are_made_skipped_or_refused_and_none_is_a_forged_whiteout() {
    for typeflag in [b'3', b'4'] {
        for (knob, expected) in [(Devices::Create, "applied"), (Devices::Skip, "DeviceSkipped"), (Devices::Reject, "DeviceNode")] {
            decides(|policy| policy.devices = knob, &device(typeflag, 1, 3), expected);
        }
    }
    for knob in [Devices::Create, Devices::Skip] {
        let allow = |policy: &mut Policy| policy.devices = knob;
        let allowed = if knob == Devices::Create { "applied" } else { "DeviceSkipped" };
        decides(allow, &device(b'3', 0, 0), "OverlaySmuggling");
        for (typeflag, major, minor) in [(b'4', 0, 0), (b'3', 0, 1), (b'3', 1, 0), (b'3', 0xfff, 0xf_ffff)] {
            decides(allow, &device(typeflag, major, minor), allowed);
        }
        decides(allow, &device(b'3', 0x1000, 0), "NumberOutOfRange");
        decides(allow, &device(b'3', 1, 0x10_0000), "NumberOutOfRange");
    }
    decides(|policy| policy.devices = Devices::Reject, &device(b'3', 0, 0), "DeviceNode");
}

#[test]
fn types_that_are_not_known_are_skipped_or_refused_and_those_that_change_others_always_refused() {
    let unknown = entry(raw(b'Z', "u"));
    decides(|policy| policy.unknown_types = UnknownTypes::Skip, &unknown, "UnknownTypeSkipped");
    decides(|policy| policy.unknown_types = UnknownTypes::Reject, &unknown, "UnsupportedType");
    for typeflag in *b"MVDN" {
        decides(|policy| policy.unknown_types = UnknownTypes::Skip, &entry(raw(typeflag, "u")), "UnsupportedType");
    }
}

#[test]
fn the_budget_comes_before_a_type_that_is_not_known_where_odd_layers_are_read() {
    let unknown = entry(raw(b'Z', "u"));
    let mut policy = Policy { unknown_types: UnknownTypes::Skip, ..Policy::container() };
    policy.limits.total_bytes = 100;
    assert_eq!(decided(&policy, &unknown, 100), "UnknownTypeSkipped");
    assert_eq!(decided(&policy, &unknown, 101), "LimitExceeded");
    policy.oddities = Oddities::Refuse;
    assert_eq!(decided(&policy, &unknown, 101), "UnknownTypeSkipped");
}

#[test]
fn the_presets_differ_as_documented() {
    let (strict, container, rootless) = (Policy::strict(), Policy::container(), Policy::rootless());
    assert_eq!((&strict.ownership, &container.ownership), (&Ownership::Ignore, &Ownership::Preserve));
    assert_eq!((strict.devices, container.devices), (Devices::Reject, Devices::Skip));
    assert_eq!((strict.oddities, container.oddities), (Oddities::Refuse, Oddities::Tolerate));
    let only = Policy { ownership: Ownership::SquashToCaller, unsupported_xattrs: UnsupportedXattrs::Event, ..container };
    assert_eq!(rootless, only);
}

#[test]
fn names_are_read_by_the_knobs_for_names() {
    let policy = Policy { odd_markers: Oddities::Tolerate, ..Policy::strict() };
    let rules = policy.name_rules();
    assert_eq!((rules.absolute, rules.odd_markers, rules.oddities), (AbsoluteNames::Reject, Oddities::Tolerate, Oddities::Refuse));
}
