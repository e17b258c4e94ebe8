//! The attributes that directories get in the end: deepest first, each opened again without following anything.

use super::directories::{Final, Mode, NodeId, Standing};
use super::objects::{clamped, has_room};
use super::parents::Place;
use super::{Applier, Ground};
use crate::blob::Stop;
use crate::error::{Error, Location};
use crate::observe::{Log, Reason};
use crate::root::{Attributes as _, Dir, always_held};

/// Proves that every directory of the tree has its final attributes.
#[must_use]
#[derive(Debug)]
pub(crate) struct TreeComplete(());

impl Applier {
    /// Completes a staged tree.
    pub(crate) fn complete(&self, stop: &Stop<'_>, log: &mut Log) -> Result<TreeComplete, Error> {
        self.finish_directories(stop, log)?;
        Ok(TreeComplete(()))
    }

    /// Brings the tree to the disk.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.root.sync_filesystem()
    }

    /// Gives every directory of the table its final attributes; the root last.
    pub(super) fn finish_directories(&self, stop: &Stop<'_>, log: &mut Log) -> Result<(), Error> {
        let mut way: Vec<(NodeId, Dir)> = Vec::new();
        for node in self.directories.deepest_first() {
            if self.directories.standing(node)? == Standing::All {
                continue;
            }
            stop.check()?;
            let location = Location { path: Some(self.directories.path(node)), ..Location::default() };
            log.set_location(location);
            self.finish_directory(node, &mut way, log).map_err(|error| error.located(log.location()))?;
        }
        Ok(())
    }

    fn finish_directory(&self, node: NodeId, way: &mut Vec<(NodeId, Dir)>, log: &mut Log) -> Result<(), Error> {
        if node == NodeId::TOP && self.ground == Ground::Staged && self.form.is_none() && !self.directories.ever_had_entry(node) {
            self.prepare_new_root()?;
        }
        let dir = self.go_to(node, way)?;
        let (last, acl) = self.last_of(node)?;
        if let Some(acl) = acl {
            self.set_xattr(&dir, acl, log)?;
        }
        match last.mode {
            Mode::Set(mode) => {
                if self.directories.standing(node)? == Standing::Private {
                    dir.set_mode(mode)?;
                }
                clamped(dir.set_time(last.mtime)?, log);
            }
            Mode::AsFound => {
                if !dir.restore_time(last.mtime)? {
                    log.note(Reason::TimeNotRestored, "");
                }
            }
        }
        Ok(())
    }

    /// Gives a directory that this layer made its final attributes when it is left, while it is open: most are not entered again. Not
    /// where others could reach it, where it would hand something down or keep its owner out, or where something may have to be told.
    pub(super) fn finish_left(&mut self, left: &Place) -> Result<(), Error> {
        let Place { dir, node, .. } = left;
        let Final { mode: Mode::Set(mode), mtime } = self.directories.last(*node)? else { return Ok(()) };
        let at_once = self.ground == Ground::Staged && has_room(mode) && always_held(mtime);
        if !at_once || self.directories.default_acl(*node).is_some() {
            return Ok(());
        }
        let standing = self.directories.standing(*node)?;
        let set_mode = || if standing == Standing::Private { dir.set_mode(mode) } else { Ok(()) };
        let set = set_mode().and_then(|()| dir.set_time(mtime));
        set.map_err(|error| error.located(&Location { path: Some(self.directories.path(*node)), ..Location::default() }))?;
        self.directories.set_standing(*node, Standing::All)
    }

    /// Opens a directory; the way there is kept for the next one, which is most often beside or above it.
    fn go_to(&self, node: NodeId, way: &mut Vec<(NodeId, Dir)>) -> Result<Dir, Error> {
        let chain = self.directories.chain(node)?;
        let shared = way.iter().zip(&chain).take_while(|((on_way, _), wanted)| on_way == *wanted).count();
        way.truncate(shared);
        for step in chain.into_iter().skip(shared) {
            let here = way.last().map_or(self.root.top(), |(_, dir)| dir);
            let next = self.open_for_attributes(here, step)?;
            way.push((step, next));
        }
        Ok(way.last().map_or_else(|| self.root.top().clone(), |(_, dir)| dir.clone()))
    }
}
