//! Unpacks tar archives and container-image layers that nobody trusts.

mod apply;
mod archive;
mod blob;
mod convert;
mod digest;
mod entry;
mod error;
mod layer;
mod limits;
mod observe;
mod policy;
mod root;
mod stage;
mod unpacker;

pub use archive::{Timestamp, TrailingData, Xattr};
pub use blob::Expect;
pub use digest::{Algorithm, Digest, Hasher, chain_id};
pub use entry::{AbsoluteNames, Device, DeviceKind, Entry, EntryKind, EntryPath, HiddenName, Metadata, Name, SymlinkTarget, Whiteout};
pub use error::{Class, Error, ErrorKind, LimitHit, Location, escape_path};
pub use layer::LayerReader;
pub use limits::{Limits, RATIO_FLOOR};
pub use observe::{CancelToken, Compression, EntryCounts, Event, Events, LayerReport, Observer, Oddities, Progress, Reason, Verified};
pub use policy::{
    Devices, Duplicates, Fifos, Hardlinks, IdMap, IdRange, ImplicitParents, NonDirectoryParents, OtherXattrs, Ownership, Policy,
    SpecialBits, SymlinkedParents, Symlinks, UnknownTypes, UnsupportedXattrs, Whiteouts,
};
#[doc(hidden)]
pub use root::Resolver;
pub use root::Root;
pub use stage::recover;
pub use unpacker::{Unpacked, Unpacker};

/// The code in the README is compiled with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
