//! Owner, mode, times and extended attributes: by handle.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::sys::sys;
use super::{Dir, Kind, NewFile, PATH_ANY, Root, Stat, failed};
use crate::archive::{Timestamp, Xattr};
use crate::entry::{ACCESS_ACL, DEFAULT_ACL, Name, Owner};
use crate::error::{Error, ErrorKind, escape_path};

/// Most bytes of the list of an object's attribute names: Linux `XATTR_LIST_MAX`.
const LIST_MAX: usize = 65_536;
/// Most bytes of one attribute's value: Linux `XATTR_SIZE_MAX`.
const VALUE_MAX: usize = 65_536;
/// Room for the owner to work in a directory until its final mode is applied.
pub(crate) const OWNER_ALL: u32 = 0o700;

/// The effective ids of the caller.
pub(crate) fn caller() -> Owner {
    Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

/// Why the filesystem did not take an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XattrRefusal {
    /// It does not hold such attributes (ENOTSUP).
    NotSupported,
    /// The caller may not set it (EPERM, EACCES).
    NotPermitted,
}

/// An open object that takes attributes.
pub(crate) trait Attributes {
    #[doc(hidden)]
    fn fd(&self) -> BorrowedFd<'_>;

    /// Sets the owner. This drops capability, setuid and setgid: it comes first.
    fn set_owner(&self, owner: Owner) -> Result<(), Error> {
        let (uid, gid) = ids(owner)?;
        sys!(fchown(self.fd(), uid, gid)).map_err(|errno| owner_failed(owner, errno))
    }

    /// Sets the mode and, where special bits were asked for, reads it back: the kernel drops setgid silently.
    fn set_mode(&self, mode: u32) -> Result<(), Error> {
        sys!(fchmod(self.fd(), Mode::from_raw_mode(mode))).map_err(failed("setting a mode"))?;
        if mode & 0o7000 == 0 {
            return Ok(());
        }
        let stat = sys!(fstat(self.fd())).map_err(failed("reading a mode back"))?;
        check_mode(mode, Stat::from_os(&stat).mode)
    }

    /// Sets the time of the last change, and that of the last read to the same; gives the time held if it is another.
    fn set_time(&self, time: Timestamp) -> Result<Option<Timestamp>, Error> {
        sys!(futimens(self.fd(), &times(time))).map_err(failed("setting a time"))?;
        if always_held(time) {
            return Ok(None);
        }
        let stat = sys!(fstat(self.fd())).map_err(failed("reading a time back"))?;
        let held = Stat::from_os(&stat).mtime;
        Ok((held != time).then_some(held))
    }

    /// Sets the time of a directory back to what it was; gives whether the caller may.
    fn restore_time(&self, time: Timestamp) -> Result<bool, Error> {
        let stat = sys!(fstat(self.fd())).map_err(failed("looking at a directory"))?;
        if Stat::from_os(&stat).mtime == time {
            return Ok(true);
        }
        match sys!(futimens(self.fd(), &times(time))) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(failed("restoring a time")(errno)),
        }
    }

    /// Sets an extended attribute.
    fn set_xattr(&self, xattr: &Xattr) -> Result<Result<(), XattrRefusal>, Error> {
        match sys!(fsetxattr(self.fd(), xattr.name.as_slice(), &xattr.value, XattrFlags::empty())) {
            Ok(()) => Ok(Ok(())),
            Err(Errno::NOTSUP) => Ok(Err(XattrRefusal::NotSupported)),
            Err(Errno::PERM | Errno::ACCESS) => Ok(Err(XattrRefusal::NotPermitted)),
            // EINVAL where an ACL or a capability holds an id that the caller's user namespace has not.
            Err(errno) => Err(Error::io(&format!("setting {}", escape_path(&xattr.name)), &errno.into())),
        }
    }

    /// Reads an extended attribute; none where there is none.
    fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut value = Vec::with_capacity(VALUE_MAX);
        match sys!(fgetxattr(self.fd(), name, rustix::buffer::spare_capacity(&mut value))) {
            Ok(_) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            Err(errno) => Err(failed("reading an extended attribute")(errno)),
        }
    }

    /// Removes an extended attribute; one that is not there is removed already.
    fn remove_xattr(&self, name: &[u8]) -> Result<(), Error> {
        match sys!(fremovexattr(self.fd(), name)) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(failed("removing an extended attribute")(errno)),
        }
    }

    /// Removes the ACLs that a directory with a default ACL gave to what was made in it.
    fn remove_acls(&self) -> Result<(), Error> {
        self.remove_xattr(ACCESS_ACL)?;
        self.remove_xattr(DEFAULT_ACL)
    }

    /// Whether a default ACL is set, which what is made in the directory would inherit.
    fn has_default_acl(&self) -> Result<bool, Error> {
        match sys!(fgetxattr_query(self.fd(), DEFAULT_ACL)) {
            Ok(len) => Ok(len > 0),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
            Err(errno) => Err(failed("reading an ACL")(errno)),
        }
    }

    /// Lists the names of the extended attributes; none on a filesystem without them.
    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut list = Vec::with_capacity(LIST_MAX);
        match sys!(flistxattr(self.fd(), rustix::buffer::spare_capacity(&mut list))) {
            Ok(_) => Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()),
            Err(Errno::NOTSUP) => Ok(Vec::new()),
            Err(errno) => Err(failed("listing extended attributes")(errno)),
        }
    }
}

impl Attributes for NewFile {
    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Attributes for Dir {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    /// Gives the owner of a directory rwx on it.
    pub(crate) fn grant_owner(&self, dir: &Dir, name: Name<'_>) -> Result<(), Error> {
        let (held, stat) = self.hold_for_mode(dir, name, |found| found.kind == Kind::Directory)?;
        self.set_mode_held(&held, stat.mode | OWNER_ALL)
    }

    /// Holds the object `name`, if it is as `wanted`, so that a change of its mode goes to no other.
    pub(super) fn hold_for_mode(&self, dir: &Dir, name: Name<'_>, wanted: impl Fn(&Stat) -> bool) -> Result<(OwnedFd, Stat), Error> {
        let fd = self.open_name(dir, name, PATH_ANY).map_err(failed("opening an object for its mode"))?;
        let stat = Stat::from_os(&sys!(fstat(&fd)).map_err(failed("looking at an object"))?);
        if !wanted(&stat) {
            return Err(Error::new(ErrorKind::Io, "an object was exchanged before its mode was set"));
        }
        Ok((fd, stat))
    }

    /// Sets the mode of an object, no symlink, that is held by an `O_PATH` handle.
    ///
    /// The one place where a mode goes through procfs, which is known to be one: no call takes such a handle alone on every kernel.
    pub(super) fn set_mode_held(&self, held: &OwnedFd, mode: u32) -> Result<(), Error> {
        let proc = self.proc_fds()?;
        sys!(chmodat(proc, rustix::path::DecInt::from_fd(held), Mode::from_raw_mode(mode), AtFlags::empty()))
            .map_err(failed("setting a mode"))?;
        let stat = sys!(fstat(held)).map_err(failed("reading a mode back"))?;
        check_mode(mode, Stat::from_os(&stat).mode)
    }

    pub(super) fn proc_fds(&self) -> Result<&OwnedFd, Error> {
        self.proc_fds
            .get_or_init(|| {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let proc = sys!(open("/proc/self/fd", flags, Mode::empty())).ok()?;
                (sys!(fstatfs(&proc)).ok()?.f_type == rustix::fs::PROC_SUPER_MAGIC).then_some(proc)
            })
            .as_ref()
            .ok_or_else(|| {
                Error::new(ErrorKind::Io, "no procfs on /proc, which the mode of a special file and a further name of a copied one need")
            })
    }
}

pub(super) fn ids(owner: Owner) -> Result<(Option<Uid>, Option<Gid>), Error> {
    // The kernel reads 4294967295 as "leave it".
    if owner.uid == u32::MAX || owner.gid == u32::MAX {
        return Err(Error::new(ErrorKind::NumberOutOfRange, "owner 4294967295"));
    }
    Ok((Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid))))
}

pub(super) fn owner_failed(owner: Owner, errno: Errno) -> Error {
    Error::io(&format!("setting the owner {}:{}", owner.uid, owner.gid), &errno.into())
}

pub(super) fn check_mode(wanted: u32, held: u32) -> Result<(), Error> {
    if wanted == held {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Io, format!("mode {wanted:o} was asked for, the filesystem holds {held:o}")))
    }
}

pub(super) fn times(time: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: time.secs(), tv_nsec: time.nanos().into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Whether every usual filesystem holds `time`: 1980 to 2037 (FAT starts there, 32-bit seconds end there).
pub(crate) fn always_held(time: Timestamp) -> bool {
    (315_532_800..2_145_916_800).contains(&time.secs())
}
