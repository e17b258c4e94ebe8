//! Drives one blob from the caller's `Read` to the caller's sink: [`drive`], on one thread or on several, with the same result.
//!
//! With more than one, a thread reads and decodes ahead, and the sink runs on the caller's: they share buffers, which are used again. Two
//! hash whenever they would have to wait for each other, so that no third takes a processor from the decoder; with more threads one hashes
//! all the time. Every shape uses the same producer, so pieces, order and errors are the same.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use super::filler::Filler;
use super::hashing::{Hashed, Hashing};
use super::pool::{Buffer, Pool};
use super::reader::{BlobStream, BlobSummary, LayerProof, PIECE};
use super::share::Share;
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
/// their own, with three or more hashing on another; all are joined before the return: a `read` that blocks delays even the sink's error.
/// With one they do so from when the share grows.
///
/// # Errors
/// The first of: an error of `source`, of `stream`, of `sink` (which gets all that was decoded before an error), of `stop`.
///
/// # Panics
/// Where `source` or `sink` does: on the caller's thread, whichever the shape.
pub(crate) fn drive<R: Read + Send>(
    source: R,
    stream: BlobStream,
    share: &Share,
    stop: &Stop<'_>,
    sink: Sink<'_>,
) -> Result<Driven, Error> {
    let hashing = Hashing::new(stream.digests());
    let producer = Producer::new(source, stream, &hashing, stop);
    let mut stream = match share.threads() {
        0 | 1 => inline(producer, share, stop, sink),
        2 => ahead(producer, Hasher::Whoever, stop, sink),
        _ => ahead(producer, Hasher::Own, stop, sink),
    }?;
    let events = stream.take_events();
    let (proof, summary) = stream.finish(hashing.finish())?;
    Ok((proof, summary, events))
}

/// Gives `take` the bytes of `source` to its end, in pieces of 256 KiB but the last. With two threads or more `source` is read on one
/// of its own, a few pieces ahead.
///
/// # Errors
/// The first of: an error of `source`, of `take`, of `stop`.
pub(super) fn read_through(
    source: impl Read + Send,
    share: &Share,
    stop: &Stop<'_>,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut source, mut pool) = (Filler::new(source), Pool::new(STORED, PIECE));
    let mut next = move || {
        let mut piece = pool.take(|| false);
        let read = source.fill(piece.room(), &|| stop.check())?;
        piece.advance(read);
        Ok((read > 0).then_some(piece))
    };
    if share.threads() == 1 {
        while let Some(piece) = next()? {
            take(piece.filled())?;
        }
        return Ok(());
    }
    thread::scope(|scope| {
        let (to_caller, pieces) = sync_channel(STORED);
        let read = move || {
            while let Some(piece) = next()? {
                // The caller's side has its own error where it is gone; this one is never seen.
                to_caller.send(piece).map_err(|_| Error::new(ErrorKind::Cancelled, "the hash has stopped"))?;
            }
            Ok(())
        };
        let reader = named().spawn_scoped(scope, read).map_err(not_started)?;
        let taken = pieces.into_iter().try_for_each(|piece| take(piece.filled()));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        taken.and(read)
    })
}

/// Who hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hasher {
    /// Whoever waits for another.
    Whoever,
    /// A thread of its own, too.
    Own,
}

fn inline<R: Read + Send>(mut producer: Producer<'_, R>, share: &Share, stop: &Stop<'_>, sink: Sink<'_>) -> Result<BlobStream, Error> {
    while let Some(piece) = producer.next()? {
        while producer.hashing.one() {}
        stop.check()?;
        sink(&piece.buffer, piece.counts)?;
        drop(piece);
        if share.grow() {
            let hasher = if share.threads() > 2 { Hasher::Own } else { Hasher::Whoever };
            return ahead(producer, hasher, stop, sink);
        }
    }
    Ok(producer.stream)
}

fn ahead<R: Read + Send>(producer: Producer<'_, R>, hasher: Hasher, stop: &Stop<'_>, sink: Sink<'_>) -> Result<BlobStream, Error> {
    let hashing = producer.hashing;
    thread::scope(|scope| {
        let (to_sink, pieces) = sync_channel(DECODED);
        let decoder = named().spawn_scoped(scope, move || produce(producer, &to_sink)).map_err(not_started)?;
        if hasher == Hasher::Own {
            // Where none can be started, whoever waits hashes.
            drop(named().spawn_scoped(scope, || hashing.all()));
        }
        // Takes its end along: once it returns or unwinds, the decoder cannot wait for it, and ends.
        let consumed = consume(pieces, hashing, stop, sink);
        let produced = decoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        consumed.and(produced)
    })
}

fn named() -> thread::Builder {
    thread::Builder::new().name("safe-layers".into())
}

fn not_started(error: std::io::Error) -> Error {
    Error::io("starting a thread", &error)
}

/// The decoder's thread: gives every piece to the hash and to the sink.
fn produce<R: Read>(mut producer: Producer<'_, R>, to_sink: &SyncSender<Piece>) -> Result<BlobStream, Error> {
    // However this ends, whoever hashes all the time must too.
    let _complete = Complete(producer.hashing);
    while let Some(piece) = producer.next()? {
        // The sink's side has its own error where it is gone; this one is never seen.
        to_sink.send(piece).map_err(|_| Error::new(ErrorKind::Cancelled, "the sink has stopped"))?;
    }
    while producer.hashing.one() {}
    Ok(producer.stream)
}

/// Says at its end that nothing more is to be hashed.
struct Complete<'a>(&'a Hashing);

impl Drop for Complete<'_> {
    fn drop(&mut self) {
        self.0.complete();
    }
}

/// The sink's side: ends with the sink's error, or when the decoder is done, for whatever reason. Hashes while there is no piece.
fn consume(pieces: Receiver<Piece>, hashing: &Hashing, stop: &Stop<'_>, sink: Sink<'_>) -> Result<(), Error> {
    loop {
        let piece = match pieces.try_recv() {
            Ok(piece) => piece,
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) if hashing.one_if_nobody_does() => continue,
            Err(TryRecvError::Empty) => match pieces.recv() {
                Ok(piece) => piece,
                Err(_) => return Ok(()),
            },
        };
        stop.check()?;
        sink(&piece.buffer, piece.counts)?;
    }
}

/// Decoded bytes, and how far the blob is at their end.
#[derive(Debug)]
struct Piece {
    buffer: Arc<Buffer>,
    counts: Counts,
}

/// Reads and decodes, a piece at a time.
struct Producer<'a, R> {
    source: Source<R>,
    stream: BlobStream,
    hashing: &'a Hashing,
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
    fn new(source: R, stream: BlobStream, hashing: &'a Hashing, stop: &Stop<'a>) -> Self {
        let (stored, decoded) = (Pool::new(STORED, PIECE), Pool::new(DECODED, PIECE));
        let source = Source::Open(Filler::new(source));
        Self { source, stream, hashing, stop: *stop, stored, decoded, input: None, from: 0, failure: None }
    }

    /// Gives the next piece, and to the hash all that is read and decoded for it; none at the end. Only the last piece, and one before
    /// an error, is not full.
    fn next(&mut self) -> Result<Option<Piece>, Error> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut piece = self.decoded.take(|| self.hashing.one());
        let result = self.fill(&mut piece);
        let counts = Counts { blob_bytes: self.stream.stored_bytes(), decoded_bytes: self.stream.decoded_bytes() };
        let buffer = Arc::new(piece);
        match result {
            Ok(HashedAs::Stored) => self.hashing.push(Hashed::Stored(Arc::clone(&buffer))),
            Ok(HashedAs::Decoded) if self.stream.hashes_once() => {}
            Ok(HashedAs::Decoded) => self.hashing.push(Hashed::Decoded(Arc::clone(&buffer))),
            // What was hashed does not count any more.
            Err(error) if !buffer.filled().is_empty() => self.failure = Some(error),
            Err(error) => return Err(error),
        }
        Ok((!buffer.filled().is_empty()).then_some(Piece { buffer, counts }))
    }

    fn fill(&mut self, piece: &mut Buffer) -> Result<HashedAs, Error> {
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
                let mut input = self.stored.take(|| self.hashing.one());
                let read = source.fill(input.room(), &|| self.stop.check())?;
                input.advance(read);
                if read == 0 {
                    self.source = Source::AtEnd;
                } else {
                    let input = Arc::new(input);
                    self.hashing.push(Hashed::Stored(Arc::clone(&input)));
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
}

/// What the bytes of a piece are hashed as.
enum HashedAs {
    /// They were read to where decoded bytes go.
    Stored,
    Decoded,
}
