//! From the path of an entry to the directory of the tree that holds it: links on the way are resolved inside the root, missing
//! directories are made. The walk is that of the resolver on disk.

use crate::apply::rules::{judge_implicit, judge_obstacle, refuse_link, refuse_obstacle};
use crate::entry::{EntryPath, Name};
use crate::error::{Error, ErrorKind};
use crate::observe::Log;
use crate::policy::SymlinkedParents;
use crate::root::{Looked, Reach, Resolution, Trail, Views, walk};

use super::merge::Merge;
use super::tree::{DirId, Kind, Mark, Object, Tree};

/// What becomes of a parent that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made.
    Make,
    /// Then there is none.
    Leave,
}

impl Views for Tree {
    type Dir = DirId;

    fn look(&self, dir: &DirId, name: Name<'_>) -> Result<Looked<DirId>, Error> {
        Ok(match self.find(*dir, name) {
            None => Looked::Missing,
            Some(Object::Directory(dir)) => Looked::Directory(dir),
            Some(Object::Inode(id)) => match &self.inode(id)?.kind {
                Kind::Symlink(target) => Looked::Symlink(target.as_bytes().to_vec()),
                _ => Looked::Other,
            },
        })
    }
}

impl Merge {
    /// Gives the directory that holds `path`, and the name there; the path must not be the root.
    pub(super) fn parent_of<'p>(
        &mut self,
        path: &'p EntryPath,
        missing: Missing,
        log: &mut Log,
    ) -> Result<Option<(DirId, Name<'p>)>, Error> {
        let (parent, name) = path.parent_bytes().ok_or_else(|| Error::new(ErrorKind::RootReplaced, "the root has no parent"))?;
        Ok(self.directory_at(parent, missing, log)?.map(|place| (place, name)))
    }

    /// Gives the directory at a path of joined names.
    fn directory_at(&mut self, path: &[u8], missing: Missing, log: &mut Log) -> Result<Option<DirId>, Error> {
        let (mut here, mut end) = (Tree::TOP, 0_usize);
        for raw in path.split(|byte| *byte == b'/').filter(|raw| !raw.is_empty()) {
            let name = Name::new(raw).ok_or_else(|| Error::new(ErrorKind::InvalidName, "a parent"))?;
            end = end.saturating_add(raw.len());
            let Some(next) = self.next_place(here, name, path.get(..end).unwrap_or(path), missing, log)? else { return Ok(None) };
            here = next;
            end = end.saturating_add(1);
        }
        Ok(Some(here))
    }

    /// Gives the directory for one name on the way; `path` leads to it as the entry says.
    fn next_place(&mut self, here: DirId, name: Name<'_>, path: &[u8], missing: Missing, log: &mut Log) -> Result<Option<DirId>, Error> {
        match (self.tree.look(&here, name)?, missing) {
            (Looked::Directory(dir), _) => Ok(Some(dir)),
            (Looked::Symlink(_), _) => match self.policy.symlinked_parents {
                SymlinkedParents::Reject => Err(self.refuse_link(path, here, name)),
                SymlinkedParents::Resolve => self.through_link(path, missing, log),
            },
            (Looked::Whiteout | Looked::Other, Missing::Make) => {
                judge_obstacle(&self.policy, name, log)?;
                let mark = self.tree.clear(here, name)?;
                self.make_implicit(here, name, mark, log).map(Some)
            }
            (Looked::Whiteout | Looked::Other, Missing::Leave) => refuse_obstacle(&self.policy).map(|()| None),
            (Looked::Missing, Missing::Make) => self.make_implicit(here, name, Mark::NONE, log).map(Some),
            (Looked::Missing, Missing::Leave) => Ok(None),
        }
    }

    /// Gives the directory that the symlink at `path` leads to inside the root.
    fn through_link(&mut self, path: &[u8], missing: Missing, log: &mut Log) -> Result<Option<DirId>, Error> {
        let (at, rest) = match self.walk(path, &mut Reach::Inside)? {
            Resolution::Directory(trail) => return Ok(Some(last_of(&trail))),
            Resolution::Missing { at, rest } => (at, rest),
            Resolution::Other { at, rest } => {
                refuse_obstacle(&self.policy)?;
                (at, rest)
            }
        };
        if missing == Missing::Leave {
            return Ok(None);
        }
        let mut here = last_of(&at);
        for raw in rest {
            let name = Name::new(&raw).ok_or_else(|| Error::new(ErrorKind::NameTooLong, "a component of a link's target"))?;
            match self.next_place(here, name, path, missing, log)? {
                Some(next) => here = next,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    fn walk(&self, path: &[u8], reach: &mut Reach) -> Result<Resolution<DirId>, Error> {
        walk(&self.tree, &Tree::TOP, path, self.policy.limits.depth, reach)
    }

    /// Names what is wrong with a parent that is a symlink: a loop, one of this layer that leads out of the root, or just that.
    fn refuse_link(&self, path: &[u8], dir: DirId, name: Name<'_>) -> Error {
        let mut reach = Reach::Inside;
        let walked = self.walk(path, &mut reach);
        refuse_link(walked.err(), self.tree.is_written(dir, name).then_some(reach))
    }

    /// Makes a directory that has no entry.
    fn make_implicit(&mut self, here: DirId, name: Name<'_>, mark: Mark, log: &mut Log) -> Result<DirId, Error> {
        judge_implicit(&self.policy, name, log)?;
        self.count_object()?;
        let dir = self.tree.add_directory((here, name), mark)?;
        let metadata = self.implicit()?;
        self.tree.set_metadata(dir, metadata)?;
        Ok(dir)
    }
}

/// The directory at the end of a trail, which does not hold the root.
fn last_of(trail: &Trail<DirId>) -> DirId {
    trail.last().map_or(Tree::TOP, |(_, dir)| *dir)
}
