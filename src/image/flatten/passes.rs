//! The two times that the layers are read: once to verify and to merge ([`merge`]), once to hand out ([`hand_out`]).

use std::io;
use std::num::NonZeroUsize;
use std::slice::Iter;
use std::sync::Arc;

use super::super::ImageLayer;
use super::merge::{Merge, owned};
use super::plan::{First, Plan};
use super::tree::{Kind, Tree};
use super::{FlatEntry, FlatKind, NOBODY, TreeSink};
use crate::blob::{Aside, BlobStream, BlobSummary, Buffer, Counts, Deadline, LayerProof, Share, Stop, drive, hash_blob};
use crate::convert::len_u64;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::layer::{LayerStream, Sink};
use crate::observe::{CancelToken, EntryCounts, LayerReport, Log, Reason};
use crate::policy::{Judged, Policy};
use crate::stage::LayerVerified;

/// One thread for entries; reading, decoding and hashing go ahead of it.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Every layer, merged: each with its report, and the proof that it was read to its end and is what was claimed.
pub(super) struct Merged {
    pub(super) tree: Tree,
    pub(super) verified: Vec<LayerVerified>,
    pub(super) reports: Vec<LayerReport>,
}

/// The first pass: verifies every layer, from its blob's digest to its last byte, and merges them.
pub(super) fn merge(layers: &[ImageLayer], policy: &Policy) -> Result<Merged, Error> {
    let mut merge = Merge::new(policy)?;
    let (mut verified, mut reports) = (Vec::new(), Vec::new());
    for layer in layers {
        let number = len_u64(reports.len());
        let merged = merge_layer(layer, number, policy, &mut merge);
        let (proof, report) = merged.map_err(|error| at(layer, number, error))?;
        verified.push(proof);
        reports.push(report);
    }
    let last = len_u64(reports.len()).saturating_sub(1);
    let tree = merge.finish().map_err(|error| error.in_layer(last))?;
    Ok(Merged { tree, verified, reports })
}

fn merge_layer(layer: &ImageLayer, number: u64, policy: &Policy, merge: &mut Merge) -> Result<(LayerVerified, LayerReport), Error> {
    let (cancel, deadline) = (CancelToken::new(), policy.limits.deadline.and_then(Deadline::after));
    let stop = Stop::new(&cancel, deadline);
    let mut log = Log::new(policy.limits.events);
    log.begin(number);
    hash_blob(layer.open()?, &Share::alone(THREADS), layer.claim(), &policy.limits, &stop)?;
    merge.begin_layer();
    let (proof, verified, summary) = read(layer, policy, &stop, merge, &mut log)?;
    merge.end_layer(&stop, &mut log)?;
    let report = LayerReport {
        blob_digest: summary.blob_digest,
        blob_bytes: summary.blob_bytes,
        diff_id: summary.diff_id,
        decoded_bytes: summary.decoded_bytes,
        compression: summary.compression,
        verified: summary.verified,
        entries: merge.counts,
        file_bytes: merge.file_bytes,
        root_opaque: false,
        events: log.end(),
    };
    Ok((LayerVerified::new(proof, verified), report))
}

/// Reads a layer once, hashing both sides, and gives its entries to `sink`.
fn read(
    layer: &ImageLayer,
    policy: &Policy,
    stop: &Stop<'_>,
    sink: &mut dyn Sink,
    log: &mut Log,
) -> Result<(LayerProof, crate::archive::EndOfArchive, BlobSummary), Error> {
    let mut entries = LayerStream::new(policy, NOBODY);
    let stream = BlobStream::new(layer.claim(), &policy.limits, policy.oddities);
    let mut feed = |piece: &Arc<Buffer>, _: Counts| entries.feed(piece.filled(), policy, sink, log);
    let (proof, summary, events) = drive(layer.open()?, stream, &Share::alone(THREADS), stop, &Aside::default(), &mut feed)?;
    events.into_iter().for_each(|event| log.record(event));
    let end = entries.finish(log)?;
    Ok((proof, end, summary))
}

/// The second pass: gives a merged tree to `sink`.
pub(super) fn hand_out(
    layers: &[ImageLayer],
    policy: &Policy,
    plan: &Plan,
    reports: &[LayerReport],
    sink: &mut dyn TreeSink,
) -> Result<EntryCounts, Error> {
    let mut handing = Handing { plan, sink, left: [].iter(), open: Open::No, handed: EntryCounts::default() };
    plan.directories(&mut |entry| handing.give_whole(&entry))?;
    for ((number, layer), report) in (0_u32..).zip(layers).zip(reports) {
        handing.layer(number, layer, policy, report).map_err(|error| at(layer, u64::from(number), error))?;
    }
    plan.links(&mut |entry| handing.give_whole(&entry))?;
    Ok(handing.handed)
}

/// Takes the entries of the layers a second time and gives those that are left of the merge.
struct Handing<'a> {
    plan: &'a Plan,
    sink: &'a mut dyn TreeSink,
    /// What of the layer is still to come.
    left: Iter<'a, First>,
    open: Open,
    handed: EntryCounts,
}

/// Whether the entry at hand was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

impl Handing<'_> {
    fn layer(&mut self, number: u32, layer: &ImageLayer, policy: &Policy, report: &LayerReport) -> Result<(), Error> {
        self.left = self.plan.of_layer(number).iter();
        let (cancel, deadline) = (CancelToken::new(), policy.limits.deadline.and_then(Deadline::after));
        // What it tells was told the first time.
        let mut log = Log::new(0);
        let (_, _, summary) = read(layer, policy, &Stop::new(&cancel, deadline), self, &mut log)?;
        if (summary.blob_digest, summary.diff_id) != (report.blob_digest, report.diff_id) || self.left.next().is_some() {
            return Err(changed());
        }
        Ok(())
    }

    fn give(&mut self, entry: &FlatEntry) -> Result<(), Error> {
        self.sink.entry(entry).map_err(|error| refused(&error).with_path(entry.path().as_bytes()))?;
        let counts = &mut self.handed;
        let count = match entry.kind() {
            FlatKind::Directory => &mut counts.directories,
            FlatKind::File { .. } => &mut counts.files,
            FlatKind::Symlink(_) => &mut counts.symlinks,
            FlatKind::Hardlink(_) => &mut counts.hardlinks,
            FlatKind::Fifo => &mut counts.fifos,
            FlatKind::Device(_) => &mut counts.devices,
        };
        *count = count.saturating_add(1);
        counts.total = counts.total.saturating_add(1);
        Ok(())
    }

    /// Gives an entry that has no body.
    fn give_whole(&mut self, entry: &FlatEntry) -> Result<(), Error> {
        self.give(entry)?;
        self.sink.entry_end().map_err(|error| refused(&error).with_path(entry.path().as_bytes()))
    }
}

impl Sink for Handing<'_> {
    fn entry(&mut self, judged: Judged, _log: &mut Log) -> Result<(), Error> {
        let Judged { entry, owner, .. } = judged;
        self.open = Open::No;
        let Some(first) = self.left.as_slice().first().filter(|first| first.entry == entry.index()) else { return Ok(()) };
        self.left.next();
        match Kind::of(entry.kind()) {
            Some(kind) if self.plan.is_same(first, &kind)? => {}
            _ => return Err(changed()),
        }
        let entry = self.plan.first(first, owned(entry.into_metadata(), owner))?;
        self.open = Open::Yes;
        self.give(&entry)
    }

    fn skip(&mut self, _entry: &Entry, _reason: Reason, _log: &mut Log) -> Result<(), Error> {
        self.open = Open::No;
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        match self.open {
            Open::Yes => self.sink.data(offset, bytes).map_err(|error| refused(&error)),
            Open::No => Ok(()),
        }
    }

    fn entry_end(&mut self, _log: &mut Log) -> Result<(), Error> {
        match std::mem::replace(&mut self.open, Open::No) {
            Open::Yes => self.sink.entry_end().map_err(|error| refused(&error)),
            Open::No => Ok(()),
        }
    }
}

fn at(layer: &ImageLayer, number: u64, error: Error) -> Error {
    error.in_layer(number).at_descriptor(layer.path())
}

/// The error of a blob that is another one when it is read again, found before its digest tells.
fn changed() -> Error {
    Error::new(ErrorKind::DigestMismatch, "the blob changed since it was verified")
}

fn refused(error: &io::Error) -> Error {
    Error::io("the sink refused", error)
}
