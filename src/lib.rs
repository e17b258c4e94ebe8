//! Unpacks tar archives and container-image layers that nobody trusts.

#[allow(dead_code, unused_imports)]
mod blob;
mod convert;
mod digest;
mod error;
mod limits;
mod observe;

pub use blob::Expect;
pub use digest::{Algorithm, Digest, Hasher, chain_id};
pub use error::{Class, Error, ErrorKind, LimitHit, Location, escape_path};
pub use limits::{Limits, RATIO_FLOOR};
pub use observe::{CancelToken, Compression, EntryCounts, Event, Events, LayerReport, Observer, Oddities, Progress, Reason, Verified};
