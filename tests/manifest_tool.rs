//! The tests of `examples/manifest`, which cargo does not run where they stand.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

#[allow(dead_code, reason = "its main is not called here")]
#[path = "../examples/manifest/main.rs"]
mod manifest;
