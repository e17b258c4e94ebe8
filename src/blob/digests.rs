//! Hashes a blob on both sides of its decoder, on whichever thread has the bytes: [`Digests`].

use crate::convert::len_u64;
use crate::digest::{Algorithm, Digest, Hasher};

/// Hashes what is stored and what it decodes to.
#[derive(Debug)]
pub(crate) struct Digests {
    stored: Side,
    decoded: Side,
}

/// Both digests, and of how many bytes they are: [`BlobStream::finish`](super::BlobStream::finish) holds the counts against its own, so
/// that no byte can be left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digested {
    pub(super) stored: (Digest, u64),
    pub(super) decoded: (Digest, u64),
}

#[derive(Debug)]
struct Side {
    hasher: Hasher,
    bytes: u64,
}

impl Side {
    fn new(algorithm: Algorithm) -> Self {
        Self { hasher: Hasher::new(algorithm), bytes: 0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes = self.bytes.saturating_add(len_u64(bytes.len()));
    }

    fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.bytes)
    }
}

impl Digests {
    pub(super) fn new(stored: Algorithm, decoded: Algorithm) -> Self {
        Self { stored: Side::new(stored), decoded: Side::new(decoded) }
    }

    /// Hashes bytes that the decoder took.
    pub(crate) fn stored(&mut self, bytes: &[u8]) {
        self.stored.update(bytes);
    }

    /// Hashes bytes that were decoded. Not for those that are hashed as stored:
    /// [`BlobStream::hashes_once`](super::BlobStream::hashes_once).
    pub(crate) fn decoded(&mut self, bytes: &[u8]) {
        self.decoded.update(bytes);
    }

    pub(crate) fn finish(self) -> Digested {
        Digested { stored: self.stored.finish(), decoded: self.decoded.finish() }
    }
}
