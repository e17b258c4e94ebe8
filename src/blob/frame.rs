//! The start of a zstd frame, before the decoder sees it: [`parse`]. Pure; RFC 8878 sections 3.1.1.1 and 3.1.2.
//!
//! Parsed here so that a window that is too large and a dictionary are typed errors, and so that nothing is allocated for them.

use super::magic::{Look, look};
use crate::error::{Error, ErrorKind};
use crate::observe::Compression;

/// The longest start of a frame, in bytes: magic 4, descriptor 1, window 1, dictionary 4, content size 8.
pub(super) const LONGEST: usize = 18;

/// What starts with the bytes given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// More bytes are needed.
    Partial,
    /// No frame.
    Foreign,
    /// A skippable frame with so many bytes of content after its header.
    Skippable(u32),
    /// A frame of data whose header is complete.
    Data {
        /// What its decoder must keep of the decoded bytes, in bytes.
        window: u64,
    },
}

/// Parses the start of a frame from its first bytes, of which there may be too few.
pub(super) fn parse(start: &[u8]) -> Result<Start, Error> {
    match look(start) {
        Look::Undecided => return Ok(Start::Partial),
        Look::Is(Compression::Zstd) => {}
        Look::Is(_) => return Ok(Start::Foreign),
    }
    let Some((magic, header)) = start.split_first_chunk::<4>() else { return Ok(Start::Partial) };
    // The magics of skippable frames are 0x184d2a50 to 0x184d2a5f.
    if u32::from_le_bytes(*magic) >> 4 == 0x0184_d2a5 {
        return Ok(header.first_chunk::<4>().map_or(Start::Partial, |len| Start::Skippable(u32::from_le_bytes(*len))));
    }
    let Some((descriptor, fields)) = header.split_first() else { return Ok(Start::Partial) };
    if descriptor & 0b0000_1000 != 0 {
        return Err(Error::new(ErrorKind::BadCompression, "the reserved bit of a zstd frame is set"));
    }
    data_frame(*descriptor, fields)
}

/// Parses the fields after the frame header descriptor.
fn data_frame(descriptor: u8, fields: &[u8]) -> Result<Start, Error> {
    let is_single_segment = descriptor & 0b0010_0000 != 0;
    let dictionary_len = [0, 1, 2, 4].into_iter().nth(usize::from(descriptor & 0b11)).unwrap_or(4);
    let content_len = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let mut rest = fields;
    let (Some(window), Some(dictionary), Some(content)) = (
        take_number(&mut rest, usize::from(!is_single_segment)),
        take_number(&mut rest, dictionary_len),
        take_number(&mut rest, content_len),
    ) else {
        return Ok(Start::Partial);
    };
    if dictionary != 0 {
        return Err(Error::new(ErrorKind::BadCompression, format!("a zstd frame needs the dictionary {dictionary}")));
    }
    // A content size of two bytes is stored less 256 (RFC 8878 3.1.1.1.4).
    let content = if content_len == 2 { content.saturating_add(256) } else { content };
    Ok(Start::Data { window: if is_single_segment { content } else { window_size(window) } })
}

/// Gives the window of a window descriptor, in bytes (RFC 8878 3.1.1.1.2): at most 15 · 2^38.
fn window_size(descriptor: u64) -> u64 {
    let base = 1_024_u64 << ((descriptor >> 3) & 0b1_1111);
    base.saturating_add((base >> 3).saturating_mul(descriptor & 0b111))
}

/// Takes a little-endian number of `len` bytes, 8 at most, from the front; none if there are fewer.
fn take_number(bytes: &mut &[u8], len: usize) -> Option<u64> {
    let (number, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(number.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

    fn frame(header: &[u8]) -> Vec<u8> {
        [&MAGIC, header].concat()
    }

    #[test]
    fn a_header_is_partial_until_its_last_byte() {
        for (descriptor, fields) in [(0x00, 1), (0x20, 1), (0x40, 3), (0x60, 2), (0xa0, 4), (0xe0, 8), (0xc0, 9), (0x03, 5), (0xc3, 13)] {
            let whole = frame(&[vec![descriptor], vec![0; fields]].concat());
            assert!(whole.len() <= LONGEST);
            for cut in 0..whole.len() {
                assert_eq!(parse(&whole[..cut]), Ok(Start::Partial), "{descriptor:#x} {cut}");
            }
            assert!(matches!(parse(&whole), Ok(Start::Data { .. })), "{descriptor:#x}");
        }
    }

    #[test]
    fn the_window_is_the_descriptors_or_the_content_size_of_a_single_segment() {
        for (header, window) in [
            (&[0x00, 0x00][..], 1 << 10),
            (&[0x00, 0x07], (1 << 10) + 7 * (1 << 7)),
            (&[0x00, 17 << 3], 1 << 27),
            (&[0x00, 0xff], 15 << 38),
            (&[0x20, 200], 200),
            (&[0x60, 0, 0], 256),
            (&[0xa0, 1, 0, 0, 1], (1 << 24) + 1),
            (&[0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80], 1 << 63),
            (&[0xc0, 0x00, 0, 0, 0, 0, 0, 0, 0, 0x80], 1 << 10),
        ] {
            assert_eq!(parse(&frame(header)), Ok(Start::Data { window }), "{header:?}");
        }
    }

    #[test]
    fn a_dictionary_and_the_reserved_bit_are_refused_and_dictionary_zero_is_none() {
        for header in [&[0x21, 7, 0][..], &[0x22, 0, 1, 0], &[0x23, 0, 0, 0, 1, 0], &[0x28, 0], &[0x08, 0]] {
            assert_eq!(parse(&frame(header)).map_err(|error| error.kind()), Err(ErrorKind::BadCompression), "{header:?}");
        }
        assert_eq!(parse(&frame(&[0x23, 0, 0, 0, 0, 9])), Ok(Start::Data { window: 9 }));
    }

    #[test]
    fn a_skippable_frame_gives_its_length_and_other_bytes_are_foreign() {
        assert_eq!(parse(&[0x5f, 0x2a, 0x4d, 0x18, 1, 2, 3, 4]), Ok(Start::Skippable(0x0403_0201)));
        assert_eq!(parse(&[0x50, 0x2a, 0x4d, 0x18, 1, 2, 3]), Ok(Start::Partial));
        for foreign in [&[0][..], &[0x28, 0], &[0x60], &[0x1f, 0x8b], &[0x27, 0xb5, 0x2f, 0xfd]] {
            assert_eq!(parse(foreign), Ok(Start::Foreign));
        }
    }
}
