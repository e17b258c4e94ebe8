//! The choices that a [`Policy`](super::Policy) is made of: an enum for each, with verbs for its variants.

use crate::archive::Timestamp;
use crate::entry::Owner;
use crate::error::{Error, ErrorKind};

/// How the path of a parent is resolved inside the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resolver {
    /// `openat2` where the kernel has it, else the walk.
    #[default]
    Auto,
    /// `openat2(RESOLVE_IN_ROOT)`; an error where the kernel or a seccomp filter refuses it.
    Openat2,
    /// One `openat(O_NOFOLLOW)` for each component.
    Walk,
}

/// What becomes of a second entry at the place of an earlier one of the layer: the same directory and name, whatever path led there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Duplicates {
    /// Refuse it: [`ErrorKind::DuplicateEntry`].
    Reject,
    /// The last wins, with an event.
    Replace,
}

/// What becomes of symlinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Symlinks {
    /// Made byte for byte: absolute and dangling targets are normal in images. Safety comes from the resolution of parents.
    Keep,
    /// Refused where the target is absolute or climbs above the root by its text: [`ErrorKind::SymlinkEscape`].
    RejectEscaping,
    /// Refused: [`ErrorKind::SymlinkEscape`].
    Reject,
}

/// What becomes of an entry with a symlink among its parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SymlinkedParents {
    /// Refused: [`ErrorKind::SymlinkInPath`].
    Reject,
    /// Resolved inside the root, absolute targets too.
    Resolve,
}

/// What becomes of something that is no directory, where an entry needs a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NonDirectoryParents {
    /// The entry is refused: [`ErrorKind::NotADirectory`].
    Reject,
    /// It is replaced by a directory, with an event.
    Replace,
}

/// What becomes of missing parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImplicitParents {
    /// Made: 0755, the container's root, time 0.
    Create,
    /// Made, with an event.
    CreateWithEvent,
    /// The entry is refused: [`ErrorKind::ParentMissing`].
    Error,
}

/// What becomes of hardlinks.
///
/// A target is sought when the entry comes. One of a lower layer that a whiteout earlier in the layer hid is missing; a whiteout
/// after the link takes its name away and not the link. A target that comes later in the layer is waited for; by then the link has
/// taken its place, also where the target turns out to be skipped and the link with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hardlinks {
    /// Refused: [`ErrorKind::HardlinkEscape`].
    Reject,
    /// To a regular file that the same layer made, by a name without a symlink on the way.
    InLayer,
    /// To anything below the root that is no directory.
    InRoot,
}

/// What becomes of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Devices {
    /// Refused: [`ErrorKind::DeviceNode`].
    Reject,
    /// Skipped, with an event.
    Skip,
    /// Made.
    Create,
}

/// What becomes of FIFOs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fifos {
    /// Refused: [`ErrorKind::SpecialFile`].
    Reject,
    /// Made.
    Create,
}

/// What becomes of entries of an unknown type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownTypes {
    /// Refused: [`ErrorKind::UnsupportedType`].
    Reject,
    /// Skipped, with an event.
    Skip,
}

/// What becomes of whiteouts.
///
/// They hide nothing that the layer itself has, wherever in it they stand. Which directory a marker is in is decided when it comes:
/// below a symlink of a lower layer that the same layer later replaces by a directory, it counts where the symlink led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Whiteouts {
    /// They hide what they name in the layers below.
    Honour,
    /// Refused: [`ErrorKind::InvalidWhiteout`].
    Reject,
}

/// Who owns what is made.
///
/// setuid and setgid are not set, with an event, where an object's owner on disk is not the archive's, itself or mapped: under the
/// squashing variants and [`RecordXattr`](Self::RecordXattr).
///
/// A file's capability counts in the user namespaces of one root (Linux `vfs_cap_data`, revision 3), a POSIX ACL may name ids. What
/// becomes of them is said at each variant; what cannot be kept is dropped with an event. Where the kernel refuses a capability, as
/// it does to an ordinary user, [`UnsupportedXattrs`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// The ids of the archive, those in capabilities and ACLs too. Without the privilege: an error that names id and path.
    Preserve,
    /// The ids of the archive, mapped by ranges. An id outside them: as [`IdMap::unmapped`] says.
    ///
    /// A capability counts where the host's id of its root is root: that of 0, or of the root that it names; none without a mapping.
    /// The names in ACLs are mapped.
    Map(IdMap),
    /// One owner for all. A capability counts where `uid` is root; ACLs that name ids are dropped.
    Squash {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// The caller for all. A capability counts where the caller is root; ACLs that name ids are dropped.
    SquashToCaller,
    /// The caller for all; the owner and the mode that the archive says stand in the extended attribute
    /// `user.containers.override_stat` of each file and directory, those without an entry too (0:0, 0755).
    ///
    /// The value is `uid:gid:mode:type`: decimal ids, the mode in octal with four digits at least, setuid, setgid and sticky
    /// included, `file` or `dir`: `0:42:2755:file`. Source: containers/storage `pkg/idtools` (`ContainersOverrideXattr`) writes and
    /// fuse-overlayfs reads it, the latter where the root of the layer has one. The kernel does not.
    ///
    /// Symlinks, FIFOs and devices, which cannot carry it, are the caller's, with an event each. Capabilities, and ACLs that name ids,
    /// are dropped. A filesystem that does not take the attribute is an error ([`ErrorKind::XattrUnsupported`]) whatever
    /// [`UnsupportedXattrs`] says: the owner would be lost.
    RecordXattr,
    /// As the caller makes it: ids of the archive are not looked at, those in capabilities and ACLs stay.
    Ignore,
}

/// Maps ids of the container to ids of the host, as `newuidmap` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Ranges of user ids.
    pub uids: Vec<IdRange>,
    /// Ranges of group ids.
    pub gids: Vec<IdRange>,
    /// What becomes of ids outside the ranges.
    pub unmapped: Unmapped,
}

/// What becomes of an object whose user or group has no mapping, and of an ACL that names such an id.
///
/// A directory without an entry belongs to 0:0 of the archive; it has no events of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmapped {
    /// The entry is refused: [`ErrorKind::UnmappedId`], which names the id and the path.
    #[default]
    Error,
    /// The object gets this owner, both ids of it, and no setuid and setgid, with events. The ACL is dropped, with an event.
    Squash {
        /// The user, an id of the host.
        uid: u32,
        /// The group, an id of the host.
        gid: u32,
    },
    /// As under [`Ownership::RecordXattr`], for this object alone. The ACL is dropped, with an event.
    Record,
}

/// `count` ids from `container` on are the ids from `host` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct IdRange {
    pub container: u32,
    pub host: u32,
    pub count: u32,
}

/// Which times the objects get, those without an entry too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Times {
    /// Those of the archive; of what has no entry, 0.
    Archive,
    /// This one, for all; with an event for each entry of another time.
    Fixed(Timestamp),
    /// This one instead of a later one, with an event.
    Clamp(Timestamp),
}

impl Times {
    /// Gives the time to apply for one of the archive.
    pub(super) fn of(self, time: Timestamp) -> Timestamp {
        match self {
            Self::Archive => time,
            Self::Fixed(fixed) => fixed,
            Self::Clamp(latest) => time.min(latest),
        }
    }
}

/// What becomes of setuid, setgid and sticky bits. setuid and setgid are stripped, with an event, where the owner is squashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpecialBits {
    /// Kept.
    Keep,
    /// Stripped, with an event.
    Strip,
}

impl SpecialBits {
    /// The bits of a mode that go.
    pub(super) fn stripped(self) -> u32 {
        match self {
            Self::Keep => 0,
            Self::Strip => 0o7000,
        }
    }
}

/// What becomes of extended attributes outside the allow-list: `user.*`, `security.capability`, POSIX ACLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtherXattrs {
    /// The entry is refused: [`ErrorKind::ForbiddenXattr`].
    Reject,
    /// Dropped, with an event.
    Drop,
}

/// What becomes of allowed extended attributes that the filesystem or the caller's privilege refuses. Not asked about the record
/// of [`Ownership::RecordXattr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnsupportedXattrs {
    /// [`ErrorKind::XattrUnsupported`].
    Error,
    /// Dropped with an event if it is `user.*`, else [`ErrorKind::XattrUnsupported`].
    EventForUser,
    /// Dropped, with an event.
    Event,
}

impl IdMap {
    pub(super) fn owner(&self, owner: Owner) -> Result<Owner, NoMapping> {
        Ok(Owner { uid: self.user(owner.uid)?, gid: self.group(owner.gid)? })
    }

    pub(super) fn user(&self, uid: u32) -> Result<u32, NoMapping> {
        map(&self.uids, uid).ok_or(NoMapping { what: "uid", id: uid })
    }

    pub(super) fn group(&self, gid: u32) -> Result<u32, NoMapping> {
        map(&self.gids, gid).ok_or(NoMapping { what: "gid", id: gid })
    }
}

/// An id outside the mapped ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMapping {
    pub(super) what: &'static str,
    pub(super) id: u32,
}

impl NoMapping {
    /// Gives the error; `place` follows the id.
    pub(super) fn error(self, place: &str) -> Error {
        Error::new(ErrorKind::UnmappedId, format!("{} {}{place}", self.what, self.id))
    }
}

fn map(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.container).filter(|offset| *offset < range.count)?;
        range.host.checked_add(offset).filter(|id| *id != u32::MAX)
    })
}
