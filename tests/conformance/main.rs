//! The conformance suite: every rule of applying a layer as a table of layers and the tree they give, with a valid and an invalid twin.
//!
//! A case runs with both resolvers, one thread and four, on ext4 and on tmpfs, and as overlays that are mounted: all must agree.

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
#[path = "../../examples/unpack/main.rs"]
mod unpack;

mod check;
mod compat;
mod dialects;
mod forms;
mod hardlinks;
mod interrupted;
mod layered;
mod metadata;
mod names;
mod owners;
mod parents;
mod pax;
mod replacement;
mod sparse;
mod specials;
mod stacks;
mod staging;
mod symlinks;
mod trust;
mod umask;
mod whiteouts;
mod xattrs;
