//! Whiteouts: they hide what lower layers put there, never what this layer did, in any order.

use crate::entry::{Entry, Name, Whiteout};
use crate::error::Error;
use crate::observe::Log;

use super::merge::Merge;
use super::parents::Missing;
use super::tree::{DirId, Object, Tree};

impl Merge {
    /// Honours a whiteout. A marker makes nothing: no parent, and it does not count as using its directory.
    pub(super) fn whiteout(&mut self, entry: &Entry, whiteout: &Whiteout, log: &mut Log) -> Result<(), Error> {
        let Some((place, _)) = self.parent_of(entry.path(), Missing::Leave, log)? else { return Ok(()) };
        match whiteout {
            Whiteout::Opaque => self.hide_children(place),
            Whiteout::Hides(hidden) => hidden.name().map_or(Ok(()), |name| self.hide(place, name)),
        }
    }

    /// Hides what lower layers have under a name.
    fn hide(&mut self, place: DirId, name: Name<'_>) -> Result<(), Error> {
        match self.tree.find(place, name) {
            None => Ok(()),
            Some(Object::Directory(dir)) if self.tree.is_touched(dir) => {
                self.forget_lower(dir)?;
                self.hide_children(dir)
            }
            Some(Object::Inode(_)) if self.tree.is_written(place, name) => Ok(()),
            Some(_) => self.tree.clear(place, name).map(drop),
        }
    }

    /// Removes all that lower layers put into a directory, in those below that this layer used too.
    ///
    /// Each directory is gone through once in a layer: nothing of a lower layer comes back, and markers are cheap to repeat.
    fn hide_children(&mut self, dir: DirId) -> Result<(), Error> {
        let mut todo = vec![dir];
        while let Some(dir) = todo.pop() {
            if self.tree.set_cleared(dir)? {
                continue;
            }
            let mut spared = Vec::new();
            self.tree.retain(dir, &mut |tree, slot| match slot.object {
                Object::Inode(_) => tree.is_marked(slot),
                Object::Directory(below) if tree.is_touched(below) => {
                    spared.push(below);
                    true
                }
                Object::Directory(_) => false,
            })?;
            for below in spared {
                self.forget_lower(below)?;
                todo.push(below);
            }
        }
        Ok(())
    }

    /// Takes the attributes of a hidden lower twin from a directory that this layer uses without an entry for it.
    fn forget_lower(&mut self, dir: DirId) -> Result<(), Error> {
        if dir == Tree::TOP || self.tree.has_entry(dir) {
            return Ok(());
        }
        let metadata = self.implicit()?;
        self.tree.set_metadata(dir, metadata)
    }
}
