//! A layer and those below it seen as one tree, as the mount would show it. Looking makes nothing.

use super::Applier;
use super::beneath::Beneath;
use super::directories::{Directories, NodeId};
use super::lower::{Lowers, Shown};
use super::rules;
use crate::entry::{EntryPath, Name};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::policy::SymlinkedParents;
use crate::root::{Dir, Looked, Reach, Resolution, Root, Trail, Views, walk};

/// A directory of the whole tree.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The directory in this layer, if it has one.
    pub(super) upper: Option<Dir>,
    /// Those of lower layers that it is merged with.
    pub(super) beneath: Beneath,
}

/// The layers that are seen as one tree.
struct Tree<'a> {
    root: &'a Root,
    directories: &'a Directories,
    lowers: &'a Lowers,
    limits: &'a Limits,
    /// Whether whiteouts are the form's own: in a merged tree one is a device like any other.
    hides: Hides,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hides {
    Names,
    Nothing,
}

impl Views for Tree<'_> {
    type Dir = View;

    fn look(&self, view: &View, name: Name<'_>) -> Result<Looked<View>, Error> {
        let looked = match &view.upper {
            Some(dir) => self.root.look(dir, name)?,
            None => Looked::Missing,
        };
        Ok(match looked {
            Looked::Directory(dir) => {
                let hidden = self.directories.find(dir.id()).is_some_and(|node| self.directories.is_cleared(node));
                let beneath = if hidden { Beneath::Nothing } else { view.beneath.below(name) };
                Looked::Directory(View { upper: Some(dir), beneath })
            }
            Looked::Missing => self.look_below(view, name)?,
            Looked::Whiteout if self.hides == Hides::Names => Looked::Missing,
            Looked::Whiteout | Looked::Other => Looked::Other,
            Looked::Symlink(target) => Looked::Symlink(target),
        })
    }
}

impl Tree<'_> {
    fn look_below(&self, view: &View, name: Name<'_>) -> Result<Looked<View>, Error> {
        Ok(match self.lowers.show(&view.beneath, name)? {
            Shown::Nothing | Shown::Unknown => Looked::Missing,
            Shown::Directory(beneath) => Looked::Directory(View { upper: None, beneath }),
            Shown::Object(object) if object.kind() == crate::root::Kind::Symlink => {
                let target = self.lowers.root_of(&object)?.read_symlink(&object.dir, name, self.limits)?;
                Looked::Symlink(target.as_bytes().to_vec())
            }
            Shown::Object(_) => Looked::Other,
        })
    }
}

impl Applier {
    fn tree(&self) -> Tree<'_> {
        let hides = if self.form.is_some() { Hides::Names } else { Hides::Nothing };
        Tree { root: &self.root, directories: &self.directories, lowers: &self.lowers, limits: &self.policy.limits, hides }
    }

    fn top_view(&self) -> View {
        let top = self.top();
        View { upper: Some(top.dir), beneath: top.beneath }
    }

    /// Resolves a path of joined names in the whole tree.
    pub(super) fn walk(&self, path: &[u8], reach: &mut Reach) -> Result<Resolution<View>, Error> {
        walk(&self.tree(), &self.top_view(), path, self.policy.limits.depth, reach)
    }

    /// Gives the directory that holds `path` in the whole tree, if there is one.
    pub(super) fn seek_parent<'p>(&self, path: &'p EntryPath) -> Result<Option<(View, Name<'p>)>, Error> {
        let (parent, name) = path.parent_bytes().ok_or_else(|| Error::new(ErrorKind::RootReplaced, "the root has no parent"))?;
        if self.policy.symlinked_parents == SymlinkedParents::Reject {
            return Ok(self.seek_straight(parent)?.map(|view| (view, name)));
        }
        Ok(match self.walk(parent, &mut Reach::Inside)? {
            Resolution::Directory(trail) => Some((last_of(trail).unwrap_or_else(|| self.top_view()), name)),
            Resolution::Missing { .. } => None,
            Resolution::Other { .. } => self.refuse_obstacle().map(|()| None)?,
        })
    }

    /// As a walk, but a symlink on the way is refused.
    fn seek_straight(&self, path: &[u8]) -> Result<Option<View>, Error> {
        let mut view = self.top_view();
        let mut end = 0_usize;
        for raw in path.split(|byte| *byte == b'/').filter(|raw| !raw.is_empty()) {
            let name = Name::new(raw).ok_or_else(|| Error::new(ErrorKind::InvalidName, "a parent"))?;
            end = end.saturating_add(raw.len());
            view = match self.tree().look(&view, name)? {
                Looked::Directory(next) => next,
                Looked::Symlink(_) => {
                    let ours = view.upper.and_then(|dir| self.directories.find(dir.id()));
                    return Err(self.refuse_link(path.get(..end).unwrap_or(path), ours, name));
                }
                Looked::Whiteout | Looked::Other => return self.refuse_obstacle().map(|()| None),
                Looked::Missing => return Ok(None),
            };
            end = end.saturating_add(1);
        }
        Ok(Some(view))
    }

    /// Names what is wrong with a parent that is a symlink: a loop, one of this layer that leads out of the root, or just that.
    ///
    /// `path` leads to it, `dir` is the directory of this layer that it is in.
    pub(super) fn refuse_link(&self, path: &[u8], dir: Option<NodeId>, name: Name<'_>) -> Error {
        let mut reach = Reach::Inside;
        let walked = self.walk(path, &mut reach);
        let ours = dir.is_some_and(|dir| self.written.contains(self.written.place(dir, name)));
        rules::refuse_link(walked.err(), ours.then_some(reach))
    }
}

fn last_of(mut trail: Trail<View>) -> Option<View> {
    trail.pop().map(|(_, view)| view)
}
