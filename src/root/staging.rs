//! Private directories beside a final name: made, locked, moved into place, found again after a kill.

use std::hash::{BuildHasher as _, Hasher as _};

use rustix::fs::{AtFlags, FlockOperation, Mode, RenameFlags};
use rustix::io::Errno;

use super::attributes::Attributes as _;
use super::remove::Listing;
use super::sys::sys;
use super::{Dir, Made, OWNER_ALL, Removal, Root, caller, failed};
use crate::entry::Name;
use crate::error::{Error, ErrorKind};

/// Tries to find a name that is free.
const MAX_TRIES: usize = 64;

/// A directory that nobody else uses, locked while it lives.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    pub(crate) root: Root,
    pub(crate) name: Vec<u8>,
}

/// A private directory that nobody holds any more.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) name: Vec<u8>,
    /// Keeps the lock.
    _dir: Dir,
}

/// Removal where nothing is kept in mind.
struct Unheard;

impl Removal for Unheard {
    fn directory_removed(&mut self, _: super::ObjectId) {}
}

impl Root {
    /// Makes a directory with the name `prefix` and 16 random hex digits: mode 0700, the caller's group, no ACL, locked.
    pub(crate) fn make_private_dir(&self, prefix: &[u8]) -> Result<PrivateDir, Error> {
        for _ in 0..MAX_TRIES {
            let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
            let raw = [prefix, format!("{random:016x}").as_bytes()].concat();
            let name = Name::new(&raw).ok_or_else(|| Error::new(ErrorKind::NameTooLong, "the name of the staging directory"))?;
            let Made::New(made) = self.make_directory(&self.top, name, OWNER_ALL)? else { continue };
            match self.prepare_private(made.dir) {
                // Before it was locked it could be taken for a leftover.
                Ok(root) if self.top.stat_of(name)?.map(|stat| stat.id) != Some(root.top.id()) => {}
                Ok(root) => return Ok(PrivateDir { root, name: raw }),
                Err(error) => {
                    self.remove(&self.top, name, &mut Unheard)?;
                    if error.errno() != Some(Errno::WOULDBLOCK.raw_os_error()) {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::Io, "no free name for the staging directory"))
    }

    /// Takes away what the parent handed down, and locks.
    fn prepare_private(&self, dir: Dir) -> Result<Root, Error> {
        dir.remove_acls()?;
        // A setgid parent gave its group; a filesystem that holds no owners keeps what it has.
        match dir.set_owner(caller()) {
            Ok(()) => {}
            Err(_) if dir.stat().is_ok_and(|stat| stat.uid == caller().uid) => {}
            Err(error) => return Err(error),
        }
        dir.set_mode(0o700)?;
        sys!(flock(&dir.fd, FlockOperation::NonBlockingLockExclusive)).map_err(failed("locking the staging directory"))?;
        let root = self.try_clone()?;
        Ok(Root { top: dir, ..root })
    }

    /// Moves the private directory to its final name in this directory, if nothing stands there.
    ///
    /// By `renameat2(RENAME_NOREPLACE)`; where the filesystem or the kernel lacks it, by making the final name
    /// exclusively and renaming over that empty directory.
    pub(crate) fn publish(&self, private: &PrivateDir, to: Name<'_>) -> Result<(), Error> {
        let from = Name::new(&private.name).ok_or_else(|| Error::new(ErrorKind::Io, "the name of the staging directory"))?;
        let own = private.root.top.id();
        if self.top.stat_of(from)?.map(|stat| stat.id) != Some(own) {
            return Err(Error::new(ErrorKind::Io, "the staging directory was exchanged"));
        }
        match sys!(renameat_with(&self.top.fd, from.as_bytes(), &self.top.fd, to.as_bytes(), RenameFlags::NOREPLACE)) {
            Ok(()) => {}
            Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => self.publish_over_empty(from, to)?,
            Err(errno) => return Err(failed("moving the tree to its final name")(errno)),
        }
        if self.top.stat_of(to)?.map(|stat| stat.id) != Some(own) {
            return Err(Error::new(ErrorKind::Io, "the final name was exchanged"));
        }
        Ok(())
    }

    pub(super) fn publish_over_empty(&self, from: Name<'_>, to: Name<'_>) -> Result<(), Error> {
        sys!(mkdirat(&self.top.fd, to.as_bytes(), Mode::RWXU)).map_err(failed("moving the tree to its final name"))?;
        sys!(renameat(&self.top.fd, from.as_bytes(), &self.top.fd, to.as_bytes())).map_err(|errno| {
            // Only an empty directory is removed: ours, if it still is one.
            let _cleanup = sys!(unlinkat(&self.top.fd, to.as_bytes(), AtFlags::REMOVEDIR));
            failed("moving the tree to its final name")(errno)
        })
    }

    /// Brings everything on the filesystem to the disk, this directory's tree among it; tells of writes that failed (Linux 5.8).
    pub(crate) fn sync_filesystem(&self) -> Result<(), Error> {
        sys!(syncfs(&self.top.fd)).map_err(failed("syncing the filesystem"))
    }

    /// Brings the names in this directory to the disk.
    pub(crate) fn sync_names(&self) -> Result<(), Error> {
        sys!(fsync(&self.top.fd)).map_err(failed("syncing a directory"))
    }

    /// Removes a private directory and all below it.
    pub(crate) fn remove_private_dir(&self, name: &[u8]) -> Result<(), Error> {
        let name = Name::new(name).ok_or_else(|| Error::new(ErrorKind::Io, "the name of the staging directory"))?;
        self.remove(&self.top, name, &mut Unheard)
    }

    /// Lists the directories of this one whose name `is_private` accepts and that nobody holds locked.
    pub(crate) fn unlocked_dirs(&self, is_private: impl Fn(&[u8]) -> bool) -> Result<Vec<Leftover>, Error> {
        let mut found = Vec::new();
        let mut listing = Listing::open(&self.top)?;
        while let Some(batch) = listing.next_batch()? {
            for (raw, _) in batch {
                let Some(name) = Name::new(raw.to_bytes()).filter(|name| is_private(name.as_bytes())) else { continue };
                let stat = self.top.stat_of(name)?;
                // What belongs to somebody else is for him to recover; he could give it any name to be in the way.
                if !stat.is_some_and(|stat| stat.kind == super::Kind::Directory && (stat.uid == caller().uid || caller().uid == 0)) {
                    continue;
                }
                let dir = self.open_directory(&self.top, name)?;
                match sys!(flock(&dir.fd, FlockOperation::NonBlockingLockExclusive)) {
                    Ok(()) => found.push(Leftover { name: name.as_bytes().to_vec(), _dir: dir }),
                    Err(Errno::WOULDBLOCK) => {}
                    Err(errno) => return Err(failed("locking a leftover")(errno)),
                }
            }
        }
        Ok(found)
    }
}
