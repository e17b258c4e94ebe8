//! Tells whether two handles are on the same mount.

use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::sys::sys;
use crate::error::{Error, ErrorKind};

/// Identifies a mount. Not the device number, which varies inside one mount (overlayfs, btrfs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MountId(u64);

impl MountId {
    /// Asks statx, else `/proc/self/fdinfo`, else refuses: a mount that cannot be told is not crossed.
    pub(super) fn of(fd: &OwnedFd) -> Result<Self, Error> {
        if let Ok(stat) = sys!(statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))
            && stat.stx_mask & StatxFlags::MNT_ID.bits() != 0
        {
            return Ok(Self(stat.stx_mnt_id));
        }
        from_fdinfo(fd)
            .map(Self)
            .ok_or_else(|| Error::new(ErrorKind::Io, "neither statx nor /proc/self/fdinfo tells the mount of a handle"))
    }

    /// Refuses `fd` if it is on another mount.
    pub(super) fn check(self, fd: &OwnedFd) -> Result<(), Error> {
        if Self::of(fd)? == self { Ok(()) } else { Err(Error::new(ErrorKind::MountCrossing, "another mount is in the way")) }
    }
}

fn from_fdinfo(fd: &OwnedFd) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let info = sys!(open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())).ok()?;
    if sys!(fstatfs(&info)).ok()?.f_type != rustix::fs::PROC_SUPER_MAGIC {
        return None;
    }
    let mut text = String::new();
    std::fs::File::from(info).take(4096).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_tell_a_mount_agree_and_tell_mounts_apart() {
        let open = |path: &str| OwnedFd::from(std::fs::File::open(path).unwrap());
        let (root, proc) = (open("/"), open("/proc"));
        // statx gives the id of /proc/self/mountinfo, as fdinfo does.
        assert_eq!(MountId::of(&root).unwrap().0, from_fdinfo(&root).unwrap());
        assert!(MountId::of(&root).unwrap().check(&proc).is_err());
        assert!(MountId::of(&root).unwrap().check(&open("/")).is_ok());
    }
}
