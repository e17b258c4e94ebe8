//! Who owns an object on disk, and what follows from that for its mode and its attributes.

use super::knobs::{Ownership, Unmapped};
use super::xattr::Ids;
use crate::archive::Xattr;
use crate::entry::{EntryKind, Owner};
use crate::error::Error;

/// The extended attribute that [`Ownership::RecordXattr`] writes.
pub(super) const OVERRIDE_STAT: &[u8] = b"user.containers.override_stat";

/// setuid and setgid: for an owner that is not the archive's they would be somebody else's rights.
const SET_IDS: u32 = 0o6000;

/// Where an owner of the archive ended up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    archive: Owner,
    /// None: as the caller makes it.
    pub(super) owner: Option<Owner>,
    fate: Fate,
    /// What becomes of the ids inside attributes.
    pub(super) ids: Ids<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The owner of the archive, itself or mapped.
    Kept,
    /// Another, as for all objects.
    Squashed,
    /// Another for this object, with an event.
    SquashedAlone,
    /// Another, and the archive's goes to an extended attribute.
    Recorded,
}

impl Ownership {
    /// Gives the owner on disk of an object of `kind`.
    pub(super) fn place(&self, archive: Owner, kind: &EntryKind, caller: Owner) -> Result<Placed<'_>, Error> {
        let kept = |owner, ids| Placed { archive, owner, fate: Fate::Kept, ids };
        let squashed = |owner: Owner, fate| Placed { archive, owner: Some(owner), fate, ids: Ids::Gone { root: Some(owner.uid) } };
        let recorded = || {
            let fate = match kind {
                EntryKind::Directory | EntryKind::File { .. } => Fate::Recorded,
                _ => Fate::SquashedAlone,
            };
            Placed { archive, owner: Some(caller), fate, ids: Ids::Gone { root: None } }
        };
        Ok(match self {
            Self::Preserve => kept(Some(archive), Ids::Kept),
            Self::Ignore => kept(None, Ids::Kept),
            Self::Squash { uid, gid } => squashed(Owner { uid: *uid, gid: *gid }, Fate::Squashed),
            Self::SquashToCaller => squashed(caller, Fate::Squashed),
            Self::RecordXattr => recorded(),
            Self::Map(map) => match (map.owner(archive), map.unmapped) {
                (Ok(owner), _) => kept(Some(owner), Ids::Mapped(map)),
                (Err(id), Unmapped::Error) => return Err(id.error("")),
                (Err(_), Unmapped::Squash { uid, gid }) => {
                    Placed { ids: Ids::Mapped(map), ..squashed(Owner { uid, gid }, Fate::SquashedAlone) }
                }
                (Err(_), Unmapped::Record) => recorded(),
            },
        })
    }

    /// The owner of a copy of what `owner` has on disk in a lower layer.
    pub(super) fn over(&self, owner: Owner, caller: Owner) -> Option<Owner> {
        match self {
            Self::Preserve | Self::Map(_) => Some(owner),
            Self::Squash { uid, gid } => Some(Owner { uid: *uid, gid: *gid }),
            Self::SquashToCaller | Self::RecordXattr => Some(caller),
            Self::Ignore => None,
        }
    }

    /// Whether it writes [`OVERRIDE_STAT`].
    pub(super) fn records(&self) -> bool {
        match self {
            Self::RecordXattr => true,
            Self::Map(map) => map.unmapped == Unmapped::Record,
            Self::Preserve | Self::Squash { .. } | Self::SquashToCaller | Self::Ignore => false,
        }
    }
}

impl Placed<'_> {
    /// The bits of the mode that the object must not have on disk.
    pub(super) fn stripped(&self) -> u32 {
        match self.fate {
            Fate::Kept => 0,
            Fate::Squashed if self.owner == Some(self.archive) => 0,
            Fate::Squashed | Fate::SquashedAlone | Fate::Recorded => SET_IDS,
        }
    }

    /// What the event says of an owner that was squashed for this object alone.
    pub(super) fn squashed(&self) -> Option<String> {
        let owner = self.owner.filter(|_| self.fate == Fate::SquashedAlone)?;
        Some(format!("{}:{} to {}:{}", self.archive.uid, self.archive.gid, owner.uid, owner.gid))
    }

    /// The record of the archive's owner and `mode`, where there is to be one.
    ///
    /// Source: containers/storage `pkg/idtools` (`FormatContainersOverrideXattrDevice`: `"%d:%d:%04o:%s"`); fuse-overlayfs
    /// `override_mode` reads the same, the type optional.
    pub(super) fn record(&self, kind: &EntryKind, mode: u32) -> Option<Xattr> {
        if self.fate != Fate::Recorded {
            return None;
        }
        let kind = if matches!(kind, EntryKind::Directory) { "dir" } else { "file" };
        let value = format!("{}:{}:{mode:04o}:{kind}", self.archive.uid, self.archive.gid);
        Some(Xattr { name: OVERRIDE_STAT.to_vec(), value: value.into_bytes() })
    }
}
