//! The least an unpacker can do: the tree of an archive that is parsed and in memory, by the system calls that it needs and no other.
//!
//! Nothing is checked: no name, no limit, nothing that stands in the way, no digest. Prints what it measured itself, the time from the
//! first call to the last, as `measured WALL CPU` in seconds.

use std::error::Error;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use tar::EntryType;

/// Entries that a thread takes at once.
const BLOCK: usize = 64;
/// Bytes of one write.
const PIECE: usize = 256 << 10;

struct Entry {
    parent: PathBuf,
    name: PathBuf,
    kind: EntryType,
    mode: u32,
    owner: (u32, u32),
    mtime: i64,
    link: PathBuf,
    device: (u32, u32),
    xattrs: Vec<(String, Vec<u8>)>,
    body: Range<usize>,
}

pub fn make(threads: usize, tar: &Path, dest: &Path) -> Result<(), Box<dyn Error>> {
    let archive = std::fs::read(tar)?;
    let entries = parse(&archive)?;
    rustix::process::umask(Mode::empty());
    std::fs::create_dir(dest)?;
    let root = rustix::fs::openat(CWD, dest, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let (wall, cpu) = (Instant::now(), processor_time());
    tree(threads, &root, &archive, &entries)?;
    println!("measured {:.6} {:.6}", wall.elapsed().as_secs_f64(), processor_time() - cpu);
    Ok(())
}

fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn parse(archive: &[u8]) -> Result<Vec<Entry>, Box<dyn Error>> {
    let mut entries = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let mut xattrs = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            if let Some(name) = record.key()?.strip_prefix("SCHILY.xattr.") {
                xattrs.push((name.to_owned(), record.value_bytes().to_vec()));
            }
        }
        let header = entry.header();
        let start = usize::try_from(entry.raw_file_position())?;
        entries.push(Entry {
            parent: parent.strip_prefix(".").unwrap_or(parent).to_owned(),
            name: name.into(),
            kind: header.entry_type(),
            mode: header.mode()?,
            owner: (u32::try_from(header.uid()?)?, u32::try_from(header.gid()?)?),
            mtime: i64::try_from(header.mtime()?)?,
            link: entry.link_name()?.map(|link| link.into_owned()).unwrap_or_default(),
            // Of a device; what others have there need not be a number.
            device: (header.device_major().ok().flatten().unwrap_or(0), header.device_minor().ok().flatten().unwrap_or(0)),
            xattrs,
            body: start..start + usize::try_from(entry.size())?,
        });
    }
    Ok(entries)
}

/// Directories first, then what is in them by every thread, then hardlinks, then the times of the directories.
fn tree(threads: usize, root: &OwnedFd, archive: &[u8], entries: &[Entry]) -> Result<(), Errno> {
    let directory = |entry: &&Entry| entry.kind.is_dir();
    let mut parents = Parents::of(root);
    for entry in entries.iter().filter(directory) {
        let parent = parents.of_entry(entry)?;
        rustix::fs::mkdirat(parent, &entry.name, Mode::from_raw_mode(entry.mode))?;
        if entry.owner != (0, 0) {
            chown(parent, entry)?;
            // The owner is changed by one who may keep these bits, and they go all the same.
            rustix::fs::chmodat(parent, &entry.name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        }
    }
    let next = AtomicUsize::new(0);
    let work = || fill(root, archive, entries, &next);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work()?;
        others.into_iter().try_for_each(|other| other.join().expect("a thread"))
    })?;
    for entry in entries.iter().filter(|entry| entry.kind == EntryType::Link) {
        let link = entry.link.strip_prefix(".").unwrap_or(&entry.link);
        rustix::fs::linkat(root, link, parents.of_entry(entry)?, &entry.name, AtFlags::empty())?;
    }
    entries.iter().filter(directory).try_for_each(|entry| times(parents.of_entry(entry)?, entry))
}

fn fill(root: &OwnedFd, archive: &[u8], entries: &[Entry], next: &AtomicUsize) -> Result<(), Errno> {
    let mut parents = Parents::of(root);
    loop {
        let start = next.fetch_add(BLOCK, Ordering::Relaxed);
        if start >= entries.len() {
            return Ok(());
        }
        for entry in &entries[start..entries.len().min(start + BLOCK)] {
            one(&mut parents, archive, entry)?;
        }
    }
}

fn one(parents: &mut Parents, archive: &[u8], entry: &Entry) -> Result<(), Errno> {
    use rustix::fs::{FileType, makedev, mknodat, symlinkat};
    let special = match entry.kind {
        EntryType::Directory | EntryType::Link => return Ok(()),
        EntryType::Symlink => {
            let parent = parents.of_entry(entry)?;
            symlinkat(&entry.link, parent, &entry.name)?;
            if entry.owner != (0, 0) {
                chown(parent, entry)?;
            }
            return times(parent, entry);
        }
        EntryType::Fifo => FileType::Fifo,
        EntryType::Char => FileType::CharacterDevice,
        EntryType::Block => FileType::BlockDevice,
        _ => return file(parents.of_entry(entry)?, &archive[entry.body.clone()], entry),
    };
    let parent = parents.of_entry(entry)?;
    mknodat(parent, &entry.name, special, Mode::from_raw_mode(entry.mode), makedev(entry.device.0, entry.device.1))?;
    if entry.owner != (0, 0) {
        chown(parent, entry)?;
    }
    times(parent, entry)
}

fn file(parent: &OwnedFd, body: &[u8], entry: &Entry) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(entry.mode);
    let file = rustix::fs::openat(parent, &entry.name, flags, mode)?;
    for mut piece in body.chunks(PIECE) {
        while !piece.is_empty() {
            piece = &piece[rustix::io::write(&file, piece)?..];
        }
    }
    if entry.owner != (0, 0) {
        rustix::fs::fchown(&file, Some(Uid::from_raw(entry.owner.0)), Some(Gid::from_raw(entry.owner.1)))?;
    }
    // A change of the owner, and a write, clear these.
    if entry.mode & 0o6000 != 0 {
        rustix::fs::fchmod(&file, mode)?;
    }
    for (name, value) in &entry.xattrs {
        rustix::fs::fsetxattr(&file, name.as_str(), value, XattrFlags::empty())?;
    }
    rustix::fs::futimens(&file, &stamps(entry))
}

fn chown(parent: &OwnedFd, entry: &Entry) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(entry.owner.0), Gid::from_raw(entry.owner.1));
    rustix::fs::chownat(parent, &entry.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(parent: &OwnedFd, entry: &Entry) -> Result<(), Errno> {
    rustix::fs::utimensat(parent, &entry.name, &stamps(entry), AtFlags::SYMLINK_NOFOLLOW)
}

fn stamps(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// The directory of the last entry, open: archives name what is in a directory one after the other.
struct Parents<'r> {
    root: &'r OwnedFd,
    last: Option<(PathBuf, OwnedFd)>,
}

impl<'r> Parents<'r> {
    fn of(root: &'r OwnedFd) -> Self {
        Self { root, last: None }
    }

    fn of_entry(&mut self, entry: &Entry) -> Result<&OwnedFd, Errno> {
        if entry.parent.as_os_str().is_empty() {
            return Ok(self.root);
        }
        let (_, directory) = match self.last.take() {
            Some(last) if last.0 == entry.parent => self.last.insert(last),
            _ => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = rustix::fs::openat(self.root, &entry.parent, flags, Mode::empty())?;
                self.last.insert((entry.parent.clone(), directory))
            }
        };
        Ok(directory)
    }
}
