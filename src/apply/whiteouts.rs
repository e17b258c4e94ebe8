//! Whiteouts: they hide what lower layers put there, never what this layer did, in any order.
//!
//! In the merged form what they hide is removed. In overlay form it stands elsewhere: a character device 0:0 or an opaque
//! directory hides it, and what is removed is what this layer took over from below.

use std::collections::HashSet;

use super::Applier;
use super::directories::NodeId;
use super::lower::Shown;
use super::objects::record;
use super::parents::{Missing, Place};
use super::written::Written;
use crate::entry::{Entry, Name, Whiteout};
use crate::error::Error;
use crate::observe::Log;
use crate::root::{Clearing, Dir, Keep, Kind, ObjectId, Removal};

impl Applier {
    /// Honours a whiteout. A marker makes nothing: no parent, and it does not count as using its directory.
    pub(super) fn whiteout(&mut self, entry: &Entry, whiteout: &Whiteout, log: &mut Log) -> Result<(), Error> {
        if self.form.is_some() {
            return self.cover_lower(entry, whiteout, log);
        }
        let Some((place, _)) = self.parent_of(entry.path(), Missing::Leave, log)? else { return Ok(()) };
        match whiteout {
            Whiteout::Opaque => self.hide_children(vec![place.node]),
            Whiteout::Hides(hidden) => match hidden.name() {
                Some(name) => self.hide(&place, name),
                None => Ok(()),
            },
        }
    }

    /// Honours a whiteout in overlay form: one that hides nothing is dropped.
    fn cover_lower(&mut self, entry: &Entry, whiteout: &Whiteout, log: &mut Log) -> Result<(), Error> {
        if !self.lowers.are_unknown() {
            let Some((view, _)) = self.seek_parent(entry.path())? else { return Ok(()) };
            let hides = match whiteout {
                Whiteout::Opaque => !self.lowers.show_nothing(&view.beneath)?,
                Whiteout::Hides(hidden) => match hidden.name() {
                    Some(name) => !matches!(self.lowers.show(&view.beneath, name)?, Shown::Nothing),
                    None => false,
                },
            };
            if !hides {
                return Ok(());
            }
        }
        let Some((place, _)) = self.parent_of(entry.path(), Missing::CopyUp, log)? else { return Ok(()) };
        if self.lowers.show_nothing(&place.beneath)? {
            return Ok(());
        }
        match whiteout {
            Whiteout::Opaque => self.hide_all(place.node),
            Whiteout::Hides(hidden) => hidden.name().map_or(Ok(()), |name| self.hide_name(&place, name)),
        }
    }

    /// Hides what lower layers show under a name.
    fn hide_name(&mut self, place: &Place, name: Name<'_>) -> Result<(), Error> {
        let Some(stat) = place.dir.stat_of(name)? else { return self.make_whiteout(place, name) };
        match stat.kind {
            Kind::Whiteout => Ok(()),
            Kind::Directory => {
                if let Some(node) = self.directories.touched(stat.id) {
                    self.forget_lower(node)?;
                    return self.hide_all(node);
                }
                self.cache.clear();
                self.root.remove(&place.dir, name, &mut self.directories)?;
                self.make_whiteout(place, name)
            }
            _ if self.written.contains(self.written.place(place.node, name)) => Ok(()),
            _ => {
                self.root.unlink(&place.dir, name)?;
                self.make_whiteout(place, name)
            }
        }
    }

    /// Hides all that lower layers show in a directory.
    fn hide_all(&mut self, node: NodeId) -> Result<(), Error> {
        if self.holds_nothing_lower(node)? {
            return Ok(());
        }
        if node == NodeId::TOP {
            // Overlayfs does not look at the attribute there: whoever mounts leaves out what is below.
            self.root_opaque = true;
        } else {
            let above = self.open_node(self.directories.above(node)?)?;
            let dir = self.open_for_attributes(&above, node)?;
            self.mark_opaque(&dir)?;
        }
        self.hide_children(vec![node])
    }

    /// Makes a whiteout. Its time is not that of the run, so that the same layer gives the same directory.
    pub(super) fn make_whiteout(&mut self, place: &Place, name: Name<'_>) -> Result<(), Error> {
        self.forget_hidden_link(place, name)?;
        self.root.make_whiteout(&place.dir, name)?;
        self.root.new_special(&place.dir, name)?.set_time(self.policy.implicit_time()).map(drop)
    }

    fn hide(&mut self, place: &Place, name: Name<'_>) -> Result<(), Error> {
        let Some(stat) = place.dir.stat_of(name)? else { return Ok(()) };
        if stat.kind == Kind::Directory {
            if let Some(node) = self.directories.touched(stat.id) {
                self.forget_lower(node)?;
                return self.hide_children(vec![node]);
            }
        } else if self.written.contains(self.written.place(place.node, name)) {
            return Ok(());
        }
        self.cache.clear();
        self.root.remove(&place.dir, name, &mut self.directories)
    }

    /// Removes all that lower layers put into these directories, in those that this layer used too.
    ///
    /// Each directory is read once in a layer: nothing of a lower layer comes back, and markers are cheap to repeat.
    fn hide_children(&mut self, mut todo: Vec<NodeId>) -> Result<(), Error> {
        self.settle()?;
        while let Some(node) = todo.pop() {
            if self.holds_nothing_lower(node)? {
                continue;
            }
            self.directories.set_cleared(node)?;
            self.cache.clear();
            let dir = self.open_node(node)?;
            let mut spared = HashSet::new();
            let mut judge = Judge { directories: &mut self.directories, written: &self.written, spared: &mut spared };
            self.root.clear(&dir, &mut judge)?;
            for node in spared {
                self.forget_lower(node)?;
                todo.push(node);
            }
        }
        Ok(())
    }

    /// Whether nothing of a lower layer is left in a directory, or there never was anything.
    fn holds_nothing_lower(&mut self, node: NodeId) -> Result<bool, Error> {
        if self.directories.is_cleared(node) {
            return Ok(true);
        }
        // In one tree what is lower stands in the directory itself.
        let nothing = self.form.is_some() && self.lowers.show_nothing_at(&self.directories.path(node))?;
        if nothing {
            self.directories.set_cleared(node)?;
        }
        Ok(nothing)
    }

    /// Takes the attributes of a hidden lower twin from a directory that this layer uses without an entry for it.
    fn forget_lower(&mut self, node: NodeId) -> Result<(), Error> {
        if node == NodeId::TOP || self.directories.has_entry(node) {
            return Ok(());
        }
        let above = self.open_node(self.directories.above(node)?)?;
        let dir = self.open_for_attributes(&above, node)?;
        let implicit = self.policy.implicit(self.caller)?;
        self.replace_attributes(&dir, node, implicit.owner, &[])?;
        record(&dir, &implicit)?;
        self.directories.set_last(node, self.implicit_last())
    }
}

/// Judges the objects of a directory whose lower content is hidden.
struct Judge<'a> {
    directories: &'a mut super::directories::Directories,
    written: &'a Written,
    spared: &'a mut HashSet<NodeId>,
}

impl Removal for Judge<'_> {
    fn directory_removed(&mut self, id: ObjectId) {
        self.directories.directory_removed(id);
    }
}

impl Clearing for Judge<'_> {
    fn judge(&mut self, dir: &Dir, name: Name<'_>) -> Result<Keep, Error> {
        let Some(stat) = dir.stat_of(name)? else { return Ok(Keep::Keep) };
        if stat.kind == Kind::Directory {
            let Some(node) = self.directories.touched(stat.id) else { return Ok(Keep::Remove) };
            self.spared.insert(node);
            return Ok(Keep::Keep);
        }
        // A directory that the table does not hold was not written to.
        let node = self.directories.find(dir.id());
        let written = node.is_some_and(|node| self.written.contains(self.written.place(node, name)));
        Ok(if written { Keep::Keep } else { Keep::Remove })
    }
}
