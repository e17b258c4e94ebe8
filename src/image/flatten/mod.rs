//! The merged tree of an image as a stream of entries, without a filesystem: [`Image::flatten`] into a [`TreeSink`].
//!
//! ```text
//! blobs ─ hash ─ decode ─ hash ─ vetted entries → merge (rules of `apply`, in memory) → tree + a proof for each layer
//!                                                                                         │ plan: who wins, in which order
//! blobs ───────── decode ─ hash ─ vetted entries, of those that win the bodies ───────────┴→ the caller's sink
//! ```
//! `tree` holds the objects, `parents`, `links`, `whiteouts` and `merge` are the rules, `plan` the order; only `passes` reads.

mod links;
mod merge;
mod parents;
mod passes;
mod plan;
mod slab;
#[cfg(test)]
mod tests;
mod tree;
mod whiteouts;

use std::io;

use super::Image;
use crate::entry::{Device, EntryPath, Metadata, Owner, SymlinkTarget};
use crate::error::Error;
#[allow(unused_imports, reason = "named by the docs")]
use crate::error::ErrorKind;
use crate::observe::{EntryCounts, LayerReport};
use crate::policy::Policy;
use plan::Plan;

/// Who owns what a policy gives to the caller: nobody writes here, so it is the container's root.
const NOBODY: Owner = Owner { uid: 0, gid: 0 };

/// Takes a merged tree, one entry after the other. Each `entry` is followed by the pieces of its body, if it is a file, and by
/// `entry_end`.
///
/// The order: directories first, the root before all, each before those below it, those of one directory by their names; then files,
/// symlinks, FIFOs and devices, as the layers bring them, bottom first; last hardlinks, by their paths. So what an entry needs is
/// there before it. The first of several names of a file, by its path compared name by name, has the body; the others are hardlinks
/// to it.
pub trait TreeSink {
    /// Takes an entry.
    ///
    /// # Errors
    /// Whatever ends the stream: it becomes an [`ErrorKind::Io`] with the path.
    fn entry(&mut self, entry: &FlatEntry) -> io::Result<()>;

    /// Takes a piece of the body of the file at hand; `offset` is its place in the file. Pieces come in order; what no piece covers,
    /// at the end too, is a hole, which reads as zeros.
    ///
    /// # Errors
    /// As [`entry`](Self::entry).
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Hears that the entry at hand is complete.
    ///
    /// # Errors
    /// As [`entry`](Self::entry).
    fn entry_end(&mut self) -> io::Result<()>;

    /// Hears that the stream failed after something of it was handed out: nothing of that may be used. Called once, and last.
    fn abort(&mut self, error: &Error);
}

/// An object of a merged tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatEntry {
    path: EntryPath,
    kind: FlatKind,
    metadata: Metadata,
}

/// What an object of a merged tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlatKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its logical size, in bytes: holes count.
        len: u64,
    },
    /// A symlink.
    Symlink(SymlinkTarget),
    /// A further name of the object at this path, which was handed out before.
    Hardlink(EntryPath),
    /// A FIFO.
    Fifo,
    /// A character or block device.
    Device(Device),
}

impl FlatEntry {
    /// Where it is; the root is a directory of the tree.
    #[must_use]
    pub fn path(&self) -> &EntryPath {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &FlatKind {
        &self.kind
    }

    /// Mode, owner, time and extended attributes, as the policy lets them be. Of a hardlink they are those of what it links to, but for
    /// the extended attributes, which stand there alone.
    ///
    /// What a policy gives to the caller is 0:0 here, whoever runs this.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What a stream was made of and what was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Flattened {
    /// A report for each layer, bottom first, as an unpack into one tree gives it: what was verified, what became of the entries,
    /// and everything that was skipped, changed or read generously.
    pub layers: Vec<LayerReport>,
    /// What was handed out, by its kind.
    pub handed_out: EntryCounts,
}

impl Image {
    /// Gives the merged tree of all layers to `sink`, upper layers winning, without a filesystem: the tree that
    /// [`unpack`](Self::unpack) makes of them under `policy`, each body handed over once.
    ///
    /// The layers are read twice. The first time each is verified as `unpack` does, hashed whole before a decoder sees a byte and
    /// again while it is decoded, and merged in memory; only when every claim about every layer matched is anything handed out. The
    /// second time both digests are compared again, as a file may change in between, and the bodies of those files that are left are
    /// handed out: what was is good only once this returned `Ok`, and [`TreeSink::abort`] says where it will not.
    ///
    /// Memory: a file costs 256 bytes and its name, a symlink also its target, a directory 448 and its name twice, a further name 96
    /// and itself; [`Limits::tree_bytes`](crate::Limits::tree_bytes) bounds their sum, extended attributes of directories included.
    ///
    /// It differs from `unpack` only where that has a filesystem and a caller: nothing is clamped, unsupported or refused for want of a
    /// privilege; names that a disk would not take pass; what is given to the caller is 0:0. A path over `path_bytes`, which a symlinked
    /// parent can make, is refused ([`ErrorKind::NameTooLong`]), as a stream has no other way to say where an object is.
    ///
    /// ```
    /// use std::io;
    /// use safe_layers::image::{FlatEntry, FlatKind, Image, TreeSink};
    /// use safe_layers::{Error, Policy};
    ///
    /// /// Adds up the sizes of files.
    /// struct Sizes(u64);
    /// impl TreeSink for Sizes {
    ///     fn entry(&mut self, entry: &FlatEntry) -> io::Result<()> {
    ///         if let FlatKind::File { len } = entry.kind() {
    ///             self.0 += len;
    ///         }
    ///         Ok(())
    ///     }
    ///     fn data(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
    ///         Ok(())
    ///     }
    ///     fn entry_end(&mut self) -> io::Result<()> {
    ///         Ok(())
    ///     }
    ///     fn abort(&mut self, _error: &Error) {
    ///         self.0 = 0;
    ///     }
    /// }
    ///
    /// fn size(image: &Image) -> Result<u64, Error> {
    ///     let mut sizes = Sizes(0);
    ///     image.flatten(&Policy::container(), &mut sizes)?;
    ///     Ok(sizes.0)
    /// }
    /// # let _ = size;
    /// ```
    ///
    /// # Errors
    /// Those of [`unpack`](Self::unpack) but of the disk, with the link of the chain; the limit `tree_bytes`;
    /// [`ErrorKind::DigestMismatch`] and its like where a blob changed between the two times; [`ErrorKind::Io`] with what `sink`
    /// refused. `Ok` means that every byte of what was handed out hangs from the [anchor](Self::anchor).
    pub fn flatten(&self, policy: &Policy, sink: &mut dyn TreeSink) -> Result<Flattened, Error> {
        self.check_stored(policy)?;
        let merged = passes::merge(self.layers(), policy)?;
        let plan = Plan::of(merged.tree, &merged.verified, &policy.limits)?;
        match passes::hand_out(self.layers(), policy, &plan, &merged.reports, sink) {
            Ok(handed_out) => Ok(Flattened { layers: merged.reports, handed_out }),
            Err(error) => {
                sink.abort(&error);
                Err(error)
            }
        }
    }
}
