//! From the path of an entry to the handle of the directory that holds it: after this the path is gone.

use super::Applier;
use super::beneath::Beneath;
use super::directories::{Final, Inheritance, Mode, NodeId};
use super::lower::Shown;
use super::objects::{fresh, record};
use super::rules;
use super::view::View;
use crate::entry::{EntryPath, Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::observe::{Log, Reason};
use crate::policy::SymlinkedParents;
use crate::root::{Attributes as _, Dir, Kind, NewDir, OWNER_ALL, Reach, Resolution, Stat, Step, Trail};

/// A directory of the tree, open, and its number.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: Dir,
    pub(super) node: NodeId,
    /// What of lower layers it is merged with; nothing where all layers are one tree.
    pub(super) beneath: Beneath,
}

/// What becomes of a parent that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made.
    Make,
    /// One that only lower layers have is made over it; one that is nowhere is not.
    CopyUp,
    /// Then there is none.
    Leave,
}

/// The directories on the way to the last parent, so that the next entry beside it needs no look-up.
#[derive(Debug, Default)]
pub(super) struct Cache {
    path: Vec<u8>,
    levels: Vec<Level>,
}

/// One directory on the way.
#[derive(Debug)]
struct Level {
    /// The length of its path in the cache's.
    end: usize,
    place: Place,
    reached: Reached,
}

/// How a directory was reached from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    ByName,
    ByLink,
    /// It was made there, by an entry of its own.
    Made,
}

impl Cache {
    /// Forgets all: a directory or a symlink was replaced or removed.
    pub(super) fn clear(&mut self) {
        self.path.clear();
        self.levels.clear();
    }

    /// Keeps the directories that are on the way to `path` too; gives those that were made and are left.
    fn retain_prefix_of(&mut self, path: &[u8]) -> Vec<Place> {
        let shared = |end: usize| {
            let prefix = self.path.get(..end);
            prefix.is_some() && prefix == path.get(..end) && matches!(path.get(end), None | Some(b'/'))
        };
        let keep = self.levels.iter().take_while(|level| shared(level.end)).count();
        let left = self.levels.drain(keep..).filter(|level| level.reached == Reached::Made).map(|level| level.place).collect();
        let end = self.levels.last().map_or(0, |level| level.end);
        self.path.truncate(end);
        left
    }

    fn last(&self) -> Option<&Place> {
        self.levels.last().map(|level| &level.place)
    }

    /// Whether a link is on the way.
    fn follows_a_link(&self) -> bool {
        self.levels.iter().any(|level| level.reached == Reached::ByLink)
    }

    /// Goes on to the directory `name` that was just made in `place`, if that is where the last parent is.
    pub(super) fn go_down(&mut self, place: &Place, name: Name<'_>, made: Place) {
        if self.last().map_or(NodeId::TOP, |last| last.node) == place.node {
            self.push(name, made, Reached::Made);
        }
    }

    fn push(&mut self, name: Name<'_>, place: Place, reached: Reached) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.as_bytes());
        self.levels.push(Level { end: self.path.len(), place, reached });
    }
}

impl Applier {
    /// Gives the directory that holds `path`, and the name there; the path must not be the root.
    pub(super) fn parent_of<'p>(
        &mut self,
        path: &'p EntryPath,
        missing: Missing,
        log: &mut Log,
    ) -> Result<Option<(Place, Name<'p>)>, Error> {
        let (parent, name) = path.parent_bytes().ok_or_else(|| Error::new(ErrorKind::RootReplaced, "the root has no parent"))?;
        Ok(self.directory_at(parent, missing, log)?.map(|place| (place, name)))
    }

    /// Gives the directory at a path of joined names, links on the way resolved inside the root.
    fn directory_at(&mut self, path: &[u8], missing: Missing, log: &mut Log) -> Result<Option<Place>, Error> {
        for left in self.cache.retain_prefix_of(path) {
            self.finish_left(&left)?;
        }
        let done = self.cache.path.len();
        let rest = path.get(done..).unwrap_or_default();
        for raw in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let name = Name::new(raw).ok_or_else(|| Error::new(ErrorKind::InvalidName, "a parent"))?;
            let here = self.cache.last().map_or_else(|| self.top(), Place::clone);
            let Some(place) = self.next_place(&here, name, missing, log)? else { return Ok(None) };
            let by_name = self.directories.above(place.node)? == here.node && self.directories.name(place.node) == Some(name);
            self.cache.push(name, place, if by_name { Reached::ByName } else { Reached::ByLink });
        }
        Ok(Some(self.cache.last().map_or_else(|| self.top(), Place::clone)))
    }

    /// Forgets the way to the last parent if a link on it may be one of a lower layer that is hidden from now on, by what this
    /// layer has at `name`.
    pub(super) fn forget_hidden_link(&mut self, place: &Place, name: Name<'_>) -> Result<(), Error> {
        // Who follows none needs no look at the layers below.
        if self.cache.follows_a_link()
            && !place.beneath.is_nothing()
            && matches!(self.lowers.show(&place.beneath, name)?, Shown::Object(object) if object.kind() == Kind::Symlink)
        {
            self.cache.clear();
        }
        Ok(())
    }

    fn next_place(&mut self, here: &Place, name: Name<'_>, missing: Missing, log: &mut Log) -> Result<Option<Place>, Error> {
        match (self.root.enter(&here.dir, name)?, missing) {
            (Step::Directory(dir), _) => self.known(here, name, dir).map(Some),
            (Step::Symlink, _) => self.linked_place(here, name, missing, log),
            (Step::Missing, _) if !here.beneath.is_nothing() => self.place_from_below(here, name, missing, log),
            (Step::Whiteout, Missing::Make) if self.form.is_some() => {
                self.root.unlink(&here.dir, name)?;
                self.make_covering(here, name, log).map(Some)
            }
            (Step::Whiteout, _) if self.form.is_some() => Ok(None),
            (Step::Whiteout | Step::Other, Missing::Make) => {
                self.judge_obstacle(name, log)?;
                self.root.unlink(&here.dir, name)?;
                self.make_covering(here, name, log).map(Some)
            }
            (Step::Whiteout | Step::Other, _) => self.refuse_obstacle().map(|()| None),
            (Step::Missing, Missing::Make) => self.make_implicit(here, name, Beneath::Nothing, log).map(Some),
            (Step::Missing, _) => Ok(None),
        }
    }

    /// Gives the directory for a name that this layer does not have and lower ones may.
    fn place_from_below(&mut self, here: &Place, name: Name<'_>, missing: Missing, log: &mut Log) -> Result<Option<Place>, Error> {
        match (self.lowers.show(&here.beneath, name)?, missing) {
            (Shown::Directory(_), Missing::Leave) => Ok(None),
            (Shown::Directory(beneath), _) => self.copy_directory_up(here, name, beneath).map(Some),
            (Shown::Object(object), _) if object.kind() == Kind::Symlink => self.linked_place(here, name, missing, log),
            (Shown::Object(_), Missing::Make) => {
                self.judge_obstacle(name, log)?;
                self.make_implicit(here, name, Beneath::Nothing, log).map(Some)
            }
            (Shown::Object(_), _) => self.refuse_obstacle().map(|()| None),
            (Shown::Nothing, Missing::Make) => self.make_implicit(here, name, Beneath::Nothing, log).map(Some),
            (Shown::Unknown, Missing::Make | Missing::CopyUp) => self.make_implicit(here, name, Beneath::Unknown, log).map(Some),
            (Shown::Nothing | Shown::Unknown, _) => Ok(None),
        }
    }

    fn linked_place(&mut self, here: &Place, name: Name<'_>, missing: Missing, log: &mut Log) -> Result<Option<Place>, Error> {
        let path = self.link_path(name);
        match self.policy.symlinked_parents {
            SymlinkedParents::Reject => Err(self.refuse_link(&path, Some(here.node), name)),
            SymlinkedParents::Resolve => self.through_link(&path, missing, log),
        }
    }

    /// Refuses something that is no directory and stands for a parent, where the policy does not replace it.
    pub(super) fn refuse_obstacle(&self) -> Result<(), Error> {
        rules::refuse_obstacle(&self.policy)
    }

    /// Judges something that is no directory, where an entry needs a parent.
    fn judge_obstacle(&self, name: Name<'_>, log: &mut Log) -> Result<(), Error> {
        rules::judge_obstacle(&self.policy, name, log)
    }

    /// The path of a name in the directory that was reached last.
    fn link_path(&self, name: Name<'_>) -> Vec<u8> {
        let mut path = self.cache.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        path
    }

    /// Gives the directory that the symlink at `path` leads to inside the root.
    fn through_link(&mut self, path: &[u8], missing: Missing, log: &mut Log) -> Result<Option<Place>, Error> {
        if self.form.is_none()
            && let Some(dir) = self.root.resolve_at_once(path)?
            && let Some(node) = self.directories.find(dir.id())
        {
            self.directories.reopen(node)?;
            return Ok(Some(Place { dir, node, beneath: Beneath::Nothing }));
        }
        let (at, rest) = match self.walk(path, &mut Reach::Inside)? {
            Resolution::Directory(trail) => return self.follow(trail, missing),
            Resolution::Missing { at, rest } => (at, rest),
            Resolution::Other { at, rest } => {
                self.refuse_obstacle()?;
                (at, rest)
            }
        };
        let marker_may_hide = missing == Missing::CopyUp && self.lowers.are_unknown();
        if missing != Missing::Make && !marker_may_hide {
            return Ok(None);
        }
        let Some(mut place) = self.follow(at, missing)? else { return Ok(None) };
        for raw in rest {
            let name = Name::new(&raw).ok_or_else(|| Error::new(ErrorKind::NameTooLong, "a component of a link's target"))?;
            match self.next_place(&place, name, missing, log)? {
                Some(next) => place = next,
                None => return Ok(None),
            }
        }
        Ok(Some(place))
    }

    /// Takes note of every directory of a trail and gives the last.
    fn follow(&mut self, trail: Trail<View>, missing: Missing) -> Result<Option<Place>, Error> {
        let mut place = self.top();
        for (raw, view) in trail {
            let name = Name::new(&raw).ok_or_else(|| Error::new(ErrorKind::InvalidName, "a parent"))?;
            place = match (view.upper, missing) {
                (Some(dir), _) => self.known(&place, name, dir)?,
                (None, Missing::Leave) => return Ok(None),
                (None, Missing::Make | Missing::CopyUp) => self.copy_directory_up(&place, name, view.beneath)?,
            };
        }
        Ok(Some(place))
    }

    /// Gives the number of a directory that stands in the tree; one that was there before the unpack is found here first.
    pub(super) fn known(&mut self, parent: &Place, name: Name<'_>, dir: Dir) -> Result<Place, Error> {
        if let Some(node) = self.directories.find(dir.id()) {
            self.directories.reopen(node)?;
            let hidden = parent.beneath.is_nothing() || self.directories.is_cleared(node);
            let beneath = if hidden { Beneath::Nothing } else { parent.beneath.below(name) };
            return Ok(Place { dir, node, beneath });
        }
        let stat = dir.stat()?;
        let above = self.open_node(parent.node)?;
        let mut mode = Mode::AsFound;
        if self.lacks_permission(&stat) {
            self.root.grant_owner(&above, name)?;
            mode = Mode::Set(stat.mode);
        }
        let readable = self.root.open_directory(&above, name)?;
        let inheritance = found_to_hand_down(&readable, &stat, self.caller)?;
        let last = Final { mode, mtime: stat.mtime };
        let node = self.directories.add((parent.node, name), dir.id(), last, inheritance, &self.policy.limits)?;
        Ok(Place { dir, node, beneath: Beneath::Nothing })
    }

    /// Whether the caller must give himself permission to work in a directory of his.
    pub(super) fn lacks_permission(&self, stat: &Stat) -> bool {
        stat.mode & 0o700 != 0o700 && stat.uid == self.caller.uid && self.caller.uid != 0
    }

    /// Makes a directory that has no entry: 0755, the container's root, time 0, whatever umask, default ACL or setgid say.
    fn make_implicit(&mut self, here: &Place, name: Name<'_>, beneath: Beneath, log: &mut Log) -> Result<Place, Error> {
        rules::judge_implicit(&self.policy, name, log)?;
        if matches!(beneath, Beneath::Unknown) {
            log.note(Reason::LowerUnknown, crate::error::escape_path(name.as_bytes()));
        }
        let (made, place) = self.make_unnamed(here, name, beneath)?;
        let implicit = self.policy.implicit(self.caller)?;
        self.prepare_directory(&made, place.node, here.node, implicit.owner)?;
        record(&place.dir, &implicit)?;
        Ok(place)
    }

    /// Makes a directory without an entry in place of something that this layer had there, so that nothing lower shows in it.
    fn make_covering(&mut self, here: &Place, name: Name<'_>, log: &mut Log) -> Result<Place, Error> {
        let place = self.make_implicit(here, name, Beneath::Nothing, log)?;
        self.cover(here, name, &place.dir)?;
        Ok(place)
    }

    /// Makes the directory that lower layers show under a name, with their attributes.
    fn copy_directory_up(&mut self, here: &Place, name: Name<'_>, beneath: Beneath) -> Result<Place, Error> {
        let (_, place) = self.make_unnamed(here, name, beneath)?;
        self.take_attributes_over(&place)?;
        Ok(place)
    }

    fn make_unnamed(&mut self, here: &Place, name: Name<'_>, beneath: Beneath) -> Result<(NewDir, Place), Error> {
        self.count_object()?;
        let made = fresh(self.root.make_directory(&here.dir, name, OWNER_ALL)?)?;
        let node =
            self.directories.add((here.node, name), made.dir.id(), self.implicit_last(), Inheritance::Nothing, &self.policy.limits)?;
        if beneath.is_nothing() {
            self.directories.set_cleared(node)?;
        }
        let place = Place { dir: made.dir.clone(), node, beneath };
        Ok((made, place))
    }

    /// Counts an object that is made against the limit of entries: directories without one cost as much.
    pub(super) fn count_object(&mut self) -> Result<(), Error> {
        self.objects = self.objects.saturating_add(1);
        let limit = self.policy.limits.entries;
        if self.objects > limit { Err(Error::limit_exceeded("entries", limit)) } else { Ok(()) }
    }

    /// Opens a directory of the table by the names from the root down, following nothing, and checks that it is the one.
    pub(super) fn open_node(&mut self, node: NodeId) -> Result<Dir, Error> {
        self.directories.reopen(node)?;
        let mut dir = self.root.top().clone();
        for step in self.directories.chain(node)? {
            dir = self.enter_node(&dir, step)?;
        }
        Ok(dir)
    }

    /// As [`open_node`](Self::open_node), with what is beneath.
    pub(super) fn place_of_node(&mut self, node: NodeId) -> Result<Place, Error> {
        self.directories.reopen(node)?;
        let mut place = self.top();
        for step in self.directories.chain(node)? {
            let dir = self.enter_node(&place.dir, step)?;
            let hidden = place.beneath.is_nothing() || self.directories.is_cleared(step);
            let beneath = match self.directories.name(step) {
                Some(name) if !hidden => place.beneath.below(name),
                _ => Beneath::Nothing,
            };
            place = Place { dir, node: step, beneath };
        }
        Ok(place)
    }

    /// Enters a directory of the table from the one above it.
    pub(super) fn enter_node(&self, above: &Dir, node: NodeId) -> Result<Dir, Error> {
        let name = self.directories.name(node).ok_or_else(|| self.exchanged(node))?;
        match self.root.enter(above, name)? {
            Step::Directory(dir) if dir.id() == self.directories.id(node)? => Ok(dir),
            _ => Err(self.exchanged(node)),
        }
    }

    /// As [`enter_node`](Self::enter_node), but opened for reading, so that it takes attributes: the handle that is checked is the one used.
    pub(super) fn open_for_attributes(&self, above: &Dir, node: NodeId) -> Result<Dir, Error> {
        let name = self.directories.name(node).ok_or_else(|| self.exchanged(node))?;
        let dir = self.root.open_directory(above, name)?;
        if dir.id() == self.directories.id(node)? { Ok(dir) } else { Err(self.exchanged(node)) }
    }

    fn exchanged(&self, node: NodeId) -> Error {
        Error::new(ErrorKind::Io, "a directory was exchanged or removed by somebody else").with_path(&self.directories.path(node))
    }

    pub(super) fn top(&self) -> Place {
        let beneath = if self.directories.is_cleared(NodeId::TOP) { Beneath::Nothing } else { self.beneath_top.clone() };
        Place { dir: self.root.top().clone(), node: NodeId::TOP, beneath }
    }
}

/// Whether what is made in a directory that stands there may take something over from it.
pub(super) fn found_to_hand_down(dir: &Dir, stat: &Stat, caller: Owner) -> Result<Inheritance, Error> {
    // Somebody else's, who can give it either at any time.
    let foreign = stat.uid != caller.uid;
    let possible = foreign || stat.mode & 0o2000 != 0 || dir.has_default_acl()?;
    Ok(if possible { Inheritance::Possible } else { Inheritance::Nothing })
}
