//! The only file that makes a [`LayerProof`]: hashes a blob on both sides of its decoder and compares the result with the claim.
//!
//! Push, no I/O of its own but [`hash_blob`]: the pulling, pushing and threaded forms of the crate share it.

use std::io::{self, Read};

use super::expect::Expect;
use super::output::Output;
use super::sniff::Decoder;
use super::stop::Stop;
use crate::convert::{len_u64, min_usize};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind};
use crate::limits::{Limits, RATIO_FLOOR};
use crate::observe::{Compression, Event, Notes, Oddities, Verified};

/// Bytes read from a blob at once and decoded at once, at most: the largest writes that never stall on ext4, measured.
pub(super) const PIECE: usize = 256 << 10;

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

/// One blob on its way: hash of the stored bytes → decoder → hash of the uncompressed bytes.
///
/// The first error is final: every later call gives it again, [`finish`](Self::finish) too.
#[derive(Debug)]
pub(crate) struct BlobStream {
    expect: Expect,
    stored: Stored,
    decoder: Decoder,
    uncompressed: Uncompressed,
    decoded: u64,
    total_bytes: u64,
    ratio: u64,
    notes: Notes,
    failure: Option<Error>,
    end: End,
}

/// How the uncompressed bytes are hashed.
#[derive(Debug)]
enum Uncompressed {
    /// The compression is not known yet, so there are none.
    NoneYet,
    /// They are the stored bytes, hashed by the same algorithm: once is enough.
    AsStored,
    Hashed(Box<Hasher>),
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
            uncompressed: Uncompressed::NoneYet,
            decoded: 0,
            total_bytes: limits.total_bytes,
            ratio: limits.ratio,
            notes: Notes::new(oddities),
            failure: None,
            end: End::NotSeen,
        }
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

    /// Compares what was read with what was claimed, in this order: size, blob digest, end of the compressed stream, diff_id.
    ///
    /// # Errors
    /// The error that decoding ended with, if it did; else [`ErrorKind::SizeMismatch`], [`ErrorKind::DigestMismatch`],
    /// [`ErrorKind::BadCompression`] or [`ErrorKind::Truncated`] (the end), [`ErrorKind::DiffIdMismatch`]. `Ok` means that the blob
    /// was read to its end and every claim matched.
    pub(crate) fn finish(self) -> Result<(LayerProof, BlobSummary), Error> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let blob_bytes = self.stored.count;
        let blob_digest = self.stored.finish()?;
        match self.end {
            End::Judged(verdict) => verdict?,
            End::NotSeen | End::Seen => return Err(Error::new(ErrorKind::Truncated, "the blob was not read to its end")),
        }
        let diff_id = match self.uncompressed {
            Uncompressed::AsStored => blob_digest,
            Uncompressed::Hashed(hasher) => hasher.finish(),
            Uncompressed::NoneYet => Hasher::new(diff_algorithm(&self.expect)).finish(),
        };
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

    /// Decodes once, hashes and charges both sides. Bytes decoded before an error are given first, the error with the next call.
    fn pump(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        let offered = *input;
        let mut output = Output::new(output);
        let decoded = self.decoder.decode(input, &mut output);
        self.stored.update(offered.get(..offered.len().saturating_sub(input.len())).unwrap_or_default());

        let written = output.written();
        let paid = min_usize(self.total_bytes.saturating_sub(self.decoded), written.len());
        self.hash_uncompressed(written.get(..paid).unwrap_or_default());
        self.decoded = self.decoded.saturating_add(len_u64(paid));

        let result = if paid < written.len() { Err(Error::limit_exceeded("total_bytes", self.total_bytes)) } else { decoded };
        match result.and_then(|()| self.check_ratio()) {
            Ok(()) => Ok(paid),
            Err(error) => match (self.fail(error), paid) {
                (error, 0) => Err(error),
                (_, paid) => Ok(paid),
            },
        }
    }

    fn hash_uncompressed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if matches!(self.uncompressed, Uncompressed::NoneYet) {
            let algorithm = diff_algorithm(&self.expect);
            let is_plain = self.decoder.compression() == Some(Compression::None);
            self.uncompressed = if is_plain && algorithm == self.stored.algorithm {
                Uncompressed::AsStored
            } else {
                Uncompressed::Hashed(Box::new(Hasher::new(algorithm)))
            };
        }
        if let Uncompressed::Hashed(hasher) = &mut self.uncompressed {
            hasher.update(bytes);
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
/// Reads to the end of `reader`; the caller goes back to the start.
///
/// # Errors
/// [`ErrorKind::SizeMismatch`], [`ErrorKind::DigestMismatch`], the limit `blob_bytes`, [`ErrorKind::Io`], and those of `stop`.
pub(crate) fn hash_blob(reader: &mut impl Read, expect: &Expect, limits: &Limits, stop: &Stop<'_>) -> Result<(), Error> {
    if expect.claimed_blob().is_none() && expect.claimed_size().is_none() {
        return Ok(());
    }
    let mut stored = Stored::new(expect, limits);
    let mut buffer = vec![0; PIECE];
    loop {
        let count = read_some(reader, &mut buffer, stop)?;
        if count == 0 {
            return stored.finish().map(drop);
        }
        if len_u64(count) > stored.room() {
            return Err(stored.over());
        }
        stored.update(buffer.get(..count).unwrap_or_default());
    }
}

const READING: &str = "reading the blob";

/// The error of a `Read` that says it read more than it was asked for.
pub(crate) fn lying_reader() -> Error {
    Error::io(READING, &io::Error::other("the reader gave more bytes than it was asked for"))
}

/// Reads from the caller's reader; 0 is its end. An interrupted read is retried.
pub(super) fn read_some(reader: &mut impl Read, buffer: &mut [u8], stop: &Stop<'_>) -> Result<usize, Error> {
    loop {
        stop.check()?;
        match reader.read(buffer) {
            // A `Read` that lies must not make bytes of an earlier piece count again.
            Ok(count) if count > buffer.len() => {
                return Err(lying_reader());
            }
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(READING, &error)),
        }
    }
}

/// The stored side of a blob: count and hash, with what is claimed and allowed.
#[derive(Debug)]
struct Stored {
    count: u64,
    hasher: Hasher,
    algorithm: Algorithm,
    claimed: Option<Digest>,
    size: Option<u64>,
    blob_bytes: u64,
}

impl Stored {
    fn new(expect: &Expect, limits: &Limits) -> Self {
        let claimed = expect.claimed_blob();
        let algorithm = claimed.map(|digest| digest.algorithm()).unwrap_or_default();
        let (hasher, size, blob_bytes) = (Hasher::new(algorithm), expect.claimed_size(), limits.blob_bytes);
        Self { count: 0, hasher, algorithm, claimed, size, blob_bytes }
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

    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.count = self.count.saturating_add(len_u64(bytes.len()));
    }

    /// Compares size and digest with the claims.
    fn finish(self) -> Result<Digest, Error> {
        match self.size {
            Some(size) if size != self.count => {
                let found = self.count;
                return Err(Error::new(ErrorKind::SizeMismatch, format!("the claimed size is {size} bytes, the blob has {found}")));
            }
            _ => {}
        }
        let found = self.hasher.finish();
        match self.claimed {
            Some(claimed) if claimed != found => Err(differ(ErrorKind::DigestMismatch, claimed, found)),
            _ => Ok(found),
        }
    }
}

fn diff_algorithm(expect: &Expect) -> Algorithm {
    expect.claimed_diff_id().map(|digest| digest.algorithm()).unwrap_or_default()
}

fn differ(kind: ErrorKind, claimed: Digest, found: Digest) -> Error {
    Error::new(kind, format!("claimed {claimed}, found {found}"))
}
