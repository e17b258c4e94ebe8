//! In-root resolution of parents, in two implementations that are tested against each other: `openat2(RESOLVE_IN_ROOT)`
//! and a walk of one component at a time. Neither ever leaves the root or the mount.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::sys::sys;
use super::{Dir, Kind, PATH_ANY, PATH_DIR, Root, Stat, failed};
use crate::entry::Name;
use crate::error::{Error, ErrorKind};

/// Linux `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;
/// Tries of `openat2` when a rename elsewhere disturbs a resolution with `..` (EAGAIN).
const MAX_TRIES: usize = 128;
/// Components followed in one resolution: each of the links may have 256. Real images need a dozen; without a bound one entry
/// below a chain of long links costs as much as thousands.
const MAX_COMPONENTS: usize = MAX_LINKS * 256;
/// What a seccomp filter or an old kernel answers instead of `openat2`.
const ABSENT: [Errno; 4] = [Errno::NOSYS, Errno::PERM, Errno::TOOBIG, Errno::INVAL];

/// The resolver in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Active {
    Openat2,
    Walk,
}

impl Active {
    /// Asks the kernel once whether it has `openat2`, so that a later EPERM is a real error.
    pub(super) fn probe(top: &OwnedFd) -> Result<Self, Error> {
        match sys!(openat2(top, ".", PATH_DIR, Mode::empty(), IN_ROOT)) {
            Ok(_) => Ok(Self::Openat2),
            Err(errno) if ABSENT.contains(&errno) => Ok(Self::Walk),
            Err(errno) => Err(failed("asking for openat2")(errno)),
        }
    }
}

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);
const ONE_NAME: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// What one name in a directory leads to.
#[derive(Debug)]
pub(crate) enum Step {
    /// A directory, opened.
    Directory(Dir),
    /// A symlink.
    Symlink,
    /// A whiteout of overlayfs.
    Whiteout,
    /// Something else.
    Other,
    /// Nothing.
    Missing,
}

/// Where a path leads inside the root.
#[derive(Debug)]
pub(crate) enum Resolution<D = Dir> {
    /// To a directory.
    Directory(Trail<D>),
    /// To a name that is not there; `rest` starts with it.
    Missing { at: Trail<D>, rest: Vec<Vec<u8>> },
    /// To something that is no directory; `rest` starts with its name.
    Other { at: Trail<D>, rest: Vec<Vec<u8>> },
}

/// Whether a resolution had to be held back, or would have ended there without the root as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Inside,
    /// An absolute link, or `..` at the root.
    Beyond,
}

/// The directories from the root (not in the list) down to one, each with its name in the one before.
pub(crate) type Trail<D = Dir> = Vec<(Vec<u8>, D)>;

/// What a name in a directory is, as a walk needs it.
pub(crate) enum Looked<D = Dir> {
    Directory(D),
    /// With its target.
    Symlink(Vec<u8>),
    Whiteout,
    Other,
    Missing,
}

/// A tree that can be walked: directories on disk, or those of several layers seen as one.
pub(crate) trait Views {
    type Dir;
    fn look(&self, dir: &Self::Dir, name: Name<'_>) -> Result<Looked<Self::Dir>, Error>;
}

impl Root {
    /// Enters the directory `name` of `dir`, following nothing and crossing no mount.
    pub(crate) fn enter(&self, dir: &Dir, name: Name<'_>) -> Result<Step, Error> {
        match self.open_name(dir, name, PATH_DIR) {
            Ok(fd) => Dir::from_fd(fd).map(Step::Directory),
            Err(Errno::NOENT) => Ok(Step::Missing),
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(match dir.stat_of(name)?.map(|stat| stat.kind) {
                None => Step::Missing,
                Some(Kind::Symlink) => Step::Symlink,
                Some(Kind::Whiteout) => Step::Whiteout,
                // A directory that took the place meanwhile: somebody else writes here.
                Some(Kind::Directory) => return Err(Error::new(ErrorKind::Io, "a name changed its type while it was opened")),
                Some(_) => Step::Other,
            }),
            Err(errno) => Err(failed("entering a directory")(errno)),
        }
    }

    /// Enters the directory `name` of the one at `path` (joined names), following nothing and crossing no mount.
    pub(crate) fn enter_below(&self, path: &[u8], name: Name<'_>) -> Result<Step, Error> {
        if path.is_empty() {
            return self.enter(&self.top, name);
        }
        if self.resolver == Active::Openat2 {
            let whole = [path, b"/", name.as_bytes()].concat();
            match sys!(openat2(&self.top.fd, whole, PATH_DIR, Mode::empty(), ONE_NAME)) {
                Ok(fd) => return Dir::from_fd(fd).map(Step::Directory),
                Err(Errno::NOENT) => return Ok(Step::Missing),
                // What is there instead, or too long a path: by one name after the other.
                Err(_) => {}
            }
        }
        self.enter(&self.directory_at(path)?, name)
    }

    /// Opens the directory at `path` (joined names), following nothing and crossing no mount.
    pub(crate) fn directory_at(&self, path: &[u8]) -> Result<Dir, Error> {
        let mut dir = self.top.clone();
        for raw in components(path) {
            let name = Name::new(&raw).ok_or_else(|| Error::new(ErrorKind::InvalidName, "a parent"))?;
            dir = self.open_name(&dir, name, PATH_DIR).map_err(failed("opening a directory of a lower layer")).and_then(Dir::from_fd)?;
        }
        Ok(dir)
    }

    /// Opens `name` in `dir` without following it and without crossing a mount.
    pub(super) fn open_name(&self, dir: &Dir, name: Name<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self.resolver {
            Active::Openat2 => sys!(openat2(&dir.fd, name.as_bytes(), flags, Mode::empty(), ONE_NAME)),
            Active::Walk => {
                let fd = sys!(openat(&dir.fd, name.as_bytes(), flags | OFlags::NOFOLLOW, Mode::empty()))?;
                self.mount.check(&fd).map_err(|_| Errno::XDEV)?;
                Ok(fd)
            }
        }
    }

    /// Resolves `path` (joined names, links followed inside the root) by `openat2`; none where the walk must tell more.
    pub(crate) fn resolve_at_once(&self, path: &[u8]) -> Result<Option<Dir>, Error> {
        if self.resolver == Active::Walk {
            return Ok(None);
        }
        for _ in 0..MAX_TRIES {
            match sys!(openat2(&self.top.fd, path, PATH_DIR.difference(OFlags::NOFOLLOW), Mode::empty(), IN_ROOT)) {
                Ok(fd) => return Dir::from_fd(fd).map(Some),
                Err(Errno::AGAIN) => {}
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(errno) => return Err(resolution_failed(errno)),
            }
        }
        Ok(None)
    }

    /// Resolves `path` one component at a time: [`walk`].
    #[cfg(test)]
    pub(crate) fn walk(&self, path: &[u8], depth: u64) -> Result<Resolution, Error> {
        walk(self, &self.top, path, depth, &mut Reach::Inside)
    }
}

impl Views for Root {
    type Dir = Dir;

    fn look(&self, dir: &Dir, name: Name<'_>) -> Result<Looked, Error> {
        let fd = match self.open_name(dir, name, PATH_ANY) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Looked::Missing),
            Err(errno) => return Err(failed("looking at a parent")(errno)),
        };
        let stat = sys!(fstat(&fd)).map_err(failed("looking at a parent"))?;
        Ok(match Stat::from_os(&stat).kind {
            Kind::Directory => Looked::Directory(Dir::from_fd(fd)?),
            Kind::Symlink => {
                // Read through the handle that was looked at, so that the link cannot change in between.
                let target = sys!(readlinkat(&fd, "", Vec::new())).map_err(failed("reading a symlink"))?;
                Looked::Symlink(target.into_bytes())
            }
            Kind::Whiteout => Looked::Whiteout,
            _ => Looked::Other,
        })
    }
}

/// Resolves `path` (joined names, links followed inside the root) from `top`, one component at a time.
///
/// `..` in a link pops a stack of handles; it is never given to the kernel. `depth` bounds the stack. `reach` says whether the
/// root held the walk back, also where it ends in an error.
pub(crate) fn walk<V: Views>(views: &V, top: &V::Dir, path: &[u8], depth: u64, reach: &mut Reach) -> Result<Resolution<V::Dir>, Error> {
    let mut todo: VecDeque<Vec<u8>> = components(path).collect();
    let mut trail = Trail::<V::Dir>::new();
    let (mut links, mut followed) = (0_usize, 0_usize);
    while let Some(component) = todo.pop_front() {
        followed = followed.saturating_add(1);
        if followed > MAX_COMPONENTS {
            return Err(Error::new(ErrorKind::SymlinkLoop, format!("over {MAX_COMPONENTS} components on the way to the parent")));
        }
        if component == b".." {
            if trail.pop().is_none() {
                *reach = Reach::Beyond;
            }
            continue;
        }
        let name = Name::new(&component).ok_or_else(|| Error::new(ErrorKind::NameTooLong, "a component of a link's target"))?;
        let here = trail.last().map_or(top, |(_, dir)| dir);
        match views.look(here, name)? {
            Looked::Directory(dir) => {
                trail.push((component, dir));
                if crate::convert::len_u64(trail.len()) > depth {
                    return Err(Error::limit_exceeded("depth", depth));
                }
            }
            Looked::Symlink(target) => {
                links = links.saturating_add(1);
                if links > MAX_LINKS {
                    return Err(resolution_failed(Errno::LOOP));
                }
                if target.first() == Some(&b'/') {
                    trail.clear();
                    *reach = Reach::Beyond;
                }
                components(&target).rev().for_each(|component| todo.push_front(component));
            }
            Looked::Missing => return unfinished(trail, component, todo).map(|(at, rest)| Resolution::Missing { at, rest }),
            Looked::Whiteout | Looked::Other => return unfinished(trail, component, todo).map(|(at, rest)| Resolution::Other { at, rest }),
        }
    }
    Ok(Resolution::Directory(trail))
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> + '_ {
    path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")).map(<[u8]>::to_vec)
}

/// Gives what is left to make. `..` after a missing component would make the tree depend on what is not there.
fn unfinished<D>(at: Trail<D>, component: Vec<u8>, todo: VecDeque<Vec<u8>>) -> Result<(Trail<D>, Vec<Vec<u8>>), Error> {
    let rest: Vec<Vec<u8>> = std::iter::once(component).chain(todo).collect();
    if rest.iter().any(|component| component == b"..") {
        return Err(Error::new(ErrorKind::ParentMissing, "a link's target has `..` after a component that is not there"));
    }
    if rest.iter().any(|component| Name::new(component).is_none()) {
        return Err(Error::new(ErrorKind::NameTooLong, "a component of a link's target"));
    }
    Ok((at, rest))
}

fn resolution_failed(errno: Errno) -> Error {
    match errno {
        Errno::LOOP => Error::new(ErrorKind::SymlinkLoop, "over 40 symlinks on the way to the parent"),
        Errno::NAMETOOLONG => Error::new(ErrorKind::NameTooLong, "a component of a link's target"),
        errno => failed("resolving a parent")(errno),
    }
}
