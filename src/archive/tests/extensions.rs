//! Extension headers: precedence, repeats, conflicts, and headers that no entry follows.

use super::*;

#[test]
fn gnu_long_names_take_the_place_of_the_header_s() {
    let link = Header::new(GNU, b'2', "short").link("cut").block();
    let entry = only_entry(&strict(), &archive(&[long_link(b"a long target\0"), long_name(b"a/long/name\0\0\0"), link]));
    assert_eq!((entry.path, entry.link), (b"a/long/name".to_vec(), b"a long target".to_vec()));
    assert_eq!((entry.index, entry.offset, entry.header_offset), (0, 0, 2048));
}

#[test]
fn an_extension_header_belongs_to_one_entry_only() {
    let seen = accepted_by_both(&archive(&[long_name(b"long\0"), file("a").block(), file("b").block()]));
    let paths: Vec<_> = seen.iter().map(|seen| seen.entry.path.as_slice()).collect();
    assert_eq!(paths, [b"long".as_slice(), b"b"]);
    assert_eq!((seen[1].entry.index, seen[1].entry.offset, seen[1].entry.header_offset), (1, 1536, 1536));
}

#[test]
fn a_nul_inside_a_gnu_long_name_is_refused() {
    for (extension, kind) in [
        (long_name(b"ok\0/../../x\0"), ErrorKind::InvalidName),
        (long_name(b"\0x"), ErrorKind::InvalidName),
        (long_link(b"ok\0/../../x"), ErrorKind::InvalidLinkTarget),
    ] {
        refused_by_both(&archive(&[file("first").block(), extension, file("a").block()]), kind, 512);
    }
}

#[test]
fn an_empty_gnu_long_name_is_an_empty_name() {
    for payload in [b"".as_slice(), b"\0"] {
        assert_eq!(accepted_by_both(&archive(&[long_name(payload), file("a").block()]))[0].entry.path, b"");
    }
}

#[test]
fn gnu_and_pax_names_that_agree_are_odd() {
    let path = [long_name(b"name\0"), pax(&[("path", b"name")]), file("a").block()];
    assert_eq!(odd(&archive(&path), Reason::LongNameTwice, ErrorKind::PaxConflict, 2048)[0].entry.path, b"name");
    let link = [pax(&[("linkpath", b"to")]), long_link(b"to\0"), Header::new(GNU, b'2', "l").block()];
    assert_eq!(odd(&archive(&link), Reason::LongNameTwice, ErrorKind::PaxConflict, 2048)[0].entry.link, b"to");
}

#[test]
fn gnu_and_pax_names_that_differ_are_refused() {
    let path = [long_name(b"one\0"), pax(&[("path", b"two")]), file("a").block()];
    refused_by_both(&archive(&path), ErrorKind::PaxConflict, 2048);
    let link = [pax(&[("linkpath", b"two")]), long_link(b"one\0"), Header::new(GNU, b'2', "l").block()];
    refused_by_both(&archive(&link), ErrorKind::PaxConflict, 2048);
    let other = [pax(&[("linkpath", b"two")]), long_name(b"one\0"), Header::new(GNU, b'2', "l").block()];
    accepted_by_both(&archive(&other));
}

#[test]
fn of_two_extension_headers_of_one_kind_the_last_is_taken() {
    let entry = |first, second| archive(&[first, second, Header::new(GNU, b'2', "a").link("to").block()]);
    let long = odd(&entry(long_name(b"one\0"), long_name(b"two\0")), Reason::ExtensionRepeated, ErrorKind::PaxConflict, 1024);
    assert_eq!(long[0].entry.path, b"two");
    let link = odd(&entry(long_link(b"one\0"), long_link(b"two\0")), Reason::ExtensionRepeated, ErrorKind::PaxConflict, 1024);
    assert_eq!(link[0].entry.link, b"two");
    let first = pax(&[("path", b"one"), ("uid", b"7")]);
    let records = odd(&entry(first, pax(&[("path", b"two")])), Reason::ExtensionRepeated, ErrorKind::PaxConflict, 1024);
    assert_eq!((records[0].entry.path.as_slice(), records[0].entry.uid), (b"two".as_slice(), 1000));
    accepted_by_both(&archive(&[long_name(b"one\0"), file("a").block(), long_name(b"two\0"), file("b").block()]));
}

#[test]
fn a_pax_header_in_a_v7_block_is_odd() {
    let carried = |typeflag, records| {
        let carrier = Header::new(V7, typeflag, "x").body(&pax_payload(&[records]));
        archive(&[carrier, Header::new(V7, b'0', "a").block()])
    };
    let seen = odd(&carried(b'x', ("path", b"b")), Reason::ExtensionInV7Header, ErrorKind::BadHeader, 0);
    assert_eq!(seen[0].entry.path, b"b");
    odd(&carried(b'g', ("comment", b"b")), Reason::ExtensionInV7Header, ErrorKind::BadHeader, 0);
    for magic in [USTAR, GNU] {
        let carrier = Header::new(magic, b'x', "x").body(&pax_payload(&[("path", b"b")]));
        accepted_by_both(&archive(&[carrier, file("a").block()]));
    }
}

#[test]
fn an_extension_header_without_an_entry_is_refused() {
    for extension in [long_name(b"n\0"), long_link(b"n\0"), pax(&[("comment", b"n")]), pax(&[])] {
        let end = 512 + extension.len() as u64;
        for tail in [vec![], vec![0; 512], vec![0; 1024]] {
            let archive = [file("a").block(), extension.clone(), tail].concat();
            refused_by_both(&archive, ErrorKind::DanglingExtension, end);
        }
        let between = [file("a").block(), extension, vec![0; 512], file("b").block(), vec![0; 1024]].concat();
        refused_by_both(&between, ErrorKind::DanglingExtension, end);
    }
    assert_eq!(accepted_by_both(&archive(&[global(&[("comment", b"c")])])), []);
}

#[test]
fn a_global_comment_is_ignored() {
    let seen = accepted_by_both(&archive(&[global(&[("comment", b"5f2a")]), file("a").block()]));
    assert_eq!((seen.len(), seen[0].entry.offset, seen[0].entry.header_offset), (1, 0, 1024));
}

#[test]
fn a_global_name_or_size_is_refused() {
    for key in ["path", "linkpath", "size", "GNU.sparse.name", "GNU.sparse.major"] {
        let records = [("comment", b"c".as_slice()), (key, b"1")];
        refused_by_both(&archive(&[global(&records), file("a").block()]), ErrorKind::PaxGlobal, 512 + 13);
    }
}

#[test]
fn any_other_global_key_is_ignored_with_an_event() {
    for key in ["uid", "mtime", "SCHILY.xattr.user.a", "anything"] {
        let archive = archive(&[global(&[("comment", b"c"), (key, b"1")]), file("a").block()]);
        let seen = odd(&archive, Reason::GlobalPaxIgnored, ErrorKind::PaxGlobal, 512 + 13);
        assert_eq!(seen[0].entry.uid, 1000);
    }
    refused_by_both(&archive(&[Header::new(USTAR, b'g', "g").body(b"7 a=\n")]), ErrorKind::PaxMalformed, 512);
}

#[test]
fn a_pax_size_is_never_that_of_the_headers_between() {
    let parts = [pax(&[("size", b"3")]), long_name(b"a long name, longer than three\0"), file("a").with(b"abc"), file("b").block()];
    let seen = accepted_by_both(&archive(&parts));
    assert_eq!((seen.len(), seen[0].entry.size, &seen[0].data), (2, 3, &vec![(0, b"abc".to_vec())]));
    assert_eq!(seen[0].entry.path, b"a long name, longer than three");
}

#[test]
fn a_pax_size_that_differs_from_the_header_s_is_odd_and_wins() {
    let parts = |header, size: &[u8], body| archive(&[pax(&[("size", size)]), file("a").size(header).with(body), file("b").block()]);
    let seen = odd(&parts(8, b"600", &[b'x'; 600]), Reason::SizeFromPax, ErrorKind::SizeConflict, 1024);
    assert_eq!((seen.len(), seen[0].entry.size), (2, 600));
    let seen = odd(&parts(1536, b"0", b""), Reason::SizeFromPax, ErrorKind::SizeConflict, 1024);
    assert_eq!((seen.len(), seen[0].entry.size), (2, 0));
    assert_eq!(accepted_by_both(&parts(0, b"600", &[b'x'; 600]))[0].entry.size, 600);
    assert_eq!(accepted_by_both(&parts(600, b"600", &[b'x'; 600]))[0].entry.size, 600);
}
