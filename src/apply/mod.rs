//! Applies vetted entries to a tree, or to the directory of one layer in overlay form: replacement, whiteouts, hardlinks, attributes in the order that the
//! kernel forces. Everything reaches the disk through [`Root`].

mod awaited;
mod beneath;
mod copy_up;
mod directories;
mod files;
mod fill;
mod finish;
mod links;
mod lower;
mod objects;
mod parents;
pub(crate) mod rules;
mod targets;
mod view;
mod whiteouts;
pub(crate) mod written;

use std::sync::{Arc, OnceLock};

use crate::blob::{Aside, Buffer, Share, Stop};
use crate::entry::{Entry, EntryKind, Owner};
use crate::error::{Error, ErrorKind, Location};
use crate::layer::Sink;
use crate::observe::{EntryCounts, Event, Log, Reason};
use crate::policy::{IMPLICIT_MODE, Judged, Policy, Resolver};
use crate::root::{Attributes as _, Root, caller};
use beneath::Beneath;
use copy_up::Copies;
use directories::{Directories, Final, Inheritance, Mode, NodeId};
use files::OpenFile;
use fill::Filling;
use links::Deferred;
use lower::Handed;
use parents::Cache;
use written::Written;

pub(crate) use awaited::Awaited;
pub(crate) use finish::TreeComplete;
pub(crate) use lower::{Lower, Lowers};

/// What the tree is that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// A new, empty directory of our own: directory attributes wait for the whole tree.
    Staged,
    /// A directory of the caller's with whatever is in it: directory attributes wait for the end of the layer.
    InPlace,
}

/// How a layer in overlay form says what it hides of the layers below: for mounts with or without `userxattr`
/// (Linux `Documentation/filesystems/overlayfs.rst`). A hidden name is a character device 0:0 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum OverlayForm {
    /// Opaque directories have `trusted.overlay.opaque`, which needs CAP_SYS_ADMIN in the initial user namespace.
    Trusted,
    /// Opaque directories have `user.overlay.opaque`, for mounts with `userxattr`; needs no privilege.
    User,
}

/// Applies the layers of one tree.
#[derive(Debug)]
pub(crate) struct Applier {
    root: Root,
    policy: Policy,
    caller: Owner,
    ground: Ground,
    /// The form of a directory that holds one layer; none where all layers go into one tree.
    form: Option<OverlayForm>,
    lowers: Lowers,
    beneath_top: Beneath,
    /// What the root has of the layers below.
    root_handed: OnceLock<Handed>,
    /// Whether the layer hides all below it.
    root_opaque: bool,
    copies: Copies,
    directories: Directories,
    cache: Cache,
    /// Objects made in this layer.
    objects: u64,
    counts: EntryCounts,
    file_bytes: u64,
    deferred_bytes: u64,
    /// What of them is free again at the end of the layer.
    layer_bytes: u64,
    written: Written,
    deferred: Deferred,
    open: Option<OpenFile>,
    /// The files that other threads may fill.
    filling: Filling,
    /// The bytes that are being parsed, to be shared until they are written.
    piece: Option<Arc<Buffer>>,
}

/// What an apply did to the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    pub(crate) counts: EntryCounts,
    pub(crate) file_bytes: u64,
    pub(crate) root_opaque: bool,
}

impl Applier {
    /// For the directory of one layer in overlay form, a new, empty one of our own.
    pub(crate) fn overlay(root: Root, policy: Policy, form: OverlayForm, lowers: Lowers) -> Result<Self, Error> {
        let mut applier = Self::new(root, policy, Ground::Staged)?;
        applier.beneath_top = lowers.top();
        (applier.form, applier.lowers) = (Some(form), lowers);
        Ok(applier)
    }

    /// For all layers of one tree.
    pub(crate) fn new(root: Root, policy: Policy, ground: Ground) -> Result<Self, Error> {
        let root = match policy.resolver {
            Resolver::Auto => root,
            Resolver::Openat2 => root.with_openat2()?,
            Resolver::Walk => root.with_walk(),
        };
        let directories = Self::ground_directories(&root, &policy, ground)?;
        Ok(Self {
            root,
            policy,
            caller: caller(),
            ground,
            form: None,
            lowers: Lowers::known(Vec::new()),
            beneath_top: Beneath::Nothing,
            root_handed: OnceLock::new(),
            root_opaque: false,
            copies: Copies::default(),
            directories,
            cache: Cache::default(),
            objects: 0,
            counts: EntryCounts::default(),
            file_bytes: 0,
            deferred_bytes: 0,
            layer_bytes: 0,
            written: Written::new(),
            deferred: Deferred::default(),
            open: None,
            filling: Filling::new(&Arc::default()),
            piece: None,
        })
    }

    /// What a directory that has no entry is to have in the end.
    fn implicit_last(&self) -> Final {
        implicit_last(&self.policy)
    }

    fn ground_directories(root: &Root, policy: &Policy, ground: Ground) -> Result<Directories, Error> {
        let top = root.top().stat()?;
        Ok(match ground {
            Ground::Staged => Directories::new(&top, implicit_last(policy), Inheritance::Nothing),
            Ground::InPlace => {
                let inheritance = parents::found_to_hand_down(root.top(), &top, caller())?;
                Directories::new(&top, Final { mode: Mode::AsFound, mtime: top.mtime }, inheritance)
            }
        })
    }

    /// Begins a layer: what is there is lower from now on. Files are left `aside` for threads that have nothing better to do.
    pub(crate) fn begin_layer(&mut self, share: &Arc<Share>, aside: &Arc<Aside>) -> Result<(), Error> {
        if self.ground == Ground::InPlace {
            // What stands there may have changed since the last layer.
            self.directories = Self::ground_directories(&self.root, &self.policy, self.ground)?;
            self.deferred_bytes = 0;
            let top = self.root.top().stat()?;
            if self.lacks_permission(&top) {
                self.root.top().set_mode(top.mode | 0o700)?;
                self.directories.set_last(NodeId::TOP, Final { mode: Mode::Set(top.mode), mtime: top.mtime })?;
            }
        }
        if caller() != self.caller {
            self.directories.forget_all_gives();
        }
        self.deferred_bytes = self.deferred_bytes.saturating_sub(std::mem::take(&mut self.layer_bytes));
        self.directories.next_layer();
        self.cache.clear();
        self.objects = 0;
        self.counts = EntryCounts::default();
        self.file_bytes = 0;
        self.written = Written::new();
        self.open = None;
        self.lowers.lend_of(Some(Arc::clone(share)));
        self.filling = Filling::new(aside);
        Ok(())
    }

    /// Says which bytes are parsed next: what [`data`](Sink::data) gets is a part of them.
    pub(crate) fn begin_piece(&mut self, piece: &Arc<Buffer>) {
        self.piece = Some(Arc::clone(piece));
    }

    /// Says that these bytes are parsed; gives an error of a file that another filled, if one is known by now.
    pub(crate) fn end_piece(&mut self) -> Result<(), Error> {
        self.piece = None;
        self.filling.check()
    }

    /// Waits until every file that is complete is filled.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        self.filling.finish()
    }

    /// Ends the layer: the hardlinks that waited, and in place the attributes of directories.
    pub(crate) fn end_layer(&mut self, stop: &Stop<'_>, log: &mut Log) -> Result<Applied, Error> {
        self.settle()?;
        // What waited is made in directories that were left: they are opened again.
        self.cache.clear();
        self.make_deferred_links(stop, log)?;
        if self.ground == Ground::InPlace {
            self.finish_directories(stop, log)?;
        }
        if self.lowers.are_unknown() && !self.directories.has_entry(NodeId::TOP) {
            let location = Location { path: Some(Vec::new()), ..Location::default() };
            log.record(Event { reason: Reason::LowerUnknown, location, detail: "the root".into() });
        }
        self.cache.clear();
        self.copies = Copies::default();
        self.written = Written::new();
        self.lowers.lend_of(None);
        Ok(Applied { counts: self.counts, file_bytes: self.file_bytes, root_opaque: self.root_opaque })
    }

    /// Takes bytes that are free again at the end of the layer.
    fn reserve_for_layer(&mut self, added: u64) -> Result<(), Error> {
        self.layer_bytes = self.layer_bytes.saturating_add(added);
        self.reserve(added, 0)
    }

    /// Takes `bytes` from the memory that may wait for the end.
    fn reserve(&mut self, added: u64, freed: u64) -> Result<(), Error> {
        let limit = self.policy.limits.deferred_bytes;
        self.deferred_bytes = self.deferred_bytes.saturating_add(added).saturating_sub(freed);
        if self.deferred_bytes > limit { Err(Error::limit_exceeded("deferred_bytes", limit)) } else { Ok(()) }
    }
}

impl Sink for Applier {
    fn entry(&mut self, judged: Judged, log: &mut Log) -> Result<(), Error> {
        self.counts.total = self.counts.total.saturating_add(1);
        self.count_object()?;
        let Judged { entry, owner, .. } = judged;
        let count = match entry.kind() {
            EntryKind::Directory if entry.path().is_root() => self.root_entry(&entry, owner, log).map(|()| &mut self.counts.directories),
            EntryKind::Directory => self.directory(&entry, owner, log).map(|()| &mut self.counts.directories),
            EntryKind::File { len } => {
                let len = *len;
                return self.file(entry, owner, len, log);
            }
            EntryKind::Symlink(target) => self.symlink(&entry, target, owner, log).map(|()| &mut self.counts.symlinks),
            EntryKind::Hardlink(target) => return self.hardlink(&entry, target, owner, log),
            EntryKind::Fifo => self.special(&entry, None, owner, log).map(|()| &mut self.counts.fifos),
            EntryKind::Device(device) => self.special(&entry, Some(*device), owner, log).map(|()| &mut self.counts.devices),
            EntryKind::Whiteout(whiteout) => {
                self.refuse_second_marker(&entry, log)?;
                self.whiteout(&entry, whiteout, log).map(|()| &mut self.counts.whiteouts)
            }
            // The policy never lets these through.
            EntryKind::AufsMetadata | EntryKind::Unknown(_) => {
                Err(Error::new(ErrorKind::UnsupportedType, "an entry that cannot be applied"))
            }
        }?;
        *count = count.saturating_add(1);
        Ok(())
    }

    /// What stands at its path stays.
    fn skip(&mut self, entry: &Entry, reason: Reason, log: &mut Log) -> Result<(), Error> {
        self.counts.total = self.counts.total.saturating_add(1);
        self.count_object()?;
        self.leave_out(entry, reason, log)
    }

    /// Of an entry that is no file it goes nowhere.
    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.open {
            Some(open) => open.write(offset, bytes, self.piece.as_ref()),
            None => Ok(()),
        }
    }

    fn entry_end(&mut self, log: &mut Log) -> Result<(), Error> {
        match self.open.take() {
            Some(open) => self.close_file(open, log),
            None => Ok(()),
        }
    }
}

fn implicit_last(policy: &Policy) -> Final {
    Final { mode: Mode::Set(IMPLICIT_MODE), mtime: policy.implicit_time() }
}
