//! PAX records: grammar, keys, empty values, extended attributes.

use super::*;
use crate::archive::xattr::{base64_decode, url_decode};

fn with(records: &[(&str, &[u8])]) -> Vec<u8> {
    archive(&[pax(records), file("a").block()])
}

#[test]
fn every_standard_key_takes_the_place_of_its_field() {
    let link = archive(&[
        pax(&[("path", b"dir/\xff\nname"), ("linkpath", b"to"), ("uid", b"4294967296"), ("gid", b"7"), ("mtime", b"-1.5"), ("size", b"0")]),
        Header::new(USTAR, b'2', "l").link("cut").block(),
    ]);
    let entry = only_entry(&strict(), &link);
    assert_eq!((entry.path, entry.link), (b"dir/\xff\nname".to_vec(), b"to".to_vec()));
    assert_eq!((entry.uid, entry.gid, entry.mtime), (1 << 32, 7, time(-2, 500_000_000)));
}

#[test]
fn a_record_is_exactly_as_long_as_it_says() {
    let (_, events) = accepted(&tolerant(), &archive(&[raw_pax(b"7 a=bc\n"), file("a").block()]));
    assert_eq!(events, [(Reason::UnknownPaxKey, 512)]);
    for payload in [
        b"8 a=bc\n".as_slice(),
        b"6 a=bc\n",
        b"07 a=b\n",
        b"0 a=bc\n",
        b"-7 a=b\n",
        b"+7 a=b\n",
        b" 7 a=b\n",
        b"7\ta=bc\n",
        b"7a=bcd\n",
        b"7 a=bcd",
        b"5 abc\n",
        b"6 abc\n",
        b"4 =\n",
        b"4 a\n",
        b"3 \n",
        b"2\n",
        b"2 ",
        b"\n",
        b"x",
        b"\0\0\0",
        b"99999999999999999999999 a=b\n",
        b"18446744073709551615 a=b\n",
        b"7 a=bc\n\0",
    ] {
        let error = parse(&tolerant(), &archive(&[raw_pax(payload), file("a").block()])).end.unwrap_err();
        let offset = if payload.len() == 8 && payload.ends_with(b"\0") { 519 } else { 512 };
        assert_eq!((error.kind(), error.location().offset), (ErrorKind::PaxMalformed, Some(offset)), "{}", payload.escape_ascii());
    }
}

#[test]
fn a_value_may_hold_newlines_and_nuls() {
    let value = b"\n20 path=injected\n\0=";
    let entry = only_entry(&strict(), &with(&[("SCHILY.xattr.user.a", value), ("path", b"real")]));
    assert_eq!((entry.path, entry.xattrs), (b"real".to_vec(), vec![xattr("user.a", value)]));
}

#[test]
fn a_nul_in_a_name_is_refused_and_elsewhere_not() {
    refused_by_both(&with(&[("path", b"a\0b")]), ErrorKind::InvalidName, 512);
    refused_by_both(&with(&[("uid", b"1"), ("linkpath", b"a\0")]), ErrorKind::InvalidLinkTarget, 512 + 8);
    refused_by_both(&with(&[("SCHILY.xattr.user.\0", b"v")]), ErrorKind::PaxMalformed, 512);
    refused_by_both(&with(&[("LIBARCHIVE.xattr.user.%00", b"")]), ErrorKind::PaxMalformed, 512);
    refused_by_both(&with(&[("SCHILY.xattr.", b"v")]), ErrorKind::PaxMalformed, 512);
    accepted_by_both(&with(&[("comment", b"a\0b")]));
}

#[test]
fn a_key_twice_is_odd_and_the_last_is_taken() {
    let twice = with(&[("path", b"one"), ("path", b"two")]);
    assert_eq!(odd(&twice, Reason::PaxKeyRepeated, ErrorKind::PaxConflict, 512 + 12)[0].entry.path, b"two");
    let same = with(&[("uid", b"1"), ("uid", b"1")]);
    odd(&same, Reason::PaxKeyRepeated, ErrorKind::PaxConflict, 512 + 8);
    let ignored = with(&[("atime", b"1"), ("atime", b"2")]);
    odd(&ignored, Reason::PaxKeyRepeated, ErrorKind::PaxConflict, 512 + 11);
    let attribute = with(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.a", b"2")]);
    let seen = odd(&attribute, Reason::PaxKeyRepeated, ErrorKind::PaxConflict, 512 + 25);
    assert_eq!(seen[0].entry.xattrs, [xattr("user.a", b"2")]);
}

#[test]
fn an_empty_value_unsets_a_standard_key() {
    for key in ["path", "linkpath", "size", "uid", "gid", "mtime"] {
        let seen = odd(&with(&[(key, b"")]), Reason::EmptyPaxValue, ErrorKind::PaxMalformed, 512);
        let entry = &seen[0].entry;
        assert_eq!((entry.path.as_slice(), entry.uid, entry.gid), (b"a".as_slice(), 1000, 1001));
    }
    let (seen, _) = accepted(&tolerant(), &archive(&[long_name(b"gnu\0"), pax(&[("path", b"")]), file("a").block()]));
    assert_eq!(seen[0].entry.path, b"gnu");
    let (seen, events) = accepted(&tolerant(), &with(&[("uid", b"7"), ("uid", b"")]));
    assert_eq!((seen[0].entry.uid, events), (1000, vec![(Reason::PaxKeyRepeated, 520), (Reason::EmptyPaxValue, 520)]));
}

#[test]
fn an_empty_xattr_is_an_xattr() {
    let entry = only_entry(&strict(), &with(&[("SCHILY.xattr.user.a", b""), ("LIBARCHIVE.xattr.user.b", b"")]));
    assert_eq!(entry.xattrs, [xattr("user.a", b""), xattr("user.b", b"")]);
}

#[test]
fn known_keys_without_a_meaning_here_are_ignored() {
    for key in ["atime", "ctime", "uname", "gname", "comment", "charset", "hdrcharset", "SCHILY.dev", "SCHILY.ino", "SCHILY.nlink"] {
        accepted_by_both(&with(&[(key, b"anything")]));
        accepted_by_both(&with(&[(key, b"")]));
    }
    accepted_by_both(&with(&[("LIBARCHIVE.creationtime", b"1"), ("APK-TOOLS.checksum.SHA1", b"00")]));
}

#[test]
fn keys_that_are_never_applied_are_dropped_with_an_event() {
    for key in ["SCHILY.acl.access", "SCHILY.acl.default", "RHT.security.selinux", "SCHILY.fflags"] {
        odd(&with(&[(key, b"v")]), Reason::PaxKeyDropped, ErrorKind::ForbiddenXattr, 512);
    }
}

#[test]
fn keys_that_change_what_an_entry_is_are_refused() {
    refused_by_both(&with(&[("SCHILY.realsize", b"1")]), ErrorKind::SparseMalformed, 512);
    refused_by_both(&with(&[("SCHILY.filetype", b"sparse")]), ErrorKind::UnsupportedType, 512);
}

#[test]
fn an_unknown_key_is_an_event_for_every_policy() {
    for key in ["SCHILY.devmajor", "SCHILY.devminor", "VENDOR.key", "Path", "SCHILY.xattr", "path "] {
        for options in [tolerant(), strict()] {
            assert_eq!(accepted(&options, &with(&[(key, b"v")])).1, [(Reason::UnknownPaxKey, 512)]);
        }
    }
    let long = "k".repeat(5000);
    let event = parse(&tolerant(), &with(&[(&long, b"v")])).seen.remove(0).entry.events.remove(0);
    assert_eq!(event.detail, "k".repeat(64));
}

#[test]
fn values_of_the_wrong_grammar_are_refused() {
    for (key, value, kind) in [
        ("size", b"-512".as_slice(), ErrorKind::PaxMalformed),
        ("size", b"18446744073709551617", ErrorKind::NumberOutOfRange),
        ("uid", b"+5", ErrorKind::PaxMalformed),
        ("gid", b"0x5", ErrorKind::PaxMalformed),
        ("mtime", b"1e400", ErrorKind::PaxMalformed),
        ("mtime", b"99999999999999999999", ErrorKind::NumberOutOfRange),
        ("LIBARCHIVE.xattr.user.a", b"!", ErrorKind::PaxMalformed),
        ("LIBARCHIVE.xattr.user.%4", b"", ErrorKind::PaxMalformed),
    ] {
        refused_by_both(&with(&[("comment", b"c"), (key, value)]), kind, 512 + 13);
    }
}

#[test]
fn both_spellings_of_an_xattr_are_one() {
    let both = |value: &[u8]| with(&[("SCHILY.xattr.user.a", value), ("LIBARCHIVE.xattr.user.%61", b"aGk")]);
    assert_eq!(only_entry(&strict(), &both(b"hi")).xattrs, [xattr("user.a", b"hi")]);
    let seen = odd(&both(b"ho"), Reason::PaxKeyRepeated, ErrorKind::PaxConflict, 512 + 26);
    assert_eq!(seen[0].entry.xattrs, [xattr("user.a", b"hi")]);
}

#[test]
fn url_encoding_is_exact() {
    assert_eq!(url_decode(b"user.a%2Fb%2fc%3D%25").unwrap(), b"user.a/b/c=%");
    assert_eq!(url_decode(b"%fF%0a%A9").unwrap(), b"\xff\x0a\xa9");
    for text in [b"%".as_slice(), b"%4", b"a%4", b"%4g", b"%g4", b"% 4", b"%+4"] {
        assert_eq!(url_decode(text).unwrap_err().kind(), ErrorKind::PaxMalformed);
    }
}

#[test]
fn base64_is_exact_with_or_without_padding() {
    for (text, value) in
        [("", b"".as_slice()), ("AA", b"\0"), ("AA==", b"\0"), ("aGk=", b"hi"), ("aGk", b"hi"), ("Pz8+/+//", b"??>\xff\xef\xff")]
    {
        assert_eq!(base64_decode(text.as_bytes()).unwrap(), value);
    }
    for text in ["A", "=", "==", "A=", "AA=", "AA===", "AAA==", "AAAA=", "AAAA==", "A A=", "AB", "AAB", "AA=A", "-_", "AAAA\n", "!"] {
        assert_eq!(base64_decode(text.as_bytes()).map_err(|error| error.kind()), Err(ErrorKind::PaxMalformed), "{text}");
    }
}
