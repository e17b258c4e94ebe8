//! From the caller's bytes to verified, decoded bytes: what is claimed of a blob, how it is decoded, and the proof that every claim matched.
//!
//! In scope: digests and sizes of both sides, gzip and zstd, the threads that decode and hash ahead. Out of scope: what the decoded bytes mean
//! (`archive`), and opening files: a blob is whatever the caller gives.

mod aside;
mod bell;
mod decode;
mod digests;
mod expect;
mod filler;
mod frame;
mod gzip;
mod hashing;
mod magic;
mod output;
mod pipeline;
mod pool;
mod reader;
mod share;
mod sniff;
mod stages;
mod stop;
#[cfg(test)]
mod tests;

pub(crate) use aside::Aside;
pub(crate) use digests::Digests;
pub use expect::Expect;
pub(crate) use filler::Filler;
pub(crate) use magic::is_compressed;
pub(crate) use pipeline::drive;
pub(crate) use pool::{Buffer, Part};
pub(crate) use reader::{BlobStream, BlobSummary, LayerProof, PIECE, hash_blob};
pub(crate) use share::{Budget, Share, failed_below};
pub(crate) use stages::Counts;
pub(crate) use stop::{Deadline, Stop};
