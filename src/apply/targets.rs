//! What the target of a hardlink is: sought where the link's entry comes, and again at the end where it was not there.

use super::Applier;
use super::beneath::Beneath;
use super::lower::{LowerObject, Shown};
use super::parents::{Missing, Place};
use super::rules::judge_target;
use super::view::View;
use crate::entry::{EntryPath, Name};
use crate::error::{Error, ErrorKind};
use crate::observe::Log;
use crate::policy::Hardlinks;
use crate::root::{Kind, Stat};

/// What a hardlink's target turned out to be.
pub(super) enum Target {
    Found {
        place: Place,
        stat: Stat,
    },
    /// In a lower layer that is a directory of its own.
    Below(LowerObject),
    /// A link that waits itself.
    Waits(usize),
    Missing,
}

/// Where a target is sought.
struct Sought<'t> {
    /// The directory of this layer that holds it; none where only lower layers have it.
    place: Option<Place>,
    beneath: Beneath,
    name: Name<'t>,
}

impl Applier {
    /// Whether an entry of this layer with this path was left out, and none with it was made.
    pub(super) fn was_skipped(&mut self, path: &EntryPath, log: &mut Log) -> Result<bool, Error> {
        if !self.written.contains(self.written.path(path)) {
            return Ok(false);
        }
        let Some(Sought { place: Some(place), name, .. }) = self.seek_target(path, log)? else { return Ok(true) };
        Ok(!self.written.contains(self.written.place(place.node, name)))
    }

    pub(super) fn find_target(&mut self, target: &EntryPath, log: &mut Log) -> Result<Target, Error> {
        let Some(Sought { place, beneath, name }) = self.direct_target(target, log)? else { return Ok(Target::Missing) };
        let Some(place) = place else { return self.find_below(&beneath, name) };
        let Some(stat) = place.dir.stat_of(name)? else { return self.find_below(&beneath, name) };
        if stat.kind == Kind::Whiteout && self.form.is_some() {
            return Ok(Target::Missing);
        }
        if let Some(link) = self.deferred.held_by(&stat) {
            return Ok(Target::Waits(link));
        }
        judge_target(&self.policy, stat.kind)?;
        // One of a lower layer may be replaced by one of this layer yet: until the end it is missing.
        let ours = || self.written.contains(self.written.place(place.node, name));
        Ok(if self.policy.hardlinks == Hardlinks::InLayer && !ours() { Target::Missing } else { Target::Found { place, stat } })
    }

    /// Looks for a target that this layer does not have in the lower ones.
    fn find_below(&self, beneath: &Beneath, name: Name<'_>) -> Result<Target, Error> {
        let object = match self.lowers.show(beneath, name)? {
            Shown::Nothing | Shown::Unknown => return Ok(Target::Missing),
            Shown::Directory(_) => return judge_target(&self.policy, Kind::Directory).map(|()| Target::Missing),
            Shown::Object(object) => object,
        };
        judge_target(&self.policy, object.kind())?;
        Ok(if self.policy.hardlinks == Hardlinks::InLayer { Target::Missing } else { Target::Below(object) })
    }

    /// As [`seek_target`](Self::seek_target). InLayer wants no symlink on the way, also where other parents may be some.
    fn direct_target<'t>(&mut self, target: &'t EntryPath, log: &mut Log) -> Result<Option<Sought<'t>>, Error> {
        let through_link = || Error::new(ErrorKind::HardlinkEscape, "a symlink on the way to the target");
        let found = self.seek_target(target, log).map_err(|error| match error.kind() {
            ErrorKind::SymlinkInPath | ErrorKind::SymlinkEscape => through_link(),
            _ => error,
        })?;
        let Some(sought) = found else { return Ok(None) };
        let parent = target.parent_bytes().map(|(parent, _)| parent);
        let direct = match &sought.place {
            Some(place) => parent == Some(&self.directories.path(place.node)),
            None => parent == sought.beneath.path(),
        };
        if self.policy.hardlinks == Hardlinks::InLayer && !direct {
            return Err(through_link());
        }
        Ok(Some(sought))
    }

    /// Finds the directory that holds a target. In overlay form nothing is made on the way.
    fn seek_target<'t>(&mut self, target: &'t EntryPath, log: &mut Log) -> Result<Option<Sought<'t>>, Error> {
        if self.form.is_none() {
            let found = self.parent_of(target, Missing::Leave, log)?;
            return Ok(found.map(|(place, name)| Sought { beneath: Beneath::Nothing, place: Some(place), name }));
        }
        let Some((View { upper, beneath }, name)) = self.seek_parent(target)? else { return Ok(None) };
        let place = upper.and_then(|dir| {
            let node = self.directories.find(dir.id())?;
            Some(Place { dir, node, beneath: beneath.clone() })
        });
        Ok(Some(Sought { place, beneath, name }))
    }
}
