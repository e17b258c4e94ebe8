//! Hardlinks: further names of what stands in the tree; those whose target comes later wait for the end of the layer.
//!
//! A link that waits holds its place with an empty file, so that whatever follows, an entry of the same name, a directory made
//! there, a whiteout, treats it as it would treat the link. At the end only those that still stand become links.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::Applier;
use super::directories::NodeId;
use super::objects::fresh;
use super::parents::{Missing, Place};
use super::rules::{target_missing, waiting_bytes};
use super::targets::Target;
use crate::archive::Timestamp;
use crate::blob::Stop;
use crate::convert::len_u64;
use crate::entry::{Entry, EntryPath, Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Log, Reason};
use crate::policy::Hardlinks;
use crate::root::{Attributes as _, Kind, Made, ObjectId, Stat};

/// Links that wait, in the order of the layer.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    links: Vec<Waiting>,
    by_placeholder: HashMap<ObjectId, usize>,
}

#[derive(Clone, Debug)]
struct Waiting {
    entry: Entry,
    target: EntryPath,
    owner: Option<Owner>,
    /// The directory that it landed in: its path may lead elsewhere by the end.
    node: NodeId,
    placeholder: Placeholder,
}

/// The empty file that holds the place of a link. Its time is random: another file may get the inode of one that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placeholder {
    id: ObjectId,
    mark: Timestamp,
}

impl Placeholder {
    fn of(stat: &Stat) -> Self {
        Self { id: stat.id, mark: stat.mtime }
    }
}

impl Deferred {
    /// Gives the link whose place this object holds.
    pub(super) fn held_by(&self, stat: &Stat) -> Option<usize> {
        let link = *self.by_placeholder.get(&stat.id)?;
        self.links.get(link).filter(|waiting| waiting.placeholder == Placeholder::of(stat)).map(|_| link)
    }
}

impl Applier {
    /// Applies a hardlink, or lets it wait.
    pub(super) fn hardlink(&mut self, entry: &Entry, target: &EntryPath, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        if self.was_skipped(target, log)? {
            return self.leave_out(entry, Reason::HardlinkToSkipped, log);
        }
        // What the target has in the end is compared with what the entry says.
        self.settle()?;
        if entry.path() == target {
            let found = self.find_target(target, log)?;
            return self.link_to_itself(&found, log);
        }
        let (place, name) = self.place_of(entry, log)?;
        let found = self.find_target(target, log)?;
        let target_name = target.parent_bytes().map(|(_, name)| name);
        if matches!(&found, Target::Found { place: from, .. } if from.node == place.node && target_name == Some(name)) {
            return self.link_to_itself(&found, log);
        }
        if matches!(found, Target::Below(_)) && self.leads_to(target, &place, name, log)? {
            return self.link_to_itself(&found, log);
        }
        self.judge_second(&place, name, log)?;
        match found {
            Target::Found { place: from, stat } => {
                self.count_hardlink();
                self.link(entry, (&from, target), stat, (&place, name), owner, log)
            }
            Target::Below(object) => {
                let (from, stat) = self.copy_up(target, &object, log)?;
                self.count_hardlink();
                self.link(entry, (&from, target), stat, (&place, name), owner, log)
            }
            Target::Waits(_) | Target::Missing => self.defer(entry, target, (&place, name), owner, log),
        }
    }

    /// Whether a path of lower layers leads to a place of this one.
    fn leads_to(&mut self, path: &EntryPath, place: &Place, name: Name<'_>, log: &mut Log) -> Result<bool, Error> {
        let found = self.parent_of(path, Missing::CopyUp, log)?;
        Ok(found.is_some_and(|(from, last)| from.node == place.node && last == name))
    }

    fn link_to_itself(&mut self, found: &Target, log: &mut Log) -> Result<(), Error> {
        if matches!(found, Target::Missing) || self.policy.hardlinks != Hardlinks::InRoot {
            return Err(Error::new(ErrorKind::HardlinkTargetMissing, "a hardlink to itself"));
        }
        log.note(Reason::HardlinkToItself, "");
        self.counts.skipped = self.counts.skipped.saturating_add(1);
        Ok(())
    }

    /// Leaves an entry out, with an event; hardlinks to it are left out too.
    pub(super) fn leave_out(&mut self, entry: &Entry, reason: Reason, log: &mut Log) -> Result<(), Error> {
        log.note(reason, "");
        self.counts.skipped = self.counts.skipped.saturating_add(1);
        let key = self.written.path(entry.path());
        self.written.insert(key);
        Ok(())
    }

    fn link(
        &mut self,
        entry: &Entry,
        (from, target): (&Place, &EntryPath),
        stat: Stat,
        (place, name): (&Place, Name<'_>),
        owner: Option<Owner>,
        log: &mut Log,
    ) -> Result<(), Error> {
        if stat.links >= self.policy.limits.links {
            return Err(Error::limit_exceeded("links", self.policy.limits.links));
        }
        let (_, target_name) = target.parent_bytes().ok_or_else(|| Error::new(ErrorKind::HardlinkToSpecial, "the target is the root"))?;
        let make = |applier: &Self| applier.root.make_hardlink((&from.dir, target_name), &stat, (&place.dir, name));
        if let Made::Exists = make(self)? {
            let standing = place.dir.stat_of(name)?;
            // The same inode under both names: there is nothing to do, and removing one first would be wrong.
            if standing.map(|standing| standing.id) != Some(stat.id) {
                self.clear_place(place, name, standing, log)?;
                if from.dir.stat_of(target_name)?.map(|stat| stat.id) != Some(stat.id) {
                    return Err(self.missing(target));
                }
                fresh(make(self)?)?;
            }
        }
        let metadata = entry.metadata();
        let same_owner = owner.is_none_or(|owner| (owner.uid, owner.gid) == (stat.uid, stat.gid));
        let same_mode = stat.kind == Kind::Symlink || metadata.mode == stat.mode;
        if !(same_owner && same_mode && metadata.mtime == stat.mtime) {
            log.note(Reason::HardlinkMetadataIgnored, "");
        }
        self.landed(place, entry, name)
    }

    fn count_hardlink(&mut self) {
        self.counts.hardlinks = self.counts.hardlinks.saturating_add(1);
    }

    /// Lets a link wait: what stands at its place goes, as the link would replace it, and an empty file holds the place.
    fn defer(
        &mut self,
        entry: &Entry,
        target: &EntryPath,
        (place, name): (&Place, Name<'_>),
        owner: Option<Owner>,
        log: &mut Log,
    ) -> Result<(), Error> {
        let limit = self.policy.limits.deferred_links;
        if len_u64(self.deferred.links.len()) >= limit {
            return Err(Error::limit_exceeded("deferred_links", limit));
        }
        self.reserve_for_layer(waiting_bytes(entry, target))?;
        let placeholder = self.make_placeholder(place, name, log)?;
        self.deferred.by_placeholder.insert(placeholder.id, self.deferred.links.len());
        self.deferred.links.push(Waiting { entry: entry.clone(), target: target.clone(), owner, node: place.node, placeholder });
        self.landed(place, entry, name)
    }

    fn make_placeholder(&mut self, place: &Place, name: Name<'_>, log: &mut Log) -> Result<Placeholder, Error> {
        let file = match self.root.make_file(&place.dir, name)? {
            Made::New(file) => file,
            Made::Exists => {
                let standing = place.dir.stat_of(name)?;
                self.clear_place(place, name, standing, log)?;
                fresh(self.root.make_file(&place.dir, name)?)?
            }
        };
        file.set_time(random_time())?;
        let stat = place.dir.stat_of(name)?.ok_or_else(|| Error::new(ErrorKind::Io, "a file that was just made is gone"))?;
        Ok(Placeholder::of(&stat))
    }

    /// Makes the links that waited and still hold their place; one to another of them after that one.
    pub(super) fn make_deferred_links(&mut self, stop: &Stop<'_>, log: &mut Log) -> Result<(), Error> {
        let mut ready: VecDeque<usize> = (0..self.deferred.links.len()).collect();
        let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
        while let Some(number) = ready.pop_front() {
            stop.check()?;
            let Some(link) = self.deferred.links.get(number) else { continue };
            let (link, placeholder) = (link.clone(), link.placeholder);
            log.set_location(link.entry.location());
            let waits_for = self.make_deferred(&link, log);
            match waits_for.map_err(|error| error.located(log.location()))? {
                Some(first) => followers.entry(first).or_default().push(number),
                None => {
                    // By now a later link's placeholder may have the same inode.
                    if self.deferred.by_placeholder.get(&placeholder.id) == Some(&number) {
                        self.deferred.by_placeholder.remove(&placeholder.id);
                    }
                    ready.extend(followers.remove(&number).unwrap_or_default());
                }
            }
        }
        // Those left wait for each other.
        let stuck = followers.values().flatten().min().and_then(|number| self.deferred.links.get(*number));
        let result = stuck.map_or(Ok(()), |link| Err(self.missing(&link.target).located(&link.entry.location())));
        self.deferred = Deferred::default();
        result
    }

    fn missing(&self, target: &EntryPath) -> Error {
        if self.lowers.are_unknown() && self.policy.hardlinks == Hardlinks::InRoot {
            return Error::new(ErrorKind::LowerRequired, format!("the target is not in this layer: {target:?}"));
        }
        target_missing(target)
    }

    /// Gives the place that a link still holds.
    fn held_place<'w>(&mut self, link: &'w Waiting) -> Result<Option<(Place, Name<'w>)>, Error> {
        let Some((_, name)) = link.entry.path().parent_bytes() else { return Ok(None) };
        if !self.directories.is_alive(link.node) {
            return Ok(None);
        }
        let place = self.place_of_node(link.node)?;
        let standing = place.dir.stat_of(name)?.map(|stat| Placeholder::of(&stat));
        Ok((standing == Some(link.placeholder)).then_some((place, name)))
    }

    /// Makes one link that waited, or gives the one that it must wait for.
    fn make_deferred(&mut self, link: &Waiting, log: &mut Log) -> Result<Option<usize>, Error> {
        let Waiting { entry, target, owner, .. } = link;
        let Some((place, name)) = self.held_place(link)? else {
            log.record(Event { reason: Reason::HardlinkSuperseded, location: entry.location(), detail: String::new() });
            return Ok(None);
        };
        if self.was_skipped(target, log)? {
            self.root.unlink(&place.dir, name)?;
            self.written.remove(self.written.place(place.node, name));
            self.hide_again(&place, name)?;
            self.leave_out(entry, Reason::HardlinkToSkipped, log)?;
            return Ok(None);
        }
        match self.find_target(target, log)? {
            Target::Found { place: from, stat } => {
                self.root.unlink(&place.dir, name)?;
                self.count_hardlink();
                self.link(entry, (&from, target), stat, (&place, name), *owner, log).map(|()| None)
            }
            Target::Below(object) => {
                let (from, stat) = self.copy_up(target, &object, log)?;
                self.root.unlink(&place.dir, name)?;
                self.count_hardlink();
                self.link(entry, (&from, target), stat, (&place, name), *owner, log).map(|()| None)
            }
            Target::Waits(first) => Ok(Some(first)),
            Target::Missing => Err(self.missing(target)),
        }
    }
}

/// A time that nobody can guess, to the nanosecond, between 1980 and 2037, which every usual filesystem holds.
fn random_time() -> Timestamp {
    const FROM: i64 = 315_532_800;
    const SECONDS: u64 = 1_800_000_000;
    const NANOS: u64 = 1_000_000_000;
    let random = || RandomState::new().build_hasher().finish();
    let secs = i64::try_from(random().checked_rem(SECONDS).unwrap_or(0)).unwrap_or(0).saturating_add(FROM);
    let nanos = u32::try_from(random().checked_rem(NANOS).unwrap_or(0)).unwrap_or(0);
    Timestamp::new(secs, nanos).unwrap_or_default()
}
