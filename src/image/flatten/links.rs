//! Hardlinks: further names of what stands in the tree; those whose target comes later wait for the end of the layer.
//!
//! As on disk, a link that waits holds its place with an object of its own, so that whatever follows treats it as it would the link.

use std::collections::{HashMap, VecDeque};

use crate::apply::rules::{judge_target, target_missing, waiting_bytes};
use crate::blob::Stop;
use crate::convert::len_u64;
use crate::entry::{Entry, EntryPath, Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Log, Reason};
use crate::policy::Hardlinks;
use crate::root::Kind as KindOnDisk;

use super::NOBODY;
use super::merge::Merge;
use super::parents::Missing;
use super::tree::{DirId, Inode, InodeId, Kind, Object};

/// A link that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    entry: Entry,
    target: EntryPath,
    owner: Option<Owner>,
    /// The directory that it landed in: its path may lead elsewhere by the end.
    place: DirId,
    placeholder: InodeId,
}

/// What a hardlink's target turned out to be.
enum Target<'t> {
    Found {
        place: DirId,
        name: Name<'t>,
        inode: InodeId,
    },
    /// A link that waits itself.
    Waits(usize),
    Missing,
}

impl Merge {
    /// Applies a hardlink, or lets it wait.
    pub(super) fn hardlink(&mut self, entry: &Entry, target: &EntryPath, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        if self.was_skipped(target, log)? {
            return self.leave_out(entry, Reason::HardlinkToSkipped, log);
        }
        if entry.path() == target {
            let found = self.find_target(target, log)?;
            return self.link_to_itself(&found, log);
        }
        let (place, name) = self.place_of(entry, log)?;
        let found = self.find_target(target, log)?;
        if matches!(&found, Target::Found { place: from, name: last, .. } if *from == place && *last == name) {
            return self.link_to_itself(&found, log);
        }
        self.judge_second(place, name, log)?;
        match found {
            Target::Found { .. } => self.link((entry, target, owner), &found, (place, name), log),
            Target::Waits(_) | Target::Missing => self.wait(entry, target, (place, name), owner, log),
        }
    }

    /// Whether an entry of this layer with this path was left out, and none with it was made.
    fn was_skipped(&mut self, path: &EntryPath, log: &mut Log) -> Result<bool, Error> {
        if !self.was_left_out(path) {
            return Ok(false);
        }
        let Some((place, name)) = self.parent_of(path, Missing::Leave, log)? else { return Ok(true) };
        Ok(!self.tree.is_written(place, name))
    }

    fn find_target<'t>(&mut self, target: &'t EntryPath, log: &mut Log) -> Result<Target<'t>, Error> {
        let Some((place, name)) = self.direct_target(target, log)? else { return Ok(Target::Missing) };
        let inode = match self.tree.find(place, name) {
            None => return Ok(Target::Missing),
            Some(Object::Directory(_)) => return judge_target(&self.policy, KindOnDisk::Directory).map(|()| Target::Missing),
            Some(Object::Inode(inode)) => inode,
        };
        let kind = &self.tree.inode(inode)?.kind;
        if let Kind::Placeholder(link) = kind {
            return Ok(Target::Waits(*link));
        }
        judge_target(&self.policy, kind.on_disk())?;
        // One of a lower layer may be replaced by one of this layer yet: until the end it is missing.
        if self.policy.hardlinks == Hardlinks::InLayer && !self.tree.is_written(place, name) {
            return Ok(Target::Missing);
        }
        Ok(Target::Found { place, name, inode })
    }

    /// Finds the directory that holds a target. InLayer wants no symlink on the way, also where other parents may be some.
    fn direct_target<'t>(&mut self, target: &'t EntryPath, log: &mut Log) -> Result<Option<(DirId, Name<'t>)>, Error> {
        let through_link = || Error::new(ErrorKind::HardlinkEscape, "a symlink on the way to the target");
        let found = self.parent_of(target, Missing::Leave, log).map_err(|error| match error.kind() {
            ErrorKind::SymlinkInPath | ErrorKind::SymlinkEscape => through_link(),
            _ => error,
        })?;
        let Some((place, name)) = found else { return Ok(None) };
        if self.policy.hardlinks == Hardlinks::InLayer {
            let path = self.tree.path(place)?;
            if target.parent_bytes().is_none_or(|(parent, _)| parent != path) {
                return Err(through_link());
            }
        }
        Ok(Some((place, name)))
    }

    fn link_to_itself(&mut self, found: &Target<'_>, log: &mut Log) -> Result<(), Error> {
        if matches!(found, Target::Missing) || self.policy.hardlinks != Hardlinks::InRoot {
            return Err(Error::new(ErrorKind::HardlinkTargetMissing, "a hardlink to itself"));
        }
        log.note(Reason::HardlinkToItself, "");
        self.counts.skipped = self.counts.skipped.saturating_add(1);
        Ok(())
    }

    /// Gives an inode a further name, in place of what stands there.
    fn link(
        &mut self,
        (entry, target, owner): (&Entry, &EntryPath, Option<Owner>),
        found: &Target<'_>,
        (place, name): (DirId, Name<'_>),
        log: &mut Log,
    ) -> Result<(), Error> {
        let Target::Found { place: from, name: last, inode } = *found else { return Err(target_missing(target)) };
        self.counts.hardlinks = self.counts.hardlinks.saturating_add(1);
        let Inode { links, ref kind, mode, owner: kept, mtime, .. } = *self.tree.inode(inode)?;
        if links >= self.policy.limits.links {
            return Err(Error::limit_exceeded("links", self.policy.limits.links));
        }
        let metadata = entry.metadata();
        let same_mode = matches!(kind, Kind::Symlink(_)) || metadata.mode == mode;
        let same = same_mode && owner.is_none_or(|owner| owner == kept) && metadata.mtime == mtime;
        // The same inode under both names: there is nothing to do, and removing one first would be wrong.
        if self.tree.find(place, name) != Some(Object::Inode(inode)) {
            self.clear_place(place, name, log)?;
            if self.tree.find(from, last) != Some(Object::Inode(inode)) {
                return Err(target_missing(target));
            }
            self.tree.add_name((place, name), inode)?;
        }
        if !same {
            log.note(Reason::HardlinkMetadataIgnored, "");
        }
        self.tree.set_written(place, name)?;
        self.tree.touch(place)
    }

    /// Lets a link wait: what stands at its place goes, as the link would replace it.
    fn wait(
        &mut self,
        entry: &Entry,
        target: &EntryPath,
        (place, name): (DirId, Name<'_>),
        owner: Option<Owner>,
        log: &mut Log,
    ) -> Result<(), Error> {
        let limits = &self.policy.limits;
        let number = self.waiting.len();
        if len_u64(number) >= limits.deferred_links {
            return Err(Error::limit_exceeded("deferred_links", limits.deferred_links));
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(waiting_bytes(entry, target));
        if self.waiting_bytes > limits.deferred_bytes {
            return Err(Error::limit_exceeded("deferred_bytes", limits.deferred_bytes));
        }
        self.clear_place(place, name, log)?;
        let inode = Inode::of(Kind::Placeholder(number), entry, NOBODY, self.tree.layer());
        let placeholder = self.tree.add_inode((place, name), inode)?;
        self.waiting.push(Waiting { entry: entry.clone(), target: target.clone(), owner, place, placeholder });
        self.tree.touch(place)
    }

    /// Makes the links that waited and still hold their place; one to another of them after that one.
    pub(super) fn make_waiting_links(&mut self, stop: &Stop<'_>, log: &mut Log) -> Result<(), Error> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let mut ready: VecDeque<usize> = (0..waiting.len()).collect();
        let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
        while let Some(number) = ready.pop_front() {
            stop.check()?;
            let Some(link) = waiting.get(number) else { continue };
            log.set_location(link.entry.location());
            match self.make_waiting(link, log).map_err(|error| error.located(log.location()))? {
                Some(first) => followers.entry(first).or_default().push(number),
                None => ready.extend(followers.remove(&number).unwrap_or_default()),
            }
        }
        // Those left wait for each other.
        match followers.values().flatten().min().and_then(|number| waiting.get(*number)) {
            Some(link) => Err(target_missing(&link.target).located(&link.entry.location())),
            None => Ok(()),
        }
    }

    /// Makes one link that waited, or gives the one that it must wait for.
    fn make_waiting(&mut self, link: &Waiting, log: &mut Log) -> Result<Option<usize>, Error> {
        let Waiting { entry, target, owner, place, placeholder } = link;
        let held = entry.path().parent_bytes().map(|(_, name)| name);
        let Some(name) = held.filter(|name| self.tree.find(*place, *name) == Some(Object::Inode(*placeholder))) else {
            log.record(Event { reason: Reason::HardlinkSuperseded, location: entry.location(), detail: String::new() });
            return Ok(None);
        };
        if self.was_skipped(target, log)? {
            self.tree.clear(*place, name)?;
            return self.leave_out(entry, Reason::HardlinkToSkipped, log).map(|()| None);
        }
        let found = self.find_target(target, log)?;
        match found {
            Target::Found { .. } => {
                self.tree.clear(*place, name)?;
                self.link((entry, target, *owner), &found, (*place, name), log).map(|()| None)
            }
            Target::Waits(first) => Ok(Some(first)),
            Target::Missing => Err(target_missing(target)),
        }
    }
}
