//! Makes objects: each by one directory handle and one name, exclusively, never through what stands there.

use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::sys::{gate, sys};
use super::{Dir, Kind, READABLE_DIR, Root, Stat, failed};
use crate::convert::len_u64;
use crate::entry::{Device, DeviceKind, Name, SymlinkTarget};
use crate::error::{Error, ErrorKind};

/// What became of an exclusive creation.
#[derive(Debug)]
pub(crate) enum Made<T> {
    New(T),
    /// Something stands there; it was not touched.
    Exists,
}

/// A regular file that was just made and is written by its one owner.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(super) file: File,
}

/// A directory that was just made, as the kernel made it.
#[derive(Debug)]
pub(crate) struct NewDir {
    pub(crate) dir: Dir,
    pub(crate) stat: Stat,
}

const NEW_FILE: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Slices that one call takes at most: Linux `IOV_MAX`.
const MAX_SLICES: usize = 1024;
/// Room to write for the maker alone, until the metadata is applied.
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Root {
    /// Makes a directory with `mode` less the umask, and opens it for reading.
    pub(crate) fn make_directory(&self, dir: &Dir, name: Name<'_>, mode: u32) -> Result<Made<NewDir>, Error> {
        match sys!(mkdirat(&dir.fd, name.as_bytes(), Mode::from_raw_mode(mode))) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Made::Exists),
            Err(errno) => return Err(failed("making a directory")(errno)),
        }
        let (dir, stat) = self.open_with_stat(dir, name)?;
        Ok(Made::New(NewDir { dir, stat }))
    }

    /// Opens a directory for reading, so that it takes attributes; gives its owner permission first where it lacks it.
    pub(crate) fn open_directory(&self, dir: &Dir, name: Name<'_>) -> Result<Dir, Error> {
        self.open_with_stat(dir, name).map(|(dir, _)| dir)
    }

    fn open_with_stat(&self, dir: &Dir, name: Name<'_>) -> Result<(Dir, Stat), Error> {
        match self.open_name(dir, name, READABLE_DIR) {
            Ok(fd) => Dir::with_stat(fd),
            Err(Errno::ACCESS) => {
                self.grant_owner(dir, name)?;
                self.open_name(dir, name, READABLE_DIR).map_err(failed("opening a directory")).and_then(Dir::with_stat)
            }
            Err(errno) => Err(failed("opening a directory")(errno)),
        }
    }

    /// Makes an empty regular file and opens it for writing.
    pub(crate) fn make_file(&self, dir: &Dir, name: Name<'_>) -> Result<Made<NewFile>, Error> {
        match sys!(openat(&dir.fd, name.as_bytes(), NEW_FILE, PRIVATE_FILE)) {
            Ok(fd) => Ok(Made::New(NewFile { file: File::from(fd) })),
            Err(Errno::EXIST) => Ok(Made::Exists),
            Err(errno) => Err(failed("making a file")(errno)),
        }
    }

    /// Makes a symlink.
    pub(crate) fn make_symlink(&self, dir: &Dir, name: Name<'_>, target: &SymlinkTarget) -> Result<Made<()>, Error> {
        made(sys!(symlinkat(target.as_bytes(), &dir.fd, name.as_bytes())), "making a symlink")
    }

    /// Makes a FIFO.
    pub(crate) fn make_fifo(&self, dir: &Dir, name: Name<'_>) -> Result<Made<()>, Error> {
        made(sys!(mknodat(&dir.fd, name.as_bytes(), FileType::Fifo, PRIVATE_FILE, 0)), "making a FIFO")
    }

    /// Makes a device and checks that the kernel made the one asked for: it wraps numbers that are out of its range.
    pub(crate) fn make_device(&self, dir: &Dir, name: Name<'_>, device: Device) -> Result<Made<()>, Error> {
        let number = |number: u64| u32::try_from(number).map_err(|_| Error::new(ErrorKind::NumberOutOfRange, "device number"));
        let wanted = rustix::fs::makedev(number(device.major)?, number(device.minor)?);
        let kind = match device.kind {
            DeviceKind::Character => FileType::CharacterDevice,
            DeviceKind::Block => FileType::BlockDevice,
        };
        match sys!(mknodat(&dir.fd, name.as_bytes(), kind, PRIVATE_FILE, wanted)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Made::Exists),
            Err(errno) => return Err(failed("making a device")(errno)),
        }
        match dir.stat_of(name)? {
            Some(Stat { kind: Kind::CharacterDevice | Kind::BlockDevice, device, .. }) if device == super::wide(wanted) => {
                Ok(Made::New(()))
            }
            _ => {
                self.unlink(dir, name)?;
                Err(Error::new(ErrorKind::NumberOutOfRange, "the kernel made another device than the one asked for"))
            }
        }
    }

    /// Makes a device like one that is there.
    pub(crate) fn make_device_again(&self, dir: &Dir, name: Name<'_>, like: &Stat) -> Result<Made<()>, Error> {
        let (major, minor) = (rustix::fs::major(like.device), rustix::fs::minor(like.device));
        let kind = if like.kind == Kind::BlockDevice { DeviceKind::Block } else { DeviceKind::Character };
        self.make_device(dir, name, Device { kind, major: major.into(), minor: minor.into() })
    }

    /// Gives the object `target` of `target_dir` the further name `name`; a symlink is linked itself, not followed.
    ///
    /// The new name is compared with `expected` and taken back if it is another object.
    pub(crate) fn make_hardlink(
        &self,
        (target_dir, target): (&Dir, Name<'_>),
        expected: &Stat,
        (dir, name): (&Dir, Name<'_>),
    ) -> Result<Made<()>, Error> {
        match sys!(linkat(&target_dir.fd, target.as_bytes(), &dir.fd, name.as_bytes(), AtFlags::empty())) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Made::Exists),
            Err(errno) => return Err(failed("making a hardlink")(errno)),
        }
        match dir.stat_of(name)? {
            Some(stat) if stat.id == expected.id && stat.kind == expected.kind => Ok(Made::New(())),
            _ => {
                self.unlink(dir, name)?;
                Err(Error::new(ErrorKind::HardlinkEscape, "the target was exchanged while it was linked"))
            }
        }
    }
}

impl NewFile {
    /// Writes `bytes` at `offset`: what was skipped becomes a hole.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        gate("pwrite64").map_err(failed("writing a file"))?;
        self.file.write_all_at(bytes, offset).map_err(|e| Error::io("writing a file", &e))
    }

    /// Writes bytes that lie in several places to one, at `offset`, by one call where the kernel takes them all.
    pub(crate) fn write_joined_at(&self, mut offset: u64, parts: &[&[u8]]) -> Result<(), Error> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        // Drops empty ones, which would look like the end.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let some = rest.get(..MAX_SLICES).unwrap_or(rest);
            let write = || rustix::io::retry_on_intr(|| rustix::io::pwritev(&self.file, some, offset));
            let progress = |written| if written == 0 { Err(Errno::IO) } else { Ok(written) };
            let written = gate("pwritev").and_then(|()| write()).and_then(progress).map_err(failed("writing a file"))?;
            IoSlice::advance_slices(&mut rest, written);
            offset = offset.saturating_add(len_u64(written));
        }
        Ok(())
    }

    /// Sets the length: a hole at the end.
    pub(crate) fn extend_to(&self, len: u64) -> Result<(), Error> {
        gate("ftruncate").map_err(failed("extending a file"))?;
        self.file.set_len(len).map_err(|e| Error::io("extending a file", &e))
    }
}

fn made(result: Result<(), Errno>, doing: &'static str) -> Result<Made<()>, Error> {
    match result {
        Ok(()) => Ok(Made::New(())),
        Err(Errno::EXIST) => Ok(Made::Exists),
        Err(errno) => Err(failed(doing)(errno)),
    }
}
