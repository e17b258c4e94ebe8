//! How the stream is cut does not matter, and where it is cut short is always noticed.

use super::*;
use proptest::prelude::*;

/// A small archive with every kind of state.
fn sample() -> Vec<u8> {
    let old = Header::new(GNU, b'S', "old").put(386, b"00000000000\x0000000000003\0").put(483, b"00000001000\0");
    let slots = b"00000000100\x0000000000001\0".as_slice();
    let four = (1..4).fold(old, |header, n| header.put(386 + 24 * n, format!("{:011o}\0{:011o}\0", n * 10, 1).as_bytes()));
    let map = [("GNU.sparse.major", b"1".as_slice()), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"600")];
    archive(&[
        global(&[("comment", b"c")]),
        file("a").body(b"hello"),
        pax(&[("path", b"b"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"\n\0"), ("VENDOR.x", b"y")]),
        file("cut").body(&[b'b'; 600]),
        long_name(&[b'n'; 600]),
        long_link(b"to\0"),
        Header::new(GNU, b'2', "l").block(),
        [four.put(482, &[1]).size(7).block(), padded(slots), padded(b"abcdefg")].concat(),
        pax(&map),
        file("new").body(&[padded(b"2\n0\n100\n599\n1\n"), vec![b'x'; 101]].concat()),
    ])
}

#[test]
fn the_sample_is_read_whole() {
    let (seen, events) = accepted(&tolerant(), &sample());
    assert_eq!(seen.len(), 5);
    assert_eq!(events.iter().map(|(reason, _)| *reason).collect::<Vec<_>>(), [Reason::UnknownPaxKey]);
    assert_eq!(seen[4].data, [(0, vec![b'x'; 100]), (599, vec![b'x'])]);
}

#[test]
fn a_cut_at_any_byte_is_an_error_or_a_missing_end() {
    let archive = sample();
    let whole = parse_slices(&tolerant(), std::iter::once(archive.as_slice()));
    let last = archive.len() - 1024;
    for cut in 1..archive.len() {
        for options in [tolerant(), strict()] {
            let outcome = parse_slices(&options, std::iter::once(&archive[..cut]));
            let entries = outcome.seen.len();
            assert!(outcome.seen.iter().zip(&whole.seen).take(entries.saturating_sub(1)).all(|(cut, whole)| cut == whole));
            match outcome.end {
                Ok(events) => {
                    assert_eq!(options.oddities, Oddities::Tolerate);
                    assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::EndOfArchiveMissing]);
                    assert!(outcome.seen.iter().all(|seen| seen.ended));
                    assert!(cut <= last + 512 && cut % 512 == 0, "{cut}");
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::DanglingExtension), "{error}");
                    assert_eq!(error.location().offset, Some(cut as u64));
                }
            }
        }
    }
}

#[test]
fn empty_slices_change_nothing() {
    let archive = sample();
    let whole = parse_slices(&tolerant(), std::iter::once(archive.as_slice()));
    let spaced = archive.chunks(100).flat_map(|slice| [&[], slice, &[]]);
    assert_eq!(parse_slices(&tolerant(), spaced), whole);
}

fn cut_at<'a>(bytes: &'a [u8], lens: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut slices = Vec::new();
    for len in lens.iter().cycle().copied() {
        let (head, tail) = rest.split_at(len.min(rest.len()));
        slices.push(head);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    slices
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_slicing_gives_the_same_pieces(lens in prop::collection::vec(1_usize..2000, 1..20)) {
        let archive = sample();
        let whole = parse_slices(&tolerant(), std::iter::once(archive.as_slice()));
        prop_assert_eq!(parse_slices(&tolerant(), cut_at(&archive, &lens).into_iter()), whole);
    }

    #[test]
    fn any_damage_is_read_alike_in_any_slicing(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        len in 1_usize..1500,
    ) {
        let mut archive = sample();
        for (place, byte) in damage {
            *place.get_mut(&mut archive) = byte;
        }
        reseal(&mut archive);
        for options in [tolerant(), strict()] {
            let whole = parse_slices(&options, std::iter::once(archive.as_slice()));
            prop_assert_eq!(parse_slices(&options, archive.chunks(len)), whole);
        }
    }
}

/// Gives every block that looks like a header a right checksum again, so that the damage is read.
fn reseal(archive: &mut [u8]) {
    for block in archive.chunks_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

#[cfg(feature = "image")]
#[test]
fn a_body_that_is_passed_over_leaves_the_entries_and_the_end_as_they_are() {
    let archive = sample();
    let whole = parse_slices(&tolerant(), std::iter::once(archive.as_slice()));
    for len in [1, 511, 512, 700, archive.len()] {
        let (mut parser, mut entries) = (Parser::new(tolerant()), Vec::new());
        while let Some(mut input) = archive.get(parser.position() as usize..).filter(|rest| !rest.is_empty()) {
            input = &input[..len.min(input.len())];
            loop {
                match parser.next(&mut input).unwrap() {
                    Piece::More => break,
                    Piece::Entry(entry) => {
                        entries.push(*entry);
                        let passed = parser.pass_over_body() as usize;
                        input = &input[passed.min(input.len())..];
                    }
                    Piece::Data { .. } => panic!("a body that was passed over"),
                    Piece::EntryEnd => assert_eq!(parser.pass_over_body(), 0),
                }
            }
        }
        assert_eq!(entries, whole.seen.iter().map(|seen| seen.entry.clone()).collect::<Vec<_>>(), "pieces of {len}");
        assert_eq!(parser.finish().map(|(_, events)| events), whole.end);
    }
}
