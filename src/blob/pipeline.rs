//! Drives one blob from the caller's `Read` to the caller's sink: [`drive`], on one thread or on several, with the same result.
//!
//! With more than one, a thread reads and decodes ahead, another hashes, and the sink runs on the caller's: they share buffers, which
//! are used again. Both shapes use the same producer, so pieces, order and errors are the same.

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::digests::{Digested, Digests};
use super::filler::Filler;
use super::pool::{Buffer, Pool};
use super::reader::{BlobStream, BlobSummary, LayerProof, PIECE};
use super::stop::Stop;
use crate::error::{Error, ErrorKind};
use crate::observe::Event;

/// Pieces of decoded bytes, at most: 8 MiB. Some wait for the sink, some for the hash, some for files that are still being written. As many
/// as keep the decoder at work while the others wait for a processor; only as many as are in use at once are made.
const DECODED: usize = 32;
/// Pieces of stored bytes, at most: 2 MiB. One is read and decoded while others wait for the hash.
const STORED: usize = 8;

/// How far the blob is, at the end of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes taken from the blob.
    pub(crate) blob_bytes: u64,
    /// Bytes decoded.
    pub(crate) decoded_bytes: u64,
}

/// Takes decoded pieces, in order, on the caller's thread. What it keeps of a piece keeps its buffer from being used again.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&Arc<Buffer>, Counts) -> Result<(), Error>;

/// What became of a blob that was driven to its end.
type Driven = (LayerProof, BlobSummary, Vec<Event>);

/// Reads `source` to its end, decodes it through `stream`, and gives `sink` the decoded bytes, in pieces of 256 KiB at most.
///
/// The pieces do not depend on how much each `read` gives. With two threads or more, reading and decoding run ahead on a thread of
/// their own, and hashing on another; both are joined before the return: a `read` that blocks delays even the sink's error.
///
/// # Errors
/// The first of: an error of `source`, of `stream`, of `sink` (which gets all that was decoded before an error), of `stop`.
///
/// # Panics
/// Where `source` or `sink` does: on the caller's thread, whichever the shape.
pub(crate) fn drive<R: Read + Send>(
    source: R,
    stream: BlobStream,
    threads: NonZeroUsize,
    stop: &Stop<'_>,
    sink: Sink<'_>,
) -> Result<Driven, Error> {
    let mut producer = Producer::new(source, stream, stop);
    if threads.get() == 1 {
        let digests = inline(&mut producer, stop, sink)?;
        return producer.finish(digests.finish());
    }
    ahead(producer, stop, sink)
}

fn inline<R: Read>(producer: &mut Producer<'_, R>, stop: &Stop<'_>, sink: Sink<'_>) -> Result<Digests, Error> {
    let mut digests = producer.stream.digests();
    while let Some(piece) = producer.next(&mut |hashed| hashed.update(&mut digests))? {
        stop.check()?;
        sink(&piece.buffer, piece.counts)?;
    }
    Ok(digests)
}

fn ahead<R: Read + Send>(producer: Producer<'_, R>, stop: &Stop<'_>, sink: Sink<'_>) -> Result<Driven, Error> {
    thread::scope(|scope| {
        let (to_sink, pieces) = sync_channel(DECODED);
        let (to_hash, hashed) = sync_channel(DECODED);
        let digests = producer.stream.digests();
        let start = |error| Error::io("starting a thread", &error);
        let named = || thread::Builder::new().name("safe-layers".into());
        let hasher = named().spawn_scoped(scope, move || hash(digests, hashed)).map_err(start)?;
        let decoder = named().spawn_scoped(scope, move || produce(producer, &to_hash, &to_sink)).map_err(start)?;
        // Takes its end along: once it returns or unwinds, the decoder cannot wait for it.
        let consumed = consume(pieces, stop, sink);
        let produced = decoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let digested = hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        consumed.and(produced)?.finish(digested)
    })
}

/// The decoder's thread: gives every piece to the hash and to the sink.
fn produce<'a, R: Read>(
    mut producer: Producer<'a, R>,
    to_hash: &SyncSender<Hashed>,
    to_sink: &SyncSender<Piece>,
) -> Result<Producer<'a, R>, Error> {
    // The hash ends only after this does.
    while let Some(piece) = producer.next(&mut |hashed| to_hash.send(hashed).unwrap_or_default())? {
        // The sink's side has its own error where it is gone; this one is never seen.
        to_sink.send(piece).map_err(|_| Error::new(ErrorKind::Cancelled, "the sink has stopped"))?;
    }
    Ok(producer)
}

/// The hash's thread.
fn hash(mut digests: Digests, hashed: Receiver<Hashed>) -> Digested {
    hashed.into_iter().for_each(|hashed| hashed.update(&mut digests));
    digests.finish()
}

/// The sink's side: ends with the sink's error, or when the decoder is done, for whatever reason.
fn consume(pieces: Receiver<Piece>, stop: &Stop<'_>, sink: Sink<'_>) -> Result<(), Error> {
    pieces.into_iter().try_for_each(|piece| {
        stop.check()?;
        sink(&piece.buffer, piece.counts)
    })
}

/// Decoded bytes, and how far the blob is at their end.
#[derive(Debug)]
struct Piece {
    buffer: Arc<Buffer>,
    counts: Counts,
}

/// Bytes for the hash.
#[derive(Debug)]
enum Hashed {
    Stored(Arc<Buffer>),
    Decoded(Arc<Buffer>),
}

impl Hashed {
    fn update(self, digests: &mut Digests) {
        match self {
            Self::Stored(buffer) => digests.stored(buffer.filled()),
            Self::Decoded(buffer) => digests.decoded(buffer.filled()),
        }
    }
}

/// Reads and decodes, a piece at a time.
struct Producer<'a, R> {
    source: Source<R>,
    stream: BlobStream,
    stop: Stop<'a>,
    stored: Pool,
    decoded: Pool,
    /// Bytes read; those from `from` on wait for the decoder.
    input: Option<Arc<Buffer>>,
    from: usize,
    /// An error that came after bytes were decoded into the piece at hand.
    failure: Option<Error>,
}

enum Source<R> {
    Open(Filler<R>),
    AtEnd,
}

impl<'a, R: Read> Producer<'a, R> {
    fn new(source: R, stream: BlobStream, stop: &Stop<'a>) -> Self {
        let (stored, decoded) = (Pool::new(STORED, PIECE), Pool::new(DECODED, PIECE));
        Self { source: Source::Open(Filler::new(source)), stream, stop: *stop, stored, decoded, input: None, from: 0, failure: None }
    }

    /// Gives the next piece, and to `hash` all that is read and decoded for it; none at the end. Only the last piece, and one before
    /// an error, is not full.
    fn next(&mut self, hash: &mut dyn FnMut(Hashed)) -> Result<Option<Piece>, Error> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut piece = self.decoded.take();
        let result = self.fill(&mut piece, hash);
        let counts = Counts { blob_bytes: self.stream.stored_bytes(), decoded_bytes: self.stream.decoded_bytes() };
        let buffer = Arc::new(piece);
        match result {
            Ok(HashedAs::Stored) => hash(Hashed::Stored(Arc::clone(&buffer))),
            Ok(HashedAs::Decoded) if self.stream.hashes_once() => {}
            Ok(HashedAs::Decoded) => hash(Hashed::Decoded(Arc::clone(&buffer))),
            // What was hashed does not count any more.
            Err(error) if !buffer.filled().is_empty() => self.failure = Some(error),
            Err(error) => return Err(error),
        }
        Ok((!buffer.filled().is_empty()).then_some(Piece { buffer, counts }))
    }

    fn fill(&mut self, piece: &mut Buffer, hash: &mut dyn FnMut(Hashed)) -> Result<HashedAs, Error> {
        if self.input.is_none() && self.stream.passes() && self.read_plain(piece)? > 0 {
            return Ok(HashedAs::Stored);
        }
        while !piece.room().is_empty() {
            let decoded = if let Some(input) = &self.input {
                let mut waiting = input.filled().get(self.from..).unwrap_or_default();
                let decoded = self.stream.decode(&mut waiting, piece.room());
                self.from = input.filled().len().saturating_sub(waiting.len());
                if waiting.is_empty() {
                    self.input = None;
                }
                decoded?
            } else if let Source::Open(source) = &mut self.source {
                let mut input = self.stored.take();
                let read = source.fill(input.room(), &|| self.stop.check())?;
                input.advance(read);
                if read == 0 {
                    self.source = Source::AtEnd;
                } else {
                    let input = Arc::new(input);
                    hash(Hashed::Stored(Arc::clone(&input)));
                    (self.input, self.from) = (Some(input), 0);
                }
                0
            } else {
                match self.stream.end_of_input(piece.room())? {
                    0 => return Ok(HashedAs::Decoded),
                    drained => drained,
                }
            };
            piece.advance(decoded);
        }
        Ok(HashedAs::Decoded)
    }

    /// Reads plain bytes into the piece itself; gives how many, none at the end.
    fn read_plain(&mut self, piece: &mut Buffer) -> Result<usize, Error> {
        let Source::Open(source) = &mut self.source else { return Ok(0) };
        self.stream.check()?;
        let read = source.fill(piece.room(), &|| self.stop.check())?;
        if read == 0 {
            self.source = Source::AtEnd;
            return Ok(0);
        }
        let passed = self.stream.pass(read)?;
        piece.advance(passed);
        Ok(passed)
    }

    fn finish(mut self, digested: Digested) -> Result<Driven, Error> {
        let events = self.stream.take_events();
        let (proof, summary) = self.stream.finish(digested)?;
        Ok((proof, summary, events))
    }
}

/// What the bytes of a piece are hashed as.
enum HashedAs {
    /// They were read to where decoded bytes go.
    Stored,
    Decoded,
}
