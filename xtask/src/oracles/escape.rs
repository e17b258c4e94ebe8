//! What an unpacker must not do, one thing for each child: each oracle has to see it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags, XattrFlags};

use crate::cases::Place;

/// The word after the program's name that starts such a child.
pub const WORD: &str = "escape";

/// An escape: its name, what it does with the destination and its parent, and which of the oracles have to see it: S(napshot),
/// F(anotify), R(ead-only world), T(race), what was taken in (I).
pub type Escape = (&'static str, fn(&Path, &Path) -> io::Result<()>, &'static str);

pub const ESCAPES: &[Escape] = &[
    // The destination's parent has to be writable.
    ("a new file by ..", |dest, _| fs::write(dest.join("../x"), "x"), "SFT"),
    ("a new file through a symlink", |dest, _| fs::write(dest.join("out/x"), "x"), "SFRT"),
    ("a new directory", |dest, _| fs::create_dir(dest.join("out/x")), "SFRT"),
    ("a new symlink", |dest, _| symlink("x", dest.join("out/x")), "SFRT"),
    ("content", |dest, _| fs::write(dest.join("out/file"), "x"), "SFRT"),
    ("mode", |_, parent| fs::set_permissions(parent.join("canary/file"), fs::Permissions::from_mode(0o777)), "SFRT"),
    ("owner", |_, parent| chown(parent.join("canary/file"), Some(7), None), "SFRT"),
    ("xattr", |_, parent| Ok(rustix::fs::setxattr(parent.join("canary/file"), "user.x", b"x", XattrFlags::empty())?), "SFRT"),
    ("time", |_, parent| fs::File::open(parent.join("canary/file"))?.set_modified(SystemTime::UNIX_EPOCH), "SFRT"),
    ("removal", |_, parent| fs::remove_file(parent.join("canary/file")), "SFRT"),
    ("removal of a directory", |_, parent| fs::remove_dir_all(parent.join("canary/dir")), "SFRT"),
    ("moving a file in", |dest, parent| fs::rename(parent.join("canary/file"), dest.join("in")), "SFRTI"),
    ("linking a file in", |dest, parent| fs::hard_link(parent.join("canary/file"), dest.join("in")), "SFRTI"),
    ("the working directory", |_, _| fs::write("x", "x"), "SFRT"),
    ("copying a file in", |dest, parent| fs::copy(parent.join("canary/file"), dest.join("in")).map(drop), "FTI"),
    ("reading a file", |dest, _| fs::read(dest.join("out/secret")).map(drop), "FT"),
    ("listing a directory", |_, parent| fs::read_dir(parent.join("canary")).map(drop), "FT"),
];

/// Stays inside: no oracle may see it.
pub const INNOCENT: &str = "nothing";

pub fn words(place: &Place, name: &str) -> Vec<OsString> {
    let own = std::env::current_exe().expect("the program");
    vec![own.into(), WORD.into(), name.into(), place.world.parent().into()]
}

/// The child: makes the destination with a symlink out of it, in the permitted way, then escapes.
pub fn act(words: &[OsString]) -> io::Result<()> {
    let (name, parent) = (words[0].to_string_lossy(), Path::new(&words[1]));
    let dir = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, parent, dir, Mode::empty())?;
    rustix::fs::mkdirat(&opened, "dest", Mode::RWXU)?;
    let dest = rustix::fs::openat(&opened, "dest", dir, Mode::empty())?;
    rustix::fs::symlinkat("../canary", &dest, "out")?;
    match ESCAPES.iter().find(|(known, ..)| *known == name) {
        Some((_, escape, _)) => escape(&parent.join("dest"), parent),
        None if name == INNOCENT => Ok(()),
        None => Err(io::Error::other("no such escape")),
    }
}
