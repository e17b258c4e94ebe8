//! The bytes of an entry, passed on in slices of the input: where in the file each stands, and where they end.

use std::vec;

use super::Piece;
use super::feed::{Feed, padding};
use super::sparse::{self, Segment};
use crate::convert::len_u64;
use crate::error::Error;
use crate::limits::Limits;

/// What is left of a body.
#[derive(Debug)]
pub(super) struct Body {
    stored: u64,
    padding: u64,
    /// Bytes that `file_bytes` still allows. Paid as they come: a header that claims more than the stream holds is a cut stream.
    allowed: u64,
    place: Place,
}

/// Where in the file the next byte belongs.
#[derive(Debug)]
enum Place {
    Dense { offset: u64 },
    Sparse { current: Segment, rest: vec::IntoIter<Segment> },
}

impl Body {
    pub(super) fn dense(stored: u64, limits: &Limits) -> Self {
        Self { stored, padding: padding(stored), allowed: limits.file_bytes, place: Place::Dense { offset: 0 } }
    }

    pub(super) fn sparse(stored: u64, segments: Vec<Segment>, limits: &Limits) -> Self {
        let place = Place::Sparse { current: Segment::default(), rest: segments.into_iter() };
        Self { stored, padding: padding(stored), allowed: limits.file_bytes, place }
    }

    /// Passes over all that is left, and gives how many bytes that are.
    #[cfg(feature = "image")]
    pub(super) fn pass_over(&mut self, feed: &mut Feed) -> u64 {
        let left = self.stored.saturating_add(self.padding);
        (self.stored, self.padding) = (0, 0);
        feed.pass_over(left);
        left
    }

    /// Gives the next piece: `Data`, `More` or `EntryEnd`.
    pub(super) fn next<'a>(&mut self, feed: &mut Feed, input: &mut &'a [u8], limits: &Limits) -> Result<Piece<'a>, Error> {
        if self.stored == 0 {
            return Ok(if feed.skip(input, &mut self.padding) { Piece::EntryEnd } else { Piece::More });
        }
        if input.is_empty() {
            return Ok(Piece::More);
        }
        if self.allowed == 0 {
            return Err(Error::limit_exceeded("file_bytes", limits.file_bytes).at_offset(feed.position()));
        }
        let (offset, contiguous) = self.place.next().ok_or_else(|| sparse::malformed("a body without a place"))?;
        let bytes = feed.take(input, contiguous.min(self.stored).min(self.allowed));
        let len = len_u64(bytes.len());
        self.stored = self.stored.saturating_sub(len);
        self.allowed = self.allowed.saturating_sub(len);
        self.place.advance(len);
        Ok(Piece::Data { offset, bytes })
    }
}

impl Place {
    /// The offset of the next byte and how many follow it there; `None` if no segment is left.
    fn next(&mut self) -> Option<(u64, u64)> {
        match self {
            Self::Dense { offset } => Some((*offset, u64::MAX)),
            Self::Sparse { current, rest } => {
                if current.len == 0 {
                    *current = rest.next()?;
                }
                Some((current.offset, current.len))
            }
        }
    }

    fn advance(&mut self, len: u64) {
        match self {
            Self::Dense { offset } => *offset = offset.saturating_add(len),
            Self::Sparse { current, .. } => {
                current.offset = current.offset.saturating_add(len);
                current.len = current.len.saturating_sub(len);
            }
        }
    }
}
