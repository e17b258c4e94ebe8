//! The rules of applying a layer: every one a named claim, with a valid and an invalid twin, on both resolvers and with one thread and two.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::print_stderr,
    clippy::string_slice,
    missing_docs,
    unreachable_pub,
    dead_code
)]

#[path = "../common/mod.rs"]
mod common;

mod check;
mod forms;
mod hardlinks;
mod metadata;
mod names;
mod owners;
mod parents;
mod replacement;
mod sparse;
mod specials;
mod stacks;
mod staging;
mod symlinks;
mod trust;
mod whiteouts;
