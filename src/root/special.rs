//! Attributes of symlinks, FIFOs and devices, which nobody opens for reading: by an `O_PATH` handle, never by name.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{AtFlags, Timestamps};
use rustix::io::Errno;
use rustix::path::DecInt;

use super::attributes::{always_held, ids, owner_failed, times};
use super::sys::sys;
use super::{Dir, Kind, PATH_ANY, Root, Stat, failed};
use crate::archive::Timestamp;
use crate::entry::{ACCESS_ACL, Name, Owner};
use crate::error::{Error, ErrorKind};

/// A symlink, FIFO or device that was just made: its attributes go to it, whatever takes its name meanwhile.
#[derive(Debug)]
pub(crate) struct NewSpecial<'r> {
    root: &'r Root,
    fd: OwnedFd,
}

impl Root {
    /// Holds on to the symlink, FIFO or device `name`, which was just made and so has no other name.
    ///
    /// Who writes here too may have put a hardlink there, whose attributes are those of an object outside: one with a further
    /// name is refused, and so is a file.
    pub(crate) fn new_special(&self, dir: &Dir, name: Name<'_>) -> Result<NewSpecial<'_>, Error> {
        let fd = self.open_name(dir, name, PATH_ANY).map_err(failed("opening a special file"))?;
        let stat = sys!(fstat(&fd)).map_err(failed("looking at a special file"))?;
        let Stat { kind, links, .. } = Stat::from_os(&stat);
        match kind {
            Kind::Symlink | Kind::Fifo | Kind::CharacterDevice | Kind::BlockDevice | Kind::Whiteout if links <= 1 => {
                Ok(NewSpecial { root: self, fd })
            }
            _ => Err(Error::new(ErrorKind::Io, "a name was exchanged before its attributes were set: somebody else writes here")),
        }
    }
}

impl NewSpecial<'_> {
    /// Sets the owner. This drops setuid and setgid: it comes before the mode.
    pub(crate) fn set_owner(&self, owner: Owner) -> Result<(), Error> {
        let (uid, gid) = ids(owner)?;
        sys!(chownat(&self.fd, "", uid, gid, AtFlags::EMPTY_PATH)).map_err(|errno| owner_failed(owner, errno))
    }

    /// Sets the time of the last change, and that of the last read to the same; gives the time held if it is another.
    pub(crate) fn set_time(&self, time: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.set_times(&times(time))?;
        if always_held(time) {
            return Ok(None);
        }
        let stat = sys!(fstat(&self.fd)).map_err(failed("reading a time back"))?;
        let held = Stat::from_os(&stat).mtime;
        Ok((held != time).then_some(held))
    }

    fn set_times(&self, times: &Timestamps) -> Result<(), Error> {
        match sys!(utimensat(&self.fd, "", times, AtFlags::EMPTY_PATH)) {
            Ok(()) => Ok(()),
            // Before Linux 5.8, which takes no handle alone.
            Err(Errno::INVAL | Errno::NOENT) => {
                let proc = self.root.proc_fds()?;
                sys!(utimensat(proc, DecInt::from_fd(&self.fd), times, AtFlags::empty())).map_err(failed("setting a time"))
            }
            Err(errno) => Err(failed("setting a time")(errno)),
        }
    }

    /// Sets the mode of a FIFO or device.
    pub(crate) fn set_mode(&self, mode: u32) -> Result<(), Error> {
        let stat = sys!(fstat(&self.fd)).map_err(failed("looking at a special file"))?;
        if Stat::from_os(&stat).kind == Kind::Symlink {
            return Err(Error::new(ErrorKind::Io, "an object changed its type before its mode was set"));
        }
        self.root.set_mode_held(&self.fd, mode)
    }

    /// Removes the access ACL that a FIFO or device took over from its directory.
    pub(crate) fn remove_acl(&self) -> Result<(), Error> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        self.root.proc_fds()?;
        match sys!(removexattr(path, ACCESS_ACL)) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(failed("removing an ACL")(errno)),
        }
    }
}
