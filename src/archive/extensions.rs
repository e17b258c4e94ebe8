//! Extension headers, held until the entry they belong to: bounded before they are read, judged when that entry comes.

use super::feed::{Feed, padding};
use super::header::BLOCK;
use super::pax::Pax;
use crate::convert::len_u64;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::observe::{Notes, Reason};

/// Which extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `L`: the path of the next entry.
    LongName,
    /// `K`: the link of the next entry.
    LongLink,
    /// `x`: PAX records for the next entry.
    Pax,
    /// `g`: PAX records for all entries that follow.
    Global,
}

impl Kind {
    pub(super) fn of(typeflag: u8) -> Option<Self> {
        match typeflag {
            b'L' => Some(Self::LongName),
            b'K' => Some(Self::LongLink),
            b'x' => Some(Self::Pax),
            b'g' => Some(Self::Global),
            _ => None,
        }
    }
}

/// The extension headers since the last entry.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// Where the first one stands; `None` if there is none.
    pub(super) first: Option<u64>,
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
    pub(super) pax: Option<Box<Pax>>,
    bytes: u64,
    /// Where those stand that replaced one of their kind.
    repeated: Vec<u64>,
}

impl Extensions {
    /// Pays for a header at `at` whose payload has `size` bytes, before any of it is read.
    pub(super) fn charge(&mut self, at: u64, size: u64, limits: &Limits) -> Result<(), Error> {
        self.first.get_or_insert(at);
        let whole = len_u64(BLOCK).saturating_add(size).saturating_add(padding(size));
        self.bytes = self.bytes.saturating_add(whole);
        if self.bytes > limits.header_bytes { Err(Error::limit_exceeded("header_bytes", limits.header_bytes)) } else { Ok(()) }
    }

    pub(super) fn set_long_name(&mut self, at: u64, payload: &[u8]) -> Result<(), Error> {
        let name = long_text(payload, ErrorKind::InvalidName)?;
        set(&mut self.long_name, name, at, &mut self.repeated);
        Ok(())
    }

    pub(super) fn set_long_link(&mut self, at: u64, payload: &[u8]) -> Result<(), Error> {
        let link = long_text(payload, ErrorKind::InvalidLinkTarget)?;
        set(&mut self.long_link, link, at, &mut self.repeated);
        Ok(())
    }

    pub(super) fn set_pax(&mut self, at: u64, pax: Pax) {
        set(&mut self.pax, Box::new(pax), at, &mut self.repeated);
    }

    /// Whether an entry is missing that one of them belongs to. A global header belongs to none.
    pub(super) fn want_an_entry(&self) -> bool {
        self.long_name.is_some() || self.long_link.is_some() || self.pax.is_some()
    }

    /// # Errors
    /// `PaxConflict` where oddities are refused and one kind came twice.
    pub(super) fn judge_repeats(&self, notes: &mut Notes) -> Result<(), Error> {
        self.repeated.iter().try_for_each(|at| {
            notes.odd(Reason::ExtensionRepeated, ErrorKind::PaxConflict, *at, "a second extension header of one kind for one entry")
        })
    }
}

fn set<T>(place: &mut Option<T>, value: T, at: u64, repeated: &mut Vec<u64>) {
    if place.replace(value).is_some() {
        repeated.push(at);
    }
}

/// The text of an `L` or `K` header: NULs at its end are its terminator, one before other bytes hides them from readers of C strings.
fn long_text(payload: &[u8], kind: ErrorKind) -> Result<Vec<u8>, Error> {
    let end = payload.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let text = payload.get(..end).unwrap_or_default();
    if text.contains(&0) { Err(Error::new(kind, "a NUL inside a GNU long name")) } else { Ok(text.to_vec()) }
}

/// The payload of an extension header on its way in. Memory grows with the bytes that came, not with the size that was declared.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) kind: Kind,
    /// Of the header block.
    pub(super) at: u64,
    /// Of the payload's first byte.
    pub(super) offset: u64,
    size: u64,
    left: u64,
    bytes: Vec<u8>,
}

impl Payload {
    pub(super) fn new(kind: Kind, at: u64, size: u64) -> Self {
        Self { kind, at, offset: at.saturating_add(len_u64(BLOCK)), size, left: size, bytes: Vec::new() }
    }

    pub(super) fn padding(&self) -> u64 {
        padding(self.size)
    }

    /// Gives the payload once it is whole: without a copy where the input holds all of it.
    pub(super) fn take<'b, 'a: 'b>(&'b mut self, feed: &mut Feed, input: &mut &'a [u8]) -> Option<&'b [u8]> {
        let came = feed.take(input, self.left);
        self.left = self.left.saturating_sub(len_u64(came.len()));
        if self.left == 0 && self.bytes.is_empty() {
            return Some(came);
        }
        self.bytes.extend_from_slice(came);
        (self.left == 0).then_some(&self.bytes)
    }
}
