//! The header of a gzip member, after its magic: [`Header`]. Pure; RFC 1952 section 2.3.
//!
//! Nothing of the header is kept: names and comments are of no use here, and memory must not depend on the input.

use crate::error::{Error, ErrorKind};

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
/// "Reserved FLG bits must be zero" (RFC 1952 2.3.1.2).
const RESERVED: u8 = 0b1110_0000;
const DEFLATE: u8 = 8;
/// MTIME, XFL and OS: read by nobody.
const IGNORED: u8 = 6;

/// Reads the header of a member, byte by byte, from the compression method on.
#[derive(Debug)]
pub(super) struct Header {
    part: Part,
    /// The flags of the parts that are still to come.
    flags: u8,
}

#[derive(Debug)]
enum Part {
    Method,
    Flags,
    Fixed { left: u8 },
    ExtraLow,
    ExtraHigh { low: u8 },
    Extra { left: u16 },
    Name,
    Comment,
    CrcLow,
    CrcHigh { low: u8 },
}

/// What a byte brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The header goes on.
    More,
    /// The deflate stream starts at the next byte.
    Body,
    /// As [`Body`](Self::Body), after the checksum of the header: the low 16 bits of its CRC-32.
    BodyAfterChecksum(u16),
}

impl Header {
    pub(super) fn new() -> Self {
        Self { part: Part::Method, flags: 0 }
    }

    /// Whether the next byte counts for the header's checksum.
    pub(super) fn is_in_checksum(&self) -> bool {
        !matches!(self.part, Part::CrcLow | Part::CrcHigh { .. })
    }

    /// Takes the next byte.
    pub(super) fn push(&mut self, byte: u8) -> Result<Next, Error> {
        self.part = match self.part {
            Part::Method if byte == DEFLATE => Part::Flags,
            Part::Method => return Err(malformed("a gzip member's compression method is not deflate")),
            Part::Flags if byte & RESERVED != 0 => return Err(malformed("reserved flags of a gzip member are set")),
            Part::Flags => {
                self.flags = byte;
                Part::Fixed { left: IGNORED }
            }
            Part::Fixed { left: 0 | 1 } => return Ok(self.next_optional()),
            Part::Fixed { left } => Part::Fixed { left: left.saturating_sub(1) },
            Part::ExtraLow => Part::ExtraHigh { low: byte },
            Part::ExtraHigh { low } => match u16::from_le_bytes([low, byte]) {
                0 => return Ok(self.next_optional()),
                left => Part::Extra { left },
            },
            Part::Extra { left: 0 | 1 } => return Ok(self.next_optional()),
            Part::Extra { left } => Part::Extra { left: left.saturating_sub(1) },
            Part::Name | Part::Comment if byte == 0 => return Ok(self.next_optional()),
            Part::Name => Part::Name,
            Part::Comment => Part::Comment,
            Part::CrcLow => Part::CrcHigh { low: byte },
            Part::CrcHigh { low } => return Ok(Next::BodyAfterChecksum(u16::from_le_bytes([low, byte]))),
        };
        Ok(Next::More)
    }

    /// Goes to the next optional part that the flags name, in the order of RFC 1952 2.3.
    fn next_optional(&mut self) -> Next {
        let parts = [(EXTRA, Part::ExtraLow), (NAME, Part::Name), (COMMENT, Part::Comment), (HEADER_CRC, Part::CrcLow)];
        for (flag, part) in parts {
            if self.flags & flag != 0 {
                self.flags &= !flag;
                self.part = part;
                return Next::More;
            }
        }
        Next::Body
    }
}

fn malformed(detail: &'static str) -> Error {
    Error::new(ErrorKind::BadCompression, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what the last of `bytes` brought; all before it must bring [`Next::More`].
    #[track_caller]
    fn last(bytes: &[u8]) -> Result<Next, ErrorKind> {
        let mut header = Header::new();
        let (end, start) = bytes.split_last().unwrap();
        for byte in start {
            assert_eq!(header.push(*byte), Ok(Next::More));
        }
        header.push(*end).map_err(|error| error.kind())
    }

    #[test]
    fn the_body_starts_after_exactly_the_parts_that_the_flags_name() {
        let fixed = |flags: u8| vec![8, flags, 1, 2, 3, 4, 5, 6];
        let with = |flags: u8, parts: &[&[u8]]| [fixed(flags), parts.concat()].concat();
        assert_eq!(last(&fixed(0)), Ok(Next::Body));
        assert_eq!(last(&fixed(1)), Ok(Next::Body));
        assert_eq!(last(&with(EXTRA, &[&[0, 0]])), Ok(Next::Body));
        assert_eq!(last(&with(EXTRA, &[&[1, 0, 9]])), Ok(Next::Body));
        assert_eq!(last(&with(EXTRA, &[&[2, 1], &[9; 258]])), Ok(Next::Body));
        assert_eq!(last(&with(NAME, &[b"\0"])), Ok(Next::Body));
        assert_eq!(last(&with(NAME | COMMENT, &[b"name\0", b"comment\0"])), Ok(Next::Body));
        assert_eq!(last(&with(HEADER_CRC, &[&[0x34, 0x12]])), Ok(Next::BodyAfterChecksum(0x1234)));
        let all = with(0x1f, &[&[1, 0, 9], b"name\0", b"comment\0", &[1, 2]]);
        assert_eq!(last(&all), Ok(Next::BodyAfterChecksum(0x0201)));
    }

    #[test]
    fn another_method_and_every_reserved_flag_are_refused() {
        for method in (0..=u8::MAX).filter(|method| *method != DEFLATE) {
            assert_eq!(last(&[method]), Err(ErrorKind::BadCompression));
        }
        for flag in [1 << 5, 1 << 6, 1 << 7] {
            assert_eq!(last(&[8, flag]), Err(ErrorKind::BadCompression));
        }
    }
}
