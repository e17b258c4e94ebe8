//! gzip: every member whole, nothing else in the blob.

use super::*;

const BAD: ErrorKind = ErrorKind::BadCompression;

/// A member of stored blocks with the given flags and optional header parts.
fn member(flags: u8, optional: &[u8]) -> Vec<u8> {
    let whole = gz(LAYER);
    [&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3], optional, &whole[10..]].concat()
}

fn crc16(bytes: &[u8]) -> [u8; 2] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    (crc.sum() as u16).to_le_bytes()
}

#[test]
fn one_member_and_many_members_decode_to_their_concatenation() {
    assert_eq!(Ask::anything().gives(&gz(LAYER), LAYER).compression, Compression::Gzip);
    let many = [gz(LAYER), gz(b""), gz(b"x"), gz(LAYER)].concat();
    Ask::anything().strict().gives(&many, &[LAYER, b"x", LAYER].concat());
    Ask::anything().gives(&gz(b""), b"");
}

#[test]
fn a_large_member_decodes_whatever_its_blocks() {
    let mut random = Random(7);
    let layer = [random.bytes(70_000), vec![0; 70_000], random.bytes(30_000), LAYER.repeat(900)].concat();
    Ask::anything().gives(&gz(&layer), &layer);
}

#[test]
fn every_optional_part_of_a_header_is_read_over() {
    let ask = Ask::anything().strict();
    ask.gives(&member(1, b""), LAYER);
    ask.gives(&member(4, b"\x03\x00abc"), LAYER);
    ask.gives(&member(8, b"name\0"), LAYER);
    ask.gives(&member(16, b"comment\0"), LAYER);
    ask.gives(&member(31 - 2, b"\x00\x00name\0comment\0"), LAYER);
    ask.gives(&member(8, &[vec![b'n'; 100_000], vec![0]].concat()), LAYER);
}

#[test]
fn a_header_checksum_is_checked() {
    let header = [0x1f, 0x8b, 8, 2 | 8, 0, 0, 0, 0, 0, 3, b'n', 0];
    let [low, high] = crc16(&header);
    Ask::anything().gives(&member(2 | 8, &[b'n', 0, low, high]), LAYER);
    Ask::anything().fails(&member(2 | 8, &[b'n', 0, low ^ 1, high]), BAD);
    Ask::anything().fails(&member(2 | 8, &[b'm', 0, low, high]), BAD);
    // The second member's checksum does not count the first's header.
    Ask::anything().gives(&[member(2 | 8, &[b'n', 0, low, high]), member(2 | 8, &[b'n', 0, low, high])].concat(), &LAYER.repeat(2));
}

#[test]
fn reserved_flags_and_other_methods_are_refused() {
    for flag in [32, 64, 128] {
        Ask::anything().fails(&member(flag, b""), BAD);
    }
    let mut other = gz(LAYER);
    other[2] = 7;
    Ask::anything().fails(&other, BAD);
}

#[test]
fn checksum_and_length_of_each_member_are_checked_and_the_error_is_placed_after_its_bytes() {
    let good = gz(LAYER);
    for from_end in 1..=8 {
        let mut bad = good.clone();
        let place = bad.len() - from_end;
        bad[place] ^= 0x10;
        let error = Ask::anything().fails(&[good.clone(), bad].concat(), BAD);
        assert_eq!(error.location().offset, Some(2 * LAYER.len() as u64));
        assert!(error.detail().contains(if from_end > 4 { "checksum" } else { "length" }), "{error}");
    }
}

#[test]
fn zeros_after_the_last_member_are_one_event_and_strictly_an_error() {
    for count in [1, 2, 511, 100_000] {
        let blob = [gz(LAYER), vec![0; count]].concat();
        let outcome = Ask::anything().outcome(&blob);
        assert_eq!(outcome.decoded, LAYER);
        let expected = (Reason::TrailingZeros, Some(LAYER.len() as u64), format!("{count} zeros after the last gzip member"));
        assert_eq!(outcome.events, [expected]);
        assert_eq!(outcome.result.unwrap().blob_digest, sha256(&blob));
        Ask::anything().strict().fails(&blob, ErrorKind::TrailingData);
    }
}

#[test]
fn other_bytes_after_the_last_member_are_refused_by_every_policy() {
    let good = gz(LAYER);
    for tail in [&b"x"[..], b"\0x", b"\0\0\x1f", &[0x1f, 0x8c], &[0x1f, 0], b"PK\x03\x04", &[0x28, 0xb5, 0x2f, 0xfd]] {
        for ask in [Ask::anything(), Ask::anything().strict()] {
            let error = ask.fails(&[&good, tail].concat(), ErrorKind::TrailingData);
            assert_eq!(error.location().offset, Some(LAYER.len() as u64));
        }
    }
    Ask::anything().fails(&[good.clone(), vec![0], good].concat(), ErrorKind::TrailingData);
}

#[test]
fn a_blob_cut_at_any_byte_is_refused() {
    let blob = [gz(LAYER), member(31 - 2, b"\x02\x00xxname\0comment\0")].concat();
    let boundary = gz(LAYER).len();
    let ask = Ask::anything().declared(Compression::Gzip);
    for cut in (1..blob.len()).filter(|cut| *cut != boundary) {
        ask.fails(&blob[..cut], BAD);
    }
    ask.gives(&blob[..boundary], LAYER);
    ask.gives(&blob, &LAYER.repeat(2));
}

#[test]
fn a_corrupt_deflate_stream_is_refused() {
    for body in [&[0xff][..], &[0x07], &[0x01, 1, 0, 0, 0], &[0x03, 0x02]] {
        let blob = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], body, &[0; 8]].concat();
        let _ = Ask::anything().fails(&blob, BAD);
    }
}

#[test]
fn members_are_counted() {
    let blob = gz(b"x").repeat(3);
    Ask::anything().limit("members", 3).gives(&blob, b"xxx");
    let error = Ask::anything().limit("members", 2).fails(&blob, ErrorKind::LimitExceeded);
    assert_eq!(error, Error::limit_exceeded("members", 2).at_offset(2));
    Ask::anything().limit("members", 0).fails(&blob, ErrorKind::LimitExceeded);
}
