//! Takes over from lower layers what a layer in overlay form needs: attributes of directories, files that hardlinks name.

use std::collections::HashMap;

use super::beneath::Beneath;
use super::directories::NodeId;
use super::lower::{Handed, LowerObject};
use super::objects::{fresh, record, unsupported};
use super::parents::{Missing, Place};
use super::{Applier, OverlayForm};
use crate::archive::Xattr;
use crate::entry::{EntryPath, Metadata, Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::observe::{Log, Reason};
use crate::root::{Attributes as _, Dir, Held, Kind, ObjectId, Stat, XattrRefusal};

/// The copies that a layer made of objects below it.
#[derive(Debug, Default)]
pub(super) struct Copies {
    bytes: u64,
    /// The copy of each object, so that a second name of it becomes a hardlink: held, as its names may go.
    held: HashMap<ObjectId, Held>,
}

/// Handles held at most. Of further objects each name is a copy of its own.
const HELD: usize = 128;

impl Applier {
    /// Gives a directory of this layer the attributes that lower layers show for it.
    pub(super) fn take_attributes_over(&mut self, place: &Place) -> Result<(), Error> {
        let Beneath::Directories(from) = &place.beneath else { return Ok(()) };
        let handed = self.lowers.handed_by(from, |name| self.policy.sets_xattr(name))?;
        self.give(&place.dir, &handed)?;
        let (added, freed) = self.directories.set_default_acl(place.node, handed.default_acl);
        self.reserve(added, freed)?;
        self.directories.set_last(place.node, handed.last)
    }

    /// Gives a directory what it can have at once of what was handed on.
    fn give(&self, dir: &Dir, handed: &Handed) -> Result<(), Error> {
        self.policy.owner_over(handed.owner, self.caller).map_or(Ok(()), |owner| dir.set_owner(owner))?;
        for xattr in &handed.xattrs {
            hold(dir.set_xattr(xattr)?, xattr)?;
        }
        dir.set_mode(0o700)
    }

    /// Sees to it that nothing lower shows in `dir`, which stands at `name`.
    pub(super) fn cover(&mut self, place: &Place, name: Name<'_>, dir: &Dir) -> Result<(), Error> {
        if self.lowers.directories(&place.beneath, name)?.is_nothing() {
            return Ok(());
        }
        self.mark_opaque(dir)
    }

    pub(super) fn mark_opaque(&self, dir: &Dir) -> Result<(), Error> {
        let Some(form) = self.form else { return Ok(()) };
        let xattr = form.opaque();
        hold(dir.set_xattr(&xattr)?, &xattr)
    }

    /// Makes a copy of a lower object at its own path, whose directory lower layers show too.
    pub(super) fn copy_up(&mut self, path: &EntryPath, object: &LowerObject, log: &mut Log) -> Result<(Place, Stat), Error> {
        let gone = || Error::new(ErrorKind::HardlinkTargetMissing, "the directory of the target is gone");
        let (place, name) = self.parent_of(path, Missing::CopyUp, log)?.ok_or_else(gone)?;
        self.count_object()?;
        if !self.link_copy(object, &place, name)? {
            match object.kind() {
                Kind::File => self.copy_file(object, &place, name, log)?,
                _ => self.copy_special(object, &place, name)?,
            }
            if self.copies.held.len() < HELD {
                self.copies.held.insert(object.stat.id, self.root.hold(&place.dir, name)?);
            }
        }
        log.note(Reason::CopiedUp, crate::error::escape_path(path.as_bytes()));
        let stat = place.dir.stat_of(name)?.ok_or_else(gone)?;
        Ok((place, stat))
    }

    /// Links an earlier copy of the same object, if it has a name still.
    fn link_copy(&self, object: &LowerObject, place: &Place, name: Name<'_>) -> Result<bool, Error> {
        let Some(held) = self.copies.held.get(&object.stat.id) else { return Ok(false) };
        self.root.link_held(held, (&place.dir, name))
    }

    fn copy_file(&mut self, object: &LowerObject, place: &Place, name: Name<'_>, log: &mut Log) -> Result<(), Error> {
        let mut from = self.lowers.open_file(object, name, |name| self.policy.sets_xattr(name))?;
        self.copies.bytes = self.copies.bytes.saturating_add(from.len());
        let limit = self.policy.limits.total_bytes;
        if self.copies.bytes > limit {
            return Err(Error::limit_exceeded("total_bytes", limit));
        }
        let mut file = fresh(self.root.make_file(&place.dir, name)?)?;
        file.copy_from(&from)?;
        let Stat { mode, uid, gid, mtime, .. } = object.stat;
        let metadata = Metadata { mode, uid, gid, mtime, xattrs: std::mem::take(&mut from.xattrs) };
        self.file_attributes(&file, &metadata, self.policy.owner_over(Owner { uid, gid }, self.caller), log)
    }

    /// Makes a symlink, FIFO or device as the one of a lower layer is.
    fn copy_special(&self, object: &LowerObject, place: &Place, name: Name<'_>) -> Result<(), Error> {
        let Stat { kind, mode, uid, gid, mtime, .. } = object.stat;
        let lower = self.lowers.root_of(object)?;
        let made = match kind {
            Kind::Symlink => {
                let target = lower.read_symlink(&object.dir, name, &self.policy.limits)?;
                self.root.make_symlink(&place.dir, name, &target)?
            }
            Kind::Fifo => self.root.make_fifo(&place.dir, name)?,
            _ => self.root.make_device_again(&place.dir, name, &object.stat)?,
        };
        fresh(made)?;
        let special = self.root.new_special(&place.dir, name)?;
        if let Some(owner) = self.policy.owner_over(Owner { uid, gid }, self.caller) {
            special.set_owner(owner)?;
        }
        if kind != Kind::Symlink {
            special.set_mode(mode)?;
        }
        // The lower layer's filesystem held it: what this one clamps was told when it was unpacked.
        special.set_time(mtime).map(drop)
    }

    /// Hides what lower layers show under a name that this layer no longer has.
    pub(super) fn hide_again(&mut self, place: &Place, name: Name<'_>) -> Result<(), Error> {
        match self.lowers.show(&place.beneath, name)? {
            super::lower::Shown::Nothing => Ok(()),
            _ => self.make_whiteout(place, name),
        }
    }

    /// Gives a new root the owner that it has without an entry.
    pub(super) fn prepare_new_root(&self) -> Result<(), Error> {
        let implicit = self.policy.implicit(self.caller)?;
        implicit.owner.map_or(Ok(()), |owner| self.root.top().set_owner(owner))?;
        record(self.root.top(), &implicit)
    }

    /// Gives the root of a layer in overlay form, which has no entry, what it has then: what the layer below it has, if there is one.
    /// Nothing that is made in the root depends on it, so no layer waits for another here: all are complete, and those below have theirs.
    pub(crate) fn take_root_over(&self) -> Result<(), Error> {
        match &self.beneath_top {
            _ if self.form.is_none() || self.directories.has_entry(NodeId::TOP) => Ok(()),
            Beneath::Directories(from) => {
                let handed = self.lowers.handed_by(from, |name| self.policy.sets_xattr(name))?;
                self.give(self.root.top(), &handed)?;
                self.root_handed.get_or_init(|| handed);
                Ok(())
            }
            Beneath::Nothing | Beneath::At(_) | Beneath::Unknown => self.prepare_new_root(),
        }
    }
}

impl OverlayForm {
    /// The attribute that makes a directory opaque.
    pub(super) fn opaque_xattr(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.opaque",
            Self::User => b"user.overlay.opaque",
        }
    }

    fn opaque(self) -> Xattr {
        Xattr { name: self.opaque_xattr().to_vec(), value: b"y".to_vec() }
    }

    /// Asks whether the filesystem and the caller's privilege let directories be opaque.
    pub(crate) fn probe(self, dir: &Dir) -> Result<(), Error> {
        let xattr = self.opaque();
        hold(dir.set_xattr(&xattr)?, &xattr)?;
        dir.remove_xattr(&xattr.name)
    }
}

/// What the lower layer holds, this one must hold too.
fn hold(set: Result<(), XattrRefusal>, xattr: &Xattr) -> Result<(), Error> {
    set.map_err(|refusal| unsupported(xattr, refusal))
}
