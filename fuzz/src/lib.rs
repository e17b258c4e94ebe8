//! The bodies of the fuzz targets, apart from libFuzzer: `tests/replay.rs` runs them over the corpus on stable, and so does the
//! crate's own `tests/fuzz_replay.rs`.

pub mod bodies;
pub mod common;
