//! What is told of a layer when it is done: [`LayerReport`] and its parts.

use std::collections::BTreeMap;

use super::{Event, Reason};
use crate::digest::Digest;

/// What one layer was and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LayerReport {
    /// The digest of the blob's bytes, by the claimed algorithm, else SHA-256.
    pub blob_digest: Digest,
    /// The size of the blob, in bytes.
    pub blob_bytes: u64,
    /// The digest of the uncompressed bytes, by the claimed algorithm, else SHA-256.
    pub diff_id: Digest,
    /// The size of the uncompressed stream, in bytes.
    pub decoded_bytes: u64,
    /// How the blob was compressed.
    pub compression: Compression,
    /// What of it was claimed by the caller and so was verified.
    pub verified: Verified,
    /// Entries of the layer by what became of them.
    pub entries: EntryCounts,
    /// The sum of the logical sizes of the files written, in bytes.
    pub file_bytes: u64,
    /// Whether the layer hides all below it, by an opaque whiteout at its root. Said in overlay form alone, where whoever mounts
    /// leaves out what is below.
    pub root_opaque: bool,
    /// Everything skipped, changed or read generously.
    pub events: Events,
}

/// How a blob is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
}

/// Which claims were made and matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verified {
    /// The blob's digest, if claimed.
    pub blob_digest: Option<Digest>,
    /// The blob's size, if claimed.
    pub blob_bytes: Option<u64>,
    /// The digest of the uncompressed bytes, if claimed.
    pub diff_id: Option<Digest>,
}

/// Entries by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EntryCounts {
    /// All entries, whatever became of them.
    pub total: u64,
    /// Regular files made.
    pub files: u64,
    /// Directory entries applied.
    pub directories: u64,
    /// Symlinks made.
    pub symlinks: u64,
    /// Hardlinks made.
    pub hardlinks: u64,
    /// FIFOs made.
    pub fifos: u64,
    /// Devices made.
    pub devices: u64,
    /// Whiteouts honoured, opaque ones among them.
    pub whiteouts: u64,
    /// Entries skipped, each with an event.
    pub skipped: u64,
}

/// The events of one layer: an exact count for each reason, the first ones in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Events {
    counts: BTreeMap<Reason, u64>,
    first: Vec<Event>,
}

impl Events {
    /// How often each reason occurred. Exact.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<Reason, u64> {
        &self.counts
    }

    /// How often `reason` occurred. Exact.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts.get(&reason).copied().unwrap_or(0)
    }

    /// The first events in full, [`Limits::events`](crate::Limits) at most.
    #[must_use]
    pub fn first(&self) -> &[Event] {
        &self.first
    }

    /// Adds the counts of `more`, and of its events in full as many as there is room for.
    pub(crate) fn append(&mut self, more: Self, cap: u64) {
        for (reason, count) in more.counts {
            let sum = self.counts.entry(reason).or_insert(0);
            *sum = sum.saturating_add(count);
        }
        let room = crate::convert::min_usize(cap, usize::MAX).saturating_sub(self.first.len());
        self.first.extend(more.first.into_iter().take(room));
    }

    /// Counts `event` and keeps it if fewer than `cap` are kept.
    pub(crate) fn record(&mut self, event: Event, cap: u64) {
        let count = self.counts.entry(event.reason).or_insert(0);
        *count = count.saturating_add(1);
        if crate::convert::len_u64(self.first.len()) < cap {
            self.first.push(event);
        }
    }
}
