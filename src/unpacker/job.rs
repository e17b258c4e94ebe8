//! One layer, from its blob to the directory it is written to: [`Job`].

use std::io::Read;
use std::sync::Arc;

use crate::apply::{Applied, Applier};
use crate::archive::EndOfArchive;
use crate::blob::{Aside, BlobStream, BlobSummary, Buffer, Counts, Expect, LayerProof, Share, Stop, drive, hash_blob};
use crate::entry::Owner;
use crate::error::Error;
use crate::layer::LayerStream;
use crate::observe::{Event, LayerReport, Log, Progress};
use crate::policy::Policy;
use crate::stage::LayerVerified;

/// A layer that is to be applied, and what it needs of the unpacker.
pub(crate) struct Job<'a> {
    /// Its number, counted from 0.
    pub(super) layer: u64,
    pub(super) policy: &'a Policy,
    pub(super) caller: Owner,
    pub(super) share: &'a Arc<Share>,
    pub(super) stop: Stop<'a>,
    pub(super) log: &'a mut Log,
    /// Gives what applies it. Called when its blob may be decoded.
    pub(super) begin: &'a mut dyn FnMut() -> Result<Applier, Error>,
}

/// A layer that is whole.
pub(crate) struct Whole {
    pub(super) applier: Applier,
    pub(super) verified: LayerVerified,
    pub(super) report: LayerReport,
}

impl Job<'_> {
    /// Decodes and writes the blob while it is verified.
    pub(crate) fn stream(&mut self, expect: &Expect, blob: impl Read + Send) -> Result<Whole, Error> {
        let mut applier = (self.begin)()?;
        let aside = Arc::new(Aside::default());
        applier.begin_layer(self.share, &aside)?;
        let mut entries = LayerStream::new(self.policy, self.caller);
        let stream = BlobStream::new(expect, &self.policy.limits, self.policy.oddities);
        let Self { layer, policy, share, stop, log, .. } = self;
        let mut sink = |piece: &Arc<Buffer>, counts: Counts| {
            applier.begin_piece(piece);
            let fed = entries.feed(piece.filled(), policy, &mut applier, log);
            // What cannot be written comes before what cannot be parsed.
            applier.end_piece()?;
            fed?;
            let Counts { blob_bytes, decoded_bytes } = counts;
            log.progress(&Progress { layer: *layer, blob_bytes, decoded_bytes, entries: entries.entries() });
            Ok(())
        };
        let driven = drive(blob, stream, share, stop, &aside, &mut sink);
        // What went wrong with a file that was being filled came before whatever stopped the rest.
        applier.settle()?;
        let (proof, summary, events) = driven?;
        events.into_iter().for_each(|event: Event| log.record(event));
        let end = entries.finish(log)?;
        let applied = applier.end_layer(stop, log)?;
        Ok(whole(applier, (proof, end), &summary, applied, log))
    }

    /// As [`stream`](Self::stream), from what `open` gives, each time from its start: it is hashed before any byte is decoded.
    pub(crate) fn verify_and_stream<R: Read + Send>(
        &mut self,
        expect: &Expect,
        open: impl Fn() -> Result<R, Error>,
    ) -> Result<Whole, Error> {
        hash_blob(open()?, self.share, expect, &self.policy.limits, &self.stop)?;
        self.stream(expect, open()?)
    }
}

fn whole(applier: Applier, (proof, end): (LayerProof, EndOfArchive), summary: &BlobSummary, applied: Applied, log: &mut Log) -> Whole {
    let report = LayerReport {
        blob_digest: summary.blob_digest,
        blob_bytes: summary.blob_bytes,
        diff_id: proof.diff_id(),
        decoded_bytes: summary.decoded_bytes,
        compression: summary.compression,
        verified: proof.verified(),
        entries: applied.counts,
        file_bytes: applied.file_bytes,
        root_opaque: applied.root_opaque,
        events: log.end(),
    };
    Whole { applier, verified: LayerVerified::new(proof, end), report }
}
