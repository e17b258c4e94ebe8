//! Of what the crate's tests share, the parts that targets need: the model, overlays in memory, snapshots.
#![allow(dead_code, clippy::should_implement_trait)]

#[path = "../../tests/common/builder.rs"]
pub mod builder;
#[path = "../../tests/common/engine.rs"]
pub mod engine;
#[path = "../../tests/common/images.rs"]
pub mod images;
#[path = "../../tests/common/model.rs"]
pub mod model;
#[path = "../../tests/common/overlaid.rs"]
pub mod overlaid;
#[path = "../../tests/common/snapshot.rs"]
pub mod snapshot;
