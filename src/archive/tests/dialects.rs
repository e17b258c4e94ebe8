//! Headers: magic, checksum, names, types, devices.

use super::*;

#[test]
fn a_plain_entry_has_its_fields_and_its_bytes() {
    let archive = archive(&[file("dir/a").body(b"hello"), Header::new(USTAR, b'2', "l").link("target").block()]);
    let seen = accepted_by_both(&archive);
    let first = RawEntry {
        index: 0,
        offset: 0,
        header_offset: 0,
        typeflag: b'0',
        path: b"dir/a".to_vec(),
        link: Vec::new(),
        mode: 0o644,
        uid: 1000,
        gid: 1001,
        mtime: time(1_000_000_000, 0),
        size: 5,
        real_size: 5,
        sparse: false,
        device: None,
        xattrs: Vec::new(),
        events: Vec::new(),
    };
    assert_eq!(seen[0], Seen { entry: first.clone(), data: vec![(0, b"hello".to_vec())], ended: true });
    let second = RawEntry {
        index: 1,
        offset: 1024,
        header_offset: 1024,
        typeflag: b'2',
        path: b"l".to_vec(),
        link: b"target".to_vec(),
        size: 0,
        real_size: 0,
        ..first
    };
    assert_eq!(seen[1], Seen { entry: second, data: Vec::new(), ended: true });
}

#[test]
fn a_ustar_header_has_a_prefix() {
    let header = file("name").put(345, b"some/where");
    assert_eq!(only_entry(&strict(), &archive(&[header.block()])).path, b"some/where/name");
    let full = Header::new(USTAR, b'0', &"n".repeat(100)).put(345, &[b'p'; 155]).put(157, &[b'l'; 100]);
    let entry = only_entry(&strict(), &archive(&[full.block()]));
    assert_eq!(entry.path, [[b'p'; 155].as_slice(), b"/", &[b'n'; 100]].concat());
    assert_eq!(entry.link, [b'l'; 100]);
}

#[test]
fn the_prefix_of_a_gnu_or_v7_header_is_never_read() {
    for magic in [GNU, V7] {
        let header = Header::new(magic, b'0', "name").put(345, b"some/where");
        assert_eq!(only_entry(&strict(), &archive(&[header.block()])).path, b"name");
    }
}

#[test]
fn a_fixed_name_ends_at_its_first_nul() {
    let header = file("name").put(5, b"junk").put(157, b"link\0junk").put(345, b"dir\0junk");
    let entry = only_entry(&strict(), &archive(&[header.block()]));
    assert_eq!((entry.path, entry.link), (b"dir/name".to_vec(), b"link".to_vec()));
}

#[test]
fn any_other_ustar_magic_is_refused() {
    for magic in [b"ustar\0\0\0", b"ustar  0", b"ustar 00", b"ustar\x0001", b"ustarXXX"] {
        let bad = Header::new(magic, b'0', "b").block();
        refused_by_both(&archive(std::slice::from_ref(&bad)), ErrorKind::BadHeader, 0);
        refused_by_both(&archive(&[file("a").block(), bad]), ErrorKind::BadHeader, 512);
    }
}

#[test]
fn what_is_no_archive_is_told_from_one_with_a_wrong_checksum() {
    refused_by_both(&b"not a tar archive ".repeat(200), ErrorKind::BadHeader, 0);
    let wrong = file("a").checksum(b"0000001\0");
    refused_by_both(&archive(std::slice::from_ref(&wrong)), ErrorKind::BadChecksum, 0);
    let error = refused(&tolerant(), &archive(&[file("a").block(), wrong]), ErrorKind::BadChecksum, 512);
    assert_eq!((error.location().entry, &error.location().path), (Some(1), &None));
    let later = Header::new(V7, b'0', "b").checksum(b"0000001\0");
    refused_by_both(&archive(&[file("a").block(), later]), ErrorKind::BadChecksum, 512);
}

#[test]
fn a_checksum_is_octal_and_never_blank() {
    for field in [b"        ", b"\0\0\0\0\0\0\0\0", b"00x0000\0", b"\x80\0\0\0\0\0\x12\x34"] {
        refused_by_both(&archive(&[file("a").checksum(field)]), ErrorKind::BadChecksum, 0);
    }
    let spaced = file("a").block();
    let text = String::from_utf8(spaced[148..154].to_vec()).unwrap();
    let spaced = file("a").checksum(format!("{:>6} \0", text.trim_start_matches('0')).as_bytes().try_into().unwrap());
    accepted_by_both(&archive(&[spaced]));
}

#[test]
fn a_signed_checksum_is_odd() {
    let header = Header::new(USTAR, b'0', "caf\u{e9}");
    odd(&archive(&[file("a").block(), header.clone().signed_block()]), Reason::SignedChecksum, ErrorKind::BadChecksum, 512);
    accepted_by_both(&archive(&[header.block()]));
}

#[test]
fn an_unknown_type_is_for_the_policy_to_judge() {
    for typeflag in [b'M', b'V', b'D', b'N', b'Z', b'X', b'8', 0xff] {
        let archive = archive(&[Header::new(GNU, typeflag, "a").body(b"payload"), file("b").block()]);
        let seen = accepted_by_both(&archive);
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].entry.typeflag, &seen[0].data), (typeflag, &vec![(0, b"payload".to_vec())]));
    }
    for typeflag in [0, b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7'] {
        let seen = accepted_by_both(&archive(&[Header::new(GNU, typeflag, "a").block()]));
        assert_eq!(seen[0].entry.typeflag, typeflag);
    }
}

#[test]
fn a_size_on_a_type_without_a_body_is_passed_on_with_its_bytes() {
    for typeflag in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let seen = accepted_by_both(&archive(&[Header::new(USTAR, typeflag, "a").body(b"hidden"), file("b").block()]));
        assert_eq!((seen[0].entry.size, &seen[0].data), (6, &vec![(0, b"hidden".to_vec())]));
    }
}

#[test]
fn only_devices_have_device_numbers() {
    for magic in [USTAR, GNU] {
        let header = |typeflag| Header::new(magic, typeflag, "dev").put(329, b"0000010\0").put(337, &base256(1 << 32, 8));
        for typeflag in [b'3', b'4'] {
            assert_eq!(only_entry(&strict(), &archive(&[header(typeflag).block()])).device, Some((8, 1 << 32)));
        }
        let junk = header(b'6').put(329, b"junkjunk");
        assert_eq!(only_entry(&strict(), &archive(&[junk.clone().block()])).device, None);
        refused_by_both(&archive(&[junk.put(156, b"3").block()]), ErrorKind::BadNumber, 0);
        refused_by_both(&archive(&[header(b'3').put(329, &base256(-1, 8)).block()]), ErrorKind::NumberOutOfRange, 0);
    }
}

#[test]
fn a_v7_device_has_blank_numbers() {
    let device = archive(&[Header::new(V7, b'3', "dev").put(329, b"0000010\0").block()]);
    let (seen, events) = accepted(&tolerant(), &device);
    assert_eq!(seen[0].entry.device, Some((0, 0)));
    assert_eq!(events, [(Reason::BlankNumber, 0), (Reason::BlankNumber, 0)]);
    refused(&strict(), &device, ErrorKind::BadNumber, 0);
}
