//! The hostile process: a thread with handles of its own that renames, swaps and deletes in the root as fast as it can.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, linkat, mkdirat, openat2, renameat, renameat_with, symlinkat,
};
use rustix::io::Errno;

use super::arena::{LINKED, remove};

/// What the attacker puts in the place of something.
#[derive(Clone, Copy, Debug)]
pub enum Thing {
    /// A symlink with this target.
    Link(&'static str),
    /// A symlink with the absolute path of this object of the arena.
    AbsoluteLink(&'static str),
    /// A file of his own.
    File,
    /// A hardlink to the file of the canary that he can link.
    CanaryFile,
}

/// What he does with one of the names, again and again. Names are relative to the root, or to the staged tree.
#[derive(Clone, Copy, Debug)]
pub enum Swap {
    /// Exchanges what stands there with a thing, and back.
    Exchange(Thing),
    /// Moves a directory out of the root and back.
    MoveOut,
    /// Moves a directory aside, makes an empty one, deletes the old one.
    Remake,
    /// Moves a directory aside, makes a symlink in its place, unlinks it, moves the directory back.
    Relink(Thing),
    /// Makes files in a directory, without end.
    Flood,
}

/// Where the names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    Root,
    /// In the staging directory of the run that is on.
    Staged,
    /// The name is that of the staging directory itself.
    Staging,
}

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub swap: Swap,
    pub ground: Ground,
    pub names: &'static [&'static str],
    /// Whether a directory is made where a name is missing.
    pub missing: Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Make,
    Leave,
}

/// What the attackers and the victim tell each other.
#[derive(Default)]
pub struct Gate {
    ended: AtomicBool,
    rest: AtomicBool,
    resting: AtomicBool,
    pub swaps: AtomicU64,
}

impl Gate {
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Does something while the attacker rests.
    pub fn while_at_rest<T>(&self, work: impl FnOnce() -> T) -> T {
        self.rest.store(true, Ordering::SeqCst);
        while !self.resting.load(Ordering::SeqCst) && !self.ended.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let done = work();
        self.rest.store(false, Ordering::SeqCst);
        while self.resting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        done
    }

    /// Lets the attacker rest where he has to; gives whether he goes on.
    fn pass(&self) -> bool {
        while self.rest.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed) {
            self.resting.store(true, Ordering::SeqCst);
            std::thread::yield_now();
        }
        if self.resting.load(Ordering::Relaxed) {
            self.resting.store(false, Ordering::SeqCst);
        }
        !self.ended.load(Ordering::Relaxed)
    }
}

struct Attacker<'a> {
    plan: Plan,
    /// The arena.
    place: &'a Path,
    root: OwnedFd,
    outside: OwnedFd,
    /// The object of the canary that he gives names.
    linked: u64,
    random: u64,
}

/// Attacks in the arena at `place` until the gate says that it is over.
pub fn attack(place: &Path, plan: Plan, gate: &Gate) {
    let root = open(&place.join("root"));
    let outside = open(&place.join("outside"));
    let linked = std::fs::symlink_metadata(place.join("canary").join(LINKED)).expect("the canary").ino();
    let mut attacker = Attacker { plan, place, root, outside, linked, random: 0x9e37_79b9_7f4a_7c15 };
    while gate.pass() {
        match attacker.step() {
            Ok(()) => gate.swaps.fetch_add(1, Ordering::Relaxed),
            Err(_) => continue,
        };
    }
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a handle of the attacker")
}

/// Opens a directory through no symlink: what the attacker does himself must not leave the root.
fn open_below(dir: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(dir, if path.is_empty() { "." } else { path }, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH)
}

impl Attacker<'_> {
    fn step(&mut self) -> Result<(), Errno> {
        let name = self.plan.names[self.roll(self.plan.names.len())];
        let (base, path) = match self.plan.ground {
            Ground::Root => (open_below(&self.root, "")?, name.to_owned()),
            Ground::Staged => (open_below(&self.root, &self.staging()?)?, name.to_owned()),
            Ground::Staging => (open_below(&self.root, "")?, self.staging()?),
        };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let dir = open_below(&base, parent)?;
        match self.plan.swap {
            Swap::Exchange(thing) => self.exchange(&dir, name, thing),
            Swap::MoveOut => self.move_out(&dir, name),
            Swap::Remake => self.remake(&dir, name),
            Swap::Relink(thing) => self.relink(&dir, name, thing),
            Swap::Flood => self.flood(&dir, name),
        }
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % sides.max(1)
    }

    /// Lets a moment pass, each time another one.
    fn dwell(&mut self) {
        match self.roll(16) {
            0 => std::thread::yield_now(),
            1..=5 => {}
            _ => (0..self.roll(400)).for_each(|_| std::hint::spin_loop()),
        }
    }

    /// The name of the staging directory that is there now.
    fn staging(&self) -> Result<String, Errno> {
        let names = std::fs::read_dir(self.place.join("root")).map_err(|_| Errno::NOENT)?.flatten();
        let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.find(|name| name.starts_with(".dest.safe-layers-")).ok_or(Errno::NOENT)
    }

    fn exchange(&mut self, dir: &OwnedFd, name: &str, thing: Thing) -> Result<(), Errno> {
        let pool = open_below(&self.root, ".pool")?;
        self.renew(&pool, thing);
        match renameat_with(dir, name, &pool, "spare", RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(errno) => {
                self.make_missing(dir, name);
                return Err(errno);
            }
        }
        self.dwell();
        renameat_with(dir, name, &pool, "spare", RenameFlags::EXCHANGE)?;
        self.dwell();
        Ok(())
    }

    fn make_missing(&self, dir: &OwnedFd, name: &str) {
        if self.plan.missing == Missing::Make {
            mkdirat(dir, name, Mode::from_raw_mode(0o755)).unwrap_or_default();
        }
    }

    /// Plants the spare thing anew where the victim's work took its place.
    fn renew(&self, pool: &OwnedFd, thing: Thing) {
        if !self.stands(pool, thing) {
            remove(&self.place.join("root/.pool/spare"));
            self.plant(pool, "spare", thing);
        }
    }

    fn stands(&self, pool: &OwnedFd, thing: Thing) -> bool {
        let Ok(stat) = rustix::fs::statat(pool, "spare", AtFlags::SYMLINK_NOFOLLOW) else { return false };
        match (FileType::from_raw_mode(stat.st_mode), thing) {
            (FileType::Symlink, Thing::Link(_) | Thing::AbsoluteLink(_)) | (FileType::RegularFile, Thing::File) => true,
            (FileType::RegularFile, Thing::CanaryFile) => stat.st_ino == self.linked,
            _ => false,
        }
    }

    fn plant(&self, dir: &OwnedFd, name: &str, thing: Thing) {
        let planted = match thing {
            Thing::Link(target) => symlinkat(target, dir, name),
            Thing::AbsoluteLink(target) => symlinkat(self.place.join(target), dir, name),
            Thing::CanaryFile => linkat(rustix::fs::CWD, self.place.join("canary").join(LINKED), dir, name, AtFlags::empty()),
            Thing::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY;
                rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        planted.unwrap_or_default();
    }

    fn move_out(&mut self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        renameat(dir, name, &self.outside, "moved").inspect_err(|_| self.make_missing(dir, name))?;
        self.dwell();
        if renameat_with(&self.outside, "moved", dir, name, RenameFlags::NOREPLACE).is_err() {
            remove(&self.place.join("outside/moved"));
        }
        self.dwell();
        Ok(())
    }

    fn remake(&mut self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        let pool = open_below(&self.root, ".pool")?;
        let old = renameat(dir, name, &pool, "old");
        self.dwell();
        self.make_missing(dir, name);
        remove(&self.place.join("root/.pool/old"));
        old
    }

    fn relink(&mut self, dir: &OwnedFd, name: &str, thing: Thing) -> Result<(), Errno> {
        let pool = open_below(&self.root, ".pool")?;
        renameat(dir, name, &pool, "old").inspect_err(|_| {
            remove(&self.place.join("root/.pool/old"));
            self.make_missing(dir, name);
        })?;
        self.plant(dir, name, thing);
        self.dwell();
        rustix::fs::unlinkat(dir, name, AtFlags::empty()).unwrap_or_default();
        if renameat_with(&pool, "old", dir, name, RenameFlags::NOREPLACE).is_err() {
            remove(&self.place.join("root/.pool/old"));
        }
        self.dwell();
        Ok(())
    }

    fn flood(&mut self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        let flooded = open_below(dir, name)?;
        (0..16).for_each(|_| {
            let drop = format!("drop-{:x}", self.roll(1 << 20));
            self.plant(&flooded, &drop, Thing::File);
        });
        Ok(())
    }
}
