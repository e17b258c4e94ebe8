//! The first pass: applies vetted entries to the tree in memory, as `apply` does to one on disk, rule by rule.

use crate::apply::rules::judge_duplicate;
use crate::apply::written::Written;
use crate::blob::Stop;
use crate::entry::{Entry, EntryKind, Metadata, Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::layer::Sink;
use crate::observe::{EntryCounts, Log, Reason};
use crate::policy::{IMPLICIT_MODE, Judged, Policy};

use super::NOBODY;
use super::links::Waiting;
use super::parents::Missing;
use super::tree::{DirId, Inode, Kind, Mark, Object, Tree};

/// What a marker or a skipped entry costs until the end of its layer, in bytes: [`Written`] at its fullest.
const LEFT_OUT_COST: u64 = 40;

/// Merges layers, bottom first.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) tree: Tree,
    pub(super) policy: Policy,
    /// Objects made in this layer.
    objects: u64,
    pub(super) counts: EntryCounts,
    pub(super) file_bytes: u64,
    /// Markers and skipped entries of this layer.
    left_out: Written,
    left_out_bytes: u64,
    pub(super) waiting: Vec<Waiting>,
    pub(super) waiting_bytes: u64,
    /// The size of the file whose body arrives.
    open: Option<u64>,
}

impl Merge {
    pub(super) fn new(policy: &Policy) -> Result<Self, Error> {
        Ok(Self {
            tree: Tree::new(&policy.limits)?,
            policy: policy.clone(),
            objects: 0,
            counts: EntryCounts::default(),
            file_bytes: 0,
            left_out: Written::new(),
            left_out_bytes: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            open: None,
        })
    }

    /// Begins a layer: what is there is lower from now on.
    pub(super) fn begin_layer(&mut self) {
        self.tree.begin_layer();
        self.tree.refund(std::mem::take(&mut self.left_out_bytes));
        self.left_out = Written::new();
        self.objects = 0;
        self.counts = EntryCounts::default();
        self.file_bytes = 0;
        self.open = None;
    }

    /// Ends a layer: the hardlinks that waited.
    pub(super) fn end_layer(&mut self, stop: &Stop<'_>, log: &mut Log) -> Result<(), Error> {
        self.make_waiting_links(stop, log)
    }

    /// Gives the merged tree. A root that never had an entry is a directory without one.
    pub(super) fn finish(mut self) -> Result<Tree, Error> {
        if !self.tree.ever_had_entry(Tree::TOP) {
            self.implicit().and_then(|metadata| self.tree.set_metadata(Tree::TOP, metadata)).map_err(|error| error.with_path(b""))?;
        }
        Ok(self.tree)
    }

    /// The attributes of a directory that has no entry.
    pub(super) fn implicit(&self) -> Result<Metadata, Error> {
        let implicit = self.policy.implicit(NOBODY)?;
        let Owner { uid, gid } = implicit.owner.unwrap_or(NOBODY);
        let xattrs = implicit.record.into_iter().collect();
        Ok(Metadata { mode: IMPLICIT_MODE, uid, gid, mtime: self.policy.implicit_time(), xattrs })
    }

    /// Counts an object that is made against the limit of entries: directories without one cost as much.
    pub(super) fn count_object(&mut self) -> Result<(), Error> {
        self.objects = self.objects.saturating_add(1);
        let limit = self.policy.limits.entries;
        if self.objects > limit { Err(Error::limit_exceeded("entries", limit)) } else { Ok(()) }
    }

    /// Replaces the attributes of the root.
    fn root_entry(&mut self, entry: &Entry, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        self.directory_attributes(Tree::TOP, entry, owner, log)
    }

    /// Makes a directory, or replaces the attributes of the one that is there.
    fn directory(&mut self, entry: &Entry, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        let (place, name) = self.place_for(entry, log)?;
        let dir = match self.tree.find(place, name) {
            Some(Object::Directory(dir)) => dir,
            _ => {
                let mark = self.clear_place(place, name, log)?;
                self.tree.add_directory((place, name), mark)?
            }
        };
        self.directory_attributes(dir, entry, owner, log)
    }

    fn directory_attributes(&mut self, dir: DirId, entry: &Entry, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        if self.tree.has_entry(dir) {
            judge_duplicate(&self.policy, log)?;
        }
        self.tree.set_metadata(dir, owned(entry.metadata().clone(), owner))?;
        self.tree.set_entry(dir)?;
        self.tree.touch(dir)
    }

    /// Makes anything but a directory and a hardlink, in place of what stands there.
    fn inode(&mut self, entry: &Entry, kind: Kind, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        let (place, name) = self.place_for(entry, log)?;
        self.clear_place(place, name, log)?;
        let inode = Inode::of(kind, entry, owner.unwrap_or(NOBODY), self.tree.layer());
        self.tree.add_inode((place, name), inode)?;
        self.tree.touch(place)
    }

    /// Gives the directory and the name where an entry is made; judges whether one was made there before.
    fn place_for<'e>(&mut self, entry: &'e Entry, log: &mut Log) -> Result<(DirId, Name<'e>), Error> {
        let (place, name) = self.place_of(entry, log)?;
        self.judge_second(place, name, log)?;
        Ok((place, name))
    }

    /// Gives the directory and the name where an entry is made.
    pub(super) fn place_of<'e>(&mut self, entry: &'e Entry, log: &mut Log) -> Result<(DirId, Name<'e>), Error> {
        let found = self.parent_of(entry.path(), Missing::Make, log)?;
        found.ok_or_else(|| Error::new(ErrorKind::ParentMissing, "a parent could not be made"))
    }

    /// Judges whether this layer made something at a place before.
    pub(super) fn judge_second(&self, place: DirId, name: Name<'_>, log: &mut Log) -> Result<(), Error> {
        if self.tree.is_written(place, name) { judge_duplicate(&self.policy, log) } else { Ok(()) }
    }

    /// Removes what stands where an entry is made.
    pub(super) fn clear_place(&mut self, place: DirId, name: Name<'_>, log: &mut Log) -> Result<Mark, Error> {
        if let Some(Object::Directory(dir)) = self.tree.find(place, name)
            && self.tree.has_entry(dir)
        {
            judge_duplicate(&self.policy, log)?;
        }
        self.tree.clear(place, name)
    }

    /// Judges a second marker of the same name: a marker lands nowhere.
    fn refuse_second_marker(&mut self, entry: &Entry, log: &mut Log) -> Result<(), Error> {
        if self.remember(entry)? { Ok(()) } else { judge_duplicate(&self.policy, log) }
    }

    /// Leaves an entry out, with an event; hardlinks to it are left out too.
    pub(super) fn leave_out(&mut self, entry: &Entry, reason: Reason, log: &mut Log) -> Result<(), Error> {
        log.note(reason, "");
        self.counts.skipped = self.counts.skipped.saturating_add(1);
        self.remember(entry).map(drop)
    }

    /// Keeps an entry that lands nowhere in mind, by its path; gives whether it is the first.
    fn remember(&mut self, entry: &Entry) -> Result<bool, Error> {
        let new = self.left_out.insert(self.left_out.path(entry.path()));
        if new {
            self.left_out_bytes = self.left_out_bytes.saturating_add(LEFT_OUT_COST);
            self.tree.charge(LEFT_OUT_COST)?;
        }
        Ok(new)
    }

    /// Whether an entry with this path was left out.
    pub(super) fn was_left_out(&self, path: &crate::entry::EntryPath) -> bool {
        self.left_out.contains(self.left_out.path(path))
    }
}

impl Sink for Merge {
    fn entry(&mut self, judged: Judged, log: &mut Log) -> Result<(), Error> {
        self.counts.total = self.counts.total.saturating_add(1);
        self.count_object()?;
        let Judged { entry, owner, .. } = judged;
        let count = match entry.kind() {
            EntryKind::Directory if entry.path().is_root() => self.root_entry(&entry, owner, log).map(|()| &mut self.counts.directories),
            EntryKind::Directory => self.directory(&entry, owner, log).map(|()| &mut self.counts.directories),
            EntryKind::Hardlink(target) => return self.hardlink(&entry, target, owner, log),
            EntryKind::Whiteout(whiteout) => {
                self.refuse_second_marker(&entry, log)?;
                self.whiteout(&entry, whiteout, log).map(|()| &mut self.counts.whiteouts)
            }
            kind => {
                // The policy never lets others through.
                let made = Kind::of(kind).ok_or_else(|| Error::new(ErrorKind::UnsupportedType, "an entry that cannot be applied"))?;
                self.inode(&entry, made.clone(), owner, log)?;
                Ok(match made {
                    Kind::File { len } => {
                        self.open = Some(len);
                        return Ok(());
                    }
                    Kind::Symlink(_) => &mut self.counts.symlinks,
                    Kind::Device(_) => &mut self.counts.devices,
                    Kind::Fifo | Kind::Placeholder(_) => &mut self.counts.fifos,
                })
            }
        }?;
        *count = count.saturating_add(1);
        Ok(())
    }

    /// What stands at its path stays.
    fn skip(&mut self, entry: &Entry, reason: Reason, log: &mut Log) -> Result<(), Error> {
        self.counts.total = self.counts.total.saturating_add(1);
        self.count_object()?;
        self.leave_out(entry, reason, log)
    }

    /// Bodies are for the second pass.
    fn data(&mut self, _offset: u64, _bytes: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn entry_end(&mut self, _log: &mut Log) -> Result<(), Error> {
        if let Some(len) = self.open.take() {
            self.counts.files = self.counts.files.saturating_add(1);
            self.file_bytes = self.file_bytes.saturating_add(len);
        }
        Ok(())
    }
}

/// Metadata with the owner that the policy gives.
pub(super) fn owned(metadata: Metadata, owner: Option<Owner>) -> Metadata {
    let Owner { uid, gid } = owner.unwrap_or(NOBODY);
    Metadata { uid, gid, ..metadata }
}
