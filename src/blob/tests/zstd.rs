//! zstd: every frame whole, skippable ones anywhere, nothing but frames, no window above the limit.

use super::*;

const BAD: ErrorKind = ErrorKind::BadCompression;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A frame of one raw block after the given header.
fn frame(header: &[u8], body: &[u8]) -> Vec<u8> {
    let block = (u32::try_from(body.len()).unwrap() << 3 | 1).to_le_bytes();
    [&MAGIC, header, &block[..3], body].concat()
}

#[test]
fn one_frame_and_many_frames_decode_to_their_concatenation() {
    assert_eq!(Ask::anything().gives(&zst(LAYER), LAYER).compression, Compression::Zstd);
    let many = [zst(LAYER), zst(b""), ::zstd::encode_all(&b"x"[..], 1).unwrap(), zst(LAYER)].concat();
    Ask::anything().strict().gives(&many, &[LAYER, b"x", LAYER].concat());
    Ask::anything().gives(&zst(b""), b"");
    Ask::anything().gives(&frame(&[0x20, 3], b"abc"), b"abc");
    Ask::anything().gives(&frame(&[0x00, 0], b"abc"), b"abc");
}

#[test]
fn a_large_frame_decodes_whatever_its_blocks() {
    let mut random = Random(7);
    let layer = [random.bytes(200_000), vec![0; 300_000], random.bytes(30_000), LAYER.repeat(900)].concat();
    Ask::anything().gives(&zst(&layer), &layer);
}

#[test]
fn skippable_frames_may_stand_first_between_and_last() {
    let ask = Ask::anything().strict();
    let (a, b) = (zst(b"a"), zst(b"b"));
    let (empty, full) = (skippable(b""), skippable(&[0xaa; 3000]));
    for blob in [[&empty, &a, &b], [&full, &a, &b], [&a, &full, &b], [&a, &empty, &b], [&a, &b, &full], [&a, &b, &empty]] {
        assert_eq!(ask.gives(&blob.map(Vec::as_slice).concat(), b"ab").compression, Compression::Zstd);
    }
    ask.clone().declared(Compression::Zstd).gives(&[full, a].concat(), b"a");
}

#[test]
fn bytes_that_are_no_frame_are_refused() {
    for tail in
        [&b"\0"[..], b"x", &[0x28, 0], &[0x28, 0xb5, 0x2f, 0xfc], &[0x50, 0x2a, 0x4d, 0x19], &[0x1f, 0x8b], &[0x27, 0xb5, 0x2f, 0xfd]]
    {
        for before in [zst(LAYER), [zst(LAYER), skippable(b"x")].concat()] {
            let error = Ask::anything().fails(&[&before, tail].concat(), ErrorKind::TrailingData);
            assert_eq!(error.location().offset, Some(LAYER.len() as u64));
        }
    }
}

#[test]
fn a_blob_cut_at_any_byte_is_refused() {
    let parts = [skippable(b"abc"), zst(LAYER), skippable(b""), frame(&[0xc3, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], b"xyz")];
    let blob = parts.concat();
    let boundaries: Vec<usize> = (1..=4).map(|count| parts[..count].concat().len()).collect();
    let ask = Ask::anything().declared(Compression::Zstd);
    for cut in 1..blob.len() {
        if !boundaries.contains(&cut) {
            ask.fails(&blob[..cut], BAD);
        }
    }
    ask.gives(&blob, &[LAYER, b"xyz"].concat());
    ask.fails(&[&zst(LAYER)[..], &[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff], b"short"].concat(), BAD);
}

#[test]
fn a_wrong_checksum_is_refused() {
    let good = zst(LAYER);
    for from_end in 1..=4 {
        let mut bad = good.clone();
        let place = bad.len() - from_end;
        bad[place] ^= 1;
        Ask::anything().fails(&bad, BAD);
    }
}

#[test]
fn a_window_at_the_limit_decodes_and_one_byte_less_of_limit_refuses_it() {
    for (header, window) in [(&[0x00, 3 << 3][..], 1 << 13), (&[0x00, 3 << 3 | 5], (1 << 13) + 5 * (1 << 10))] {
        Ask::anything().limit("zstd_window", window).gives(&frame(header, b"abc"), b"abc");
        let error = Ask::anything().limit("zstd_window", window - 1).fails(&frame(header, b"abc"), ErrorKind::WindowTooLarge);
        assert_eq!(error, Error::over(ErrorKind::WindowTooLarge, "zstd_window", window - 1).at_offset(0));
    }
    // A single segment is its own window.
    Ask::anything().limit("zstd_window", 3).gives(&frame(&[0x20, 3], b"abc"), b"abc");
    Ask::anything().limit("zstd_window", 2).fails(&frame(&[0x20, 3], b"abc"), ErrorKind::WindowTooLarge);
    // The default: 128 MiB and no eighth more.
    Ask::anything().gives(&frame(&[0x00, 17 << 3], b"abc"), b"abc");
    Ask::anything().fails(&frame(&[0x00, 17 << 3 | 1], b"abc"), ErrorKind::WindowTooLarge);
}

#[test]
fn a_window_that_libzstd_cannot_take_is_over_any_limit() {
    let ask = Ask::anything().limit("zstd_window", u64::MAX);
    ask.fails(&frame(&[0x00, 0xff], b"abc"), ErrorKind::WindowTooLarge);
    ask.fails(&frame(&[0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80], b"abc"), ErrorKind::WindowTooLarge);
    ask.gives(&frame(&[0x00, 17 << 3], b"abc"), b"abc");
}

#[test]
fn a_content_size_that_is_not_met_is_refused() {
    Ask::anything().fails(&frame(&[0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], b"abc"), ErrorKind::WindowTooLarge);
    Ask::anything().fails(&frame(&[0xc0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], b"abc"), BAD);
    Ask::anything().fails(&frame(&[0x20, 4], b"abc"), BAD);
    Ask::anything().fails(&frame(&[0x20, 2], b"abc"), BAD);
}

#[test]
fn a_dictionary_and_the_reserved_bit_are_refused() {
    Ask::anything().fails(&frame(&[0x21, 9, 3], b"abc"), BAD);
    Ask::anything().fails(&frame(&[0x23, 0, 0, 0, 1, 3], b"abc"), BAD);
    Ask::anything().fails(&frame(&[0x28, 3], b"abc"), BAD);
    Ask::anything().gives(&frame(&[0x21, 0, 3], b"abc"), b"abc");
}

#[test]
fn frames_are_counted_skippable_ones_too() {
    let blob = [zst(b"a"), skippable(b""), zst(b"b")].concat();
    Ask::anything().limit("members", 3).gives(&blob, b"ab");
    let error = Ask::anything().limit("members", 2).fails(&blob, ErrorKind::LimitExceeded);
    assert_eq!(error, Error::limit_exceeded("members", 2).at_offset(1));
    Ask::anything().limit("members", 1).fails(&blob, ErrorKind::LimitExceeded);
}
