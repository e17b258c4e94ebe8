//! The promises of `blob`, each with a valid and an invalid twin; blobs are built here, with the libraries' encoders and by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::arithmetic_side_effects, clippy::panic)]

mod end;
mod gzip;
mod pipeline;
mod reader;
mod zstd;

use std::io::Write as _;

use super::{BlobStream, BlobSummary, Digests, Expect};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::observe::{Compression, Oddities, Reason};

const LAYER: &[u8] = b"the quick brown fox jumps over the lazy dog, the lazy dog, the lazy dog\n";

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A frame with a checksum.
fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    [&[0x53, 0x2a, 0x4d, 0x18][..], &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

fn sha256(bytes: &[u8]) -> Digest {
    digest(Algorithm::Sha256, bytes)
}

/// A small generator of numbers that look random: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// How a blob is cut: bytes of input and of output for one call.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Every(usize, usize),
    Random(u64),
}

const CUTS: [Cut; 7] = [
    Cut::Every(1 << 20, 1 << 20),
    Cut::Every(1, 1 << 16),
    Cut::Every(1 << 20, 1),
    Cut::Every(1, 1),
    Cut::Every(7, 3),
    Cut::Random(1),
    Cut::Random(2),
];

/// Everything that can be seen of a run.
#[derive(Debug, PartialEq)]
struct Outcome {
    decoded: Vec<u8>,
    result: Result<BlobSummary, Error>,
    events: Vec<(Reason, Option<u64>, String)>,
}

impl Outcome {
    fn kind(&self) -> Option<ErrorKind> {
        self.result.as_ref().err().map(Error::kind)
    }

    fn reasons(&self) -> Vec<Reason> {
        self.events.iter().map(|event| event.0).collect()
    }
}

/// What is asked of a blob.
#[derive(Clone)]
struct Ask {
    expect: Expect,
    limits: Limits,
    oddities: Oddities,
}

impl Ask {
    fn anything() -> Self {
        Self::of(Expect::dangerous_unverified())
    }

    fn of(expect: Expect) -> Self {
        Self { expect, limits: Limits::default(), oddities: Oddities::Tolerate }
    }

    fn strict(self) -> Self {
        Self { oddities: Oddities::Refuse, ..self }
    }

    fn declared(self, compression: Compression) -> Self {
        Self { expect: self.expect.compression(compression), ..self }
    }

    fn limit(mut self, name: &str, value: u64) -> Self {
        self.limits.set(name, &value.to_string()).unwrap();
        self
    }

    fn stream(&self) -> BlobStream {
        BlobStream::new(&self.expect, &self.limits, self.oddities)
    }

    fn run(&self, blob: &[u8], cut: Cut) -> Outcome {
        let mut stream = self.stream();
        let mut digests = stream.digests();
        let mut decoded = Vec::new();
        let mut random = Random(if let Cut::Random(seed) = cut { seed } else { 0 });
        let mut sizes = || match cut {
            Cut::Every(input, output) => (input, output),
            Cut::Random(_) => (random.next() as usize % 40 + 1, random.next() as usize % 60 + 1),
        };
        let mut rest = blob;
        let mut error = None;
        loop {
            let (input, output) = sizes();
            let mut buffer = vec![0; output];
            let mut piece = &rest[..rest.len().min(input)];
            let offered = piece.len();
            let at_end = rest.is_empty();
            let result = if at_end { stream.end_of_input(&mut buffer) } else { stream.decode(&mut piece, &mut buffer) };
            let taken = offered - piece.len();
            digests.stored(&rest[..taken]);
            rest = &rest[taken..];
            match result {
                Ok(0) if at_end => break,
                Ok(count) => decoded.extend_from_slice(&buffer[..count]),
                Err(found) => {
                    error = Some(found);
                    break;
                }
            }
        }
        assert_eq!(stream.decoded_bytes(), decoded.len() as u64);
        if !stream.hashes_once() {
            digests.decoded(&decoded);
        }
        let events = stream.take_events().into_iter().map(|event| (event.reason, event.location.offset, event.detail)).collect();
        let result = stream.finish(digests.finish()).map(|(proof, summary)| {
            assert_eq!((proof.verified(), proof.diff_id()), (summary.verified, summary.diff_id));
            summary
        });
        if let Some(error) = error {
            assert_eq!(result.as_ref().err(), Some(&error), "an error is final");
        }
        Outcome { decoded, result, events }
    }

    /// Runs with every cut, asserts that it makes no difference, and gives the outcome.
    #[track_caller]
    fn outcome(&self, blob: &[u8]) -> Outcome {
        let whole = self.run(blob, CUTS[0]);
        for cut in &CUTS[1..] {
            let other = self.run(blob, *cut);
            if whole.kind() == Some(ErrorKind::BadCompression) {
                // How much a corrupt stream gives before its error depends on the cuts; the error does not.
                assert_eq!(other.kind(), whole.kind(), "{cut:?}");
            } else {
                assert_eq!(other, whole, "{cut:?}");
            }
        }
        whole
    }

    /// Asserts that the blob decodes to `layer` without an event.
    #[track_caller]
    fn gives(&self, blob: &[u8], layer: &[u8]) -> BlobSummary {
        let outcome = self.outcome(blob);
        assert_eq!(outcome.events, []);
        assert_eq!(outcome.decoded, layer);
        let summary = outcome.result.unwrap();
        assert_eq!((summary.blob_bytes, summary.decoded_bytes), (blob.len() as u64, layer.len() as u64));
        summary
    }

    #[track_caller]
    fn fails(&self, blob: &[u8], kind: ErrorKind) -> Error {
        let outcome = self.outcome(blob);
        assert_eq!(outcome.kind(), Some(kind), "{:?}", outcome.result);
        outcome.result.unwrap_err()
    }
}
