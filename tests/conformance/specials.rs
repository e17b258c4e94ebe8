//! §8 Devices, FIFOs, others.

use safe_layers::{Devices, ErrorKind, Fifos, Hardlinks, Policy, Reason, UnknownTypes};

use crate::check::*;

fn create() -> Policy {
    with(container(), |policy| policy.devices = Devices::Create)
}

#[test]
fn a_device_is_skipped_with_an_event_and_refused_by_strict() {
    for entry in [Entry::char("n", 1, 3), Entry::block("n", 8, 0)] {
        let layer = || tar().add(entry.clone()).file("f", "x");
        gives(&container(), &[layer()], tree().file("f", "x")).events(&[(Reason::DeviceSkipped, 1)]);
        refuses(&strict(), &[layer()], ErrorKind::DeviceNode, (0, "n"));
    }
}

#[test]
fn a_device_is_made_with_its_numbers_where_the_policy_says_so() {
    if needs_root("a device") {
        let layer = tar().add(Entry::char("c", 1, 3).mode(0o666).mtime(5)).add(Entry::block("b", 0xfff, 0xf_ffff).uid(7).gid(8));
        let device = rustix::fs::makedev;
        let want = tree().node("c", Kind::Char(device(1, 3)), 0o666, 5).node("b", Kind::Block(device(0xfff, 0xf_ffff)), 0o644, TIME);
        gives(&create(), &[layer], want.owner(7, 8)).events(&[]);
        // A block device 0:0 is no whiteout.
        gives(&create(), &[tar().add(Entry::block("b", 0, 0))], tree().node("b", Kind::Block(0), 0o644, TIME));
    }
}

#[test]
fn a_device_is_linked_where_the_policy_makes_devices() {
    if needs_root("a device") {
        let node = |want: Want| want.node("c", Kind::Char(rustix::fs::makedev(1, 3)), 0o666, 5).owner(7, 8);
        let device = || tar().add(Entry::char("c", 1, 3).mode(0o666).mtime(5).uid(7).gid(8));
        gives(&create(), &[device().hardlink("h", "c")], node(tree()).hardlink("h", "c"));
        gives(&create(), &[device(), tar().hardlink("h", "c")], node(tree()).hardlink("h", "c"));
        let in_layer = with(create(), |policy| policy.hardlinks = Hardlinks::InLayer);
        refuses(&in_layer, &[device().hardlink("h", "c")], ErrorKind::HardlinkToSpecial, (1, "h"));
    }
}

#[test]
fn a_device_number_that_the_kernel_would_wrap_is_an_error_before_anything_else() {
    for policy in [container(), create()] {
        for (major, minor) in [(4096, 0), (0, 1 << 20), (4096, 1 << 20), (0o7777777, 0), (1 << 32, 3)] {
            refuses(&policy, &[tar().add(Entry::char("n", major, minor))], ErrorKind::NumberOutOfRange, (0, "n"));
            refuses(&policy, &[tar().add(Entry::block("n", major, minor))], ErrorKind::NumberOutOfRange, (0, "n"));
        }
    }
}

#[test]
fn a_fifo_is_made_and_refused_by_strict() {
    let layer = || tar().add(Entry::fifo("p").mode(0o620).mtime(5));
    gives(&container(), &[layer()], tree().fifo("p").mode(0o620).mtime(5, 0)).events(&[]);
    refuses(&strict(), &[layer()], ErrorKind::SpecialFile, (0, "p"));
    let create = with(strict(), |policy| policy.fifos = Fifos::Create);
    gives(&create, &[layer()], tree().fifo("p").mode(0o620).mtime(5, 0));
}

#[test]
fn a_fifo_gets_its_owner_and_keeps_its_special_bits() {
    if needs_root("another owner") {
        gives(&container(), &[tar().add(Entry::fifo("p").mode(0o6755).uid(7).gid(8))], tree().fifo("p").mode(0o6755).owner(7, 8));
    }
}

/// Opening a FIFO without a reader blocks: that this test ends is the claim.
#[test]
fn a_fifo_is_never_opened_whatever_comes_to_its_place() {
    let lower = || tar().fifo("p");
    let uppers = [tar().file("p", "x"), tar().file("p/f", "x"), tar().file(".wh.p", ""), tar().fifo("p"), tar().hardlink("h", "p")];
    let wants =
        [tree().file("p", "x"), tree().implicit("p").file("p/f", "x"), tree(), tree().fifo("p"), tree().fifo("p").hardlink("h", "p")];
    for (upper, want) in uppers.into_iter().zip(wants) {
        gives(&container(), &[lower(), upper], want);
    }
}

#[test]
fn xattrs_and_acls_of_a_fifo_or_device_are_dropped_with_an_event() {
    let acl = acl(&[(1, 7), (4, 7), (32, 7)]);
    let layer = tar().add(Entry::fifo("p").pax("SCHILY.xattr.user.k", "v").pax("SCHILY.xattr.system.posix_acl_access", &acl));
    gives(&container(), &[layer], tree().fifo("p")).events(&[(Reason::XattrOnSpecialDropped, 2)]);
    if needs_root("a device") {
        let layer = tar().add(Entry::char("c", 1, 3).pax("SCHILY.xattr.user.k", "v"));
        let want = tree().node("c", Kind::Char(rustix::fs::makedev(1, 3)), 0o644, TIME);
        gives(&create(), &[layer], want).events(&[(Reason::XattrOnSpecialDropped, 1)]);
    }
}

#[test]
fn parts_of_a_volume_and_dumpdirs_are_errors_in_every_policy() {
    for policy in both() {
        let skip = with(policy.clone(), |policy| policy.unknown_types = UnknownTypes::Skip);
        for flag in *b"MVD" {
            for policy in [&policy, &skip] {
                refuses(policy, &[tar().add(Entry::of(flag, "n"))], ErrorKind::UnsupportedType, (0, "n"));
            }
        }
    }
}

#[test]
fn an_unknown_type_is_an_error_and_skipped_with_its_body_where_the_policy_says_so() {
    for policy in both() {
        for flag in *b"8AZ\xff" {
            let layer = || tar().add(Entry::of(flag, "n").body("body")).file("f", "x");
            refuses(&policy, &[layer()], ErrorKind::UnsupportedType, (0, "n"));
            let skip = with(policy.clone(), |policy| policy.unknown_types = UnknownTypes::Skip);
            gives(&skip, &[layer()], tree().file("f", "x")).events(&[(Reason::UnknownTypeSkipped, 1)]);
        }
    }
}

#[test]
fn a_contiguous_file_is_a_regular_one() {
    for policy in both() {
        gives(&policy, &[tar().add(Entry::of(b'7', "f").body("x"))], tree().file("f", "x")).events(&[]);
    }
}
