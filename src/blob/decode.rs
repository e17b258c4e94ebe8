//! The only file that names `flate2` and `zstd`: decodes the bytes of one form, [`Codec`], into the layer's.
//!
//! Push: fed with slices of any size, it keeps a constant amount of memory (the window of deflate is 32 KiB, that of a zstd frame at
//! most [`Limits::zstd_window`]) and its result does not depend on where the input is cut. Stricter than the libraries: every member
//! and every frame must be whole, and nothing else may stand between or after them.

use std::io::Read as _;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as RawDecoder, InBuffer, Operation as _, OutBuffer};

use super::frame::{self, Start};
use super::gzip::{Header, Next};
use super::magic::Held;
use super::output::Output;
use crate::convert::{len_u64, min_usize};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::observe::{Compression, Notes, Oddities, Reason};

/// Decodes what is known to be of one form.
#[derive(Debug)]
pub(super) enum Codec {
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Codec {
    pub(super) fn new(compression: Compression, limits: &Limits, oddities: Oddities) -> Result<Self, Error> {
        let members = Members { count: 0, limit: limits.members };
        Ok(match compression {
            Compression::None => Self::Plain,
            Compression::Gzip => Self::Gzip(Box::new(Gzip::new(members, oddities))),
            Compression::Zstd => Self::Zstd(Box::new(Zstd::new(members, limits.zstd_window)?)),
        })
    }

    /// Takes bytes from the front of `input` and writes the decoded ones to `output`.
    ///
    /// After `Ok` the input is used up or the output is full. A full output may leave bytes inside: the next call gives them, with or
    /// without new input. After an error `output` holds what was decoded before it, and the codec must not be used again.
    pub(super) fn decode(&mut self, input: &mut &[u8], output: &mut Output<'_>) -> Result<(), Error> {
        match self {
            Self::Plain => {
                let copied = input.read(output.room()).map_err(|error| Error::io("copying", &error))?;
                output.advance(copied);
                Ok(())
            }
            Self::Gzip(gzip) => gzip.decode(input, output),
            Self::Zstd(zstd) => zstd.decode(input, output),
        }
    }

    /// Judges the end, once everything is drained: whole members or frames, and the odd things that only the end shows.
    pub(super) fn finish(&self, notes: &mut Notes, decoded: u64) -> Result<(), Error> {
        match self {
            Self::Plain => Ok(()),
            Self::Gzip(gzip) => gzip.finish(notes, decoded),
            Self::Zstd(zstd) => zstd.finish(notes),
        }
    }

    pub(super) fn compression(&self) -> Compression {
        match self {
            Self::Plain => Compression::None,
            Self::Gzip(_) => Compression::Gzip,
            Self::Zstd(_) => Compression::Zstd,
        }
    }
}

/// The budget of members and frames.
#[derive(Clone, Copy, Debug)]
struct Members {
    count: u64,
    limit: u64,
}

impl Members {
    fn charge(&mut self) -> Result<(), Error> {
        if self.count >= self.limit {
            return Err(Error::limit_exceeded("members", self.limit));
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }
}

/// Whether a step can be followed by another now.
enum Step {
    Go,
    /// More input or room for output is needed.
    Wait,
}

/// Whether the library may hold decoded bytes that had no room: only then is it called without input, which zstd allows 16 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    MaybeBytes,
}

impl Inside {
    fn after(output: &Output<'_>) -> Self {
        if output.is_full() { Self::MaybeBytes } else { Self::Nothing }
    }
}

/// All members of a gzip blob (RFC 1952): header, deflate stream, checksum and length of each; then nothing, or zeros.
#[derive(Debug)]
pub(super) struct Gzip {
    at: Member,
    inflate: Decompress,
    inside: Inside,
    body_crc: Crc,
    header_crc: Crc,
    members: Members,
    oddities: Oddities,
}

#[derive(Debug)]
enum Member {
    Between,
    HalfMagic,
    Header(Header),
    Body,
    Trailer(Held<8>),
    Zeros(u64),
}

impl Gzip {
    fn new(members: Members, oddities: Oddities) -> Self {
        let (inflate, inside) = (Decompress::new(false), Inside::Nothing);
        Self { at: Member::Between, inflate, inside, body_crc: Crc::new(), header_crc: Crc::new(), members, oddities }
    }

    fn decode(&mut self, input: &mut &[u8], output: &mut Output<'_>) -> Result<(), Error> {
        loop {
            match &mut self.at {
                Member::Body => match self.inflate(input, output)? {
                    Step::Go => {}
                    Step::Wait => return Ok(()),
                },
                Member::Zeros(count) => {
                    let zeros = input.iter().take_while(|byte| **byte == 0).count();
                    *count = count.saturating_add(len_u64(zeros));
                    *input = input.get(zeros..).unwrap_or_default();
                    return if input.is_empty() { Ok(()) } else { Err(trailing("the zeros after the last gzip member")) };
                }
                Member::Between | Member::HalfMagic | Member::Header(_) | Member::Trailer(_) => match input.split_off_first() {
                    Some(byte) => self.push(*byte)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Takes a byte outside of a body.
    fn push(&mut self, byte: u8) -> Result<(), Error> {
        match &mut self.at {
            Member::Between if byte == 0x1f => self.at = Member::HalfMagic,
            Member::Between if byte == 0 && self.oddities == Oddities::Tolerate => self.at = Member::Zeros(1),
            Member::HalfMagic if byte == 0x8b => {
                self.members.charge()?;
                self.header_crc.reset();
                self.header_crc.update(&[0x1f, 0x8b]);
                self.at = Member::Header(Header::new());
            }
            Member::Between | Member::HalfMagic => return Err(trailing("the last gzip member")),
            Member::Header(header) => {
                if header.is_in_checksum() {
                    self.header_crc.update(&[byte]);
                }
                match header.push(byte)? {
                    Next::More => {}
                    Next::Body => self.start_body(),
                    Next::BodyAfterChecksum(claimed) if u32::from(claimed) == self.header_crc.sum() & 0xffff => self.start_body(),
                    Next::BodyAfterChecksum(_) => return Err(malformed("the checksum of a gzip header is wrong")),
                }
            }
            Member::Trailer(held) => {
                held.push(byte);
                if let Some(trailer) = held.whole() {
                    self.check(u64::from_le_bytes(trailer))?;
                    self.at = Member::Between;
                }
            }
            Member::Body | Member::Zeros(_) => {}
        }
        Ok(())
    }

    fn start_body(&mut self) {
        self.inflate.reset(false);
        self.body_crc.reset();
        self.inside = Inside::Nothing;
        self.at = Member::Body;
    }

    fn inflate(&mut self, input: &mut &[u8], output: &mut Output<'_>) -> Result<Step, Error> {
        if output.is_full() || input.is_empty() && self.inside == Inside::Nothing {
            return Ok(Step::Wait);
        }
        let (taken_before, made_before) = (self.inflate.total_in(), self.inflate.total_out());
        let result = self.inflate.decompress(input, output.room(), FlushDecompress::None);
        let taken = since(taken_before, self.inflate.total_in());
        let made = since(made_before, self.inflate.total_out());
        self.body_crc.update(output.room().get(..made).unwrap_or_default());
        output.advance(made);
        *input = input.get(taken..).unwrap_or_default();
        self.inside = Inside::after(output);
        match result {
            Err(_) => Err(malformed("a deflate stream is corrupt")),
            Ok(Status::StreamEnd) => {
                self.at = Member::Trailer(Held::EMPTY);
                Ok(Step::Go)
            }
            Ok(Status::Ok | Status::BufError) if taken == 0 && made == 0 && !input.is_empty() => {
                Err(malformed("a deflate stream makes no progress"))
            }
            Ok(Status::Ok | Status::BufError) => Ok(Step::Go),
        }
    }

    /// Checks CRC32 and ISIZE: the length modulo 2^32 (RFC 1952 2.3.1).
    fn check(&self, trailer: u64) -> Result<(), Error> {
        if trailer & 0xffff_ffff != u64::from(self.body_crc.sum()) {
            return Err(malformed("the checksum of a gzip member is wrong"));
        }
        if trailer >> 32 != u64::from(self.body_crc.amount()) {
            return Err(malformed("the length of a gzip member is wrong"));
        }
        Ok(())
    }

    fn finish(&self, notes: &mut Notes, decoded: u64) -> Result<(), Error> {
        match &self.at {
            Member::Between => Ok(()),
            Member::Zeros(count) => {
                notes.note(Reason::TrailingZeros, decoded, format!("{count} zeros after the last gzip member"));
                Ok(())
            }
            Member::HalfMagic | Member::Header(_) | Member::Body | Member::Trailer(_) => Err(cut_short("a gzip member")),
        }
    }
}

/// All frames of a zstd blob (RFC 8878), skippable ones anywhere; nothing but frames.
pub(super) struct Zstd {
    at: Frame,
    raw: RawDecoder<'static>,
    inside: Inside,
    frames: Frames,
    members: Members,
    window: u64,
}

#[derive(Debug)]
enum Frame {
    Start(Held<{ frame::LONGEST }>),
    Skipping(u64),
    Body,
}

/// What kinds of frames there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    OnlySkippable,
    Data,
}

/// What libzstd takes as `ZSTD_d_windowLogMax`: 10 to 31 where a pointer has 64 bits, else 30.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 10..=(if cfg!(target_pointer_width = "64") { 31 } else { 30 });

impl Zstd {
    fn new(members: Members, zstd_window: u64) -> Result<Self, Error> {
        let starting = |error: std::io::Error| Error::io("starting the zstd decoder", &error);
        let log = zstd_window.checked_next_power_of_two().map_or(u32::MAX, u64::ilog2);
        let log = log.clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
        let mut raw = RawDecoder::new().map_err(starting)?;
        raw.set_parameter(DParameter::WindowLogMax(log)).map_err(starting)?;
        let at = Frame::Start(Held::EMPTY);
        Ok(Self { at, raw, inside: Inside::Nothing, frames: Frames::OnlySkippable, members, window: zstd_window })
    }

    fn decode(&mut self, input: &mut &[u8], output: &mut Output<'_>) -> Result<(), Error> {
        loop {
            match &mut self.at {
                Frame::Body => match self.decompress(input, output)? {
                    Step::Go => {}
                    Step::Wait => return Ok(()),
                },
                Frame::Skipping(left) => {
                    let skipped = min_usize(*left, input.len());
                    *left = left.saturating_sub(len_u64(skipped));
                    *input = input.get(skipped..).unwrap_or_default();
                    if *left > 0 {
                        return Ok(());
                    }
                    self.at = Frame::Start(Held::EMPTY);
                }
                Frame::Start(held) => match input.split_off_first() {
                    Some(byte) => {
                        held.push(*byte);
                        let held = *held;
                        self.start(held.as_slice())?;
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// Goes into the frame that starts with `bytes`, once they are enough to judge it.
    fn start(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match frame::parse(bytes)? {
            Start::Partial => Ok(()),
            Start::Foreign => Err(trailing("the last zstd frame")),
            Start::Skippable(len) => {
                self.members.charge()?;
                // An empty one is over before its next byte is asked for.
                self.at = if len == 0 { Frame::Start(Held::EMPTY) } else { Frame::Skipping(u64::from(len)) };
                Ok(())
            }
            Start::Data { window } => {
                self.members.charge()?;
                let most = self.window.min(1_u64.checked_shl(*WINDOW_LOG.end()).unwrap_or(u64::MAX));
                if window > most {
                    return Err(Error::over(ErrorKind::WindowTooLarge, "zstd_window", self.window));
                }
                self.frames = Frames::Data;
                self.inside = Inside::Nothing;
                self.at = Frame::Body;
                self.feed_header(bytes)
            }
        }
    }

    /// Gives libzstd the header that was parsed here; it makes no output of it.
    fn feed_header(&mut self, mut header: &[u8]) -> Result<(), Error> {
        while !header.is_empty() {
            let left = header.len();
            self.run(&mut header, &mut Output::new(&mut []))?;
            if header.len() == left {
                return Err(malformed("the header of a zstd frame is not accepted"));
            }
        }
        Ok(())
    }

    fn decompress(&mut self, input: &mut &[u8], output: &mut Output<'_>) -> Result<Step, Error> {
        if output.is_full() || input.is_empty() && self.inside == Inside::Nothing {
            return Ok(Step::Wait);
        }
        let before = (input.len(), output.written().len());
        let hint = self.run(input, output)?;
        self.inside = Inside::after(output);
        if hint == 0 {
            self.at = Frame::Start(Held::EMPTY);
        } else if before == (input.len(), output.written().len()) && !input.is_empty() {
            return Err(malformed("a zstd frame makes no progress"));
        }
        Ok(Step::Go)
    }

    /// Runs libzstd once; 0 means that the frame is complete and all of it was given.
    fn run(&mut self, input: &mut &[u8], output: &mut Output<'_>) -> Result<usize, Error> {
        let mut from = InBuffer::around(input);
        let (hint, made) = {
            let mut to = OutBuffer::around(output.room());
            let hint = self.raw.run(&mut from, &mut to);
            (hint, to.pos())
        };
        let taken = from.pos();
        output.advance(made);
        *input = input.get(taken..).unwrap_or_default();
        hint.map_err(|error| Error::new(ErrorKind::BadCompression, format!("a zstd frame is corrupt: {error}")))
    }

    fn finish(&self, notes: &mut Notes) -> Result<(), Error> {
        match &self.at {
            Frame::Start(held) if held.as_slice().is_empty() => match self.frames {
                Frames::Data => Ok(()),
                Frames::OnlySkippable => empty_blob(notes, "the blob has only skippable frames"),
            },
            Frame::Start(_) | Frame::Skipping(_) | Frame::Body => Err(cut_short("a zstd frame")),
        }
    }
}

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").field("at", &self.at).field("members", &self.members).finish_non_exhaustive()
    }
}

/// Gives the difference of two counters as a length in memory; it cannot be more than the slice it was counted on.
fn since(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

fn malformed(detail: &'static str) -> Error {
    Error::new(ErrorKind::BadCompression, detail)
}

/// The error of a blob whose bytes end too early.
pub(super) fn cut_short(within: &str) -> Error {
    Error::new(ErrorKind::BadCompression, format!("the blob ends within {within}"))
}

fn trailing(after: &str) -> Error {
    Error::new(ErrorKind::TrailingData, format!("other bytes after {after}"))
}

/// Notes a blob that brings nothing, or refuses it.
pub(super) fn empty_blob(notes: &mut Notes, detail: &str) -> Result<(), Error> {
    notes.odd(Reason::EmptyBlob, ErrorKind::Truncated, 0, detail)
}
