//! §9 PAX records: their grammar, the keys that count, those that are ignored, dropped and refused.

use safe_layers::{ErrorKind, Reason};

use crate::check::*;
use crate::common::builder::record;
use crate::dialects::{bad, fine, odd};

fn file(records: impl AsRef<[u8]>) -> Tar {
    tar().add(Entry::file("f", "x").pax_raw(records))
}

fn want() -> Want {
    tree().file("f", "x")
}

#[test]
fn a_key_twice_in_one_header_is_odd_and_the_last_is_taken() {
    let twice = Entry::file("short", "x").pax("path", "e").pax("path", "f");
    odd(&tar().add(twice), want(), Reason::PaxKeyRepeated, ErrorKind::PaxConflict, At::entry(0));
    let attribute = Entry::file("f", "x").pax("SCHILY.xattr.user.k", "1").pax("SCHILY.xattr.user.k", "2");
    odd(&tar().add(attribute), want().xattr("user.k", "2"), Reason::PaxKeyRepeated, ErrorKind::PaxConflict, At::entry(0));
}

#[test]
fn a_pax_size_wins_over_another_one_in_the_header_with_an_event() {
    let sized = |header: i128| tar().add(Entry::file("f", "x".repeat(600)).pax("size", "600").size(header)).file("g", "y");
    let want = tree().file("f", "x".repeat(600)).file("g", "y");
    odd(&sized(8), want.clone(), Reason::SizeFromPax, ErrorKind::SizeConflict, (0, "f"));
    fine(&sized(0), &want);
    fine(&sized(600), &want);
}

#[test]
fn a_global_comment_is_ignored_and_a_global_name_or_size_is_an_error() {
    let global = |key: &str| tar().file("a", "").global_header(record(key, "1")).file("f", "x");
    fine(&global("comment"), &tree().file("a", "").file("f", "x"));
    for key in ["path", "linkpath", "size", "GNU.sparse.name", "GNU.sparse.major", "GNU.sparse.map"] {
        bad(&global(key), ErrorKind::PaxGlobal, At::entry(1));
    }
}

#[test]
fn any_other_global_key_is_ignored_with_an_event_and_makes_no_file() {
    for key in ["uid", "gid", "mtime", "SCHILY.xattr.user.k", "SCHILY.fflags", "anything"] {
        let layer = tar().global_header(record(key, "7")).file("f", "x");
        odd(&layer, want(), Reason::GlobalPaxIgnored, ErrorKind::PaxGlobal, At::entry(0));
    }
}

#[test]
fn a_record_is_exactly_as_long_as_it_says() {
    fine(&file("12 comment=\n12 uname=xy\n"), &want());
    let malformed = [
        "11 comment=\n",
        "13 comment=\n",
        "012 comment=\n",
        "+12 comment=\n",
        " 12 comment=\n",
        "12comment=x\n",
        "12 comment=x",
        "11 comment\n",
        "0 \n",
        "-1 a=b\n",
        "99999999999999999999 a=b\n",
        "5 =x\n",
    ];
    for records in malformed {
        bad(&file(records), ErrorKind::PaxMalformed, At::entry(0));
    }
}

#[test]
fn a_value_may_hold_newlines_nuls_and_equals_signs() {
    let value = b"a\n12 path=evil\n\0=\xff";
    fine(&file(record("SCHILY.xattr.user.k", value)), &want().xattr("user.k", value));
    fine(&file(record("comment", b"\0\n")), &want());
}

#[test]
fn integers_are_digits_alone_and_what_is_no_id_is_out_of_range() {
    for (key, value) in [("size", "-1"), ("size", "+1"), ("uid", "0x1"), ("gid", "1.0"), ("uid", " 1"), ("gid", "1 ")] {
        bad(&file(record(key, value)), ErrorKind::PaxMalformed, At::entry(0));
    }
    bad(&file(record("size", "18446744073709551616")), ErrorKind::NumberOutOfRange, At::entry(0));
    let (uid, gid) = me();
    let own = record("uid", uid.to_string()).into_iter().chain(record("gid", format!("00{gid}"))).collect::<Vec<_>>();
    fine(&file(own), &want());
}

#[test]
fn an_empty_value_unsets_a_standard_key_with_an_event_and_strict_refuses_it() {
    for key in ["path", "linkpath", "size", "uid", "gid", "mtime"] {
        odd(&file(record(key, "")), want(), Reason::EmptyPaxValue, ErrorKind::PaxMalformed, At::entry(0));
    }
    // What stood before it in the header of the entry counts again.
    let records = [record("mtime", "5"), record("mtime", "")].concat();
    gives(&container(), &[file(records)], want()).events(&[(Reason::EmptyPaxValue, 1), (Reason::PaxKeyRepeated, 1)]);
}

#[test]
fn keys_that_mean_nothing_here_are_ignored() {
    let keys = ["atime", "ctime", "uname", "gname", "comment", "charset", "hdrcharset", "SCHILY.dev", "SCHILY.ino", "SCHILY.nlink"];
    for key in keys.into_iter().chain(["LIBARCHIVE.creationtime", "APK-TOOLS.checksum.SHA1"]) {
        for value in ["anything", ""] {
            fine(&file(record(key, value)), &want());
        }
    }
}

#[test]
fn keys_that_are_never_applied_are_dropped_with_an_event_and_refused_by_strict() {
    for key in ["SCHILY.acl.access", "SCHILY.acl.default", "RHT.security.selinux", "SCHILY.fflags"] {
        odd(&file(record(key, "v")), want(), Reason::PaxKeyDropped, ErrorKind::ForbiddenXattr, At::entry(0));
    }
}

#[test]
fn keys_that_change_what_an_entry_is_are_errors() {
    bad(&file(record("SCHILY.realsize", "1")), ErrorKind::SparseMalformed, At::entry(0));
    bad(&file(record("SCHILY.filetype", "sparse")), ErrorKind::UnsupportedType, At::entry(0));
}

#[test]
fn any_other_key_is_an_event() {
    for policy in both() {
        for key in ["VENDOR.key", "Path", "SCHILY.devmajor", "path "] {
            gives(&policy, &[file(record(key, "../evil"))], want()).events(&[(Reason::UnknownPaxKey, 1)]);
        }
    }
}

#[test]
fn an_xattr_in_two_spellings_is_one_and_the_last_counts() {
    let both = |value: &str| Entry::file("f", "x").pax("SCHILY.xattr.user.k", value).pax("LIBARCHIVE.xattr.user.%6b", "aGk=");
    fine(&tar().add(both("hi")), &want().xattr("user.k", "hi"));
    odd(&tar().add(both("ho")), want().xattr("user.k", "hi"), Reason::PaxKeyRepeated, ErrorKind::PaxConflict, At::entry(0));
    for (key, value) in [("LIBARCHIVE.xattr.user.k", "!"), ("LIBARCHIVE.xattr.user.%4", ""), ("LIBARCHIVE.xattr.user.%00", "")] {
        bad(&file(record(key, value)), ErrorKind::PaxMalformed, At::entry(0));
    }
    bad(&file(record("SCHILY.xattr.", "v")), ErrorKind::PaxMalformed, At::entry(0));
}

#[test]
fn the_xattrs_of_an_entry_are_bounded() {
    for policy in both() {
        let policy = with(policy, |policy| (policy.limits.xattrs, policy.limits.xattr_bytes) = (2, 20));
        let layer = |keys: &[(&str, &str)]| {
            let entry = Entry::file("f", "x");
            tar().add(keys.iter().fold(entry, |entry, (key, value)| entry.pax(format!("SCHILY.xattr.user.{key}"), value)))
        };
        gives(&policy, &[layer(&[("a", "1"), ("b", "2")])], want().xattr("user.a", "1").xattr("user.b", "2"));
        for (keys, limit) in [(&[("a", "1"), ("b", "2"), ("c", "3")][..], "xattrs"), (&[("a", "123456789012345")], "xattr_bytes")] {
            let error = refuses(&policy, &[layer(keys)], ErrorKind::LimitExceeded, At::entry(0));
            assert_eq!(error.limit().map(|limit| limit.name), Some(limit));
        }
    }
}
