//! What the integration tests share. None of it uses the crate's own parser.

pub mod builder;
pub mod canary;
pub mod engine;
pub mod flat;
pub mod images;
pub mod model;
pub mod overlaid;
pub mod snapshot;
