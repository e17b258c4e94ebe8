//! Unpacks tar archives and container-image layers that nobody trusts.
//!
//! A layer comes from somebody else and is unpacked by somebody with privilege. This crate parses it strictly, judges each
//! entry by a [`Policy`], writes it through a directory handle and one name at a time, and shows nothing under the final name
//! before every claim about every layer ([`Expect`]: size, digest of the blob, digest of the uncompressed bytes) matched.
//!
//! ```
//! use safe_layers::{Digest, Expect, Policy, Root, Unpacker, ambient_authority};
//! # let dir = tempfile::tempdir()?;
//! # let (path, blob) = (dir.path(), vec![0_u8; 1024]);
//! # let claimed = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
//! let parent = Root::open_ambient(path, ambient_authority())?;
//! let mut unpacker = Unpacker::rootfs(parent, "rootfs", Policy::rootless())?;
//! unpacker.apply(&Expect::blob(Digest::parse(claimed)?), blob.as_slice())?;
//! unpacker.commit()?;
//! # assert!(path.join("rootfs").is_dir());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way of a layer
//! ```text
//! bytes → hash, decode, hash → strict parser → typed entry → policy → directory handle + one name → private tree → commit
//! ```
//! [`Unpacker`] goes the whole way, into one tree or into a directory for each layer, for an overlay mount; [`LayerReader`] stops
//! before the disk, for scanners and converters. With the feature `image`, `Image::flatten` gives the merged tree of all layers so.
//!
//! # In scope
//! tar (v7, ustar, PAX, GNU, sparse files) as plain, gzip or zstd blobs; whiteouts of the OCI image specification; regular files,
//! directories, symlinks, hardlinks, FIFOs, devices; owners (kept, mapped, squashed, recorded), modes, times to the nanosecond,
//! extended attributes, capabilities, ACLs. Linux.
//!
//! # Out of scope
//! Fetching anything; running anything; other archive formats; making archives.
//!
//! # What is silent
//! Nothing: whatever is skipped or changed is an [`Event`] in the [`LayerReport`], whatever is refused an [`Error`] with the
//! entry, the offset and the path. A second reader may disagree with this one; the choices are written down at each knob of [`Policy`].
//!
//! # Features
//! `serde`: reports, events and errors implement `Serialize`. `image`: container images on disk, checked link by link from one
//! pinned digest down to each layer; their parser of JSON is `serde_json`. `cosign`: such images may be trusted by signatures of a key
//! too; the cryptography is that of `p256`. `fault-injection`: for tests of this crate alone.
//!
//! This crate was not audited.

mod apply;
mod archive;
mod blob;
mod convert;
mod digest;
mod entry;
mod error;
#[cfg(feature = "image")]
pub mod image;
mod layer;
mod limits;
mod observe;
mod policy;
mod root;
mod stage;
mod unpacker;

pub use apply::OverlayForm;
pub use archive::{Timestamp, TrailingData, Xattr};
pub use blob::Expect;
pub use cap_std::{AmbientAuthority, ambient_authority};
pub use digest::{Algorithm, Digest, Hasher, chain_id};
pub use entry::{AbsoluteNames, Device, DeviceKind, Entry, EntryKind, EntryPath, HiddenName, Metadata, Name, SymlinkTarget, Whiteout};
pub use error::{Class, DescriptorPath, Error, ErrorKind, LimitHit, Location, escape_path};
pub use layer::{LayerEnd, LayerReader};
pub use limits::{Limits, RATIO_FLOOR};
pub use observe::{CancelToken, Compression, EntryCounts, Event, Events, LayerReport, Observer, Oddities, Progress, Reason, Verified};
#[doc(hidden)]
pub use policy::Resolver;
pub use policy::{
    Devices, Duplicates, Fifos, Hardlinks, IdMap, IdRange, ImplicitParents, NonDirectoryParents, OtherXattrs, Ownership, Policy,
    SpecialBits, SymlinkedParents, Symlinks, Times, UnknownTypes, Unmapped, UnsupportedXattrs, Whiteouts,
};
pub use root::Root;
pub use stage::{Durability, recover};
pub use unpacker::{LowerLayers, Unpacked, Unpacker};

/// For tests: has the calls on the tree fail one by one.
#[cfg(feature = "fault-injection")]
#[doc(hidden)]
pub mod fault {
    pub use crate::root::sys::{Calls, Fault, inject};
}

/// The code in the README is compiled with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
