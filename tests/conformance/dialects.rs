//! §9 Tar dialects: headers, extension headers, numbers and the end of an archive. PAX records are in `pax`, maps in `sparse`.

use safe_layers::{ErrorKind, Reason, TrailingData};

use crate::check::*;
use crate::common::builder::{BLOCK, Checksum, Field, LongNames, record};

/// Container reads it as `want` and says `reason` once; strict refuses it.
#[track_caller]
pub fn odd(layer: &Tar, want: Want, reason: Reason, kind: ErrorKind, at: impl Into<At>) {
    gives(&container(), std::slice::from_ref(layer), want).events(&[(reason, 1)]);
    refuses(&strict(), std::slice::from_ref(layer), kind, at);
}

/// Every policy refuses it.
#[track_caller]
pub fn bad(layer: &Tar, kind: ErrorKind, at: impl Into<At> + Clone) {
    for policy in both() {
        refuses(&policy, std::slice::from_ref(layer), kind, at.clone());
    }
}

/// Every policy reads it as `want` and has nothing to say.
#[track_caller]
pub fn fine(layer: &Tar, want: &Want) {
    for policy in both() {
        gives(&policy, std::slice::from_ref(layer), want.clone()).events(&[]);
    }
}

#[test]
fn the_prefix_is_read_in_ustar_and_in_no_other_dialect() {
    let entry = Entry::file("f", "x");
    fine(&tar().dir("d").dir("d/e").add(entry.clone().prefix("d/e")), &tree().dir("d").dir("d/e").file("d/e/f", "x"));
    fine(&tar().add(entry.clone().gnu().prefix("../evil")), &tree().file("f", "x"));
    fine(&tar().add(entry.clone().v7().patch(345, "../evil")), &tree().file("f", "x"));
    bad(&tar().add(entry.prefix("../evil")), ErrorKind::PathTraversal, (0, "../evil/f"));
}

#[test]
fn any_other_ustar_magic_is_an_error() {
    for magic in [b"ustar\0\0\0", b"ustar\x0001", b"ustar 00", b"ustar  0", b"ustarXXX"] {
        bad(&tar().file("a", "").add(Entry::file("f", "x").v7().patch(257, magic)), ErrorKind::BadHeader, At::entry(1));
    }
    fine(&tar().add(Entry::file("f", "x").v7().patch(257, b"ustar\x0000")), &tree().file("f", "x"));
}

#[test]
fn a_gnu_and_a_pax_name_for_one_entry_must_agree() {
    let named = |pax: &str| tar().gnu_long_name("f\0").add(Entry::file("short", "x").pax("path", pax));
    odd(&named("f"), tree().file("f", "x"), Reason::LongNameTwice, ErrorKind::PaxConflict, At::entry(0));
    bad(&named("g"), ErrorKind::PaxConflict, At::entry(0));
    let linked = |pax: &str| tar().gnu_long_link("t\0").add(Entry::symlink("s", "short").pax("linkpath", pax));
    odd(&linked("t"), tree().symlink("s", "t"), Reason::LongNameTwice, ErrorKind::PaxConflict, (0, "s"));
    bad(&linked("u"), ErrorKind::PaxConflict, (0, "s"));
    // A long name and a long link are two matters.
    fine(&tar().gnu_long_name("s\0").add(Entry::symlink("short", "short").pax("linkpath", "t")), &tree().symlink("s", "t"));
}

#[test]
fn of_two_extension_headers_of_one_kind_the_last_is_taken() {
    let file = || Entry::file("short", "x");
    let names = tar().gnu_long_name("e\0").gnu_long_name("f\0").add(file());
    odd(&names, tree().file("f", "x"), Reason::ExtensionRepeated, ErrorKind::PaxConflict, (0, "f"));
    let links = tar().gnu_long_link("t\0").gnu_long_link("u\0").add(Entry::symlink("s", "short"));
    odd(&links, tree().symlink("s", "u"), Reason::ExtensionRepeated, ErrorKind::PaxConflict, (0, "s"));
    let records = tar().add(Entry::pax_header(record("path", "e"))).add(file().pax("path", "f"));
    odd(&records, tree().file("f", "x"), Reason::ExtensionRepeated, ErrorKind::PaxConflict, (0, "f"));
    // One for each of two entries.
    let each = tar().gnu_long_name("e\0").add(file()).gnu_long_name("f\0").add(file());
    fine(&each, &tree().file("e", "x").file("f", "x"));
}

#[test]
fn an_extension_header_in_a_v7_block_is_odd() {
    let records = record("path", "f");
    let local = tar().add(Entry::pax_header(records).v7()).file("short", "x");
    odd(&local, tree().file("f", "x"), Reason::ExtensionInV7Header, ErrorKind::BadHeader, At::entry(0));
    let global = tar().add(Entry::global_header(record("comment", "c")).v7()).file("f", "x");
    odd(&global, tree().file("f", "x"), Reason::ExtensionInV7Header, ErrorKind::BadHeader, At::entry(0));
}

#[test]
fn name_mode_and_ids_of_an_extension_header_mean_nothing() {
    for extension in [Entry::pax_header(record("path", "f")), Entry::gnu_long_name("f\0")] {
        let odd = extension.patch(0, "../../evil\0").mode(0o107_777).patch(108, "junkjunk").patch(116, [0; 8]).patch(136, "junk");
        fine(&tar().add(odd).file("short", "x"), &tree().file("f", "x"));
    }
}

#[test]
fn a_blank_size_of_an_extension_header_is_the_one_field_of_it_that_counts() {
    let layer = tar().add(Entry::pax_header("").patch(124, [b' '; 12])).file("f", "x");
    odd(&layer, tree().file("f", "x"), Reason::BlankNumber, ErrorKind::BadNumber, At::entry(0));
    bad(&tar().add(Entry::pax_header("").patch(124, "junk")).file("f", "x"), ErrorKind::BadNumber, At::entry(0));
}

#[test]
fn an_extension_header_without_an_entry_after_it_is_an_error() {
    let records = record("path", "f");
    for extension in [Entry::pax_header(records), Entry::gnu_long_name("f\0"), Entry::gnu_long_link("t\0")] {
        for end_blocks in [0, 1, 2] {
            bad(&tar().file("a", "").add(extension.clone()).end_blocks(end_blocks), ErrorKind::DanglingExtension, At::entry(1));
        }
    }
    fine(&tar().file("a", "").global_header(record("comment", "c")), &tree().file("a", ""));
}

#[test]
fn the_extension_headers_of_an_entry_are_bounded_before_they_are_read() {
    for policy in both() {
        let policy = with(policy, |policy| policy.limits.header_bytes = 2048);
        let entry = |len: usize| tar().add(Entry::file("f", "x").pax("comment", "c".repeat(len)));
        gives(&policy, &[entry(400)], tree().file("f", "x"));
        let error = refuses(&policy, &[entry(1600)], ErrorKind::LimitExceeded, At::entry(0));
        assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("header_bytes", 2048)));
        // Declared, and not there: refused all the same, as the bound and not as a cut stream.
        let declared = tar().add(Entry::pax_header("").size(1 << 33)).end_blocks(0);
        refuses(&policy, &[declared], ErrorKind::LimitExceeded, At::entry(0));
    }
}

#[test]
fn an_archive_without_its_end_is_odd_and_a_header_after_one_zero_block_an_error() {
    for end_blocks in [0, 1] {
        let layer = tar().file("f", "x").end_blocks(end_blocks);
        odd(&layer, tree().file("f", "x"), Reason::EndOfArchiveMissing, ErrorKind::Truncated, At::nowhere());
    }
    for end_blocks in [2, 3, 20] {
        fine(&tar().file("f", "x").end_blocks(end_blocks), &tree().file("f", "x"));
    }
    bad(&tar().file("f", "x").zero_blocks(1).file("hidden", "y"), ErrorKind::TrailingData, At::nowhere());
}

#[test]
fn zeros_after_the_end_are_fine_and_anything_else_is_hashed_and_never_parsed() {
    fine(&tar().file("f", "x").trailing([0; 5000]), &tree().file("f", "x"));
    let hidden = tar().file("f", "x").trailing([0; 700]).trailing(tar().file("hidden", "y").bytes());
    bad(&hidden, ErrorKind::TrailingData, At::nowhere());
    for policy in both() {
        let ignore = with(policy, |policy| policy.trailing_data = TrailingData::Ignore);
        gives(&ignore, std::slice::from_ref(&hidden), tree().file("f", "x")).events(&[(Reason::TrailingDataIgnored, 1)]);
    }
}

#[test]
fn a_cut_header_or_body_is_an_error() {
    let layer = || tar().file("a", "").file("f", vec![b'x'; 700]).end_blocks(0);
    for (cut, path) in [(BLOCK + 1, None), (2 * BLOCK - 1, None), (2 * BLOCK, Some("f")), (2 * BLOCK + 700, Some("f"))] {
        let at = || path.map_or(At::entry(1), |path| At::from((1, path)));
        for policy in both() {
            refuses(&policy, &[layer().cut_at(cut)], ErrorKind::Truncated, at());
        }
    }
    gives(&container(), &[layer()], tree().file("a", "").file("f", vec![b'x'; 700])).events(&[(Reason::EndOfArchiveMissing, 1)]);
}

#[test]
fn a_checksum_must_be_right_and_one_of_signed_bytes_is_odd() {
    for checksum in [Checksum::OffByOne, Checksum::Zeros, Checksum::Blank] {
        bad(&tar().file("a", "").add(Entry::file("f", "x").checksum(checksum)), ErrorKind::BadChecksum, At::entry(1));
    }
    let signed = tar().add(Entry::file("caf\u{e9}", "x").checksum(Checksum::Signed));
    odd(&signed, tree().file("caf\u{e9}", "x"), Reason::SignedChecksum, ErrorKind::BadChecksum, At::entry(0));
}

#[test]
fn a_number_is_octal_with_leading_spaces_and_ends_with_a_nul_or_a_space() {
    for mode in [&b"0000640\0"[..], b"   640 \0", b"00000640", b"640\0\0\0\0\0", b"    640 "] {
        fine(&tar().add(Entry::file("f", "x").patch(100, mode)), &tree().file("f", "x").mode(0o640));
    }
    for mode in [&b"0000648\0"[..], b"+000640\0", b"0x1a0\0\0\0", b"6 4 0\0\0\0", b"zzzzzzz\0"] {
        bad(&tar().add(Entry::file("f", "x").patch(100, mode)), ErrorKind::BadNumber, (0, "f"));
    }
}

#[test]
fn a_blank_number_is_zero_with_an_event_and_refused_by_strict() {
    for blank in [b' ', 0] {
        let mode = tar().add(Entry::file("f", "x").patch(100, [blank; 8]));
        odd(&mode, tree().file("f", "x").mode(0), Reason::BlankNumber, ErrorKind::BadNumber, (0, "f"));
        let mtime = tar().add(Entry::file("f", "x").patch(136, [blank; 12]));
        odd(&mtime, tree().file("f", "x").mtime(0, 0), Reason::BlankNumber, ErrorKind::BadNumber, (0, "f"));
        let ids = tar().add(Entry::file("f", "x").patch(108, [blank; 8]));
        odd(&ids, tree().file("f", "x"), Reason::BlankNumber, ErrorKind::BadNumber, (0, "f"));
        let size = tar().add(Entry::file("f", "").patch(124, [blank; 12]));
        odd(&size, tree().file("f", ""), Reason::BlankNumber, ErrorKind::BadNumber, (0, "f"));
    }
}

#[test]
fn a_base_256_number_may_be_negative_in_a_time_alone() {
    for field in [Field::Mode, Field::Uid, Field::Gid, Field::Size] {
        let entry = Entry::file("f", "").number(field, -1).base256(field);
        bad(&tar().add(entry), ErrorKind::NumberOutOfRange, (0, "f"));
    }
    fine(&tar().add(Entry::file("f", "x").mtime(-7)), &tree().file("f", "x").mtime(-7, 0));
    fine(&tar().add(Entry::file("f", "x").base256(Field::Size).mode(0o640).base256(Field::Mode)), &tree().file("f", "x").mode(0o640));
    bad(&tar().add(Entry::file("f", "x").size(1 << 70)), ErrorKind::NumberOutOfRange, (0, "f"));
    let device = Entry::char("n", 1, 3).number(Field::DevMajor, -1);
    bad(&tar().add(device), ErrorKind::NumberOutOfRange, (0, "n"));
}

#[test]
fn a_long_name_is_read_in_either_spelling_and_as_ustar_has_it() {
    let (name, target) = ("n".repeat(200), "t".repeat(200));
    for how in [LongNames::Pax, LongNames::Gnu] {
        fine(&tar().add(Entry::file(&name, "x").long_names(how)), &tree().file(&name, "x"));
        fine(&tar().add(Entry::symlink("s", &target).long_names(how)), &tree().symlink("s", &target));
    }
    // Without either it ends with its field.
    fine(&tar().add(Entry::file(&name, "x").long_names(LongNames::Cut)), &tree().file(&name[..100], "x"));
}
