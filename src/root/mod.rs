//! The capability to write below one directory: [`Root`]. The only module that touches the tree, and this file the only
//! one that turns a caller's path into a handle; everything else is a handle and one [`Name`].

mod attributes;
mod copy;
mod create;
mod mount;
#[cfg(feature = "image")]
mod read;
mod remove;
mod resolve;
mod special;
mod staging;
pub(crate) mod sys;
#[cfg(test)]
mod tests;

pub(crate) use attributes::{Attributes, OWNER_ALL, XattrRefusal, always_held, caller};
pub(crate) use copy::{Held, OldFile, Unreadable, read_xattrs};
pub(crate) use create::{Made, NewDir, NewFile};
#[cfg(feature = "image")]
pub(crate) use read::Found;
pub(crate) use remove::{Clearing, Keep, Removal};
pub(crate) use resolve::{Looked, Reach, Resolution, Step, Trail, Views, walk};
pub(crate) use special::NewSpecial;
pub(crate) use staging::PrivateDir;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use cap_std::AmbientAuthority;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::archive::Timestamp;
use crate::entry::Name;
use crate::error::{Error, ErrorKind};
use sys::sys;

/// Takes the faults that tests have planted in the calls of this thread, for one that works for it.
pub(crate) fn inherit_faults() -> sys::Faults {
    sys::Faults::inherit()
}

/// How many handles the process may have.
pub(crate) fn handle_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The capability to write below one directory. Nothing outside it can be named through it.
#[derive(Debug)]
pub struct Root {
    top: Dir,
    mount: mount::MountId,
    resolver: resolve::Active,
    /// `/proc/self/fd`, opened and checked when first needed.
    proc_fds: Arc<OnceLock<Option<OwnedFd>>>,
}

impl Root {
    /// Opens the directory at `path` with the ambient authority of the process, following links on the way.
    ///
    /// # Ambient authority
    /// The only function of the crate that takes a path.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where `path` is no directory that can be opened for reading.
    pub fn open_ambient(path: impl AsRef<Path>, ambient_authority: AmbientAuthority) -> Result<Self, Error> {
        let dir = cap_std::fs::Dir::open_ambient_dir(path, ambient_authority).map_err(|e| Error::io("opening the root", &e))?;
        Self::try_from(dir)
    }

    fn from_handle(handle: OwnedFd) -> Result<Self, Error> {
        // The caller's handle may be O_PATH, which takes no change of attributes: opened again, once.
        let fd = sys!(openat(&handle, ".", READABLE_DIR, Mode::empty())).map_err(failed("opening the root"))?;
        let top = Dir::from_fd(fd)?;
        let mount = mount::MountId::of(&top.fd)?;
        let resolver = resolve::Active::probe(&top.fd)?;
        Ok(Self { top, mount, resolver, proc_fds: Arc::default() })
    }

    /// Resolves parents by `openat2` or not at all.
    pub(crate) fn with_openat2(self) -> Result<Self, Error> {
        match self.resolver {
            resolve::Active::Openat2 => Ok(self),
            resolve::Active::Walk => Err(Error::new(ErrorKind::Io, "no openat2 here")),
        }
    }

    /// Resolves parents by the walk.
    pub(crate) fn with_walk(self) -> Self {
        Self { resolver: resolve::Active::Walk, ..self }
    }

    /// Gives a second capability for the same directory.
    pub(crate) fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self { top: self.top.clone(), mount: self.mount, resolver: self.resolver, proc_fds: Arc::clone(&self.proc_fds) })
    }

    /// Makes the directory `name`, mode 0700, and gives the capability for it alone.
    pub(crate) fn make_root(&self, name: Name<'_>) -> Result<Self, Error> {
        match self.make_directory(&self.top, name, OWNER_ALL)? {
            Made::New(made) => Ok(Self { top: made.dir, ..self.try_clone()? }),
            Made::Exists => Err(Error::new(ErrorKind::Io, "a name that is to be made is there: somebody else writes here")),
        }
    }

    /// The root directory itself.
    pub(crate) fn top(&self) -> &Dir {
        &self.top
    }
}

impl TryFrom<cap_std::fs::Dir> for Root {
    type Error = Error;

    /// Takes a capability-scoped directory.
    fn try_from(dir: cap_std::fs::Dir) -> Result<Self, Error> {
        Self::from_handle(OwnedFd::from(dir))
    }
}

impl TryFrom<OwnedFd> for Root {
    type Error = Error;

    /// Takes an open directory; `O_PATH` is enough, with permission to read it.
    fn try_from(fd: OwnedFd) -> Result<Self, Error> {
        Self::from_handle(fd)
    }
}

const PATH_DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const PATH_ANY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READABLE_DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open directory at or below a root.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    fd: Arc<OwnedFd>,
    id: ObjectId,
}

/// Which object of the system this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

/// What the filesystem says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) id: ObjectId,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
    pub(crate) mtime: Timestamp,
    /// Device number, of a device.
    pub(crate) device: u64,
}

/// The kinds of object that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink,
    CharacterDevice,
    BlockDevice,
    /// The character device 0:0, by which overlayfs hides a name of the layers below.
    Whiteout,
    Fifo,
    Other,
}

impl Dir {
    fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Self::with_stat(fd).map(|(dir, _)| dir)
    }

    fn with_stat(fd: OwnedFd) -> Result<(Self, Stat), Error> {
        let stat = sys!(fstat(&fd)).map_err(failed("looking at a directory"))?;
        let stat = Stat::from_os(&stat);
        Ok((Self { fd: Arc::new(fd), id: stat.id }, stat))
    }

    /// Which directory this is.
    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    /// What the filesystem says of the directory itself.
    pub(crate) fn stat(&self) -> Result<Stat, Error> {
        sys!(fstat(&self.fd)).map(|stat| Stat::from_os(&stat)).map_err(failed("looking at a directory"))
    }

    /// What the filesystem says of the object `name`, which is not followed; none where there is none.
    pub(crate) fn stat_of(&self, name: Name<'_>) -> Result<Option<Stat>, Error> {
        match sys!(statat(&self.fd, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(Stat::from_os(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("looking at a name")(errno)),
        }
    }
}

impl Stat {
    fn from_os(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice if stat.st_rdev == 0 => Kind::Whiteout,
            FileType::CharacterDevice => Kind::CharacterDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => Kind::Other,
        };
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Self {
            id: ObjectId { dev: wide(stat.st_dev), ino: wide(stat.st_ino) },
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: wide(stat.st_nlink),
            mtime: Timestamp::new(signed(stat.st_mtime), nanos).unwrap_or_default(),
            device: wide(stat.st_rdev),
        }
    }
}

/// The fields of `struct stat` differ in width between architectures.
fn signed(field: impl TryInto<i64>) -> i64 {
    field.try_into().unwrap_or_default()
}

/// As [`signed`], without sign.
fn wide(field: impl TryInto<u64>) -> u64 {
    field.try_into().unwrap_or(u64::MAX)
}

/// Gives the conversion of an error number into an [`ErrorKind::Io`] that says what was tried.
fn failed(doing: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| match errno {
        Errno::XDEV => Error::new(ErrorKind::MountCrossing, format!("{doing}: another mount is in the way")),
        errno => Error::io(doing, &errno.into()),
    }
}
