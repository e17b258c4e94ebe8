//! The entries of a layer without a filesystem: [`LayerReader`], for scanners and converters.

use std::io::Read;

use crate::archive::Piece;
use crate::blob::{BlobStream, Digests, Expect, Filler};
use crate::entry::{Entry, Owner};
use crate::error::Error;
#[allow(unused_imports, reason = "named by the docs")]
use crate::error::ErrorKind;
use crate::observe::{Event, Events, Verified};
use crate::policy::{Judged, Policy};

use super::{LayerStream, Vetted, vet};

const BUFFER: usize = 256 << 10;

/// Reads the vetted entries of one layer, one after the other; nothing touches a filesystem.
///
/// What is read before [`finish`](Self::finish) returned `Ok` is not verified yet: the digests cover every byte, the last too.
///
/// ```
/// use safe_layers::{Expect, LayerReader, Policy};
/// # let tar = vec![0; 1024];
/// let mut layer = LayerReader::new(tar.as_slice(), &Expect::dangerous_unverified(), Policy::strict());
/// let mut body = Vec::new();
/// while let Some(entry) = layer.next_entry()? {
///     println!("{:?}", entry.path());
///     layer.read_body(&mut |_offset, piece| body.extend_from_slice(piece))?;
/// }
/// layer.finish()?;
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Debug)]
pub struct LayerReader<R> {
    source: Filler<R>,
    policy: Policy,
    stream: BlobStream,
    digests: Digests,
    layer: LayerStream,
    stored: Buffer,
    decoded: Buffer,
    events: Events,
    failure: Option<Error>,
    in_body: bool,
}

/// How a layer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerEnd {
    /// The claims that were made, all of which matched.
    pub verified: Verified,
    /// Everything skipped, changed or read generously since the events were last taken.
    pub events: Events,
}

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER], start: 0, end: 0 }
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Keeps the last `left` bytes of what was filled.
    fn keep(&mut self, left: usize) {
        self.start = self.end.saturating_sub(left);
    }
}

/// What the reader found.
enum Found {
    Entry(Box<Entry>),
    Skipped,
    Data,
    EntryEnd,
    EndOfStream,
}

impl<R: Read> LayerReader<R> {
    /// Starts to read the layer that `source` holds, as `expect` claims it.
    #[must_use]
    pub fn new(source: R, expect: &Expect, policy: Policy) -> Self {
        // Nothing is owned by anybody here: the ids of the archive are shown as they are.
        let layer = LayerStream::new(&policy, Owner { uid: 0, gid: 0 });
        let stream = BlobStream::new(expect, &policy.limits, policy.oddities);
        Self {
            source: Filler::new(source),
            digests: stream.digests(),
            stream,
            layer,
            policy,
            stored: Buffer::new(),
            decoded: Buffer::new(),
            events: Events::default(),
            failure: None,
            in_body: false,
        }
    }

    /// Gives the next entry that the policy lets in, or none at the end of the archive. What is left of the body of the one before is skipped.
    ///
    /// Its user and group are the archive's; its extended attributes are those that the policy would have set for a caller 0:0, with
    /// the ids inside them mapped as [`Ownership`](crate::Ownership) says.
    ///
    /// # Errors
    /// Whatever is wrong with the blob, the archive or the entry; the first error is final.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            match self.step(&mut |_, _| {})? {
                Found::Entry(entry) => return Ok(Some(*entry)),
                Found::EndOfStream => return Ok(None),
                Found::Skipped | Found::Data | Found::EntryEnd => {}
            }
        }
    }

    /// Gives the body of the current entry to `take`, in pieces, each with its offset in the file: holes of sparse files are left out.
    ///
    /// # Errors
    /// As [`next_entry`](Self::next_entry).
    pub fn read_body(&mut self, take: &mut dyn FnMut(u64, &[u8])) -> Result<(), Error> {
        while self.in_body {
            if let Found::EndOfStream = self.step(take)? {
                self.in_body = false;
                self.layer.parser.judge_end().inspect_err(|error| self.failure = Some(error.clone()))?;
            }
        }
        Ok(())
    }

    /// Everything skipped, changed or read generously since the last call: exact counts, and the first ones in full, as many as
    /// [`Limits::events`](crate::Limits) says.
    #[must_use]
    pub fn take_events(&mut self) -> Events {
        std::mem::take(&mut self.events)
    }

    /// Reads to the end of the blob and checks every claim. `Ok` means that all matched; gives which were made, and the events that
    /// [`take_events`](Self::take_events) did not.
    ///
    /// # Errors
    /// [`ErrorKind::SizeMismatch`], [`ErrorKind::DigestMismatch`], [`ErrorKind::DiffIdMismatch`], and as [`next_entry`](Self::next_entry).
    pub fn finish(mut self) -> Result<LayerEnd, Error> {
        while self.next_entry()?.is_some() {}
        let cap = self.policy.limits.events;
        let (_end, events) = self.layer.parser.finish()?;
        events.into_iter().for_each(|event| self.events.record(event, cap));
        let (proof, _) = self.stream.finish(self.digests.finish())?;
        Ok(LayerEnd { verified: proof.verified(), events: self.events })
    }

    fn step(&mut self, take: &mut dyn FnMut(u64, &[u8])) -> Result<Found, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        let found = self.try_step(take);
        if let Err(error) = &found {
            self.failure = Some(error.clone());
        }
        found
    }

    fn try_step(&mut self, take: &mut dyn FnMut(u64, &[u8])) -> Result<Found, Error> {
        loop {
            let mut bytes = self.decoded.filled();
            let piece = self.layer.parser.next(&mut bytes)?;
            let left = bytes.len();
            let raw = match piece {
                Piece::Entry(raw) => raw,
                Piece::Data { offset, bytes } => {
                    take(offset, bytes);
                    self.decoded.keep(left);
                    return Ok(Found::Data);
                }
                Piece::EntryEnd => {
                    self.decoded.keep(left);
                    self.in_body = false;
                    return Ok(Found::EntryEnd);
                }
                Piece::More => {
                    self.decoded.keep(left);
                    if !self.refill()? {
                        self.stream.take_events().into_iter().for_each(|event| self.events.record(event, self.policy.limits.events));
                        return Ok(Found::EndOfStream);
                    }
                    continue;
                }
            };
            self.decoded.keep(left);
            let (vetted, events) = vet(*raw, &self.policy, self.layer.owner)?;
            let (Vetted::Apply(Judged { entry, .. }) | Vetted::Skip(entry, _)) = &vetted;
            let location = entry.location();
            let cap = self.policy.limits.events;
            events.into_iter().for_each(|event| self.events.record(event.located(&location), cap));
            self.in_body = true;
            return Ok(match vetted {
                Vetted::Apply(judged) => Found::Entry(Box::new(judged.entry)),
                Vetted::Skip(_, reason) => {
                    self.events.record(Event { reason, location, detail: String::new() }, cap);
                    Found::Skipped
                }
            });
        }
    }

    /// Decodes more; gives whether there was any.
    fn refill(&mut self) -> Result<bool, Error> {
        loop {
            if self.stored.filled().is_empty() {
                let count = self.source.fill(&mut self.stored.bytes, &|| Ok(()))?;
                (self.stored.start, self.stored.end) = (0, count);
                if count == 0 {
                    let drained = self.stream.end_of_input(&mut self.decoded.bytes)?;
                    return Ok(self.decoded(drained));
                }
                self.digests.stored(self.stored.filled());
            }
            let mut input = self.stored.filled();
            let made = self.stream.decode(&mut input, &mut self.decoded.bytes)?;
            let left = input.len();
            self.stored.keep(left);
            if self.decoded(made) {
                return Ok(true);
            }
        }
    }
    /// Takes note that so many bytes were decoded; gives whether there were any.
    fn decoded(&mut self, made: usize) -> bool {
        (self.decoded.start, self.decoded.end) = (0, made);
        if !self.stream.hashes_once() {
            self.digests.decoded(self.decoded.filled());
        }
        made > 0
    }
}
