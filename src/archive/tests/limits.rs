//! Every number is paid for before it is used.

use super::*;

#[track_caller]
fn over(options: &Options, archive: &[u8], limit: &str, offset: u64) {
    for oddities in [Oddities::Tolerate, Oddities::Refuse] {
        let options = Options { oddities, ..options.clone() };
        let error = refused(&options, archive, ErrorKind::LimitExceeded, offset);
        assert_eq!(error.limit().unwrap().name, limit);
    }
}

#[test]
fn entries_are_bounded() {
    let options = limited(|limits| limits.entries = 2);
    let files = |count| archive(&vec![file("a").block(); count]);
    assert_eq!(accepted(&options, &files(2)).0.len(), 2);
    over(&options, &files(3), "entries", 1024);
}

#[test]
fn extension_headers_are_paid_with_their_blocks_and_padding_before_they_are_read() {
    let options = limited(|limits| limits.header_bytes = 2048);
    let record = |len| pax(&[("comment", &vec![b'c'; len])]);
    accepted(&options, &archive(&[record(1500), file("a").block()]));
    over(&options, &archive(&[record(1600), file("a").block()]), "header_bytes", 0);
    accepted(&options, &archive(&[long_name(b"n\0"), record(1), file("a").block(), record(1500), file("b").block()]));
    over(&options, &archive(&[long_name(b"n\0"), record(600), file("a").block()]), "header_bytes", 1024);
    over(&options, &archive(&[record(1), global(&[("comment", b"c")]), long_link(b"n\0")]), "header_bytes", 2048);
}

#[test]
fn a_huge_declared_extension_is_refused_at_its_header() {
    for typeflag in [b'L', b'K', b'x', b'g'] {
        for size in [4 << 30, i128::from(i64::MAX), i128::from(u64::MAX)] {
            let block = Header::new(GNU, typeflag, "x").put(124, &base256(size, 12)).block();
            over(&tolerant(), &[file("a").block(), block].concat(), "header_bytes", 512);
        }
    }
}

#[test]
fn a_chain_of_extension_headers_ends_at_its_limit_under_every_policy() {
    let pair = [pax(&[("path", b"abc")]), long_name(b"n\0")].concat();
    let chain = pair.repeat(600);
    for options in [tolerant(), strict()] {
        let error = parse_slices(&options, std::iter::once(chain.as_slice())).end.unwrap_err();
        assert_eq!((error.limit().unwrap().name, error.location().offset), ("header_bytes", Some(1 << 20)));
    }
}

#[test]
fn xattrs_are_bounded_by_count_and_by_bytes() {
    let named = |count: usize| (0..count).map(|n| format!("SCHILY.xattr.user.{n}")).collect::<Vec<_>>();
    let file_with = |names: &[String], value: &[u8]| {
        let records: Vec<_> = names.iter().map(|name| (name.as_str(), value)).collect();
        archive(&[pax(&records), file("a").block()])
    };
    let options = limited(|limits| limits.xattrs = 3);
    accepted(&options, &file_with(&named(3), b""));
    over(&options, &file_with(&named(4), b""), "xattrs", 512 + 3 * 24);
    let options = limited(|limits| limits.xattr_bytes = 20);
    accepted(&options, &file_with(&named(2), b"123"));
    over(&options, &file_with(&named(2), b"12345"), "xattr_bytes", 512 + 29);
    let repeated = [("SCHILY.xattr.user.0", b"1234567890".as_slice()), ("SCHILY.xattr.user.0", b"12345678901234")];
    assert_eq!(accepted(&options, &archive(&[pax(&repeated), file("a").block()])).0.len(), 1);
}

#[test]
fn thousands_of_records_are_read_in_linear_time() {
    let options = limited(|limits| limits.xattrs = u64::MAX);
    let names: Vec<_> = (0..20_000).map(|n| format!("SCHILY.xattr.{n}")).collect();
    let records: Vec<_> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
    let archive = archive(&[pax(&records), file("a").block()]);
    let outcome = parse_slices(&options, std::iter::once(archive.as_slice()));
    assert_eq!(outcome.seen[0].entry.xattrs.len(), 20_000);
}

#[test]
fn stored_bytes_are_paid_as_they_come() {
    let options = limited(|limits| limits.file_bytes = 600);
    accepted(&options, &archive(&[file("a").body(&[b'x'; 600])]));
    over(&options, &archive(&[file("a").body(&[b'x'; 601])]), "file_bytes", 512 + 600);
    let outcome = parse(&options, &archive(&[file("a").body(&[b'x'; 700])]));
    assert_eq!(outcome.seen[0].data, [(0, vec![b'x'; 600])]);
}

#[test]
fn a_huge_declared_body_on_a_tiny_stream_is_a_cut_stream() {
    let header = file("a").put(124, &base256(1 << 62, 12)).block();
    refused_by_both(&[header, vec![b'x'; 1000]].concat(), ErrorKind::Truncated, 1512);
}
