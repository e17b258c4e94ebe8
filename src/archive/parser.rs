//! The state machine: which block comes next, and what its end or absence means.
//!
//! ```text
//!           ┌─ x g L K: Payload → Padding ─┐
//! Header ───┤                              ├→ Header
//!   │       └─ entry: (OldGnu | BodyMap)* → Body ─┘
//!   └─ zeros: OneZeroBlock → Ended (→ Swallowing)
//! ```

use std::mem;

use super::assemble::{Assembled, Assembler};
use super::body::Body;
use super::extensions::{Kind, Payload};
use super::feed::{Block, Feed, is_zero};
use super::header::{BLOCK, Dialect, Header, Place};
use super::number::Fields;
use super::pax::{self, Pax};
use super::sparse::{BodyMap, OldGnu, take_map_block};
use super::{EndOfArchive, Options, Piece, RawEntry, TrailingData};
use crate::convert::len_u64;
use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Notes, Reason};

/// Reads an archive from slices of any length; the result does not depend on how it is cut.
#[derive(Debug)]
pub(crate) struct Parser {
    feed: Feed,
    assembler: Assembler,
    state: State,
}

#[derive(Debug)]
enum State {
    Inside(Inside),
    /// One zero block came.
    OneZeroBlock,
    /// Two zero blocks came.
    Ended,
    /// Other bytes came after them and are ignored.
    Swallowing,
    Failed(Error),
}

/// The states that belong to an entry, or to the extension headers before it.
#[derive(Debug)]
enum Inside {
    Header,
    Payload(Payload),
    /// The bytes that pad a payload.
    Padding(u64),
    OldGnu(Box<RawEntry>, Box<OldGnu>),
    BodyMap(Box<RawEntry>, Box<BodyMap>),
    Body(Body),
}

/// The state to go on with, and what the caller gets, if anything.
type Step<'a> = (State, Option<Piece<'a>>);

impl Parser {
    pub(crate) fn new(options: Options) -> Self {
        Self { feed: Feed::new(), assembler: Assembler::new(options), state: State::Inside(Inside::Header) }
    }

    /// Takes what it needs from the front of `input` and gives the next piece.
    ///
    /// # Errors
    /// With the offset of the header, record or byte that is at fault. The same error again on every later call.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Error> {
        loop {
            let state = mem::replace(&mut self.state, State::Inside(Inside::Header));
            match self.step(state, input) {
                Ok((state, piece)) => {
                    self.state = state;
                    if let Some(piece) = piece {
                        return Ok(piece);
                    }
                }
                Err(error) => {
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// How far the parser is in the stream, in bytes.
    #[cfg(feature = "image")]
    pub(crate) fn position(&self) -> u64 {
        self.feed.position()
    }

    /// Passes over what is left of the current body and its padding, and gives how many bytes that are: they must not be fed. They
    /// count as the stream's; whether it has them is the caller's to ask. 0 outside a body.
    #[cfg(feature = "image")]
    pub(crate) fn pass_over_body(&mut self) -> u64 {
        match &mut self.state {
            State::Inside(Inside::Body(body)) => body.pass_over(&mut self.feed),
            _ => 0,
        }
    }

    /// Ends the archive: there is no more input.
    ///
    /// # Errors
    /// `Truncated`, `DanglingExtension`, or the error of an earlier call; `Ok` means that no other reader finds more entries.
    pub(crate) fn finish(mut self) -> Result<(EndOfArchive, Vec<Event>), Error> {
        self.judge_end()?;
        Ok((EndOfArchive(()), self.assembler.notes.take()))
    }

    /// Judges whether the archive may end here, as [`finish`](Self::finish) does.
    pub(crate) fn judge_end(&mut self) -> Result<(), Error> {
        let end = self.feed.position();
        match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Ended | State::Swallowing => {}
            State::Inside(Inside::Header) if end == 0 => {}
            State::Inside(Inside::Header) if !self.feed.is_inside_block() => {
                self.assembler.judge_dangling().map_err(|error| self.assembler.locate(error.at_offset(end)))?;
                judge_missing_end(&mut self.assembler.notes, end)?;
            }
            State::OneZeroBlock if !self.feed.is_inside_block() => judge_missing_end(&mut self.assembler.notes, end)?,
            State::OneZeroBlock => return Err(truncated().at_offset(end)),
            State::Inside(Inside::Header) if self.feed.is_compressed_again() => {
                return Err(Error::new(ErrorKind::BadHeader, "not a tar archive but a compressed stream").at_offset(0));
            }
            State::Inside(_) => return Err(self.assembler.locate(truncated().at_offset(end))),
        }
        Ok(())
    }

    fn step<'a>(&mut self, state: State, input: &mut &'a [u8]) -> Result<Step<'a>, Error> {
        match state {
            State::Inside(inside) => self.inside(inside, input).map_err(|error| self.assembler.locate(error)),
            State::OneZeroBlock => match self.feed.block(input) {
                None => Ok((State::OneZeroBlock, Some(Piece::More))),
                Some(block) if is_zero(block.bytes) => Ok((State::Ended, None)),
                Some(block) => Err(Error::new(ErrorKind::TrailingData, "a block after a single zero block").at_offset(block.at)),
            },
            State::Ended => self.after_the_end(input),
            State::Swallowing => {
                self.feed.take(input, u64::MAX);
                Ok((State::Swallowing, Some(Piece::More)))
            }
            State::Failed(error) => Err(error),
        }
    }

    fn after_the_end<'a>(&mut self, input: &mut &'a [u8]) -> Result<Step<'a>, Error> {
        while !input.is_empty() {
            let at = self.feed.position();
            let bytes = self.feed.take(input, len_u64(BLOCK));
            if is_zero(bytes) {
                continue;
            }
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let at = at.saturating_add(len_u64(zeros));
            match self.assembler.options.trailing_data {
                TrailingData::Reject => return Err(Error::new(ErrorKind::TrailingData, "bytes after the end of the archive").at_offset(at)),
                TrailingData::Ignore => self.assembler.notes.note(Reason::TrailingDataIgnored, at, ""),
            }
            return Ok((State::Swallowing, None));
        }
        Ok((State::Ended, Some(Piece::More)))
    }

    fn inside<'a>(&mut self, inside: Inside, input: &mut &'a [u8]) -> Result<Step<'a>, Error> {
        let Self { feed, assembler, .. } = self;
        match inside {
            Inside::Header => match feed.block(input) {
                None => Ok(more(Inside::Header)),
                Some(block) => header(assembler, block).map_err(|error| error.at_offset(block.at)),
            },
            Inside::Payload(payload) => take_payload(assembler, payload, feed, input),
            Inside::Padding(mut left) => {
                if feed.skip(input, &mut left) {
                    Ok((State::Inside(Inside::Header), None))
                } else {
                    Ok(more(Inside::Padding(left)))
                }
            }
            Inside::OldGnu(entry, map) => match feed.block(input) {
                None => Ok(more(Inside::OldGnu(entry, map))),
                Some(block) => assembler.continuation(block, entry, map).map(announce).map_err(|error| error.at_offset(block.at)),
            },
            Inside::BodyMap(mut entry, map) => {
                let left = take_map_block(entry.size).map_err(|error| error.at_offset(feed.position()))?;
                let Some(block) = feed.block(input) else { return Ok(more(Inside::BodyMap(entry, map))) };
                entry.size = left;
                assembler.map_block(block, entry, map).map(announce).map_err(|error| error.at_offset(block.at))
            }
            Inside::Body(mut body) => match body.next(feed, input, &assembler.options.limits)? {
                Piece::EntryEnd => {
                    assembler.end_entry();
                    Ok((State::Inside(Inside::Header), Some(Piece::EntryEnd)))
                }
                piece => Ok((State::Inside(Inside::Body(body)), Some(piece))),
            },
        }
    }
}

/// Reads a block where a header is due.
fn header<'a>(assembler: &mut Assembler, block: Block<'_>) -> Result<Step<'a>, Error> {
    if block.bytes.first() == Some(&0) && is_zero(block.bytes) {
        assembler.judge_dangling()?;
        return Ok((State::OneZeroBlock, None));
    }
    let place = if block.at == 0 { Place::First } else { Place::Later };
    let header = Header::parse(block, place, &mut assembler.notes)?;
    match Kind::of(header.typeflag()) {
        None => assembler.entry(&header, block.at).map(announce),
        Some(kind) => {
            let size = Fields { notes: &mut assembler.notes, at: block.at }.unsigned("size", header.size())?;
            assembler.extensions.charge(block.at, size, &assembler.options.limits)?;
            if header.dialect() == Dialect::V7 && matches!(kind, Kind::Pax | Kind::Global) {
                let detail = "a PAX header in a v7 header block";
                assembler.notes.odd(Reason::ExtensionInV7Header, ErrorKind::BadHeader, block.at, detail)?;
            }
            Ok((State::Inside(Inside::Payload(Payload::new(kind, block.at, size))), None))
        }
    }
}

fn take_payload<'a>(assembler: &mut Assembler, mut payload: Payload, feed: &mut Feed, input: &mut &'a [u8]) -> Result<Step<'a>, Error> {
    let Payload { kind, at, offset, .. } = payload;
    let Some(bytes) = payload.take(feed, input) else { return Ok(more(Inside::Payload(payload))) };
    let Assembler { options, notes, extensions, .. } = assembler;
    match kind {
        Kind::LongName => extensions.set_long_name(at, bytes),
        Kind::LongLink => extensions.set_long_link(at, bytes),
        Kind::Pax => Pax::parse(bytes, offset, &options.limits, notes).map(|pax| extensions.set_pax(at, pax)),
        Kind::Global => pax::check_global(bytes, offset, notes),
    }
    .map_err(|error| error.at_offset(at))?;
    Ok((State::Inside(Inside::Padding(payload.padding())), None))
}

/// Gives an entry to the caller once it is whole.
fn announce<'a>(assembled: Assembled) -> Step<'a> {
    match assembled {
        Assembled::Whole(entry, body) => (State::Inside(Inside::Body(body)), Some(Piece::Entry(entry))),
        Assembled::OldGnu(entry, map) => (State::Inside(Inside::OldGnu(entry, map)), None),
        Assembled::BodyMap(entry, map) => (State::Inside(Inside::BodyMap(entry, map)), None),
    }
}

fn more<'a>(inside: Inside) -> Step<'a> {
    (State::Inside(inside), Some(Piece::More))
}

fn judge_missing_end(notes: &mut Notes, end: u64) -> Result<(), Error> {
    notes.odd(Reason::EndOfArchiveMissing, ErrorKind::Truncated, end, "no two zero blocks at the end of the archive")
}

fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the archive ends inside a block or a body")
}
