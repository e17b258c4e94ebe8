//! The only file that makes a [`LayerProof`]: decodes a blob and compares size and digests of both sides with the claim.
//!
//! Push, no I/O of its own but [`hash_blob`]: the pulling, pushing and threaded forms of the crate share it.

use std::io::Read;

use super::digests::{Digested, Digests};
use super::expect::Expect;
use super::output::Output;
use super::pipeline::read_through;
use super::share::Share;
use super::sniff::Decoder;
use super::stop::Stop;
use crate::convert::{len_u64, min_usize};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind};
use crate::limits::{Limits, RATIO_FLOOR};
use crate::observe::{Compression, Event, Notes, Oddities, Verified};

/// Bytes read from a blob at once and decoded at once, at most: the largest writes that never stall on ext4, measured.
pub(crate) const PIECE: usize = 256 << 10;

/// Proof that a layer was read to its end and that every claim made for it matched. Carries what was proved.
///
/// Neither `Clone` nor `Copy`: one layer, one proof. Made only by [`BlobStream::finish`].
#[derive(Debug)]
#[must_use]
pub(crate) struct LayerProof {
    verified: Verified,
    diff_id: Digest,
}

impl LayerProof {
    /// The claims that were made and matched; none after [`Expect::dangerous_unverified`].
    pub(crate) fn verified(&self) -> Verified {
        self.verified
    }

    /// The digest of the uncompressed bytes that were handed out.
    pub(crate) fn diff_id(&self) -> Digest {
        self.diff_id
    }
}

/// What a blob was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobSummary {
    /// The digest of the stored bytes.
    pub(crate) blob_digest: Digest,
    /// The size as stored, in bytes.
    pub(crate) blob_bytes: u64,
    /// The digest of the uncompressed bytes.
    pub(crate) diff_id: Digest,
    /// The size of the uncompressed stream, in bytes.
    pub(crate) decoded_bytes: u64,
    /// How it was compressed; an empty blob is not.
    pub(crate) compression: Compression,
    /// The claims that were made and matched.
    pub(crate) verified: Verified,
}

/// One blob on its way through the decoder. Whoever drives it hashes all that it takes and gives: [`digests`](Self::digests).
///
/// The first error is final: every later call gives it again, [`finish`](Self::finish) too.
#[derive(Debug)]
pub(crate) struct BlobStream {
    expect: Expect,
    stored: Stored,
    decoder: Decoder,
    decoded: u64,
    total_bytes: u64,
    ratio: u64,
    notes: Notes,
    failure: Option<Error>,
    end: End,
}

#[derive(Debug)]
enum End {
    NotSeen,
    Seen,
    /// Everything is drained, and the decoder has judged its end.
    Judged(Result<(), Error>),
}

impl BlobStream {
    pub(crate) fn new(expect: &Expect, limits: &Limits, oddities: Oddities) -> Self {
        Self {
            expect: expect.clone(),
            stored: Stored::new(expect, limits),
            decoder: Decoder::new(expect.media(), limits, oddities),
            decoded: 0,
            total_bytes: limits.total_bytes,
            ratio: limits.ratio,
            notes: Notes::new(oddities),
            failure: None,
            end: End::NotSeen,
        }
    }

    /// What hashes the bytes of both sides, for [`finish`](Self::finish).
    pub(crate) fn digests(&self) -> Digests {
        Digests::new(self.stored.algorithm, diff_algorithm(&self.expect))
    }

    /// Whether the decoded bytes are the stored ones and one digest is that of both, so that they are hashed as stored alone. Known
    /// once bytes were decoded.
    pub(crate) fn hashes_once(&self) -> bool {
        self.decoder.compression() == Some(Compression::None) && diff_algorithm(&self.expect) == self.stored.algorithm
    }

    /// Whether the decoded bytes are others than the stored ones. Known once bytes were decoded.
    pub(crate) fn is_compressed(&self) -> bool {
        self.decoder.compression().is_some_and(|compression| compression != Compression::None)
    }

    /// Takes bytes from the front of `input`, writes decoded ones to `output`, which must not be empty, and gives their count.
    ///
    /// Call again while `input` is not empty. Less than all of the input is taken only where the output is full or an error waits
    /// for the next call, so that every byte decoded before an error is handed out. Decoded bytes may stay inside: the next call
    /// gives them, and after the last input [`end_of_input`](Self::end_of_input).
    ///
    /// # Errors
    /// The limits `blob_bytes`, `total_bytes`, `ratio`, `members` and `zstd_window`; [`ErrorKind::SizeMismatch`] at the first byte
    /// above the claimed size; [`ErrorKind::BadCompression`], [`ErrorKind::TrailingData`], [`ErrorKind::MediaTypeMismatch`]. The
    /// offset of an error in a corrupt stream is that of the last byte handed out, which the cuts of the input may move.
    pub(crate) fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, Error> {
        let mut allowed = input.get(..min_usize(self.stored.room(), input.len())).unwrap_or_default();
        if allowed.is_empty() && !input.is_empty() {
            // What the allowed bytes still bring comes before the error, however the input is cut.
            return match self.pump(&mut allowed, output)? {
                0 => Err(self.fail(self.stored.over())),
                drained => Ok(drained),
            };
        }
        let offered = allowed.len();
        let result = self.pump(&mut allowed, output);
        *input = input.get(offered.saturating_sub(allowed.len())..).unwrap_or_default();
        result
    }

    /// Says that the input is at its end, and gives what the decoder still holds, as [`decode`](Self::decode); call until it gives 0.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn end_of_input(&mut self, output: &mut [u8]) -> Result<usize, Error> {
        if matches!(self.end, End::NotSeen) {
            self.decoder.end_of_input();
            self.end = End::Seen;
        }
        let drained = self.pump(&mut &[][..], output)?;
        if drained == 0 && matches!(self.end, End::Seen) {
            self.end = End::Judged(self.decoder.finish(&mut self.notes, self.decoded).map_err(|error| error.at_offset(self.decoded)));
        }
        Ok(drained)
    }

    /// Whether plain bytes may be read to where decoded ones go: [`pass`](Self::pass).
    pub(crate) fn passes(&self) -> bool {
        self.hashes_once() && self.decoder.passes()
    }

    /// Gives the error that came before, if one did.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Charges `count` plain bytes that were read to where decoded ones go, and gives how many of them count as such. Not while input
    /// waits to be decoded.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn pass(&mut self, count: usize) -> Result<usize, Error> {
        self.check()?;
        let allowed = min_usize(self.stored.room(), count);
        let paid = min_usize(self.total_bytes.saturating_sub(self.decoded), allowed);
        self.stored.count = self.stored.count.saturating_add(len_u64(allowed));
        self.decoded = self.decoded.saturating_add(len_u64(paid));
        let charged = match () {
            () if paid < allowed => Err(Error::limit_exceeded("total_bytes", self.total_bytes)),
            () if allowed < count => Err(self.stored.over()),
            () => Ok(()),
        };
        self.hand_out(paid, charged)
    }

    /// Compares what was read with what was claimed, in this order: size, blob digest, end of the compressed stream, diff_id.
    ///
    /// # Errors
    /// The error that decoding ended with, if it did; else [`ErrorKind::SizeMismatch`], [`ErrorKind::DigestMismatch`],
    /// [`ErrorKind::BadCompression`] or [`ErrorKind::Truncated`] (the end), [`ErrorKind::DiffIdMismatch`]. `Ok` means that the blob
    /// was read to its end and every claim matched.
    pub(crate) fn finish(self, digested: Digested) -> Result<(LayerProof, BlobSummary), Error> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let hashes_once = self.hashes_once();
        let blob_bytes = self.stored.count;
        let (blob_digest, stored_hashed) = digested.stored;
        let (diff_id, decoded_hashed) = if hashes_once { digested.stored } else { digested.decoded };
        let all_hashed = |hashed, bytes| match hashed == bytes {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::DigestMismatch, "not every byte was hashed")),
        };
        all_hashed(stored_hashed, blob_bytes)?;
        self.stored.finish(blob_digest)?;
        match self.end {
            End::Judged(verdict) => verdict?,
            End::NotSeen | End::Seen => return Err(Error::new(ErrorKind::Truncated, "the blob was not read to its end")),
        }
        all_hashed(decoded_hashed, self.decoded)?;
        match self.expect.claimed_diff_id() {
            Some(claimed) if claimed != diff_id => return Err(differ(ErrorKind::DiffIdMismatch, claimed, diff_id)),
            _ => {}
        }
        let verified = Verified {
            blob_digest: self.expect.claimed_blob(),
            blob_bytes: self.expect.claimed_size(),
            diff_id: self.expect.claimed_diff_id(),
        };
        let compression = self.decoder.compression().unwrap_or(Compression::None);
        let summary = BlobSummary { blob_digest, blob_bytes, diff_id, decoded_bytes: self.decoded, compression, verified };
        Ok((LayerProof { verified, diff_id }, summary))
    }

    /// Gives the events since the last call. Those of the end come once [`end_of_input`](Self::end_of_input) gave 0.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.notes.take()
    }

    /// Bytes taken from the blob.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored.count
    }

    /// Bytes decoded and handed out.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        self.decoded
    }

    /// Decodes once and charges both sides. Bytes decoded before an error are given first, the error with the next call.
    fn pump(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, Error> {
        self.check()?;
        let offered = input.len();
        let mut output = Output::new(output);
        let decoded = self.decoder.decode(input, &mut output);
        self.stored.count = self.stored.count.saturating_add(len_u64(offered.saturating_sub(input.len())));

        let written = output.written();
        let paid = min_usize(self.total_bytes.saturating_sub(self.decoded), written.len());
        self.decoded = self.decoded.saturating_add(len_u64(paid));

        let result = if paid < written.len() { Err(Error::limit_exceeded("total_bytes", self.total_bytes)) } else { decoded };
        self.hand_out(paid, result)
    }

    /// Gives the bytes that were paid for before an error, and the error with the next call.
    fn hand_out(&mut self, paid: usize, result: Result<(), Error>) -> Result<usize, Error> {
        match result.and_then(|()| self.check_ratio()) {
            Ok(()) => Ok(paid),
            Err(error) => match (self.fail(error), paid) {
                (error, 0) => Err(error),
                (_, paid) => Ok(paid),
            },
        }
    }

    /// Refuses a blob that decodes to too much for what of it was taken.
    fn check_ratio(&self) -> Result<(), Error> {
        if self.decoded >= RATIO_FLOOR && self.decoded > self.stored.count.saturating_mul(self.ratio) {
            return Err(Error::limit_exceeded("ratio", self.ratio));
        }
        Ok(())
    }

    /// Keeps the first error, with its offset, and gives it.
    fn fail(&mut self, error: Error) -> Error {
        self.failure.get_or_insert(error.at_offset(self.decoded)).clone()
    }
}

/// Verifies size and digest of a whole blob before anything of it is decoded; does nothing where neither is claimed.
///
/// Reads to the end of `source`, with two threads or more on one of its own, so that one piece is hashed while the next is read; the
/// caller goes back to the start.
///
/// # Errors
/// [`ErrorKind::SizeMismatch`], [`ErrorKind::DigestMismatch`], the limit `blob_bytes`, [`ErrorKind::Io`], and those of `stop`.
pub(crate) fn hash_blob(source: impl Read + Send, share: &Share, expect: &Expect, limits: &Limits, stop: &Stop<'_>) -> Result<(), Error> {
    if expect.claimed_blob().is_none() && expect.claimed_size().is_none() {
        return Ok(());
    }
    let mut stored = Stored::new(expect, limits);
    let mut hasher = Hasher::new(stored.algorithm);
    read_through(source, share, stop, &mut |bytes| {
        if len_u64(bytes.len()) > stored.room() {
            return Err(stored.over());
        }
        hasher.update(bytes);
        stored.count = stored.count.saturating_add(len_u64(bytes.len()));
        Ok(())
    })?;
    stored.finish(hasher.finish())
}

/// The stored side of a blob: its count, and what is claimed and allowed.
#[derive(Debug)]
struct Stored {
    count: u64,
    algorithm: Algorithm,
    claimed: Option<Digest>,
    size: Option<u64>,
    blob_bytes: u64,
}

impl Stored {
    fn new(expect: &Expect, limits: &Limits) -> Self {
        let claimed = expect.claimed_blob();
        let algorithm = claimed.map(|digest| digest.algorithm()).unwrap_or_default();
        Self { count: 0, algorithm, claimed, size: expect.claimed_size(), blob_bytes: limits.blob_bytes }
    }

    /// How many more bytes the blob may have.
    fn room(&self) -> u64 {
        self.size.unwrap_or(u64::MAX).min(self.blob_bytes).saturating_sub(self.count)
    }

    /// The error of a blob that has more bytes than that.
    fn over(&self) -> Error {
        match self.size {
            Some(size) if size <= self.blob_bytes => {
                Error::new(ErrorKind::SizeMismatch, format!("the claimed size is {size} bytes, the blob has more"))
            }
            _ => Error::limit_exceeded("blob_bytes", self.blob_bytes),
        }
    }

    /// Compares size and digest with the claims.
    fn finish(&self, found: Digest) -> Result<(), Error> {
        match self.size {
            Some(size) if size != self.count => {
                let count = self.count;
                return Err(Error::new(ErrorKind::SizeMismatch, format!("the claimed size is {size} bytes, the blob has {count}")));
            }
            _ => {}
        }
        match self.claimed {
            Some(claimed) if claimed != found => Err(differ(ErrorKind::DigestMismatch, claimed, found)),
            _ => Ok(()),
        }
    }
}

fn diff_algorithm(expect: &Expect) -> Algorithm {
    expect.claimed_diff_id().map(|digest| digest.algorithm()).unwrap_or_default()
}

fn differ(kind: ErrorKind, claimed: Digest, found: Digest) -> Error {
    Error::new(kind, format!("claimed {claimed}, found {found}"))
}
