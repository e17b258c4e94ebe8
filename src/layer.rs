//! Decoded bytes → vetted entries: what an entry asks for is parsed, judged by the policy, and only then handed on.

mod reader;

pub use reader::{LayerEnd, LayerReader};

use crate::archive::{EndOfArchive, Options, Parser, Piece, RawEntry};
use crate::entry::{Entry, Owner, Parsed};
use crate::error::{Error, Location};
use crate::observe::{Event, Log, Reason};
use crate::policy::{Decision, Judged, Policy};

/// Takes vetted entries in the order of the layer.
pub(crate) trait Sink {
    /// An entry that the policy lets in. The body of a file follows by `data`.
    fn entry(&mut self, judged: Judged, log: &mut Log) -> Result<(), Error>;
    /// An entry that the policy leaves out.
    fn skip(&mut self, entry: &Entry, reason: Reason, log: &mut Log) -> Result<(), Error>;
    /// A piece of the body; `offset` is its place in the file.
    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error>;
    /// The end of the entry.
    fn entry_end(&mut self, log: &mut Log) -> Result<(), Error>;
}

/// What one entry turned out to be.
pub(crate) enum Vetted {
    Apply(Judged),
    Skip(Entry, Reason),
}

/// Parses the entries of a layer from pieces of any size.
#[derive(Debug)]
pub(crate) struct LayerStream {
    parser: Parser,
    owner: Owner,
    entries: u64,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Wanted,
    LeftOut,
}

impl LayerStream {
    pub(crate) fn new(policy: &Policy, caller: Owner) -> Self {
        let options = Options { oddities: policy.oddities, trailing_data: policy.trailing_data, limits: policy.limits.clone() };
        Self { parser: Parser::new(options), owner: caller, entries: 0, body: Body::LeftOut }
    }

    /// Entries seen.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Hands what `bytes` hold to `sink`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], policy: &Policy, sink: &mut dyn Sink, log: &mut Log) -> Result<(), Error> {
        loop {
            match self.parser.next(&mut bytes)? {
                Piece::More => return Ok(()),
                Piece::Entry(raw) => {
                    self.entries = self.entries.saturating_add(1);
                    let judged = self.hand_on(*raw, policy, sink, log);
                    judged.map_err(|error| error.located(log.location()))?;
                }
                Piece::Data { offset, bytes } if self.body == Body::Wanted => {
                    sink.data(offset, bytes).map_err(|error| error.located(log.location()))?;
                }
                Piece::Data { .. } => {}
                Piece::EntryEnd if self.body == Body::Wanted => {
                    sink.entry_end(log).map_err(|error| error.located(log.location()))?;
                }
                Piece::EntryEnd => {}
            }
        }
    }

    fn hand_on(&mut self, raw: RawEntry, policy: &Policy, sink: &mut dyn Sink, log: &mut Log) -> Result<(), Error> {
        let index = raw.index;
        log.set_location(Location { entry: Some(index), offset: Some(raw.offset), path: Some(raw.path.clone()) });
        let (vetted, events) = vet(raw, policy, self.owner)?;
        match vetted {
            Vetted::Apply(judged) => {
                log.set_location(judged.entry.location());
                events.into_iter().for_each(|event| log.record_here(event));
                self.body = Body::Wanted;
                sink.entry(judged, log)
            }
            Vetted::Skip(entry, reason) => {
                log.set_location(entry.location());
                events.into_iter().for_each(|event| log.record_here(event));
                self.body = Body::LeftOut;
                sink.skip(&entry, reason, log)
            }
        }
    }

    /// Ends the archive.
    pub(crate) fn finish(self, log: &mut Log) -> Result<EndOfArchive, Error> {
        let (end, events) = self.parser.finish()?;
        events.into_iter().for_each(|event| log.record(event));
        Ok(end)
    }
}

/// Judges one entry. The order decides which fault is named where several are: name and target, then the policy on the
/// kind, then whether size and name fit the kind, then metadata.
pub(crate) fn vet(raw: RawEntry, policy: &Policy, caller: Owner) -> Result<(Vetted, Vec<Event>), Error> {
    let parsed = Entry::parse(raw, policy.name_rules())?;
    let location = parsed.entry.location();
    judge(parsed, policy, caller).map_err(|error| error.located(&location))
}

fn judge(parsed: Parsed, policy: &Policy, caller: Owner) -> Result<(Vetted, Vec<Event>), Error> {
    let (entry, mut events) = (parsed.entry, parsed.events);
    let decision = policy.decide(&entry, parsed.shape.body_len);
    if let Decision::Refuse(error) = decision {
        return Err(error);
    }
    let location = entry.location();
    for mut event in parsed.shape.check(&entry, policy.name_rules())? {
        event.location = location.clone();
        events.push(event);
    }
    let vetted = match decision {
        Decision::Skip(reason) => Vetted::Skip(entry, reason),
        _ => {
            let mut judged = policy.judge_metadata(entry, caller)?;
            events.append(&mut judged.events);
            Vetted::Apply(judged)
        }
    };
    Ok((vetted, events))
}
