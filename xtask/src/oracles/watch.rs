//! Which events of others happen outside the destination, by fanotify over a whole filesystem.
//!
//! An event names its directory, and its object, by handle. Those that were outside before are known, so that nothing has to be
//! resolved after the fact: whoever makes or moves a directory outside is seen where he does so first, in a directory that is known.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::cases::Place;

const WATCHED: u64 = libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_MOVED_FROM
    | libc::FAN_MOVED_TO
    | libc::FAN_MODIFY
    | libc::FAN_ATTRIB
    | libc::FAN_OPEN
    | libc::FAN_ACCESS
    | libc::FAN_ONDIR;
/// What opening and listing the parent itself is.
const READS: u64 = libc::FAN_OPEN | libc::FAN_ACCESS | libc::FAN_ONDIR;
/// What losing a name is to an inode.
const LOSES_A_NAME: u64 = libc::FAN_ATTRIB;

type Handle = Vec<u8>;

/// All that is outside, by handle.
pub struct Known {
    objects: BTreeMap<Handle, PathBuf>,
    parent: PathBuf,
    /// An object that has a name in the destination too, planted there.
    shared: Option<PathBuf>,
}

impl Known {
    pub fn of(place: &Place, shared: Option<&str>) -> Self {
        let mut known = Self {
            objects: BTreeMap::new(),
            parent: place.world.parent().to_path_buf(),
            shared: shared.map(|path| place.world.parent().join(path)),
        };
        known.add(&place.mounted.path(), &place.world.dest_path());
        known
    }

    fn add(&mut self, path: &Path, dest: &Path) {
        if path == dest {
            return;
        }
        self.objects.insert(handle(path), path.to_path_buf());
        if path.symlink_metadata().expect("an object outside").is_dir() {
            for entry in std::fs::read_dir(path).expect("a directory outside") {
                self.add(&entry.expect("an entry").path(), dest);
            }
        }
    }

    /// Says what of an event is outside, if anything is.
    fn judge(&self, event: &Event) -> Option<String> {
        let known = |handle: &Handle| self.objects.get(handle);
        let dir = event.dir.as_ref().and_then(|(handle, name)| Some((known(handle)?, name)));
        let object = event.object.as_ref().and_then(known);
        let in_parent = dir.is_some_and(|(dir, name)| *dir == self.parent && (is_own(name) || name == "." && event.mask & !READS == 0));
        let object_is_free = match object {
            None => true,
            Some(path) if *path == self.parent => in_parent,
            Some(path) => Some(path) == self.shared.as_ref() && event.mask & !LOSES_A_NAME == 0,
        };
        if (dir.is_none() || in_parent) && object_is_free {
            return None;
        }
        Some(format!("event {:#x}, directory and name {dir:?}, object {object:?}", event.mask))
    }
}

/// The names that a run may have in the parent: the destination and its staging directory.
fn is_own(name: &str) -> bool {
    name == "dest" || super::is_staging(name)
}

/// What was seen of others.
#[derive(Default)]
pub struct Seen {
    pub events: u64,
    pub outside: Vec<String>,
}

/// A mark on a whole filesystem.
pub struct Watch(OwnedFd);

struct Event {
    mask: u64,
    pid: u32,
    dir: Option<(Handle, String)>,
    object: Option<Handle>,
}

impl Watch {
    pub fn new(mount: &Path) -> Self {
        let flags = libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | libc::FAN_UNLIMITED_QUEUE;
        let flags = flags | libc::FAN_REPORT_DFID_NAME | libc::FAN_REPORT_FID;
        // SAFETY: no pointers.
        let fd = unsafe { libc::fanotify_init(flags, (libc::O_RDONLY | libc::O_LARGEFILE) as u32) };
        assert!(fd >= 0, "fanotify_init: {}", std::io::Error::last_os_error());
        // SAFETY: a descriptor that nobody else owns.
        let watch = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        let path = c_path(mount);
        let how = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        // SAFETY: a path that ends in NUL and lives for the call.
        let marked = unsafe { libc::fanotify_mark(fd, how, WATCHED, libc::AT_FDCWD, path.as_ptr()) };
        assert!(marked == 0, "fanotify_mark: {}", std::io::Error::last_os_error());
        watch
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Takes all events that are waiting; those of this process are its own preparations.
    pub fn drain(&self, known: &Known, seen: &mut Seen) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(len @ 1..) = rustix::io::read(&self.0, &mut buffer[..]) {
            let mut rest = &buffer[..len];
            while rest.len() >= HEADER {
                let (event, after) = rest.split_at(u32_at(rest, 0) as usize);
                let event = Event::parse(event);
                rest = after;
                assert!(event.mask & libc::FAN_Q_OVERFLOW == 0, "events were lost");
                if event.pid != std::process::id() {
                    seen.events += 1;
                    seen.outside.extend(known.judge(&event));
                }
            }
        }
    }
}

/// Bytes of `struct fanotify_event_metadata`.
const HEADER: usize = 24;

impl Event {
    fn parse(bytes: &[u8]) -> Self {
        let mut event = Self { mask: u64_at(bytes, 8), pid: u32_at(bytes, 20), dir: None, object: None };
        let mut rest = &bytes[HEADER..];
        while rest.len() >= 4 {
            let (info, after) = rest.split_at(usize::from(u16::from_ne_bytes([rest[2], rest[3]])));
            // Behind the header of the record stand the filesystem's id (8 bytes) and a `struct file_handle`.
            let handle = &info[12..];
            let len = u32_at(handle, 0) as usize;
            let (handle, name) = handle.split_at(8 + len);
            match info[0] {
                libc::FAN_EVENT_INFO_TYPE_FID => event.object = Some(handle.to_vec()),
                libc::FAN_EVENT_INFO_TYPE_DFID | libc::FAN_EVENT_INFO_TYPE_DFID_NAME => {
                    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                    event.dir = Some((handle.to_vec(), String::from_utf8_lossy(name).into_owned()));
                }
                other => panic!("a record of type {other}"),
            }
            rest = after;
        }
        event
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without NUL")
}

/// The handle of an object, which is not followed: length, type and bytes, as events have it.
fn handle(path: &Path) -> Handle {
    let path = c_path(path);
    let mut buffer = [0_u32; 2 + 32];
    buffer[0] = 128;
    let mut mount = 0;
    // SAFETY: `buffer` is aligned and as long as its first field and the header say.
    let result = unsafe { libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), buffer.as_mut_ptr().cast(), &mut mount, 0) };
    assert!(result == 0, "name_to_handle_at: {}", std::io::Error::last_os_error());
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes[..8 + buffer[0] as usize].to_vec()
}
