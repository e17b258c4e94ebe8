//! Maps of sparse files: old GNU `S` with its continuation blocks, PAX formats 0.0, 0.1 and 1.0. One rule for all of them: [`Map`].

use super::feed::is_zero;
use super::header::{BLOCK, Continuation, Slot, SparseHeader};
use super::number;
use crate::convert::len_u64;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;

/// Where a run of stored bytes stands in the file, in bytes. Never empty in a finished map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// A map in the making: segments ascending and disjoint, and no more than the limit.
#[derive(Debug, Default)]
pub(super) struct Map {
    segments: Vec<Segment>,
    slots: u64,
    end: u64,
    stored: u64,
}

impl Map {
    /// Pays for one slot, filled or not.
    fn charge(&mut self, limits: &Limits) -> Result<(), Error> {
        self.slots = self.slots.saturating_add(1);
        if self.slots > limits.sparse_segments { Err(too_many(limits)) } else { Ok(()) }
    }

    /// Adds a segment. An empty one is how GNU tar marks a hole at the end: it has a place but is not kept.
    fn push(&mut self, offset: u64, len: u64) -> Result<(), Error> {
        if offset < self.end {
            return Err(malformed("the segments of a sparse map overlap or do not ascend"));
        }
        self.end = offset.checked_add(len).ok_or_else(|| malformed("a segment of a sparse map ends past 64 bits"))?;
        // Cannot saturate: disjoint segments sum to no more than the last one's end.
        self.stored = self.stored.saturating_add(len);
        if len > 0 {
            self.segments.push(Segment { offset, len });
        }
        Ok(())
    }

    /// Gives the segments of a file of `real_size` bytes that has `stored` bytes as its body.
    ///
    /// # Errors
    /// `SparseMalformed` where they do not fit these sizes.
    pub(super) fn finish(self, real_size: u64, stored: u64) -> Result<Vec<Segment>, Error> {
        if self.end > real_size {
            return Err(malformed("a segment of a sparse map ends after the file"));
        }
        if self.stored != stored {
            return Err(malformed("the segments of a sparse map do not sum to the stored size"));
        }
        Ok(self.segments)
    }
}

/// An old GNU map in the making: four slots in the header, 21 in each continuation block.
#[derive(Debug)]
pub(super) struct OldGnu {
    map: Map,
    list: List,
}

/// An empty slot ends the list; readers differ on what follows it, so nothing may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Open,
    Ended,
    /// A continuation block came after the end. Kept until the chain ends, so that a chain without end meets its limit.
    Overrun,
}

impl OldGnu {
    pub(super) fn start(header: SparseHeader<'_>, limits: &Limits) -> Result<Self, Error> {
        let mut old = Self { map: Map::default(), list: List::Open };
        for slot in header.slots() {
            if !is_empty(slot)? {
                old.map.charge(limits)?;
            }
            old.slot(slot)?;
        }
        Ok(old)
    }

    pub(super) fn go_on(&mut self, block: &Continuation, limits: &Limits) -> Result<(), Error> {
        if self.list == List::Ended {
            self.list = List::Overrun;
        }
        block.slots().try_for_each(|slot| {
            self.map.charge(limits)?;
            self.slot(slot)
        })
    }

    fn slot(&mut self, slot: Slot<'_>) -> Result<(), Error> {
        match self.list {
            List::Open if is_empty(slot)? => self.list = List::Ended,
            List::Open => self.map.push(slot_number(slot.offset)?, slot_number(slot.len)?)?,
            List::Ended | List::Overrun if is_empty(slot)? => {}
            List::Ended | List::Overrun => return Err(malformed("a segment after the end of a sparse map")),
        }
        Ok(())
    }

    /// As [`Map::finish`].
    pub(super) fn finish(self, real_size: u64, stored: u64) -> Result<Vec<Segment>, Error> {
        match self.list {
            List::Open | List::Ended => self.map.finish(real_size, stored),
            List::Overrun => Err(malformed("a continuation block after the end of a sparse map")),
        }
    }
}

fn is_empty(slot: Slot<'_>) -> Result<bool, Error> {
    if is_zero(slot.offset) && is_zero(slot.len) {
        return Ok(true);
    }
    Ok(slot_number(slot.offset)? == 0 && slot_number(slot.len)? == 0)
}

fn slot_number(field: &[u8]) -> Result<u64, Error> {
    match number::parse(field) {
        Ok(Some(number)) => u64::try_from(number).map_err(|_| number::out_of_range("a number of a sparse map")),
        Ok(None) => Err(malformed("a blank number in a sparse map")),
        Err(number::NotANumber) => Err(Error::new(ErrorKind::BadNumber, "a number of a sparse map is neither octal nor base-256")),
    }
}

/// The `GNU.sparse.*` keys of one entry, by their names without that prefix.
#[derive(Debug, Default)]
pub(super) struct Keys {
    name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    real_size: Option<u64>,
    count: Option<u64>,
    /// Format 0.1: the value of `map`.
    listed: Option<Map>,
    /// Format 0.0: the pairs of `offset` and `numbytes`.
    paired: Map,
    /// An `offset` that waits for its `numbytes`.
    half: Option<u64>,
}

/// What the keys of one entry come to.
#[derive(Debug)]
pub(super) enum Form {
    /// No keys.
    Dense,
    /// Formats 0.0 and 0.1: the map is known.
    Known { real_size: u64, map: Map },
    /// Format 1.0: the map is the start of the body.
    InBody { real_size: u64 },
}

impl Keys {
    /// # Errors
    /// `SparseMalformed`, `PaxMalformed`, `NumberOutOfRange`, `InvalidName`, `LimitExceeded`.
    pub(super) fn read(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<(), Error> {
        let integer = |name| number::pax_integer(name, value);
        match key {
            b"name" if value.contains(&0) => return Err(Error::new(ErrorKind::InvalidName, "a NUL in GNU.sparse.name")),
            b"name" => self.name = Some(value.to_vec()),
            b"major" => self.major = Some(integer("GNU.sparse.major")?),
            b"minor" => self.minor = Some(integer("GNU.sparse.minor")?),
            b"size" => self.size = Some(integer("GNU.sparse.size")?),
            b"realsize" => self.real_size = Some(integer("GNU.sparse.realsize")?),
            b"numblocks" => self.count = Some(integer("GNU.sparse.numblocks")?),
            b"map" => self.listed = Some(listed(value, limits)?),
            b"offset" => match self.half.replace(integer("GNU.sparse.offset")?) {
                None => {}
                Some(_) => return Err(malformed("GNU.sparse.offset twice without GNU.sparse.numbytes")),
            },
            b"numbytes" => {
                let Some(offset) = self.half.take() else { return Err(malformed("GNU.sparse.numbytes without GNU.sparse.offset")) };
                self.paired.charge(limits)?;
                self.paired.push(offset, integer("GNU.sparse.numbytes")?)?;
            }
            _ => return Err(malformed("an unknown GNU.sparse key")),
        }
        Ok(())
    }

    /// The name that takes the place of the made-up one in the header.
    pub(super) fn name(&self) -> Option<&[u8]> {
        self.name.as_deref()
    }

    /// # Errors
    /// `SparseMalformed` for keys that do not come to one complete map.
    pub(super) fn form(self) -> Result<Form, Error> {
        let none = self.paired.slots == 0 && self.half.is_none();
        match self {
            Self { half: Some(_), .. } => Err(malformed("GNU.sparse.offset without GNU.sparse.numbytes")),
            Self { major: Some(1), minor: Some(0), real_size: Some(real_size), size: None, count: None, listed: None, .. } if none => {
                Ok(Form::InBody { real_size })
            }
            Self { major: Some(_), .. } | Self { minor: Some(_), .. } | Self { real_size: Some(_), .. } => Err(incomplete()),
            Self { size: Some(real_size), count: Some(count), listed: Some(map), .. } if none && map.slots == count => {
                Ok(Form::Known { real_size, map })
            }
            Self { listed: Some(_), .. } => Err(incomplete()),
            Self { size: Some(real_size), count: Some(count), paired: map, .. } if map.slots == count => Ok(Form::Known { real_size, map }),
            Self { size: None, count: None, name: None, .. } if none => Ok(Form::Dense),
            _ => Err(incomplete()),
        }
    }
}

/// Reads `offset,len,offset,len…`.
fn listed(value: &[u8], limits: &Limits) -> Result<Map, Error> {
    let mut map = Map::default();
    if value.is_empty() {
        return Ok(map);
    }
    let mut numbers = value.split(|byte| *byte == b',');
    while let Some(offset) = numbers.next() {
        let Some(len) = numbers.next() else { return Err(malformed("GNU.sparse.map has an odd number of numbers")) };
        map.charge(limits)?;
        map.push(number::pax_integer("GNU.sparse.map", offset)?, number::pax_integer("GNU.sparse.map", len)?)?;
    }
    Ok(map)
}

/// Reads the map of format 1.0: a count, then as many pairs of offset and length, each number on a line of its own, padded to whole blocks.
#[derive(Debug)]
pub(super) struct BodyMap {
    map: Map,
    wanted: Wanted,
    /// The digits of the current line, if any came.
    line: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Count,
    Offset { left: u64 },
    Len { left: u64, offset: u64 },
    Nothing,
}

/// Whether a map needs another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Done,
}

impl BodyMap {
    pub(super) fn new() -> Self {
        Self { map: Map::default(), wanted: Wanted::Count, line: None }
    }

    pub(super) fn block(&mut self, block: &[u8; BLOCK], limits: &Limits) -> Result<Progress, Error> {
        let mut bytes = block.iter();
        for byte in bytes.by_ref() {
            match (byte, self.line) {
                (b'0'..=b'9', line) => {
                    let number = number::push_digit(line.unwrap_or(0), *byte);
                    self.line = Some(number.ok_or_else(|| number::out_of_range("a number of a sparse map"))?);
                }
                (b'\n', Some(number)) => {
                    self.line = None;
                    self.number(number, limits)?;
                }
                _ => return Err(malformed("the sparse map in the body is not made of numbers on lines")),
            }
            if let Wanted::Nothing = self.wanted {
                break;
            }
        }
        match self.wanted {
            Wanted::Nothing if is_zero(bytes.as_slice()) => Ok(Progress::Done),
            Wanted::Nothing => Err(malformed("the sparse map in the body is not padded with zeros")),
            Wanted::Count | Wanted::Offset { .. } | Wanted::Len { .. } => Ok(Progress::More),
        }
    }

    fn number(&mut self, number: u64, limits: &Limits) -> Result<(), Error> {
        self.wanted = match self.wanted {
            Wanted::Count if number > limits.sparse_segments => return Err(too_many(limits)),
            Wanted::Count => Wanted::next(number),
            Wanted::Offset { left } => Wanted::Len { left, offset: number },
            Wanted::Len { left, offset } => {
                self.map.charge(limits)?;
                self.map.push(offset, number)?;
                Wanted::next(left.saturating_sub(1))
            }
            Wanted::Nothing => Wanted::Nothing,
        };
        Ok(())
    }

    /// As [`Map::finish`].
    pub(super) fn finish(self, real_size: u64, stored: u64) -> Result<Vec<Segment>, Error> {
        self.map.finish(real_size, stored)
    }
}

impl Wanted {
    fn next(left: u64) -> Self {
        if left == 0 { Self::Nothing } else { Self::Offset { left } }
    }
}

/// The bytes of the map blocks count as body: takes one block off what is `left` of it.
pub(super) fn take_map_block(left: u64) -> Result<u64, Error> {
    left.checked_sub(len_u64(BLOCK)).ok_or_else(|| malformed("the body ends inside its sparse map"))
}

fn too_many(limits: &Limits) -> Error {
    Error::limit_exceeded("sparse_segments", limits.sparse_segments)
}

fn incomplete() -> Error {
    malformed("the GNU.sparse keys do not come to one complete map")
}

/// Says that a map is none.
pub(super) fn malformed(detail: &'static str) -> Error {
    Error::new(ErrorKind::SparseMalformed, detail)
}
