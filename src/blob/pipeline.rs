//! Drives one blob from the caller's `Read` to the caller's sink: [`drive`], on one thread or on two, with the same result.
//!
//! With two, the other thread reads, hashes and decodes ahead into a bounded ring of buffers that are used again; the sink runs on the
//! caller's thread. Both shapes use the same producer, so pieces, order and errors are the same.

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::reader::{BlobStream, BlobSummary, Filler, LayerProof, PIECE};
use super::stop::Stop;
use crate::error::{Error, ErrorKind};
use crate::observe::Event;

/// Pieces decoded ahead: 1 MiB, enough to bridge a directory of small files on the sink's side.
const RING: usize = 4;

/// How far the blob is, at the end of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes taken from the blob.
    pub(crate) blob_bytes: u64,
    /// Bytes decoded.
    pub(crate) decoded_bytes: u64,
}

/// Takes decoded pieces, in order, on the caller's thread.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&[u8], Counts) -> Result<(), Error>;

/// What became of a blob that was driven to its end.
type Driven = (LayerProof, BlobSummary, Vec<Event>);

/// Reads `source` to its end, decodes it through `stream`, and gives `sink` the decoded bytes, in pieces of 256 KiB at most.
///
/// The pieces do not depend on how much each `read` gives. With two threads or more, reading and decoding run ahead on a thread of
/// their own, which is joined before the return: a `read` that blocks delays even the sink's error.
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
    let producer = Producer::new(source, stream, stop);
    if threads.get() == 1 { inline(producer, sink) } else { ahead(producer, stop, sink) }
}

fn inline<R: Read>(mut producer: Producer<'_, R>, sink: Sink<'_>) -> Result<Driven, Error> {
    let mut piece = Piece::new();
    loop {
        producer.fill(&mut piece)?;
        if piece.len == 0 {
            return producer.finish();
        }
        sink(piece.bytes(), piece.counts)?;
    }
}

fn ahead<R: Read + Send>(producer: Producer<'_, R>, stop: &Stop<'_>, sink: Sink<'_>) -> Result<Driven, Error> {
    thread::scope(|scope| {
        let (to_sink, full) = sync_channel(RING);
        let (back, empty) = sync_channel(RING);
        for _ in 0..RING {
            // Cannot fail: there is room for all, and the other end is alive.
            back.try_send(Piece::new()).unwrap_or_default();
        }
        let decoder = thread::Builder::new()
            .name("safe-layers".into())
            .spawn_scoped(scope, move || produce(producer, &empty, &to_sink))
            .map_err(|error| Error::io("starting the decoder's thread", &error))?;
        // Takes its ends of the ring along: once it returns or unwinds, the decoder cannot wait for it.
        let consumed = consume(full, back, stop, sink);
        let produced = decoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        consumed.and(produced)
    })
}

/// The decoder's side of the ring.
fn produce<R: Read>(mut producer: Producer<'_, R>, empty: &Receiver<Piece>, full: &SyncSender<Piece>) -> Result<Driven, Error> {
    // The sink's side has its own error where it is gone; this one is never seen.
    let gone = || Error::new(ErrorKind::Cancelled, "the sink has stopped");
    loop {
        let mut piece = empty.recv().map_err(|_| gone())?;
        producer.fill(&mut piece)?;
        if piece.len == 0 {
            return producer.finish();
        }
        full.send(piece).map_err(|_| gone())?;
    }
}

/// The sink's side of the ring: ends with the sink's error, or when the decoder is done, for whatever reason.
fn consume(full: Receiver<Piece>, back: SyncSender<Piece>, stop: &Stop<'_>, sink: Sink<'_>) -> Result<(), Error> {
    while let Ok(piece) = full.recv() {
        stop.check()?;
        sink(piece.bytes(), piece.counts)?;
        // A decoder that is done needs no buffer.
        back.send(piece).unwrap_or_default();
    }
    Ok(())
}

/// A buffer of decoded bytes.
#[derive(Debug)]
struct Piece {
    buffer: Vec<u8>,
    len: usize,
    counts: Counts,
}

impl Piece {
    fn new() -> Self {
        Self { buffer: vec![0; PIECE], len: 0, counts: Counts::default() }
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

/// Reads and decodes, a piece at a time.
struct Producer<'a, R> {
    source: Source<R>,
    stream: BlobStream,
    stop: Stop<'a>,
    /// Bytes read; those from `from` to `until` wait for the decoder.
    input: Vec<u8>,
    from: usize,
    until: usize,
    /// An error that came after bytes were decoded into the piece at hand.
    failure: Option<Error>,
}

enum Source<R> {
    Open(Filler<R>),
    AtEnd,
}

impl<'a, R: Read> Producer<'a, R> {
    fn new(source: R, stream: BlobStream, stop: &Stop<'a>) -> Self {
        let input = vec![0; PIECE];
        Self { source: Source::Open(Filler::new(source)), stream, stop: *stop, input, from: 0, until: 0, failure: None }
    }

    /// Fills the piece; only the last one, and one before an error, is not full. An empty one is the end.
    fn fill(&mut self, piece: &mut Piece) -> Result<(), Error> {
        piece.len = 0;
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let result = self.fill_up(piece);
        piece.counts = Counts { blob_bytes: self.stream.stored_bytes(), decoded_bytes: self.stream.decoded_bytes() };
        match result {
            Err(error) if piece.len > 0 => {
                self.failure = Some(error);
                Ok(())
            }
            result => result,
        }
    }

    fn fill_up(&mut self, piece: &mut Piece) -> Result<(), Error> {
        loop {
            let room = piece.buffer.get_mut(piece.len..).unwrap_or_default();
            if room.is_empty() {
                return Ok(());
            }
            let mut waiting = self.input.get(self.from..self.until).unwrap_or_default();
            let decoded = if !waiting.is_empty() {
                let decoded = self.stream.decode(&mut waiting, room);
                self.from = self.until.saturating_sub(waiting.len());
                decoded?
            } else if let Source::Open(source) = &mut self.source {
                (self.from, self.until) = (0, source.fill(&mut self.input, &|| self.stop.check())?);
                if self.until == 0 {
                    self.source = Source::AtEnd;
                }
                0
            } else {
                match self.stream.end_of_input(room)? {
                    0 => return Ok(()),
                    drained => drained,
                }
            };
            piece.len = piece.len.saturating_add(decoded);
        }
    }

    fn finish(mut self) -> Result<Driven, Error> {
        let events = self.stream.take_events();
        let (proof, summary) = self.stream.finish()?;
        Ok((proof, summary, events))
    }
}
