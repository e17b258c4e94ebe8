//! Makes one object for one entry, in place of what stands there, with its attributes; regular files apart.

use super::beneath::Beneath;
use super::directories::{Final, Inheritance, Mode, NodeId, Standing};
use super::parents::{Missing, Place};
use super::rules::judge_duplicate;
use super::{Applier, Ground};
use crate::archive::{Timestamp, Xattr};
use crate::entry::{ACCESS_ACL, DEFAULT_ACL, Device, Entry, Metadata, Name, Owner, SymlinkTarget};
use crate::error::{Error, ErrorKind};
use crate::observe::{Log, Reason};
use crate::policy::Implicit;
use crate::root::{Attributes, Dir, Kind, Made, NewDir, NewSpecial, OWNER_ALL, Stat, XattrRefusal};

impl Applier {
    /// Applies the root entry: its attributes, to the root.
    pub(super) fn root_entry(&mut self, entry: &Entry, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        if self.directories.has_entry(NodeId::TOP) {
            self.duplicate(log)?;
        }
        let top = self.top();
        self.replace_attributes(&top.dir, NodeId::TOP, owner, &entry.metadata().xattrs)?;
        self.directory_attributes(&top.dir, NodeId::TOP, entry.metadata(), log)?;
        self.directories.touch(NodeId::TOP)
    }

    /// Applies a directory entry: a new directory, or other attributes for the one that is there.
    pub(super) fn directory(&mut self, entry: &Entry, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        let (place, name) = self.place_for(entry, log)?;
        let mode = self.mode_at_first(entry.metadata(), place.node);
        let (made, beneath) = match self.root.make_directory(&place.dir, name, mode)? {
            Made::New(made) => (made, place.beneath.below(name)),
            Made::Exists => match place.dir.stat_of(name)? {
                Some(stat) if stat.kind == Kind::Directory => return self.directory_again(&place, name, entry, owner, log),
                stat => {
                    self.clear_place(&place, name, stat, log)?;
                    let made = fresh(self.root.make_directory(&place.dir, name, mode)?)?;
                    self.cover(&place, name, &made.dir)?;
                    (made, Beneath::Nothing)
                }
            },
        };
        let limits = &self.policy.limits;
        let node = self.directories.add((place.node, name), made.dir.id(), self.implicit_last(), Inheritance::Nothing, limits)?;
        if beneath.is_nothing() {
            self.directories.set_cleared(node)?;
        }
        self.prepare_directory(&made, node, place.node, owner)?;
        self.directory_attributes(&made.dir, node, entry.metadata(), log)?;
        if self.ground == Ground::Staged && mode == entry.metadata().mode && made.stat.mode == mode {
            self.directories.set_standing(node, Standing::Mode)?;
        }
        self.landed(&place, entry, name)?;
        self.directories.touch(node)?;
        self.cache.go_down(&place, name, Place { dir: made.dir, node, beneath });
        Ok(())
    }

    /// The mode that a new directory is made with: its own where nothing speaks against it, so that it need not be set.
    fn mode_at_first(&self, metadata: &Metadata, above: NodeId) -> u32 {
        let own = self.ground == Ground::Staged
            && has_room(metadata.mode)
            && self.directories.inheritance(above) == Inheritance::Nothing
            && metadata.xattrs.iter().all(|xattr| xattr.name != ACCESS_ACL);
        if own { metadata.mode } else { OWNER_ALL }
    }

    fn directory_again(&mut self, place: &Place, name: Name<'_>, entry: &Entry, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        let dir = self.root.open_directory(&place.dir, name)?;
        let known = self.known(place, name, dir.clone())?;
        if self.directories.has_entry(known.node) {
            self.duplicate(log)?;
        }
        self.replace_attributes(&dir, known.node, owner, &entry.metadata().xattrs)?;
        self.directory_attributes(&dir, known.node, entry.metadata(), log)?;
        self.landed(place, entry, name)?;
        self.directories.touch(known.node)
    }

    /// Sets what a directory can have at once and takes note of the rest.
    fn directory_attributes(&mut self, dir: &Dir, node: NodeId, metadata: &Metadata, log: &mut Log) -> Result<(), Error> {
        for xattr in metadata.xattrs.iter().filter(|xattr| xattr.name != DEFAULT_ACL) {
            self.set_xattr(dir, xattr, log)?;
        }
        let default_acl = metadata.xattrs.iter().rfind(|xattr| xattr.name == DEFAULT_ACL).cloned();
        let (added, freed) = self.directories.set_default_acl(node, default_acl);
        self.reserve(added, freed)?;
        if metadata.xattrs.iter().any(|xattr| xattr.name == ACCESS_ACL) {
            // It rewrote the group bits, and the owner needs rwx until the end.
            dir.set_mode(OWNER_ALL)?;
        }
        self.directories.set_last(node, Final { mode: Mode::Set(metadata.mode), mtime: metadata.mtime })?;
        self.directories.set_entry(node)
    }

    /// Sets the owner of a directory and removes the extended attributes that layers may set and `kept` does not hold.
    pub(super) fn replace_attributes(&mut self, dir: &Dir, node: NodeId, owner: Option<Owner>, kept: &[Xattr]) -> Result<(), Error> {
        self.directories.forget_gives(node)?;
        self.own(dir, owner, self.directories.inheritance(node))?;
        owner.map_or(Ok(()), |owner| self.given_to(node, owner))?;
        for name in dir.xattr_names()? {
            if self.policy.sets_xattr(&name) && !kept.iter().any(|xattr| xattr.name == name) {
                dir.remove_xattr(&name)?;
            }
        }
        let (added, freed) = self.directories.set_default_acl(node, None);
        self.reserve(added, freed)?;
        dir.set_mode(OWNER_ALL)
    }

    /// Takes from a directory that was just made what the one above handed down, and sets its owner. What is as wanted stays: the
    /// kernel said how it was made.
    pub(super) fn prepare_directory(&mut self, new: &NewDir, node: NodeId, above: NodeId, owner: Option<Owner>) -> Result<(), Error> {
        let NewDir { dir, stat } = new;
        let inheritance = self.directories.inheritance(above);
        let made = Owner { uid: stat.uid, gid: stat.gid };
        if inheritance == Inheritance::Possible {
            dir.remove_acls()?;
            self.own(dir, owner, inheritance)?;
            owner.map_or(Ok(()), |owner| self.given_to(node, owner))?;
            return dir.set_mode(OWNER_ALL);
        }
        let owner = owner.unwrap_or(made);
        if owner != made {
            dir.set_owner(owner)?;
            self.given_to(node, owner)?;
        } else if made == self.caller {
            self.directories.set_gives(node, made)?;
        }
        if has_room(stat.mode) { Ok(()) } else { dir.set_mode(OWNER_ALL) }
    }

    /// Takes note of who owns a directory now. In place somebody else can reach it, and give it a default ACL or the setgid bit.
    fn given_to(&mut self, node: NodeId, owner: Owner) -> Result<(), Error> {
        if self.ground == Ground::InPlace && owner.uid != self.caller.uid {
            return self.directories.set_inheritance(node, Inheritance::Possible);
        }
        Ok(())
    }

    fn own(&self, object: &impl Attributes, owner: Option<Owner>, inheritance: Inheritance) -> Result<(), Error> {
        match (owner, inheritance) {
            (Some(owner), _) => object.set_owner(owner),
            // A setgid directory gave its group.
            (None, Inheritance::Possible) => object.set_owner(self.caller),
            (None, Inheritance::Nothing) => Ok(()),
        }
    }

    pub(super) fn set_xattr(&self, object: &impl Attributes, xattr: &Xattr, log: &mut Log) -> Result<(), Error> {
        let Err(refusal) = object.set_xattr(xattr)? else { return Ok(()) };
        if !self.policy.tolerates_refusal_of(&xattr.name) {
            return Err(unsupported(xattr, refusal));
        }
        log.note(Reason::XattrUnsupported, refused(xattr, refusal));
        Ok(())
    }

    /// Makes a symlink.
    pub(super) fn symlink(&mut self, entry: &Entry, target: &SymlinkTarget, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        let (place, name) = self.place_for(entry, log)?;
        if let Made::Exists = self.root.make_symlink(&place.dir, name, target)? {
            let stat = place.dir.stat_of(name)?;
            self.clear_place(&place, name, stat, log)?;
            fresh(self.root.make_symlink(&place.dir, name, target)?)?;
        }
        self.landed(&place, entry, name)?;
        let link = self.root.new_special(&place.dir, name)?;
        self.special_attributes(&link, place.node, owner, entry.metadata().mtime, log)
    }

    /// Makes a device, or a FIFO where none is given.
    pub(super) fn special(&mut self, entry: &Entry, device: Option<Device>, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        let (place, name) = self.place_for(entry, log)?;
        let make = |applier: &Self| match device {
            Some(device) => applier.root.make_device(&place.dir, name, device),
            None => applier.root.make_fifo(&place.dir, name),
        };
        if let Made::Exists = make(self)? {
            let stat = place.dir.stat_of(name)?;
            self.clear_place(&place, name, stat, log)?;
            fresh(make(self)?)?;
        }
        self.landed(&place, entry, name)?;
        let special = self.root.new_special(&place.dir, name)?;
        if self.directories.inheritance(place.node) == Inheritance::Possible {
            special.remove_acl()?;
        }
        self.special_attributes(&special, place.node, owner, entry.metadata().mtime, log)?;
        // The owner first: a change of owner drops special bits. The mode does not change the time of the last change.
        special.set_mode(entry.metadata().mode)
    }

    fn special_attributes(
        &self,
        special: &NewSpecial<'_>,
        above: NodeId,
        owner: Option<Owner>,
        mtime: Timestamp,
        log: &mut Log,
    ) -> Result<(), Error> {
        let inherited = self.directories.inheritance(above) == Inheritance::Possible;
        let owner = owner.filter(|owner| !self.directories.gives(above, *owner));
        if let Some(owner) = owner.or(inherited.then_some(self.caller)) {
            special.set_owner(owner)?;
        }
        clamped(special.set_time(mtime)?, log);
        Ok(())
    }

    /// Gives the directory and the name where an entry is made; judges whether one was made there before.
    pub(super) fn place_for<'e>(&mut self, entry: &'e Entry, log: &mut Log) -> Result<(Place, Name<'e>), Error> {
        let (place, name) = self.place_of(entry, log)?;
        self.judge_second(&place, name, log)?;
        Ok((place, name))
    }

    /// Gives the directory and the name where an entry is made.
    pub(super) fn place_of<'e>(&mut self, entry: &'e Entry, log: &mut Log) -> Result<(Place, Name<'e>), Error> {
        let found = self.parent_of(entry.path(), Missing::Make, log)?;
        found.ok_or_else(|| Error::new(ErrorKind::ParentMissing, "a parent could not be made"))
    }

    /// Judges whether this layer made something at a place before.
    pub(super) fn judge_second(&mut self, place: &Place, name: Name<'_>, log: &mut Log) -> Result<(), Error> {
        if self.written.contains(self.written.place(place.node, name)) { self.duplicate(log) } else { Ok(()) }
    }

    /// Judges a second entry at the place of an earlier one.
    fn duplicate(&self, log: &mut Log) -> Result<(), Error> {
        judge_duplicate(&self.policy, log)
    }

    /// As [`duplicate`](Self::duplicate), for a marker, which lands nowhere.
    pub(super) fn refuse_second_marker(&mut self, entry: &Entry, log: &mut Log) -> Result<(), Error> {
        let key = self.written.path(entry.path());
        if self.written.insert(key) { Ok(()) } else { self.duplicate(log) }
    }

    /// Removes what stands where an entry is made.
    pub(super) fn clear_place(&mut self, place: &Place, name: Name<'_>, stat: Option<Stat>, log: &mut Log) -> Result<(), Error> {
        let kind = stat.map(|stat| stat.kind);
        if let Some(node) = stat.and_then(|stat| self.directories.find(stat.id))
            && self.directories.has_entry(node)
        {
            self.duplicate(log)?;
        }
        if matches!(kind, Some(Kind::Directory | Kind::Symlink)) {
            self.cache.clear();
        }
        // Some filesystems keep the name of what is removed while it is open (NFS).
        if kind == Some(Kind::Directory) || self.written.contains(self.written.place(place.node, name)) {
            self.settle()?;
        }
        self.root.remove(&place.dir, name, &mut self.directories)
    }

    /// Takes note that an entry is in the tree.
    pub(super) fn landed(&mut self, place: &Place, entry: &Entry, name: Name<'_>) -> Result<(), Error> {
        let key = self.written.place(place.node, name);
        if !matches!(entry.kind(), crate::entry::EntryKind::Directory) {
            self.written.insert(key);
        }
        self.forget_hidden_link(place, name)?;
        self.directories.touch(place.node)
    }
}

/// Whether a directory with this mode lets its owner work there and hands nothing down.
pub(super) fn has_room(mode: u32) -> bool {
    mode & 0o7700 == OWNER_ALL
}

/// Writes down the owner of a directory that has no entry, where the policy wants that.
pub(super) fn record(dir: &Dir, implicit: &Implicit) -> Result<(), Error> {
    let Some(record) = &implicit.record else { return Ok(()) };
    dir.set_xattr(record)?.map_err(|refusal| unsupported(record, refusal))
}

pub(super) fn unsupported(xattr: &Xattr, refusal: XattrRefusal) -> Error {
    Error::new(ErrorKind::XattrUnsupported, refused(xattr, refusal))
}

fn refused(xattr: &Xattr, refusal: XattrRefusal) -> String {
    format!("{} ({refusal:?})", crate::error::escape_path(&xattr.name))
}

pub(super) fn clamped(held: Option<Timestamp>, log: &mut Log) {
    if let Some(held) = held {
        log.note(Reason::TimeClamped, format!("to {}.{:09}", held.secs(), held.nanos()));
    }
}

pub(super) fn fresh<T>(made: Made<T>) -> Result<T, Error> {
    match made {
        Made::New(made) => Ok(made),
        Made::Exists => Err(Error::new(ErrorKind::Io, "a name appeared while it was made: somebody else writes here")),
    }
}
