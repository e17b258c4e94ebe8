//! What is done with a blob before its sink gets it: read, decoded, hashed. [`Stages`] lets any thread do the next of each, one thread at a
//! time, in order.
//!
//! No stage waits for another: where it cannot go on it says so, and whoever asked does something else.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bell::Bell;
use super::digests::Digested;
use super::filler::Filler;
use super::hashing::{Hashed, Hashing};
use super::pool::{Buffer, Pool};
use super::reader::{BlobStream, PIECE};
use super::stop::Stop;
use crate::error::Error;

/// Pieces of decoded bytes, at most: 12 MiB. Some wait for the sink, some for the hash, some for files that are still being written. As many
/// as keep the decoder at work while the others wait for a processor; only as many as are in use at once are made.
const DECODED: usize = 48;
/// Pieces of stored bytes, at most: 6 MiB. One is decoded while others wait for the decoder or the hash.
const STORED: usize = 24;

/// Pieces that wait for the hash when it is behind. The decoder keeps as many: where another hashes it can go on.
const HASHED: usize = 24;

/// How far the blob is, at the end of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes taken from the blob.
    pub(crate) blob_bytes: u64,
    /// Bytes decoded.
    pub(crate) decoded_bytes: u64,
}

/// Decoded bytes, and how far the blob is at their end.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) buffer: Arc<Buffer>,
    pub(super) counts: Counts,
}

/// What is done with one blob before its sink gets it.
pub(super) struct Stages<'a, R> {
    intake: Mutex<Intake<R>>,
    inputs: Mutex<Queue<Result<Arc<Buffer>, Error>>>,
    /// Whether the decoder makes other bytes of the stored ones. Known once it made some.
    compressed: AtomicBool,
    decoding: Mutex<Decoding>,
    pieces: Mutex<Queue<Result<Piece, Error>>>,
    hashing: Hashing,
    stop: Stop<'a>,
}

/// The source, until its end or its error.
struct Intake<R> {
    source: Option<Filler<R>>,
    pool: Pool,
}

struct Decoding {
    stream: BlobStream,
    pool: Pool,
    /// What is being filled.
    piece: Option<Buffer>,
    /// Stored bytes; those from `from` on wait for the decoder.
    input: Option<Arc<Buffer>>,
    from: usize,
}

/// What one stage has for the next; after its end there is nothing more.
#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    ended: bool,
}

/// The first of a queue.
#[derive(Debug)]
pub(super) enum First<T> {
    Is(T),
    NotYet,
    End,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), ended: false }
    }

    fn take(&mut self) -> First<T> {
        match self.waiting.pop_front() {
            Some(first) => First::Is(first),
            None if self.ended => First::End,
            None => First::NotYet,
        }
    }
}

impl<'a, R: Read> Stages<'a, R> {
    /// `bell` is rung when a buffer comes back.
    pub(super) fn new(source: R, stream: BlobStream, stop: &Stop<'a>, bell: &Arc<Bell>) -> Self {
        let hashing = Hashing::new(stream.digests());
        let [stored, decoded] = [STORED, DECODED].map(|count| Pool::new(count, PIECE, bell));
        Self {
            intake: Mutex::new(Intake { source: Some(Filler::new(source)), pool: stored }),
            inputs: Mutex::new(Queue::new()),
            compressed: AtomicBool::new(false),
            decoding: Mutex::new(Decoding { stream, pool: decoded, piece: None, input: None, from: 0 }),
            pieces: Mutex::new(Queue::new()),
            hashing,
            stop: *stop,
        }
    }

    /// Gives the next piece to whoever applies it. Only the last, and one before an error, is not full.
    pub(super) fn piece(&self) -> First<Result<Piece, Error>> {
        self.pieces().take()
    }

    /// How many pieces wait for whoever applies them.
    pub(super) fn backlog(&self) -> usize {
        self.pieces().waiting.len()
    }

    /// Hashes the next of what was read or decoded; gives whether it did.
    pub(super) fn hash(&self) -> bool {
        self.hashing.one()
    }

    /// Whether so much waits for the hash that hardly any buffer is left for the decoder.
    pub(super) fn hash_is_behind(&self) -> bool {
        self.hashing.backlog() >= HASHED
    }

    /// Whether decoding takes much longer than reading, as far as is known.
    pub(super) fn is_compressed(&self) -> bool {
        self.compressed.load(Ordering::Relaxed)
    }

    /// Reads the next stored bytes, before the decoder asks for them; gives whether it did. Plain ones are read to where decoded ones go.
    pub(super) fn read_ahead(&self) -> bool {
        self.is_compressed() && self.read()
    }

    /// Decodes the next piece; gives whether it did.
    pub(super) fn decode(&self) -> bool {
        let Ok(mut decoding) = self.decoding.try_lock() else { return false };
        if self.pieces().ended {
            return false;
        }
        let Some(mut piece) = decoding.take_piece() else { return false };
        let filled = self.fill(&mut decoding, &mut piece);
        if matches!(filled, Ok(Filled::NotYet)) {
            decoding.piece = Some(piece);
            return false;
        }
        let counts = Counts { blob_bytes: decoding.stream.stored_bytes(), decoded_bytes: decoding.stream.decoded_bytes() };
        let buffer = Arc::new(piece);
        match filled {
            Ok(Filled::AsStored) => self.hashing.push(Hashed::Stored(Arc::clone(&buffer))),
            Ok(_) if !decoding.stream.hashes_once() => self.hashing.push(Hashed::Decoded(Arc::clone(&buffer))),
            // What was hashed does not count any more after an error.
            Ok(_) | Err(_) => {}
        }
        let is_empty = buffer.filled().is_empty();
        let mut pieces = self.pieces();
        pieces.ended = is_empty || filled.is_err();
        if !is_empty {
            pieces.waiting.push_back(Ok(Piece { buffer, counts }));
        }
        pieces.waiting.extend(filled.err().map(Err));
        true
    }

    /// Gives the stream and the digests of all that it took and gave.
    pub(super) fn finish(self) -> (BlobStream, Digested) {
        let decoding = self.decoding.into_inner().unwrap_or_else(PoisonError::into_inner);
        (decoding.stream, self.hashing.finish())
    }

    /// Reads the next stored bytes; gives whether it did: not where another reads, all that may be held are, or there are none.
    fn read(&self) -> bool {
        let Ok(mut intake) = self.intake.try_lock() else { return false };
        let Some((source, mut piece)) = intake.next() else { return false };
        let read = source.fill(piece.room(), &|| self.stop.check());
        let mut inputs = self.inputs();
        inputs.ended = !matches!(read, Ok(1..));
        if inputs.ended {
            intake.source = None;
        }
        match read {
            Ok(0) => {}
            Ok(count) => {
                piece.advance(count);
                let input = Arc::new(piece);
                self.hashing.push(Hashed::Stored(Arc::clone(&input)));
                inputs.waiting.push_back(Ok(input));
            }
            Err(error) => inputs.waiting.push_back(Err(error)),
        }
        true
    }

    fn fill(&self, decoding: &mut Decoding, piece: &mut Buffer) -> Result<Filled, Error> {
        if decoding.stream.passes() && piece.filled().is_empty() && self.read_plain(decoding, piece)? > 0 {
            return Ok(Filled::AsStored);
        }
        while !piece.room().is_empty() {
            if decoding.input.is_some() {
                let decoded = decoding.decode(piece.room())?;
                piece.advance(decoded);
                self.compressed.store(decoding.stream.is_compressed(), Ordering::Relaxed);
                continue;
            }
            let input = self.inputs().take();
            match input {
                First::Is(input) => (decoding.input, decoding.from) = (Some(input?), 0),
                First::NotYet if self.read() => {}
                First::NotYet => return Ok(Filled::NotYet),
                First::End => match decoding.stream.end_of_input(piece.room())? {
                    0 => break,
                    drained => piece.advance(drained),
                },
            }
        }
        Ok(Filled::Decoded)
    }

    /// Reads plain bytes into the piece itself, where none wait to be decoded; gives how many, none at the end.
    fn read_plain(&self, decoding: &mut Decoding, piece: &mut Buffer) -> Result<usize, Error> {
        let mut intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = &mut intake.source else { return Ok(0) };
        if decoding.input.is_some() || !self.inputs().waiting.is_empty() {
            return Ok(0);
        }
        decoding.stream.check()?;
        let read = source.fill(piece.room(), &|| self.stop.check())?;
        if read == 0 {
            intake.source = None;
            self.inputs().ended = true;
            return Ok(0);
        }
        let passed = decoding.stream.pass(read)?;
        piece.advance(passed);
        Ok(passed)
    }

    fn inputs(&self) -> MutexGuard<'_, Queue<Result<Arc<Buffer>, Error>>> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pieces(&self) -> MutexGuard<'_, Queue<Result<Piece, Error>>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a piece was filled.
enum Filled {
    /// With stored bytes, as far as it is to be.
    AsStored,
    /// With decoded bytes, as far as it is to be.
    Decoded,
    /// Until there is more input.
    NotYet,
}

impl<R> Intake<R> {
    /// The source and a buffer to read to.
    fn next(&mut self) -> Option<(&mut Filler<R>, Buffer)> {
        let source = self.source.as_mut()?;
        Some((source, self.pool.take()?))
    }
}

impl Decoding {
    /// The piece that is being filled, or a new one.
    fn take_piece(&mut self) -> Option<Buffer> {
        match self.piece.take() {
            Some(piece) => Some(piece),
            None => self.pool.take(),
        }
    }

    /// Decodes what waits of the input.
    fn decode(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        let Some(input) = &self.input else { return Ok(0) };
        let mut waiting = input.filled().get(self.from..).unwrap_or_default();
        let decoded = self.stream.decode(&mut waiting, room);
        self.from = input.filled().len().saturating_sub(waiting.len());
        if waiting.is_empty() {
            self.input = None;
        }
        decoded
    }
}
