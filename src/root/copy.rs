//! What a layer takes over from the layers below it: their files and attributes are read by handle, nothing in them is changed
//! but, where the caller of this module says so, the mode of a file that he cannot read, for as long as it takes to open it.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::sys::{gate, sys};
use super::{Dir, Kind, NewFile, ObjectId, PATH_ANY, READABLE_DIR, Root, Stat, failed};
use crate::archive::Xattr;
use crate::convert::len_u64;
use crate::entry::{Name, SymlinkTarget};
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;

/// Bytes copied at a time.
const COPY: usize = 256 << 10;
/// What the owner needs to read a file.
const OWNER_READ: u32 = 0o400;
/// Not blocked by a FIFO, nor made the terminal of the process, whatever took the place of the file meanwhile.
const READABLE_FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A regular file that is there, open for reading.
#[derive(Debug)]
pub(crate) struct OldFile {
    file: File,
    len: u64,
    pub(crate) xattrs: Vec<Xattr>,
}

/// What becomes of a file of the caller's own whose mode does not let him read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Refuse,
    /// It is readable for as long as it takes to open it.
    Grant,
}

/// An object of the tree, by a handle that its names do not matter to.
#[derive(Debug)]
pub(crate) struct Held {
    fd: OwnedFd,
    id: ObjectId,
}

impl Attributes for OldFile {
    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Dir {
    /// Opens the directory again for reading, as its mode lets the caller.
    pub(crate) fn readable(&self) -> Result<Self, Error> {
        sys!(openat(&self.fd, ".", READABLE_DIR, Mode::empty()))
            .map_err(failed("opening a directory of a lower layer"))
            .and_then(Self::from_fd)
    }
}

impl Root {
    /// Opens the regular file that `expected` describes and reads its attributes that `wanted` names.
    pub(crate) fn open_file(
        &self,
        (dir, name): (&Dir, Name<'_>),
        expected: &Stat,
        unreadable: Unreadable,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<OldFile, Error> {
        let caller = super::caller().uid;
        if unreadable == Unreadable::Refuse || caller == 0 || expected.uid != caller || expected.mode & OWNER_READ != 0 {
            return self.open_as_it_is((dir, name), expected, wanted);
        }
        // Whatever takes the name meanwhile, the mode is taken back from the file it was lent to.
        let (held, _) = self.hold_for_mode(dir, name, |found| found.kind == Kind::File && found.id == expected.id)?;
        let granted = self.set_mode_held(&held, expected.mode | OWNER_READ);
        let opened = granted.and_then(|()| self.open_as_it_is((dir, name), expected, wanted));
        let restored = self.set_mode_held(&held, expected.mode);
        let file = opened?;
        restored.map(|()| file)
    }

    fn open_as_it_is(&self, (dir, name): (&Dir, Name<'_>), expected: &Stat, wanted: impl Fn(&[u8]) -> bool) -> Result<OldFile, Error> {
        let (file, len) = self.open_expected((dir, name), expected)?;
        let mut old = OldFile { file, len, xattrs: Vec::new() };
        // `user.*` asks for permission to read the file, not for a handle that has it.
        old.xattrs = read_xattrs(&old, wanted)?;
        Ok(old)
    }

    /// Opens the regular file that `expected` describes, not what took its name meanwhile; gives its length in bytes too.
    pub(super) fn open_expected(&self, (dir, name): (&Dir, Name<'_>), expected: &Stat) -> Result<(File, u64), Error> {
        let fd = self.open_name(dir, name, READABLE_FILE).map_err(failed("opening a file"))?;
        let stat = sys!(fstat(&fd)).map_err(failed("looking at a file"))?;
        let found = Stat::from_os(&stat);
        if found.id != expected.id || found.kind != Kind::File {
            return Err(Error::new(ErrorKind::Io, "a file was exchanged by somebody else while it was opened"));
        }
        Ok((File::from(fd), super::wide(stat.st_size)))
    }

    /// Reads the target of the symlink `name`.
    pub(crate) fn read_symlink(&self, dir: &Dir, name: Name<'_>, limits: &Limits) -> Result<SymlinkTarget, Error> {
        let target = sys!(readlinkat(&dir.fd, name.as_bytes(), Vec::new())).map_err(failed("reading a symlink"))?;
        SymlinkTarget::parse(target.into_bytes(), limits)
    }

    /// Holds on to the object `name`, which is not followed.
    pub(crate) fn hold(&self, dir: &Dir, name: Name<'_>) -> Result<Held, Error> {
        let fd = self.open_name(dir, name, PATH_ANY).map_err(failed("opening an object"))?;
        let stat = sys!(fstat(&fd)).map_err(failed("looking at an object"))?;
        Ok(Held { fd, id: Stat::from_os(&stat).id })
    }

    /// Gives an object that is held the further name `name`; not if it has no name any more.
    pub(crate) fn link_held(&self, held: &Held, (dir, name): (&Dir, Name<'_>)) -> Result<bool, Error> {
        let proc = self.proc_fds()?;
        let number = rustix::path::DecInt::from_fd(&held.fd);
        match sys!(linkat(proc, number, &dir.fd, name.as_bytes(), AtFlags::SYMLINK_FOLLOW)) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(failed("making a hardlink")(errno)),
        }
        if dir.stat_of(name)?.map(|stat| stat.id) == Some(held.id) {
            return Ok(true);
        }
        self.unlink(dir, name)?;
        Err(Error::new(ErrorKind::Io, "a name was exchanged while it was made: somebody else writes here"))
    }

    /// Makes the character device 0:0, the whiteout of overlayfs, which needs no privilege (Linux 5.8).
    pub(crate) fn make_whiteout(&self, dir: &Dir, name: Name<'_>) -> Result<(), Error> {
        sys!(mknodat(&dir.fd, name.as_bytes(), FileType::CharacterDevice, Mode::empty(), 0)).map_err(failed("making a whiteout"))?;
        match dir.stat_of(name)?.map(|stat| stat.kind) {
            Some(Kind::Whiteout) => Ok(()),
            _ => Err(Error::new(ErrorKind::Io, "the filesystem holds no whiteout")),
        }
    }
}

impl OldFile {
    /// The logical size, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl NewFile {
    /// Takes the bytes of `from` over: shared where the filesystem can (reflink), else copied without its holes.
    pub(crate) fn copy_from(&mut self, from: &OldFile) -> Result<(), Error> {
        match sys!(ioctl_ficlone(&self.file, &from.file)) {
            Ok(()) => return Ok(()),
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => return Err(failed("sharing the bytes of a file")(errno)),
        }
        let mut buffer = vec![0_u8; COPY];
        let mut at = 0;
        while let Some((start, end)) = from.next_data(at)? {
            at = start;
            while at < end {
                let want = crate::convert::min_usize(end.saturating_sub(at), COPY);
                let Some(room) = buffer.get_mut(..want) else { break };
                gate("pread64").map_err(failed("reading a file of a lower layer"))?;
                let got = from.file.read_at(room, at).map_err(|e| Error::io("reading a file of a lower layer", &e))?;
                let Some(read) = buffer.get(..got).filter(|read| !read.is_empty()) else {
                    return Err(Error::new(ErrorKind::Io, "a file of a lower layer was cut by somebody else"));
                };
                self.write_at(at, read)?;
                at = at.saturating_add(len_u64(read.len()));
            }
        }
        self.extend_to(from.len)
    }
}

impl OldFile {
    /// Where the next bytes are that are no hole.
    fn next_data(&self, at: u64) -> Result<Option<(u64, u64)>, Error> {
        if at >= self.len {
            return Ok(None);
        }
        let start = match sys!(seek(&self.file, SeekFrom::Data(at))) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // A filesystem that knows no holes.
            Err(Errno::INVAL) => return Ok(Some((at, self.len))),
            Err(errno) => return Err(failed("looking for holes")(errno)),
        };
        let end = sys!(seek(&self.file, SeekFrom::Hole(start))).map_err(failed("looking for holes"))?;
        Ok(Some((start, end.min(self.len))))
    }
}

/// Reads the extended attributes of `object` that `wanted` names.
pub(crate) fn read_xattrs(object: &impl Attributes, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Xattr>, Error> {
    let mut found = Vec::new();
    for name in object.xattr_names()?.into_iter().filter(|name| wanted(name)) {
        if let Some(value) = object.xattr(&name)? {
            found.push(Xattr { name, value });
        }
    }
    Ok(found)
}
