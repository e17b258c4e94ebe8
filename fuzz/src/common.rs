//! Of what the crate's tests share, the parts that targets need: the model, overlays in memory, snapshots, how a tree is made removable.
#![allow(dead_code, clippy::new_without_default, clippy::should_implement_trait)]

#[path = "../../tests/common/builder.rs"]
pub mod builder;
#[path = "../../tests/common/canary.rs"]
pub mod canary;
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
