//! Tar blocks to raw entries: everything that depends on the dialect of the archive, and nothing that depends on policy or disk.
//!
//! In scope: headers, numbers, PAX and GNU extension headers, sparse maps, the end of the archive.
//! Out of scope: reading (the parser is fed with slices), cleaning names, judging types, owners and modes.
//!
//! ```text
//! slices → feed (blocks) → header (fields) → number
//!                            │ x g L K → extensions → pax → xattr
//!                            ▼
//!                          assemble (one precedence rule for each field) → sparse → body (slices again)
//! ```

mod assemble;
mod body;
mod extensions;
mod feed;
mod header;
mod number;
mod parser;
mod pax;
mod sparse;
#[cfg(test)]
mod tests;
mod xattr;

pub use number::Timestamp;
pub(crate) use parser::Parser;
pub use xattr::Xattr;

use crate::limits::Limits;
use crate::observe::{Event, Oddities};

/// What becomes of bytes after the two zero blocks that end an archive. Zeros are no such bytes: archives are padded with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrailingData {
    /// Refuse them: another reader may find entries in them.
    Reject,
    /// Hash them and look no further, with an event.
    Ignore,
}

/// How a [`Parser`] reads.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub oddities: Oddities,
    pub trailing_data: TrailingData,
    pub limits: Limits,
}

/// One entry as the archive tells it: checksum right, numbers in the range of their fields, each field from its one source.
///
/// Nothing else is judged: names are not cleaned, and a type that has no body may declare one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry {
    /// Counted from 0; extension headers belong to the entry after them.
    pub index: u64,
    /// Of the first block that belongs to the entry, in the uncompressed stream.
    pub offset: u64,
    /// Of the entry's own header block.
    pub header_offset: u64,
    /// As in the header: `b'0'`, 0, `b'1'` ….
    pub typeflag: u8,
    /// PAX before GNU before the header's; not cleaned.
    pub path: Vec<u8>,
    /// As `path`; empty if none.
    pub link: Vec<u8>,
    /// The whole field, type bits included.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Timestamp,
    /// Bytes that follow as body: of a sparse file the stored data only, without a map in the body.
    pub size: u64,
    /// The logical size, in bytes; equal to `size` unless sparse.
    pub real_size: u64,
    pub sparse: bool,
    /// Major and minor; for the typeflags `3` and `4` only.
    pub device: Option<(u64, u64)>,
    pub xattrs: Vec<Xattr>,
    pub events: Vec<Event>,
}

/// What [`Parser::next`] found. Every entry gives `Entry`, then any number of `Data`, then `EntryEnd`.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// All input is used.
    More,
    Entry(Box<RawEntry>),
    /// Bytes of the body, never empty; `offset` is their place in the file, which differs from the place in the body for sparse files.
    Data {
        offset: u64,
        bytes: &'a [u8],
    },
    EntryEnd,
}

/// Proof that the archive ended as an archive ends, with no extension header pending: only [`Parser::finish`] makes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct EndOfArchive(());
