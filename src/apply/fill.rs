//! Fills files on threads of their own: their bytes, owner, mode and time. The applier makes every name itself, in the order of the
//! layer, and hands on the open file: whatever depends on names is decided before, and nothing here knows one.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::files::{finish_file, write_parts};
use crate::blob::Part;
use crate::convert::len_u64;
use crate::entry::{Metadata, Owner};
use crate::error::{Error, ErrorKind, Location};
use crate::root::{NewFile, handle_limit, inherit_faults};

/// Files handed on at once, at most. One batch is made, one waits for each thread and one is worked on by each: at most 96 handles
/// for one thread and 288 for [`MOST`]. Where the process may have few it is fewer ([`SHARE`]), but one file at least.
const BATCH: usize = 32;
/// What part of the handles of the process may wait to be filled: one in so many.
const SHARE: u64 = 8;
/// Threads that pay, at most: more wait for each other in the filesystem.
const MOST: usize = 4;

/// Threads that fill files.
#[derive(Debug)]
pub(super) struct Fillers {
    threads: Vec<Filler>,
    /// Which of them gets the batch at hand.
    turn: usize,
    batch: Vec<Job>,
    /// How many jobs make a batch.
    full: usize,
    /// Whether any was given something since all were waited for.
    busy: bool,
    failure: Arc<Mutex<Option<Error>>>,
}

#[derive(Debug)]
struct Filler {
    jobs: SyncSender<Message>,
    thread: JoinHandle<()>,
}

enum Message {
    Fill(Vec<Job>),
    /// All before is done: says so.
    Done(SyncSender<()>),
}

/// Parts of one file's body, in order, and after the last of them what it is to have in the end.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: Arc<NewFile>,
    pub(super) parts: Vec<(u64, Part)>,
    pub(super) last: Option<Last>,
    pub(super) location: Arc<Location>,
}

/// What a file is to have in the end.
#[derive(Debug)]
pub(super) struct Last {
    /// Its length, where that is beyond the last byte written.
    pub(super) extend_to: Option<u64>,
    pub(super) metadata: Metadata,
    pub(super) owner: Option<Owner>,
}

impl Fillers {
    /// Starts at most `count` threads.
    pub(super) fn start(count: usize) -> Result<Self, Error> {
        let count = count.min(MOST);
        let batches = len_u64(count).saturating_mul(2).saturating_add(1);
        let share = handle_limit().checked_div(batches.saturating_mul(SHARE)).unwrap_or(0);
        let full = usize::try_from(share).unwrap_or(BATCH).clamp(1, BATCH);
        let mut fillers = Self { threads: Vec::new(), turn: 0, batch: Vec::new(), full, busy: false, failure: Arc::default() };
        for _ in 0..count {
            fillers.threads.push(Filler::start(&fillers.failure)?);
        }
        Ok(fillers)
    }

    /// Hands on a job, sooner or later; at once where enough have come together.
    pub(super) fn push(&mut self, job: Job) -> Result<(), Error> {
        self.batch.push(job);
        if self.batch.len() >= self.full { self.flush() } else { Ok(()) }
    }

    /// Hands on what has come together; gives an error there was, if one is known by now.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.hand_on()?;
        self.check()
    }

    fn hand_on(&mut self) -> Result<(), Error> {
        let Some(last) = self.batch.last() else { return Ok(()) };
        // The other parts of a file follow the first.
        let step = usize::from(last.last.is_some());
        let thread = self.threads.get(self.turn).ok_or_else(gone)?;
        thread.jobs.send(Message::Fill(std::mem::take(&mut self.batch))).map_err(|_| gone())?;
        self.busy = true;
        self.turn = self.turn.saturating_add(step);
        if self.turn >= self.threads.len() {
            self.turn = 0;
        }
        Ok(())
    }

    /// Waits until everything is done.
    ///
    /// # Errors
    /// That of the first file, in the order of the layer, that could not be filled.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        self.hand_on()?;
        if !std::mem::take(&mut self.busy) {
            return self.check();
        }
        let (done, waiting) = sync_channel(self.threads.len());
        for thread in &self.threads {
            thread.jobs.send(Message::Done(done.clone())).map_err(|_| gone())?;
        }
        drop(done);
        let count = waiting.into_iter().count();
        self.check()?;
        if count == self.threads.len() { Ok(()) } else { Err(gone()) }
    }

    /// Gives the first error, in the order of the layer.
    fn check(&self) -> Result<(), Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

impl Drop for Fillers {
    fn drop(&mut self) {
        self.batch.clear();
        for Filler { jobs, thread } in self.threads.drain(..) {
            drop(jobs);
            // One that panicked has said so by being gone.
            thread.join().unwrap_or_default();
        }
    }
}

impl Filler {
    fn start(failure: &Arc<Mutex<Option<Error>>>) -> Result<Self, Error> {
        let (jobs, messages) = sync_channel(1);
        let (failure, faults) = (Arc::clone(failure), inherit_faults());
        let work = move || faults.during(|| fill_all(messages, &failure));
        let thread = std::thread::Builder::new().name("safe-layers".into()).spawn(work);
        Ok(Self { jobs, thread: thread.map_err(|error| Error::io("starting a thread", &error))? })
    }
}

fn fill_all(messages: Receiver<Message>, failure: &Mutex<Option<Error>>) {
    for message in messages {
        match message {
            Message::Fill(jobs) => jobs.into_iter().for_each(|job| {
                let location = Arc::clone(&job.location);
                if let Err(error) = fill(job) {
                    keep_first(failure, error.located(&location));
                }
            }),
            Message::Done(done) => done.send(()).unwrap_or_default(),
        }
    }
}

fn fill(job: Job) -> Result<(), Error> {
    write_parts(&job.file, &job.parts)?;
    let Some(Last { extend_to, metadata, owner }) = job.last else { return Ok(()) };
    extend_to.map_or(Ok(()), |len| job.file.extend_to(len))?;
    // Files with attributes that may be refused, or a time that may be clamped, never come here: that would have to be told.
    finish_file(&job.file, &metadata, owner, &mut |_| Err(Error::new(ErrorKind::XattrUnsupported, "not here"))).map(drop)
}

/// Keeps the error that comes first in the layer.
fn keep_first(failure: &Mutex<Option<Error>>, error: Error) {
    let mut kept = failure.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.as_ref().is_none_or(|kept| error.location().entry < kept.location().entry) {
        *kept = Some(error);
    }
}

pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Io, "a thread that fills files is gone")
}
