//! Victims that do it by path, each as somebody has: they look, then they act. For the controls: they have to lose.
//!
//! Whatever they lose is in the filesystem of the arena: no link in it leads anywhere but to its canary.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::Path;

use rustix::fs::{Mode, OFlags, XattrFlags, openat};

use super::arena::remove;

/// Does something once in the root.
pub type Naive = fn(&Path) -> io::Result<()>;

fn is_directory(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Writes a file into a directory that is none of a symlink's.
pub fn write_in_directory(root: &Path) -> io::Result<()> {
    is_directory(&root.join("a"))?;
    fs::write(root.join("a/f"), "pwn")
}

/// Writes a file where a symlink leads, after a look at its target.
pub fn write_through_link(root: &Path) -> io::Result<()> {
    is_directory(&root.join("a/x"))?;
    fs::write(root.join("a/x/../y/f"), "pwn")
}

/// Holds a directory and believes that the one above is still the one above.
pub fn write_above(root: &Path) -> io::Result<()> {
    let dir = File::open(root.join("a/x"))?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW;
    openat(dir.as_fd(), "../f", flags, Mode::from_raw_mode(0o644)).map(drop).map_err(io::Error::from)
}

/// Makes a file, then gives it its attributes by its name.
pub fn make_file(root: &Path) -> io::Result<()> {
    let path = root.join("a/t");
    fs::remove_file(&path).unwrap_or_default();
    File::create_new(&path)?.write_all(b"pwn")?;
    set_attributes(&path)
}

pub fn make_directory(root: &Path) -> io::Result<()> {
    let path = root.join("a/t");
    remove(&path);
    fs::create_dir(&path)?;
    set_attributes(&path)
}

fn set_attributes(path: &Path) -> io::Result<()> {
    rustix::fs::setxattr(path, "user.k", b"v", XattrFlags::empty()).unwrap_or_default();
    fs::set_permissions(path, Permissions::from_mode(0o777))
}

/// Makes a symlink, then gives it its owner by its name, and does not follow it.
pub fn make_symlink(root: &Path) -> io::Result<()> {
    let path = root.join("a/t");
    remove(&path);
    symlink("f", &path)?;
    lchown(&path, Some(1234), Some(4321))
}

/// Makes a hardlink to what it has seen to be its own file, then gives it its attributes.
pub fn make_hardlink(root: &Path) -> io::Result<()> {
    let (target, path) = (root.join("a/t"), root.join("a/h"));
    if !target.exists() {
        fs::write(&target, "x")?;
    }
    remove(&path);
    if !target.symlink_metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    fs::hard_link(&target, &path)?;
    set_attributes(&path)
}

/// Removes a tree by the names that it lists.
pub fn remove_tree(root: &Path) -> io::Result<()> {
    let tree = root.join("a/t");
    if tree.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(());
    }
    for dir in ["x", "y"] {
        fs::create_dir_all(tree.join(dir)).unwrap_or_default();
    }
    remove_by_name(&tree)
}

fn remove_by_name(path: &Path) -> io::Result<()> {
    if !path.symlink_metadata()?.is_dir() {
        return fs::remove_file(path);
    }
    for entry in fs::read_dir(path)? {
        remove_by_name(&entry?.path())?;
    }
    fs::remove_dir(path)
}

/// Stages by path, and moves the tree to its name.
pub fn stage(root: &Path) -> io::Result<()> {
    let staging = root.join(".dest.safe-layers-0123456789abcdef");
    fs::create_dir_all(&staging)?;
    (0..8).try_for_each(|number| fs::write(staging.join(format!("f{number}")), "pwn"))?;
    remove(&staging);
    Ok(())
}

/// Stages a directory and gives it its attributes at the end, by path.
pub fn stage_attributes(root: &Path) -> io::Result<()> {
    let dir = root.join(".dest.safe-layers-0123456789abcdef/d0");
    fs::create_dir_all(&dir)?;
    (0..8).try_for_each(|_| is_directory(&dir).and_then(|()| set_attributes(&dir)))
}

/// Gives directories that it made their attributes at the end, by path.
pub fn late_attributes(root: &Path) -> io::Result<()> {
    let dir = root.join("d0");
    is_directory(&dir)?;
    set_attributes(&dir)
}

/// Copies a file of a lower layer that it has seen to be one.
pub fn copy_up(root: &Path) -> io::Result<()> {
    let staging = root.join(".dest.safe-layers-0123456789abcdef");
    let (lower, upper) = (staging.join("0/a/t"), staging.join("1/a"));
    if !lower.exists() {
        fs::create_dir_all(staging.join("0/a"))?;
        fs::write(&lower, "x")?;
    }
    fs::create_dir_all(&upper)?;
    if lower.symlink_metadata()?.is_file() {
        fs::write(upper.join("copy"), fs::read(&lower)?)?;
    }
    Ok(())
}
