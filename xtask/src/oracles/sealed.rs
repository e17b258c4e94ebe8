//! A world in which all mounts but the destination's parent are read-only, and what stands beside the destination too.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

use crate::cases::Place;

/// The word after the program's name that starts a child in such a world.
pub const WORD: &str = "within-sealed-world";

/// What stands beside the destination.
const NEIGHBOURS: [&str; 2] = ["canary", "dest-evil"];

/// The words that run `words` in a sealed world.
pub fn words(place: &Place, words: &[OsString]) -> Vec<OsString> {
    let own = std::env::current_exe().expect("the program");
    let mut sealed: Vec<OsString> = vec![own.into(), WORD.into(), place.world.parent().into()];
    sealed.extend_from_slice(words);
    sealed
}

/// The child: seals all for itself, then becomes the program.
pub fn enter(words: &[OsString]) -> std::io::Error {
    let parent = Path::new(&words[0]);
    // SAFETY: a namespace of its own for this process, which has one thread.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.expect("a mount namespace");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private mounts");
    set_read_only(Path::new("/"), true, libc::AT_RECURSIVE as u32);
    bind(parent, false);
    for name in NEIGHBOURS {
        bind(&parent.join(name), true);
    }
    std::process::Command::new(&words[1]).args(&words[2..]).exec()
}

fn bind(path: &Path, read_only: bool) {
    mount_bind(path, path).expect("a bind mount");
    set_read_only(path, read_only, 0);
}

fn set_read_only(path: &Path, read_only: bool, flags: u32) {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
    // `struct mount_attr`: to set, to clear, propagation, user namespace.
    let attributes: [u64; 4] = [MOUNT_ATTR_RDONLY * u64::from(read_only), MOUNT_ATTR_RDONLY * u64::from(!read_only), 0, 0];
    // SAFETY: a path that ends in NUL and a struct of the size that is given.
    let result =
        unsafe { libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path.as_ptr(), flags, &attributes, size_of_val(&attributes)) };
    assert!(result == 0, "mount_setattr: {}", std::io::Error::last_os_error());
}

const MOUNT_ATTR_RDONLY: u64 = 1;
