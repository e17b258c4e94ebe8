//! What a layer may do: [`Policy`], one knob for each thing on which archives, images and callers differ. Pure: no I/O.
//!
//! One engine, a policy is data. [`Policy::strict`] is for archives with no right to surprise you, [`Policy::container`] for
//! real images, [`Policy::rootless`] the same without privilege. There is no default: the caller chooses.

mod acl;
mod capability;
mod knobs;
mod owner;
#[cfg(test)]
mod tests;
mod xattr;

pub use knobs::{
    Devices, Duplicates, Fifos, Hardlinks, IdMap, IdRange, ImplicitParents, NonDirectoryParents, OtherXattrs, Ownership, Resolver,
    SpecialBits, SymlinkedParents, Symlinks, Times, UnknownTypes, Unmapped, UnsupportedXattrs, Whiteouts,
};

use crate::archive::{Timestamp, TrailingData, Xattr};
use crate::entry::{AbsoluteNames, Device, DeviceKind, Entry, EntryKind, Metadata, NameRules, Owner};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::observe::{Event, Oddities, Reason};
use owner::OVERRIDE_STAT;
use xattr::{Ids, Judgement};

/// Mode of a directory that has no entry.
pub(crate) const IMPLICIT_MODE: u32 = 0o755;

/// What a layer may do. Start from a preset and change what differs.
///
/// ```
/// use safe_layers::{Devices, Policy};
/// let mut policy = Policy::container();
/// policy.devices = Devices::Reject;
/// policy.limits.entries = 500_000;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Names that start with `/`, targets of hardlinks too.
    pub absolute_names: AbsoluteNames,
    /// A second entry at the place of an earlier one.
    pub duplicates: Duplicates,
    /// Symlinks.
    pub symlinks: Symlinks,
    /// Parents of an entry that are symlinks.
    pub symlinked_parents: SymlinkedParents,
    /// Something that is no directory, where an entry needs a parent.
    pub non_directory_parents: NonDirectoryParents,
    /// Parents of an entry that are missing.
    pub implicit_parents: ImplicitParents,
    /// Hardlinks.
    pub hardlinks: Hardlinks,
    /// Character and block devices. A character device 0:0, a forged whiteout, is refused whatever this says.
    pub devices: Devices,
    /// FIFOs.
    pub fifos: Fifos,
    /// Typeflags that are not known. Multi-volume parts and dumpdirs are refused whatever this says.
    pub unknown_types: UnknownTypes,
    /// Whiteouts.
    pub whiteouts: Whiteouts,
    /// Whiteouts that are not empty regular files: refused ([`ErrorKind::InvalidWhiteout`]) or honoured, with an event.
    pub odd_markers: Oddities,
    /// Layers that are readable but not quite as the format wants them.
    pub oddities: Oddities,
    /// Who owns what is made.
    pub ownership: Ownership,
    /// setuid, setgid and sticky bits.
    pub special_bits: SpecialBits,
    /// Extended attributes outside the allow-list.
    pub other_xattrs: OtherXattrs,
    /// Extended attributes that the filesystem or the caller's privilege refuses.
    pub unsupported_xattrs: UnsupportedXattrs,
    /// Which times the objects get.
    pub times: Times,
    /// Bytes after the end of the archive.
    pub trailing_data: TrailingData,
    /// What an apply may cost.
    pub limits: Limits,
    /// How parents are resolved: for tests of one way or the other.
    #[doc(hidden)]
    pub resolver: Resolver,
}

impl Policy {
    /// For archives with no right to surprise you: whatever is odd, escaping, special or said twice is an error.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            absolute_names: AbsoluteNames::Reject,
            duplicates: Duplicates::Reject,
            symlinks: Symlinks::RejectEscaping,
            symlinked_parents: SymlinkedParents::Reject,
            non_directory_parents: NonDirectoryParents::Reject,
            implicit_parents: ImplicitParents::CreateWithEvent,
            hardlinks: Hardlinks::InLayer,
            devices: Devices::Reject,
            fifos: Fifos::Reject,
            unknown_types: UnknownTypes::Reject,
            whiteouts: Whiteouts::Honour,
            odd_markers: Oddities::Refuse,
            oddities: Oddities::Refuse,
            ownership: Ownership::Ignore,
            special_bits: SpecialBits::Strip,
            other_xattrs: OtherXattrs::Reject,
            unsupported_xattrs: UnsupportedXattrs::Error,
            times: Times::Archive,
            trailing_data: TrailingData::Reject,
            limits: Limits::default(),
            resolver: Resolver::Auto,
        }
    }

    /// For real images, with privilege: everything that images in the wild hold is applied, contained; devices are skipped.
    #[must_use]
    pub fn container() -> Self {
        Self {
            absolute_names: AbsoluteNames::Strip,
            duplicates: Duplicates::Replace,
            symlinks: Symlinks::Keep,
            symlinked_parents: SymlinkedParents::Resolve,
            non_directory_parents: NonDirectoryParents::Replace,
            implicit_parents: ImplicitParents::Create,
            hardlinks: Hardlinks::InRoot,
            devices: Devices::Skip,
            fifos: Fifos::Create,
            unknown_types: UnknownTypes::Reject,
            whiteouts: Whiteouts::Honour,
            odd_markers: Oddities::Tolerate,
            oddities: Oddities::Tolerate,
            ownership: Ownership::Preserve,
            special_bits: SpecialBits::Keep,
            other_xattrs: OtherXattrs::Drop,
            unsupported_xattrs: UnsupportedXattrs::EventForUser,
            times: Times::Archive,
            trailing_data: TrailingData::Reject,
            limits: Limits::default(),
            resolver: Resolver::Auto,
        }
    }

    /// For real images, without privilege: as [`container`](Self::container), but all is the caller's.
    #[must_use]
    pub fn rootless() -> Self {
        Self { ownership: Ownership::SquashToCaller, unsupported_xattrs: UnsupportedXattrs::Event, ..Self::container() }
    }

    /// How names are read under this policy.
    pub(crate) fn name_rules(&self) -> NameRules<'_> {
        NameRules { absolute: self.absolute_names, odd_markers: self.odd_markers, oddities: self.oddities, limits: &self.limits }
    }

    /// Judges an entry by its kind and the size of its body.
    pub(crate) fn decide(&self, entry: &Entry, body_len: u64) -> Decision {
        match entry.kind() {
            EntryKind::Directory | EntryKind::File { .. } => Decision::Apply,
            EntryKind::Symlink(target) => match self.symlinks {
                Symlinks::Keep => Decision::Apply,
                Symlinks::RejectEscaping if !target.escapes_from(entry.path()) => Decision::Apply,
                Symlinks::RejectEscaping => refuse(ErrorKind::SymlinkEscape, format!("the target {target:?} leaves the root")),
                Symlinks::Reject => refuse(ErrorKind::SymlinkEscape, "a symlink"),
            },
            EntryKind::Hardlink(_) => match self.hardlinks {
                Hardlinks::Reject => refuse(ErrorKind::HardlinkEscape, "a hardlink"),
                Hardlinks::InLayer | Hardlinks::InRoot => Decision::Apply,
            },
            EntryKind::Fifo => match self.fifos {
                Fifos::Reject => refuse(ErrorKind::SpecialFile, "a FIFO"),
                Fifos::Create => Decision::Apply,
            },
            EntryKind::Device(device) => self.decide_device(*device),
            EntryKind::Whiteout(_) => match self.whiteouts {
                Whiteouts::Honour => Decision::Apply,
                Whiteouts::Reject => refuse(ErrorKind::InvalidWhiteout, "a whiteout"),
            },
            EntryKind::AufsMetadata => Decision::Skip(Reason::AufsMetadataSkipped),
            // Their meaning changes other entries: leaving them out would change the tree.
            EntryKind::Unknown(flag @ (b'M' | b'V' | b'D' | b'N')) => {
                refuse(ErrorKind::UnsupportedType, format!("typeflag {:?}", char::from(*flag)))
            }
            // Where odd layers are read at all, a body over the budget is the graver fault.
            EntryKind::Unknown(_) if self.oddities == Oddities::Tolerate && body_len > self.limits.total_bytes => {
                Decision::Refuse(Error::limit_exceeded("total_bytes", self.limits.total_bytes))
            }
            EntryKind::Unknown(flag) => match self.unknown_types {
                UnknownTypes::Reject => refuse(ErrorKind::UnsupportedType, format!("typeflag {:?}", char::from(*flag))),
                UnknownTypes::Skip => Decision::Skip(Reason::UnknownTypeSkipped),
            },
        }
    }

    fn decide_device(&self, device: Device) -> Decision {
        if self.devices == Devices::Reject {
            return refuse(ErrorKind::DeviceNode, format!("device {}:{}", device.major, device.minor));
        }
        // Before the test for 0:0: the kernel keeps 12 and 20 bits and makes 4096:0 a 0:0.
        if device.major > 0xfff || device.minor > 0xf_ffff {
            return refuse(ErrorKind::NumberOutOfRange, format!("device {}:{}", device.major, device.minor));
        }
        if device.kind == DeviceKind::Character && device.major == 0 && device.minor == 0 {
            return refuse(ErrorKind::OverlaySmuggling, "a character device 0:0");
        }
        match self.devices {
            Devices::Create => Decision::Apply,
            Devices::Skip | Devices::Reject => Decision::Skip(Reason::DeviceSkipped),
        }
    }

    /// Gives the metadata to apply, with an event for each change.
    pub(crate) fn judge_metadata(&self, entry: Entry, caller: Owner) -> Result<Judged, Error> {
        match entry.kind() {
            // A marker makes nothing.
            EntryKind::Whiteout(_) => return Ok(Judged { entry, owner: None, events: Vec::new() }),
            EntryKind::Hardlink(_) => return Ok(self.judge_hardlink(entry, caller)),
            _ => {}
        }
        let mut events = Events { entry: &entry, list: Vec::new() };
        let metadata = entry.metadata();
        let placed = self.ownership.place(metadata.owner(), entry.kind(), caller)?;
        let mut xattrs = self.judge_xattrs(placed.ids, &mut events)?;
        if let Some(detail) = placed.squashed() {
            events.note(Reason::OwnerSquashed, detail);
        }
        let allowed = metadata.mode & !self.special_bits.stripped();
        xattrs.extend(placed.record(entry.kind(), allowed));
        let mode = allowed & !placed.stripped();
        if mode != metadata.mode && !matches!(entry.kind(), EntryKind::Symlink(_)) {
            events.note(Reason::SpecialBitsStripped, format!("mode {:o}", metadata.mode));
        }
        let mtime = self.times.of(metadata.mtime);
        if mtime != metadata.mtime {
            events.note(Reason::TimeReplaced, String::new());
        }
        let (owner, events) = (placed.owner, events.list);
        let metadata = Metadata { mode, mtime, xattrs, ..*metadata };
        Ok(Judged { entry: entry.with_metadata(metadata), owner, events })
    }

    /// The inode keeps its own metadata: what the header says of it is only compared, as if it were a file's.
    fn judge_hardlink(&self, entry: Entry, caller: Owner) -> Judged {
        let metadata = entry.metadata().clone();
        let placed = self.ownership.place(metadata.owner(), &EntryKind::File { len: 0 }, caller).ok();
        let stripped = self.special_bits.stripped() | placed.map_or(0, |placed| placed.stripped());
        let owner = placed.and_then(|placed| placed.owner);
        let metadata = Metadata { mode: metadata.mode & !stripped, mtime: self.times.of(metadata.mtime), ..metadata };
        Judged { entry: entry.with_metadata(metadata), owner, events: Vec::new() }
    }

    /// Gives the attributes to set.
    fn judge_xattrs(&self, ids: Ids<'_>, events: &mut Events<'_>) -> Result<Vec<Xattr>, Error> {
        let mut kept = Vec::new();
        for xattr in &events.entry.metadata().xattrs {
            match xattr::judge(events.entry.kind(), xattr, ids)? {
                Judgement::Keep(value) => kept.push(Xattr { name: xattr.name.clone(), value }),
                Judgement::OnSpecial => events.push(Reason::XattrOnSpecialDropped, xattr),
                Judgement::Other if self.other_xattrs == OtherXattrs::Drop => events.push(Reason::XattrDropped, xattr),
                Judgement::Unmapped => events.push(Reason::XattrDropped, xattr),
                Judgement::Other | Judgement::Malformed => {
                    return Err(Error::new(ErrorKind::ForbiddenXattr, crate::error::escape_path(&xattr.name)));
                }
            }
        }
        Ok(kept)
    }

    /// Whether this policy sets attributes of this name: a directory loses them where an entry without them replaces it.
    ///
    /// Others are not a layer's: those that overlayfs reads stay.
    pub(crate) fn sets_xattr(&self, name: &[u8]) -> bool {
        xattr::allowed(name) || (name == OVERRIDE_STAT && self.ownership.records())
    }

    /// Whether an attribute that the filesystem or the caller's privilege refused may be missing, with an event.
    pub(crate) fn tolerates_refusal_of(&self, name: &[u8]) -> bool {
        match self.unsupported_xattrs {
            // Without the record the owner is lost.
            _ if name == OVERRIDE_STAT => false,
            UnsupportedXattrs::Event => true,
            UnsupportedXattrs::EventForUser => name.starts_with(b"user."),
            UnsupportedXattrs::Error => false,
        }
    }

    /// The owner of a copy of something that a lower layer has on disk; none: as the caller makes it.
    pub(crate) fn owner_over(&self, owner: Owner, caller: Owner) -> Option<Owner> {
        self.ownership.over(owner, caller)
    }

    /// The time of a directory that has no entry.
    pub(crate) fn implicit_time(&self) -> Timestamp {
        self.times.of(Timestamp::default())
    }

    /// The owner of a directory that has no entry: the container's root.
    pub(crate) fn implicit(&self, caller: Owner) -> Result<Implicit, Error> {
        let placed = self.ownership.place(Owner { uid: 0, gid: 0 }, &EntryKind::Directory, caller)?;
        Ok(Implicit { owner: placed.owner, record: placed.record(&EntryKind::Directory, IMPLICIT_MODE) })
    }
}

/// What a directory that has no entry gets beside its mode and time.
#[derive(Debug)]
pub(crate) struct Implicit {
    /// None: as the caller makes it.
    pub(crate) owner: Option<Owner>,
    /// The record of the owner that it has in the container, where there is to be one.
    pub(crate) record: Option<Xattr>,
}

/// What a policy says of an entry.
#[must_use]
#[derive(Debug)]
pub(crate) enum Decision {
    Apply,
    Skip(Reason),
    Refuse(Error),
}

/// An entry with the metadata that the policy lets it have.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) entry: Entry,
    /// None: as the caller makes it.
    pub(crate) owner: Option<Owner>,
    pub(crate) events: Vec<Event>,
}

struct Events<'a> {
    entry: &'a Entry,
    list: Vec<Event>,
}

impl Events<'_> {
    fn push(&mut self, reason: Reason, xattr: &Xattr) {
        self.note(reason, crate::error::escape_path(&xattr.name));
    }

    fn note(&mut self, reason: Reason, detail: String) {
        self.list.push(Event { reason, location: self.entry.location(), detail });
    }
}

fn refuse(kind: ErrorKind, detail: impl Into<std::borrow::Cow<'static, str>>) -> Decision {
    Decision::Refuse(Error::new(kind, detail))
}
