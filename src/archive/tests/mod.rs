//! Tests of the parser, with an archive builder of their own that shares nothing with the code it tests.

#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, reason = "the builder computes with numbers of its own")]

mod builder;
mod dialects;
mod end;
mod extensions;
mod limits;
mod numbers;
mod pax;
mod slicing;
mod sparse;

use self::builder::*;
use super::{Options, Parser, Piece, RawEntry, Timestamp, TrailingData, Xattr};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::observe::{Event, Oddities, Reason};

fn tolerant() -> Options {
    Options { oddities: Oddities::Tolerate, trailing_data: TrailingData::Reject, limits: Limits::default() }
}

fn strict() -> Options {
    Options { oddities: Oddities::Refuse, ..tolerant() }
}

fn limited(change: impl Fn(&mut Limits)) -> Options {
    let mut options = tolerant();
    change(&mut options.limits);
    options
}

/// What one entry was: the header's story and its bytes by place, adjacent pieces joined.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    entry: RawEntry,
    data: Vec<(u64, Vec<u8>)>,
    ended: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    seen: Vec<Seen>,
    end: Result<Vec<Event>, Error>,
}

fn parse_slices<'a>(options: &Options, slices: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut parser = Parser::new(options.clone());
    let mut seen: Vec<Seen> = Vec::new();
    for mut input in slices {
        loop {
            match parser.next(&mut input) {
                Ok(Piece::More) => break,
                Ok(Piece::Entry(entry)) => seen.push(Seen { entry: *entry, data: Vec::new(), ended: false }),
                Ok(Piece::Data { offset, bytes }) => {
                    assert!(!bytes.is_empty());
                    let data = &mut seen.last_mut().unwrap().data;
                    match data.last_mut() {
                        Some((at, joined)) if *at + joined.len() as u64 == offset => joined.extend(bytes),
                        _ => data.push((offset, bytes.to_vec())),
                    }
                }
                Ok(Piece::EntryEnd) => seen.last_mut().unwrap().ended = true,
                Err(error) => {
                    assert_eq!(parser.next(&mut &[0; 4096][..]).unwrap_err(), error, "the same error for ever");
                    assert_eq!(parser.finish().unwrap_err(), error, "the same error at the end");
                    return Outcome { seen, end: Err(error) };
                }
            }
        }
        assert!(input.is_empty(), "More means that all input is used");
    }
    Outcome { seen, end: parser.finish().map(|(_, events)| events) }
}

/// Parses in one slice, and in slices of other lengths, which must not matter.
#[track_caller]
fn parse(options: &Options, archive: &[u8]) -> Outcome {
    let whole = parse_slices(options, std::iter::once(archive));
    for len in [1, 7, 511, 512, 513] {
        assert_eq!(parse_slices(options, archive.chunks(len)), whole, "slices of {len}");
    }
    whole
}

/// Every event of an archive that is accepted, with its offset.
#[track_caller]
fn accepted(options: &Options, archive: &[u8]) -> (Vec<Seen>, Vec<(Reason, u64)>) {
    let Outcome { seen, end } = parse(options, archive);
    let last = end.expect("accepted");
    assert!(seen.iter().all(|seen| seen.ended));
    let events = seen.iter().flat_map(|seen| &seen.entry.events).chain(&last);
    let events = events.map(|event| (event.reason, event.location.offset.unwrap())).collect();
    (seen, events)
}

/// The only entry of an archive that is accepted without an event.
#[track_caller]
fn only_entry(options: &Options, archive: &[u8]) -> RawEntry {
    let (mut seen, events) = accepted(options, archive);
    assert_eq!(events, []);
    assert_eq!(seen.len(), 1);
    seen.remove(0).entry
}

#[track_caller]
fn refused(options: &Options, archive: &[u8], kind: ErrorKind, offset: u64) -> Error {
    let error = parse(options, archive).end.expect_err("refused");
    assert_eq!((error.kind(), error.location().offset), (kind, Some(offset)), "{error}");
    error
}

#[track_caller]
fn refused_by_both(archive: &[u8], kind: ErrorKind, offset: u64) {
    refused(&tolerant(), archive, kind, offset);
    refused(&strict(), archive, kind, offset);
}

#[track_caller]
fn accepted_by_both(archive: &[u8]) -> Vec<Seen> {
    let (seen, events) = accepted(&tolerant(), archive);
    assert_eq!(events, []);
    assert_eq!(accepted(&strict(), archive), (seen.clone(), events));
    seen
}

/// A row of the dialect table: an event under one policy and an error under the other, both at `offset`.
#[track_caller]
fn odd(archive: &[u8], reason: Reason, kind: ErrorKind, offset: u64) -> Vec<Seen> {
    let (seen, events) = accepted(&tolerant(), archive);
    assert_eq!(events, [(reason, offset)]);
    refused(&strict(), archive, kind, offset);
    seen
}

fn time(secs: i64, nanos: u32) -> Timestamp {
    Timestamp::new(secs, nanos).unwrap()
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.into(), value: value.into() }
}
