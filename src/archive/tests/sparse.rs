//! Sparse files: old GNU, PAX 0.0, 0.1 and 1.0.

use super::*;

/// An old GNU header with up to four segments.
fn old(segments: &[(u64, u64)], real_size: u64) -> Header {
    let header = Header::new(GNU, b'S', "f").put(483, format!("{real_size:011o}\0").as_bytes());
    segments.iter().enumerate().fold(header, |header, (n, segment)| header.put(386 + 24 * n, &slot(*segment)))
}

fn slot((offset, len): (u64, u64)) -> Vec<u8> {
    format!("{offset:011o}\0{len:011o}\0").into_bytes()
}

fn continuation(segments: &[(u64, u64)], goes_on: u8) -> Vec<u8> {
    let mut block: Vec<u8> = segments.iter().flat_map(|segment| slot(*segment)).collect();
    block.resize(512, 0);
    block[504] = goes_on;
    block
}

/// A header that says it goes on, with its stored size, then blocks, then the body.
fn extended(header: Header, blocks: &[Vec<u8>], body: &[u8]) -> Vec<u8> {
    [header.put(482, &[1]).size(body.len() as u64).block(), blocks.concat(), padded(body)].concat()
}

fn keyed(records: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    archive(&[pax(records), file("GNUSparseFile.0/f").body(body), file("last").block()])
}

/// A file of format 1.0 with `map` in its body.
fn in_body(map: &str, real_size: &str, data: &[u8]) -> Vec<u8> {
    let records = [
        ("GNU.sparse.major", b"1".as_slice()),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"f"),
        ("GNU.sparse.realsize", real_size.as_bytes()),
    ];
    keyed(&records, &[padded(map.as_bytes()), data.to_vec()].concat())
}

#[track_caller]
fn malformed(archive: &[u8], offset: u64) {
    refused_by_both(archive, ErrorKind::SparseMalformed, offset);
}

#[track_caller]
fn check(archive: &[u8], sizes: (u64, u64), data: &[(u64, &[u8])]) {
    let seen = accepted_by_both(archive);
    let entry = &seen[0].entry;
    assert_eq!((entry.path.as_slice(), entry.sparse), (b"f".as_slice(), true));
    assert_eq!((entry.size, entry.real_size), sizes);
    let data: Vec<_> = data.iter().map(|(offset, bytes)| (*offset, bytes.to_vec())).collect();
    assert_eq!((&seen[0].data, seen[0].ended), (&data, true));
    assert_eq!(seen.last().unwrap().entry.path, b"last");
}

#[test]
fn an_old_gnu_map_in_the_header_places_the_bytes() {
    let last = file("last").block();
    let body = [[b'a'; 512].as_slice(), &[b'b'; 100]].concat();
    let map = old(&[(1024, 512), (4096, 100), (5000, 0)], 5000).body(&body);
    check(&archive(&[map, last.clone()]), (612, 5000), &[(1024, &[b'a'; 512]), (4096, &[b'b'; 100])]);
    let hole = old(&[(1 << 20, 0)], 1 << 20).block();
    check(&archive(&[hole, last.clone()]), (0, 1 << 20), &[]);
    let full = old(&[(0, 1), (2, 1), (4, 1), (6, 1)], 7).body(b"abcd");
    check(&archive(&[full, last.clone()]), (4, 7), &[(0, b"a"), (2, b"b"), (4, b"c"), (6, b"d")]);
    check(&archive(&[old(&[], 0).block(), last]), (0, 0), &[]);
}

#[test]
fn an_old_gnu_map_goes_on_in_continuation_blocks() {
    let segments: Vec<_> = (0..4 + 21 + 3).map(|n| (n * 10, 1)).collect();
    let body: Vec<u8> = (0..28).collect();
    let blocks = [continuation(&segments[4..25], 1), continuation(&segments[25..], 0)];
    let archive = archive(&[extended(old(&segments[..4], 300), &blocks, &body), file("last").block()]);
    let data: Vec<_> = (0..28).map(|n| (n as u64 * 10, &body[n..=n])).collect();
    check(&archive, (28, 300), &data);
}

#[test]
fn an_old_gnu_file_needs_a_gnu_header() {
    for magic in [USTAR, V7] {
        malformed(&archive(&[Header::new(magic, b'S', "f").block()]), 0);
    }
}

#[test]
fn the_segments_of_an_old_gnu_map_ascend_and_fit_both_sizes() {
    let parts = |header: Header, size| archive(&[header.with(&vec![b'x'; size])]);
    malformed(&parts(old(&[(512, 512), (0, 512)], 2048).size(1024), 1024), 0);
    malformed(&parts(old(&[(0, 512), (511, 512)], 2048).size(1024), 1024), 0);
    malformed(&parts(old(&[(0, 512)], 511).size(512), 512), 0);
    malformed(&parts(old(&[(600, 0)], 599), 0), 0);
    malformed(&parts(old(&[(0, 512)], 2048).size(511), 511), 0);
    malformed(&parts(old(&[(0, 512)], 2048).size(513), 513), 0);
    malformed(&parts(old(&[], 0).size(1), 1), 0);
    accepted_by_both(&parts(old(&[(0, 512), (512, 512)], 1024).size(1024), 1024));
}

#[test]
fn the_numbers_of_an_old_gnu_map_are_numbers() {
    let with = |at, field: &[u8]| archive(&[old(&[(0, 1)], 4).put(at, field).body(b"x")]);
    accepted_by_both(&with(386, &base256(0, 12)));
    malformed(&archive(&[old(&[(0, 1)], 4).put(410, &base256(i128::from(u64::MAX), 12)).put(422, &slot((0, 1))[12..]).body(b"x")]), 0);
    refused_by_both(&with(386, &base256(-1, 12)), ErrorKind::NumberOutOfRange, 0);
    refused_by_both(&with(398, &base256(1 << 64, 12)), ErrorKind::NumberOutOfRange, 0);
    refused_by_both(&with(386, b"junk"), ErrorKind::BadNumber, 0);
    malformed(&with(398, &[0; 12]), 0);
    malformed(&with(410, &slot((3, 0))[..12]), 0);
    refused_by_both(&with(483, b"junk"), ErrorKind::BadNumber, 0);
    refused_by_both(&with(483, &base256(-1, 12)), ErrorKind::NumberOutOfRange, 0);
}

#[test]
fn nothing_follows_the_end_of_an_old_gnu_map() {
    let gap = old(&[(0, 1)], 9).put(386 + 48, &slot((4, 1)));
    malformed(&archive(&[gap.body(b"xy")]), 0);
    let early = extended(old(&[(0, 1)], 9), &[continuation(&[], 0)], b"x");
    malformed(&archive(&[early]), 512);
    let four = old(&[(0, 1), (2, 1), (4, 1), (6, 1)], 9);
    let late = extended(four.clone(), &[continuation(&[(0, 0), (8, 1)], 0)], b"abcde");
    malformed(&archive(&[late]), 512);
    accepted_by_both(&archive(&[extended(four.clone(), &[continuation(&[(8, 1)], 0)], b"abcde")]));
    accepted_by_both(&archive(&[extended(four, &[continuation(&[], 0)], b"abcd")]));
}

#[test]
fn a_chain_of_empty_continuation_blocks_ends_at_its_limit() {
    let chain = extended(old(&[], 512), &vec![continuation(&[], 1); 4000], b"");
    for options in [tolerant(), strict()] {
        let error = parse_slices(&options, std::iter::once(chain.as_slice())).end.unwrap_err();
        // 3,120 blocks have 65,520 slots.
        assert_eq!((error.limit().unwrap().name, error.location().offset), ("sparse_segments", Some(512 * 3121)));
    }
    let options = limited(|limits| limits.sparse_segments = 1);
    accepted(&options, &archive(&[old(&[(0, 1)], 4).body(b"x")]));
    let error = refused(&options, &archive(&[old(&[(0, 1), (2, 0)], 4).body(b"x")]), ErrorKind::LimitExceeded, 0);
    assert_eq!(error.limit().unwrap().name, "sparse_segments");
}

#[test]
fn a_continuation_block_that_is_cut_is_a_cut_stream() {
    let whole = extended(old(&[(0, 1), (2, 1), (4, 1), (6, 1)], 9), &[continuation(&[(8, 1)], 0)], b"abcde");
    refused_by_both(&whole[..512], ErrorKind::Truncated, 512);
    refused_by_both(&whole[..1000], ErrorKind::Truncated, 1000);
}

#[test]
fn a_map_of_format_0_0_is_pairs_of_records() {
    let keys = [
        ("GNU.sparse.size", b"5000".as_slice()),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"1024"),
        ("GNU.sparse.numbytes", b"3"),
        ("GNU.sparse.offset", b"5000"),
        ("GNU.sparse.numbytes", b"0"),
    ];
    let named = [keys.as_slice(), &[("path", b"f")]].concat();
    check(&keyed(&named, b"abc"), (3, 5000), &[(1024, b"abc")]);
    for missing in 0..6 {
        let mut some = keys.to_vec();
        some.remove(missing);
        let error = parse(&tolerant(), &keyed(&some, b"abc")).end.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SparseMalformed, "without {missing}");
        assert_eq!(parse(&strict(), &keyed(&some, b"abc")).end.unwrap_err(), error);
    }
    malformed(&keyed(&keys, b"abcd"), 1024);
}

#[test]
fn a_map_of_format_0_1_is_one_list() {
    let with = |map: &str, count: &str, size: &str| {
        let records = [
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", count.as_bytes()),
            ("GNU.sparse.name", b"f"),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        keyed(&records, b"abc")
    };
    check(&with("0,1,1024,2,5000,0", "3", "5000"), (3, 5000), &[(0, b"a"), (1024, b"bc")]);
    let head = 512 + 24 + 26 + 21;
    malformed(&with("0,1,1024,2,5000,0", "2", "5000"), 1024);
    malformed(&with("0,1,1024,2,5000,0", "3", "4999"), 1024);
    malformed(&with("0,1,1024,1", "2", "5000"), 1024);
    malformed(&with("0,1,1024", "2", "5000"), head);
    malformed(&with("1024,2,0,1", "2", "5000"), head);
    refused_by_both(&with("0,3,", "1", "5000"), ErrorKind::SparseMalformed, head);
    refused_by_both(&with("0,3,,", "1", "5000"), ErrorKind::PaxMalformed, head);
    refused_by_both(&with("0,x", "1", "5000"), ErrorKind::PaxMalformed, head);
    refused_by_both(&with("18446744073709551616,1", "1", "5000"), ErrorKind::NumberOutOfRange, head);
    malformed(&with("18446744073709551615,1", "1", "5000"), head);
    let hole = [("GNU.sparse.size", b"9".as_slice()), ("GNU.sparse.numblocks", b"0"), ("GNU.sparse.name", b"f"), ("GNU.sparse.map", b"")];
    check(&keyed(&hole, b""), (0, 9), &[]);
}

#[test]
fn a_map_of_format_1_0_is_the_start_of_the_body() {
    check(&in_body("2\n1024\n3\n5000\n0\n", "5000", b"abc"), (3, 5000), &[(1024, b"abc")]);
    check(&in_body("0\n", "5000", b""), (0, 5000), &[]);
    let segments: String = (0..200).map(|n| format!("{}\n1\n", n * 100_000)).collect();
    let data: Vec<u8> = (0..200).collect();
    let places: Vec<_> = (0..200).map(|n| (n as u64 * 100_000, &data[n..=n])).collect();
    check(&in_body(&format!("200\n{segments}"), "20000000", &data), (200, 20_000_000), &places);
    let exact = format!("1\n{}0\n3\n", "0".repeat(512 - 6));
    check(&in_body(&exact, "3", b"abc"), (3, 3), &[(0, b"abc")]);
}

#[test]
fn a_map_of_format_1_0_is_numbers_on_lines_padded_with_zeros() {
    // The extension header takes two blocks, the entry's own one.
    let map = 1536;
    for bad in ["x\n", "\n", "1\n0\n\n", "1 \n0\n3\n", "1\n0,3\n", "-1\n", "1\n0\n3\njunk", "1\n0\n3\n\n", "1\n0\n3"] {
        malformed(&in_body(bad, "5000", b"abc"), map);
    }
    malformed(&in_body("2\n100\n3\n50\n0\n", "5000", b"abc"), map);
    malformed(&in_body("1\n0\n4\n", "5000", b"abc"), map);
    malformed(&in_body("1\n0\n3\n", "2", b"abc"), map);
    refused_by_both(&in_body("18446744073709551616\n", "5000", b""), ErrorKind::NumberOutOfRange, map);
    malformed(&in_body("1\n18446744073709551615\n3\n", "5000", b"abc"), map);
    // The second block of the map is not part of the body.
    malformed(&in_body(&format!("9\n{}", "0".repeat(510)), "5000", b"short"), map + 512);
}

#[test]
fn a_map_of_format_1_0_that_is_cut_is_a_cut_stream() {
    let whole = in_body("1\n0\n3\n", "5000", b"abc");
    for cut in [1536, 1600, 2048, 2050] {
        let error = refused(&tolerant(), &whole[..cut], ErrorKind::Truncated, cut as u64);
        assert_eq!(error.location().path.as_deref(), Some(b"f".as_slice()));
    }
}

#[test]
fn a_map_is_bounded_before_it_is_read() {
    let error = refused(&tolerant(), &in_body("65537\n0\n0\n", "0", b""), ErrorKind::LimitExceeded, 1536);
    assert_eq!(error.limit().unwrap().name, "sparse_segments");
    let options = limited(|limits| limits.sparse_segments = 2);
    let listed = |map: &str, count: &str| {
        let records =
            [("GNU.sparse.size", b"9".as_slice()), ("GNU.sparse.numblocks", count.as_bytes()), ("GNU.sparse.map", map.as_bytes())];
        keyed(&records, b"")
    };
    accepted(&options, &listed("0,0,1,0", "2"));
    let error = refused(&options, &listed("0,0,1,0,2,0", "3"), ErrorKind::LimitExceeded, 512 + 21 + 26);
    assert_eq!(error.limit().unwrap().name, "sparse_segments");
}

#[test]
fn keys_without_one_complete_map_are_refused() {
    for records in [
        [("GNU.sparse.name", b"renamed".as_slice())].as_slice(),
        &[("GNU.sparse.major", b"1")],
        &[("GNU.sparse.realsize", b"1")],
        &[("GNU.sparse.size", b"1")],
        &[("GNU.sparse.numblocks", b"0")],
        &[("GNU.sparse.map", b"0,1")],
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")],
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"1")],
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"1"), ("GNU.sparse.realsize", b"1")],
        &[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1")],
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1"), ("GNU.sparse.size", b"1")],
        &[("GNU.sparse.size", b"1"), ("GNU.sparse.numblocks", b"1"), ("GNU.sparse.map", b"0,1"), ("GNU.sparse.realsize", b"1")],
    ] {
        malformed(&keyed(records, b"x"), 1024);
    }
    malformed(&keyed(&[("GNU.sparse.other", b"1")], b"x"), 512);
    refused_by_both(&keyed(&[("GNU.sparse.name", b"a\0")], b"x"), ErrorKind::InvalidName, 512);
    refused_by_both(&keyed(&[("GNU.sparse.size", b"-1")], b"x"), ErrorKind::PaxMalformed, 512);
}

#[test]
fn only_regular_files_are_sparse() {
    let keys = pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"0")]);
    let parts = |typeflag| archive(&[keys.clone(), Header::new(GNU, typeflag, "f").body(&padded(b"0\n"))]);
    for typeflag in [0, b'0', b'7'] {
        assert!(accepted_by_both(&parts(typeflag))[0].entry.sparse);
    }
    for typeflag in [b'1', b'2', b'3', b'4', b'5', b'6', b'S'] {
        malformed(&parts(typeflag), 1024);
    }
}

#[test]
fn a_sparse_name_comes_before_all_others() {
    let records = |name: &[u8]| {
        pax(&[
            ("path", b"GNUSparseFile.0/f"),
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"0"),
            ("GNU.sparse.name", name),
        ])
    };
    let body = file("cut").body(&padded(b"0\n"));
    assert_eq!(accepted_by_both(&archive(&[records(b"../f"), body.clone()]))[0].entry.path, b"../f");
    let both = archive(&[long_name(b"f\0"), records(b"f"), body]);
    refused_by_both(&both, ErrorKind::PaxConflict, 2048);
}

#[test]
fn logical_sizes_are_paid_at_the_header() {
    let bomb = old(&[(0, 1)], 0).put(483, &base256(i64::MAX.into(), 12)).body(b"x");
    let error = refused(&tolerant(), &archive(&[bomb]), ErrorKind::LimitExceeded, 0);
    assert_eq!(error.limit().unwrap().name, "file_bytes");
    let options = limited(|limits| {
        limits.file_bytes = 1000;
        limits.total_bytes = 1500;
    });
    let one = |size| old(&[(0, 1)], size).body(b"x");
    accepted(&options, &archive(&[one(1000), one(500)]));
    for (archive, name, offset) in [(archive(&[one(1001)]), "file_bytes", 0), (archive(&[one(1000), one(501)]), "total_bytes", 1024)] {
        let error = refused(&options, &archive, ErrorKind::LimitExceeded, offset);
        assert_eq!(error.limit().unwrap().name, name);
    }
    refused(&options, &in_body("0\n", "1001", b""), ErrorKind::LimitExceeded, 1024);
}
