//! Removes objects: by handle, following nothing, crossing no mount, in memory that does not grow with depth or width.

use std::ffi::CString;
use std::mem::MaybeUninit;

use rustix::fs::{AtFlags, FileType, Mode, RawDir};
use rustix::io::Errno;

use super::sys::{gate, sys};
use super::{Dir, ObjectId, Root, failed};
use crate::entry::Name;
use crate::error::{Error, ErrorKind};

/// Names read from a directory before they are acted on.
const BATCH: usize = 1024;
const READ_BUFFER: usize = 32 << 10;

/// What becomes of one object of a directory that is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Keep,
    Remove,
}

/// Hears which directories are gone, so that nothing is kept in mind for them.
pub(crate) trait Removal {
    fn directory_removed(&mut self, id: ObjectId);
}

/// Judges the objects of a directory that is cleared.
pub(crate) trait Clearing: Removal {
    fn judge(&mut self, dir: &Dir, name: Name<'_>) -> Result<Keep, Error>;
}

impl Root {
    /// Removes one object that is no directory.
    pub(crate) fn unlink(&self, dir: &Dir, name: Name<'_>) -> Result<(), Error> {
        sys!(unlinkat(&dir.fd, name.as_bytes(), AtFlags::empty())).map_err(failed("removing a name"))
    }

    /// Removes the object `name` and all below it; what is not there is removed already.
    pub(crate) fn remove(&self, dir: &Dir, name: Name<'_>, removal: &mut dyn Removal) -> Result<(), Error> {
        match sys!(unlinkat(&dir.fd, name.as_bytes(), AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Linux says EISDIR, POSIX EPERM.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(failed("removing a name")(errno)),
        }
        let child = self.open_to_empty(dir, name)?;
        self.empty(&child, removal)?;
        removal.directory_removed(child.id());
        sys!(unlinkat(&dir.fd, name.as_bytes(), AtFlags::REMOVEDIR)).map_err(failed("removing a directory"))
    }

    /// Removes what `clearing` does not keep of the objects in `dir`, each with all below it.
    pub(crate) fn clear(&self, dir: &Dir, clearing: &mut dyn Clearing) -> Result<(), Error> {
        // A filesystem may move names while others are removed: again until nothing is left to remove.
        loop {
            let mut listing = Listing::open(dir)?;
            let mut removed = 0_usize;
            while let Some(batch) = listing.next_batch()? {
                for (raw, _) in batch {
                    let name = listed(raw.to_bytes())?;
                    if clearing.judge(dir, name)? == Keep::Remove {
                        self.remove(dir, name, clearing)?;
                        removed = removed.saturating_add(1);
                    }
                }
            }
            if removed == 0 {
                return Ok(());
            }
        }
    }

    /// Removes all below `top`. A directory met in it is emptied by moving its directories up to `top`, so that depth never grows.
    fn empty(&self, top: &Dir, removal: &mut dyn Removal) -> Result<(), Error> {
        let mut serial = 0_u64;
        loop {
            let mut listing = Listing::open(top)?;
            let mut seen = 0_usize;
            while let Some(batch) = listing.next_batch()? {
                for (raw, kind) in batch {
                    seen = seen.saturating_add(1);
                    let name = listed(raw.to_bytes())?;
                    if kind != FileType::Directory && unlinked(top, name)? {
                        continue;
                    }
                    let child = self.open_to_empty(top, name)?;
                    self.flatten(&child, top, &mut serial)?;
                    removal.directory_removed(child.id());
                    sys!(unlinkat(&top.fd, name.as_bytes(), AtFlags::REMOVEDIR)).map_err(failed("removing a directory"))?;
                }
            }
            if seen == 0 {
                return Ok(());
            }
        }
    }

    /// Unlinks what is in `dir` and moves its directories up to `top`.
    fn flatten(&self, dir: &Dir, top: &Dir, serial: &mut u64) -> Result<(), Error> {
        loop {
            let mut listing = Listing::open(dir)?;
            let mut seen = 0_usize;
            while let Some(batch) = listing.next_batch()? {
                for (raw, kind) in batch {
                    seen = seen.saturating_add(1);
                    let name = listed(raw.to_bytes())?;
                    if kind != FileType::Directory && unlinked(dir, name)? {
                        continue;
                    }
                    self.move_up(dir, name, top, serial)?;
                }
            }
            if seen == 0 {
                return Ok(());
            }
        }
    }

    fn move_up(&self, dir: &Dir, name: Name<'_>, top: &Dir, serial: &mut u64) -> Result<(), Error> {
        // To change its `..` a directory must be writable; opening it sees to that, and to mounts.
        self.open_to_empty(dir, name)?;
        loop {
            *serial = serial.saturating_add(1);
            let free = format!(".removed-{serial:x}");
            // Over an empty directory a rename succeeds, and nobody would hear that the one it replaced is gone.
            if top.stat_of(listed(free.as_bytes())?)?.is_some() {
                continue;
            }
            match sys!(renameat(&dir.fd, name.as_bytes(), &top.fd, free)) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(errno) => return Err(failed("removing a directory")(errno)),
            }
        }
    }

    /// Opens a directory that is to go with all that is in it, and gives its owner permission to take names out of it.
    fn open_to_empty(&self, dir: &Dir, name: Name<'_>) -> Result<Dir, Error> {
        let child = self.open_directory(dir, name)?;
        if child.stat()?.mode & 0o700 != 0o700 {
            // Only the owner may; for others the removal itself says what they may not.
            let _denied = sys!(fchmod(&child.fd, Mode::RWXU));
        }
        Ok(child)
    }
}

fn unlinked(dir: &Dir, name: Name<'_>) -> Result<bool, Error> {
    match sys!(unlinkat(&dir.fd, name.as_bytes(), AtFlags::empty())) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(errno) => Err(failed("removing a name")(errno)),
    }
}

fn listed(raw: &[u8]) -> Result<Name<'_>, Error> {
    Name::new(raw).ok_or_else(|| Error::new(ErrorKind::Io, "the filesystem lists an impossible name"))
}

/// Reads a directory in batches, over a handle of its own.
pub(super) struct Listing {
    fd: std::os::fd::OwnedFd,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Listing {
    pub(super) fn open(dir: &Dir) -> Result<Self, Error> {
        let fd = sys!(openat(&dir.fd, ".", super::READABLE_DIR, Mode::empty())).map_err(failed("listing a directory"))?;
        Ok(Self { fd, buffer: vec![MaybeUninit::uninit(); READ_BUFFER] })
    }

    /// Gives the next names, `.` and `..` left out; none at the end.
    pub(super) fn next_batch(&mut self) -> Result<Option<Vec<(CString, FileType)>>, Error> {
        let mut batch = Vec::new();
        gate("getdents64").map_err(failed("listing a directory"))?;
        let mut raw = RawDir::new(&self.fd, &mut self.buffer);
        while let Some(entry) = raw.next() {
            let entry = entry.map_err(failed("listing a directory"))?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                batch.push((name.to_owned(), entry.file_type()));
            }
            // What the kernel handed over must be used up: the handle stands behind it already.
            if raw.is_buffer_empty() && batch.len() >= BATCH {
                break;
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
