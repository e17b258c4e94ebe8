//! Hardlinks: further names of what stands in the tree; those whose target comes later wait for the end of the layer.

use std::collections::{HashMap, VecDeque};

use super::Applier;
use super::parents::{Missing, Place};
use super::written::Key;
use crate::convert::len_u64;
use crate::entry::{Entry, EntryPath, Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Log, Reason};
use crate::policy::{Devices, Fifos, Hardlinks, Symlinks};
use crate::root::{Kind, Made, Stat};

/// What a waiting link costs beside its paths, in bytes.
const OVERHEAD: u64 = 256;

/// Links that wait, in the order of the layer.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    links: Vec<Option<Waiting>>,
    /// What was reserved for them.
    bytes: u64,
    by_place: HashMap<Key, usize>,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    target: EntryPath,
    owner: Option<Owner>,
}

impl Deferred {
    /// Whether a link waits to land at a place.
    pub(super) fn waits_for(&self, key: Key) -> bool {
        !self.by_place.is_empty() && self.by_place.contains_key(&key)
    }

    /// Drops the link that waits to land at a place where something landed now.
    pub(super) fn supersede(&mut self, key: Key, log: &mut Log) {
        if self.by_place.is_empty() {
            return;
        }
        if let Some(waiting) = self.by_place.remove(&key).and_then(|link| self.links.get_mut(link)).and_then(Option::take) {
            log.record(superseded(&waiting.entry));
        }
    }
}

fn superseded(entry: &Entry) -> Event {
    Event { reason: Reason::HardlinkSuperseded, location: entry.location(), detail: String::new() }
}

/// What a hardlink's target turned out to be.
enum Target {
    Found { place: Place, stat: Stat },
    Missing,
}

impl Applier {
    /// Applies a hardlink, or lets it wait.
    pub(super) fn hardlink(&mut self, entry: &Entry, target: &EntryPath, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        if self.was_skipped(target, log)? {
            return self.leave_out(entry, Reason::HardlinkToSkipped, log);
        }
        let (place, name) = self.place_for(entry, log)?;
        let found = self.find_target(target, log)?;
        if self.is_link_to_itself(entry, target, (&place, name), &found)? {
            return match found {
                Target::Found { .. } if self.policy.hardlinks == Hardlinks::InRoot => {
                    log.note(Reason::HardlinkToItself, "");
                    self.counts.skipped = self.counts.skipped.saturating_add(1);
                    Ok(())
                }
                _ => Err(Error::new(ErrorKind::HardlinkTargetMissing, "a hardlink to itself")),
            };
        }
        match found {
            Target::Found { place: from, stat } => self.link(entry, (&from, target), stat, (&place, name), owner, log),
            Target::Missing => self.defer(entry, target, (&place, name), owner, log),
        }
    }

    /// Leaves an entry out, with an event; hardlinks to it are left out too.
    pub(super) fn leave_out(&mut self, entry: &Entry, reason: Reason, log: &mut Log) -> Result<(), Error> {
        log.note(reason, "");
        self.counts.skipped = self.counts.skipped.saturating_add(1);
        let key = self.written.path(entry.path());
        self.written.insert(key);
        Ok(())
    }

    /// Whether an entry of this layer with this path was left out, and none with it was made.
    fn was_skipped(&mut self, path: &EntryPath, log: &mut Log) -> Result<bool, Error> {
        if !self.written.contains(self.written.path(path)) {
            return Ok(false);
        }
        let Some((place, name)) = self.parent_of(path, Missing::Leave, log)? else { return Ok(true) };
        Ok(!self.written.contains(self.written.place(place.node, name)))
    }

    fn is_link_to_itself(&self, entry: &Entry, target: &EntryPath, at: (&Place, Name<'_>), found: &Target) -> Result<bool, Error> {
        if entry.path() == target {
            return Ok(true);
        }
        let Target::Found { place, .. } = found else { return Ok(false) };
        let name = target.parent_bytes().map(|(_, name)| name);
        Ok(place.dir.id() == at.0.dir.id() && name == Some(at.1))
    }

    fn find_target(&mut self, target: &EntryPath, log: &mut Log) -> Result<Target, Error> {
        let Some((place, name)) = self.parent_of(target, Missing::Leave, log)? else { return Ok(Target::Missing) };
        let Some(stat) = place.dir.stat_of(name)? else { return Ok(Target::Missing) };
        match (stat.kind, self.policy.hardlinks) {
            (Kind::Directory, _) => Err(Error::new(ErrorKind::HardlinkToSpecial, "the target is a directory")),
            (Kind::Symlink, Hardlinks::InLayer) => Err(Error::new(ErrorKind::HardlinkToSymlink, "the target is a symlink")),
            (Kind::Symlink, _) if self.policy.symlinks == Symlinks::Reject => {
                Err(Error::new(ErrorKind::HardlinkToSymlink, "the target is a symlink"))
            }
            (Kind::File, Hardlinks::InLayer) => {
                let ours = self.written.contains(self.written.place(place.node, name));
                if ours {
                    Ok(Target::Found { place, stat })
                } else {
                    Err(Error::new(ErrorKind::HardlinkTargetMissing, "this layer made no such file"))
                }
            }
            (Kind::File | Kind::Symlink, _) => Ok(Target::Found { place, stat }),
            (Kind::Fifo, Hardlinks::InRoot) if self.policy.fifos == Fifos::Create => Ok(Target::Found { place, stat }),
            (Kind::Device, Hardlinks::InRoot) if self.policy.devices == Devices::Create => Ok(Target::Found { place, stat }),
            (Kind::Fifo | Kind::Device | Kind::Other, _) => {
                Err(Error::new(ErrorKind::HardlinkToSpecial, "the target is of a kind that no entry could have made"))
            }
        }
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
                // The target may have been in what had to go.
                if from.dir.stat_of(target_name)?.map(|stat| stat.id) != Some(stat.id) {
                    return Err(missing(target));
                }
                super::objects::fresh(make(self)?)?;
            }
        }
        let metadata = entry.metadata();
        let same_owner = owner.is_none_or(|owner| (owner.uid, owner.gid) == (stat.uid, stat.gid));
        let same_mode = stat.kind == Kind::Symlink || metadata.mode == stat.mode;
        if !(same_owner && same_mode && metadata.mtime == stat.mtime) {
            log.note(Reason::HardlinkMetadataIgnored, "");
        }
        self.counts.hardlinks = self.counts.hardlinks.saturating_add(1);
        self.landed(place, entry, name, log)
    }

    fn defer(
        &mut self,
        entry: &Entry,
        target: &EntryPath,
        at: (&Place, Name<'_>),
        owner: Option<Owner>,
        log: &mut Log,
    ) -> Result<(), Error> {
        let limit = self.policy.limits.deferred_links;
        if len_u64(self.deferred.links.len()) >= limit {
            return Err(Error::limit_exceeded("deferred_links", limit));
        }
        let xattrs: usize = entry.metadata().xattrs.iter().map(|xattr| xattr.name.len().saturating_add(xattr.value.len())).sum();
        let paths = entry.path().as_bytes().len().saturating_add(target.as_bytes().len());
        let bytes = OVERHEAD.saturating_add(len_u64(paths)).saturating_add(len_u64(xattrs));
        self.reserve(bytes, 0)?;
        self.deferred.bytes = self.deferred.bytes.saturating_add(bytes);
        // Gone now and not when the link is made: later entries must not find it, nor go with it.
        if let Some(standing) = at.0.dir.stat_of(at.1)? {
            self.clear_place(at.0, at.1, Some(standing), log)?;
        }
        let key = self.written.place(at.0.node, at.1);
        self.deferred.supersede(key, log);
        self.deferred.by_place.insert(key, self.deferred.links.len());
        self.deferred.links.push(Some(Waiting { entry: entry.clone(), target: target.clone(), owner }));
        self.directories.touch(at.0.node)
    }

    /// Makes the links that waited: those whose target is itself one that waited after it.
    pub(super) fn make_deferred_links(&mut self, log: &mut Log) -> Result<(), Error> {
        let Deferred { links, bytes, .. } = std::mem::take(&mut self.deferred);
        self.reserve(0, bytes)?;
        let links: Vec<Waiting> = links.into_iter().flatten().collect();
        let waiting_for: HashMap<&EntryPath, usize> = links.iter().zip(0..).map(|(link, number)| (link.entry.path(), number)).collect();
        let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut ready = VecDeque::new();
        for (link, number) in links.iter().zip(0_usize..) {
            match waiting_for.get(&link.target) {
                Some(first) if *first != number => followers.entry(*first).or_default().push(number),
                _ => ready.push_back(number),
            }
        }
        let mut made = 0_usize;
        while let Some(number) = ready.pop_front() {
            let Some(link) = links.get(number) else { continue };
            log.set_location(link.entry.location());
            self.make_deferred(link, log).map_err(|error| error.located(log.location()))?;
            made = made.saturating_add(1);
            ready.extend(followers.remove(&number).unwrap_or_default());
        }
        if let Some(link) = links.get(followers.values().flatten().copied().min().unwrap_or(usize::MAX)).filter(|_| made < links.len()) {
            return Err(missing(&link.target).located(&link.entry.location()));
        }
        Ok(())
    }

    fn make_deferred(&mut self, link: &Waiting, log: &mut Log) -> Result<(), Error> {
        if self.was_skipped(&link.target, log)? {
            return self.leave_out(&link.entry, Reason::HardlinkToSkipped, log);
        }
        let Some((place, name)) = self.parent_of(link.entry.path(), Missing::Leave, log)? else {
            // A later entry took the place of its parent.
            log.record(superseded(&link.entry));
            return Ok(());
        };
        match self.find_target(&link.target, log)? {
            Target::Found { place: from, stat } => self.link(&link.entry, (&from, &link.target), stat, (&place, name), link.owner, log),
            Target::Missing => Err(missing(&link.target)),
        }
    }
}

fn missing(target: &EntryPath) -> Error {
    Error::new(ErrorKind::HardlinkTargetMissing, format!("no such target: {target:?}"))
}
