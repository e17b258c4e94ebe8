//! Drives one blob from the caller's `Read` to the caller's sink: [`drive`], on one thread or on several, with the same result.
//!
//! The sink runs on the caller's thread, in order. Whoever has nothing better to do does the next of what comes before it: one thread decodes
//! first of all, another hashes, and the caller's does either, or reads ahead, while there is nothing for the sink; what the sink leaves
//! [aside](Aside) is done by any. So no third thread takes a processor from the decoder, and none waits while another has too much to do. Pieces,
//! order and errors are those of one thread.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, Scope, ScopedJoinHandle};

use super::aside::Aside;
use super::filler::Filler;
use super::pool::{Buffer, Pool};
use super::reader::{BlobStream, BlobSummary, LayerProof, PIECE};
use super::share::Share;
use super::stages::{Counts, First, Stages};
use super::stop::Stop;
use crate::error::{Error, ErrorKind};
use crate::observe::Event;

/// Pieces that [`read_through`] reads ahead: 2 MiB.
const AHEAD: usize = 8;

/// Takes decoded pieces, in order, on the caller's thread. What it keeps of a piece keeps its buffer from being used again.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&Arc<Buffer>, Counts) -> Result<(), Error>;

/// What became of a blob that was driven to its end.
type Driven = (LayerProof, BlobSummary, Vec<Event>);

/// Reads `source` to its end, decodes it through `stream`, and gives `sink` the decoded bytes, in pieces of 256 KiB at most.
///
/// The pieces do not depend on how much each `read` gives. With more than one thread, `source` is read on any of them; all are joined before
/// the return: a `read` that blocks delays even the sink's error. With one there are more from when the share grows.
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
    aside: &Aside,
    sink: Sink<'_>,
) -> Result<Driven, Error> {
    let stages = Stages::new(source, stream, stop, aside.bell());
    let work = Work { stages, aside, over: AtomicBool::new(false) };
    thread::scope(|scope| {
        let mut beside = Beside { scope, work: &work, share, threads: Vec::new() };
        let consumed = {
            // However this ends, those beside must too.
            let _over = Over(&work);
            beside.start();
            work.consume(&mut beside, stop, sink)
        };
        beside.join();
        consumed
    })?;
    let (mut stream, digested) = work.stages.finish();
    let events = stream.take_events();
    let (proof, summary) = stream.finish(digested)?;
    Ok((proof, summary, events))
}

/// Gives `take` the bytes of `source` to its end, in pieces of 256 KiB but the last. With two threads or more `source` is read on one
/// of its own, a few pieces ahead, where that can be started.
///
/// # Errors
/// The first of: an error of `source`, of `take`, of `stop`.
pub(super) fn read_through(
    source: impl Read + Send,
    share: &Share,
    stop: &Stop<'_>,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut source, mut pool) = (Filler::new(source), Pool::new(AHEAD, PIECE, &Arc::default()));
    let mut next = move || {
        let mut piece = pool.wait();
        let read = source.fill(piece.room(), &|| stop.check())?;
        piece.advance(read);
        Ok((read > 0).then_some(piece))
    };
    if share.threads() > 1
        && let Some(read) = read_beside(&mut next, take)
    {
        return read;
    }
    while let Some(piece) = next()? {
        take(piece.filled())?;
    }
    Ok(())
}

/// Gives `take` what `next` reads on a thread of its own; none, and nothing is read, where that cannot be started.
fn read_beside(
    next: &mut (dyn FnMut() -> Result<Option<Buffer>, Error> + Send),
    take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Option<Result<(), Error>> {
    thread::scope(|scope| {
        let (to_caller, pieces) = sync_channel(AHEAD);
        let read = move || {
            while let Some(piece) = next()? {
                // The caller's side has its own error where it is gone; this one is never seen.
                to_caller.send(piece).map_err(|_| Error::new(ErrorKind::Cancelled, "the hash has stopped"))?;
            }
            Ok(())
        };
        let reader = named().spawn_scoped(scope, read).ok()?;
        let taken = pieces.into_iter().try_for_each(|piece| take(piece.filled()));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Some(taken.and(read))
    })
}

/// What a thread can do beside the sink.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Reads stored bytes before the decoder asks for them.
    ReadAhead,
    /// Decodes a piece.
    Decode,
    /// Hashes what was read or decoded.
    Hash,
    /// Does what the sink leaves to others.
    Aside,
}

/// What the threads of one blob have in common.
struct Work<'a, R> {
    stages: Stages<'a, R>,
    /// Its bell is rung whenever a stage went on, a buffer came back or the sink left something to others.
    aside: &'a Aside,
    /// Whether nothing is to be done any more, for whatever reason.
    over: AtomicBool,
}

/// Says at its end that all is over.
struct Over<'a, 'b, R>(&'a Work<'b, R>);

impl<R> Drop for Over<'_, '_, R> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
        self.0.aside.bell().ring();
    }
}

impl<'a, R: Read> Work<'a, R> {
    /// The sink's side. Does what comes before it while there is no piece.
    fn consume(&self, beside: &mut Beside<'_, '_, 'a, R>, stop: &Stop<'_>, sink: Sink<'_>) -> Result<(), Error>
    where
        R: Send,
    {
        loop {
            let strokes = self.aside.bell().strokes();
            match self.stages.piece() {
                First::Is(piece) => {
                    let piece = piece?;
                    stop.check()?;
                    self.aside.set_backlog(self.stages.backlog());
                    sink(&piece.buffer, piece.counts)?;
                    drop(piece);
                    beside.grow();
                }
                First::End => return Ok(()),
                // Another panicked.
                First::NotYet if self.is_over() => return Ok(()),
                // A decoder that has little to do has the time to hash.
                First::NotYet if beside.help() && !self.stages.is_compressed() => {
                    self.one_of(&[Task::Decode, Task::Aside, Task::Hash], strokes)
                }
                First::NotYet => self.one_of(&[Task::Aside, Task::Hash, Task::Decode, Task::ReadAhead], strokes),
            }
        }
    }

    /// The decoder's thread.
    fn decode(&self) {
        self.help(|stages| match stages.is_compressed() && !stages.hash_is_behind() {
            true => &[Task::Decode, Task::Hash, Task::Aside],
            false => &[Task::Hash, Task::Decode, Task::Aside],
        });
    }

    /// A thread beside the sink's: does the first of `tasks` that can be done, until all is over.
    fn help(&self, tasks: impl Fn(&Stages<'a, R>) -> &'static [Task]) {
        let _over = Over(self);
        loop {
            // Asked for before all else: whatever happens from now on wakes this thread.
            let strokes = self.aside.bell().strokes();
            if self.is_over() {
                return;
            }
            self.one_of(tasks(&self.stages), strokes);
        }
    }

    /// Does the first of `tasks` that can be done; where none can, waits until something changed since the bell was rung so often.
    fn one_of(&self, tasks: &[Task], strokes: u64) {
        let did = tasks.iter().any(|task| match task {
            Task::ReadAhead => self.stages.read_ahead(),
            Task::Decode => self.stages.decode(),
            Task::Hash => self.stages.hash(),
            Task::Aside => self.aside.one(),
        });
        if did {
            self.aside.bell().ring();
        } else {
            self.aside.bell().wait_after(strokes);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// The threads beside the sink's.
struct Beside<'scope, 'env, 'a, R> {
    scope: &'scope Scope<'scope, 'env>,
    work: &'env Work<'a, R>,
    share: &'env Share,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'env, 'a: 'env, R: Read + Send> Beside<'_, 'env, 'a, R> {
    /// Starts those for which the share has threads: one that decodes, one that hashes, and those that do the rest of what is the sink's.
    /// Where one cannot be started, those that run do its work.
    fn start(&mut self) {
        let work = self.work;
        for number in self.threads.len()..self.share.threads().saturating_sub(1) {
            let task = move || match number {
                0 => work.decode(),
                1 => work.help(|_| &[Task::Hash, Task::ReadAhead, Task::Aside]),
                _ => work.help(|_| &[Task::Aside]),
            };
            let Ok(thread) = named().spawn_scoped(self.scope, task) else { return };
            self.threads.push(thread);
        }
    }

    /// Starts more when there are threads for them.
    fn grow(&mut self) {
        if self.share.grow() {
            self.start();
        }
    }

    /// Whether there are any.
    fn help(&self) -> bool {
        !self.threads.is_empty()
    }

    /// Waits for them, and panics as the first of them did that panicked.
    fn join(self) {
        for thread in self.threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

fn named() -> thread::Builder {
    thread::Builder::new().name("safe-layers".into())
}
