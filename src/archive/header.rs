//! The only file that names `tar::`: which bytes of a block are which field, whose dialect they follow, and whether the checksum holds.

use super::feed::Block;
use super::number;
use crate::error::{Error, ErrorKind};
use crate::observe::{Notes, Reason};

/// The unit of an archive, in bytes.
pub(super) const BLOCK: usize = 512;

/// Whose rules a header follows, by its bytes 257 to 264.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// No magic: no prefix, no device numbers.
    V7,
    /// `ustar\0` and `00`: a prefix.
    Ustar,
    /// `ustar  \0`: no prefix, its place holds sparse segments.
    Gnu,
}

/// Where in the archive a block stands: the first one tells whether this is an archive at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Later,
}

/// A block whose checksum holds and whose dialect is known.
#[derive(Clone, Copy)]
pub(super) struct Header<'a> {
    raw: &'a tar::Header,
    dialect: Dialect,
}

impl<'a> Header<'a> {
    /// # Errors
    /// `BadHeader` for a first block that is none of a tar archive and for an unknown `ustar` magic, else `BadChecksum`.
    pub(super) fn parse(block: Block<'a>, place: Place, notes: &mut Notes) -> Result<Self, Error> {
        // The slice has the length that the crate asserts.
        let raw = tar::Header::from_byte_slice(block.bytes);
        match checksum(raw) {
            Checksum::Right => {}
            Checksum::Signed => {
                notes.odd(Reason::SignedChecksum, ErrorKind::BadChecksum, block.at, "the checksum is a sum of signed bytes")?;
            }
            Checksum::Wrong if place == Place::First && !magic(raw).starts_with(b"ustar") => {
                return Err(Error::new(ErrorKind::BadHeader, "not a tar archive"));
            }
            Checksum::Wrong => return Err(Error::new(ErrorKind::BadChecksum, "the header's checksum is wrong")),
        }
        let dialect = match magic(raw) {
            b"ustar\x0000" => Dialect::Ustar,
            b"ustar  \0" => Dialect::Gnu,
            other if other.starts_with(b"ustar") => return Err(Error::new(ErrorKind::BadHeader, "an unknown ustar version")),
            _ => Dialect::V7,
        };
        Ok(Self { raw, dialect })
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn typeflag(&self) -> u8 {
        let [typeflag] = self.raw.as_old().linkflag;
        typeflag
    }

    /// Name, with the prefix where the dialect has one.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.raw.as_old().name);
        match self.prefix() {
            [] => name.to_vec(),
            prefix => [prefix, name].join(&b'/'),
        }
    }

    fn prefix(&self) -> &'a [u8] {
        match self.dialect {
            Dialect::Ustar => self.raw.as_ustar().map_or(&[], |ustar| until_nul(&ustar.prefix)),
            Dialect::V7 | Dialect::Gnu => &[],
        }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(&self.raw.as_old().linkname).to_vec()
    }

    pub(super) fn mode(&self) -> &'a [u8] {
        &self.raw.as_old().mode
    }

    pub(super) fn uid(&self) -> &'a [u8] {
        &self.raw.as_old().uid
    }

    pub(super) fn gid(&self) -> &'a [u8] {
        &self.raw.as_old().gid
    }

    pub(super) fn size(&self) -> &'a [u8] {
        &self.raw.as_old().size
    }

    pub(super) fn mtime(&self) -> &'a [u8] {
        &self.raw.as_old().mtime
    }

    /// The fields of major and minor; empty, thus blank, in a v7 header, which has no such fields.
    pub(super) fn device(&self) -> (&'a [u8], &'a [u8]) {
        match (self.raw.as_ustar(), self.raw.as_gnu()) {
            (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
            (None, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
            (None, None) => (&[], &[]),
        }
    }

    /// The start of an old GNU sparse map; `None` in another dialect, where its place holds other fields.
    pub(super) fn sparse(&self) -> Option<SparseHeader<'a>> {
        self.raw.as_gnu().map(SparseHeader)
    }
}

/// The part of a GNU header that starts a sparse map.
#[derive(Clone, Copy)]
pub(super) struct SparseHeader<'a>(&'a tar::GnuHeader);

impl<'a> SparseHeader<'a> {
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot<'a>> + use<'a> {
        self.0.sparse.iter().map(Slot::new)
    }

    pub(super) fn real_size(&self) -> &'a [u8] {
        &self.0.realsize
    }

    /// Whether a continuation block follows.
    pub(super) fn goes_on(&self) -> bool {
        self.0.isextended != [0]
    }
}

/// A block that goes on with an old GNU sparse map.
pub(super) struct Continuation(tar::GnuExtSparseHeader);

impl Continuation {
    pub(super) fn new(block: Block<'_>) -> Self {
        let mut raw = tar::GnuExtSparseHeader::new();
        *raw.as_mut_bytes() = *block.bytes;
        Self(raw)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.0.sparse.iter().map(Slot::new)
    }

    /// Whether another one follows.
    pub(super) fn goes_on(&self) -> bool {
        self.0.isextended != [0]
    }
}

/// The two fields of one segment in an old GNU sparse map.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    pub(super) offset: &'a [u8],
    pub(super) len: &'a [u8],
}

impl<'a> Slot<'a> {
    fn new(raw: &'a tar::GnuSparseHeader) -> Self {
        Self { offset: &raw.offset, len: &raw.numbytes }
    }
}

enum Checksum {
    Right,
    Signed,
    Wrong,
}

/// Compares the checksum field with the sum of the block's bytes, the field itself taken as spaces.
fn checksum(raw: &tar::Header) -> Checksum {
    let field = &raw.as_old().cksum;
    let Ok(Some(stored)) = number::octal(field) else { return Checksum::Wrong };
    let sum = |bytes: &[u8]| -> u32 { bytes.iter().map(|byte| u32::from(*byte)).sum() };
    // Cannot wrap: the field is a part of the block, and 512 bytes sum to less than 2^17.
    let unsigned = sum(raw.as_bytes()).wrapping_sub(sum(field)).wrapping_add(FIELD_OF_SPACES);
    if stored == u64::from(unsigned) {
        return Checksum::Right;
    }
    // A signed byte counts 256 less where its top bit is set; the field has none, it is octal.
    let high: u32 = raw.as_bytes().iter().map(|byte| u32::from(*byte >> 7)).sum();
    let signed = unsigned.checked_sub(high << 8);
    if signed.is_some_and(|signed| stored == u64::from(signed)) { Checksum::Signed } else { Checksum::Wrong }
}

/// The sum of the eight bytes of a checksum field that holds spaces.
const FIELD_OF_SPACES: u32 = 8 * 0x20;

/// Magic and version, read together: `OldHeader` calls them padding.
fn magic(raw: &tar::Header) -> &[u8] {
    raw.as_old().pad.get(..8).unwrap_or_default()
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}
