//! Regular files that are only read: the documents and blobs of an image. Nothing is followed, and nothing that could block or
//! act when it is opened is.

use std::fs::File;

use super::{Kind, Root, Step};
use crate::entry::EntryPath;
use crate::error::Error;

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found {
    /// A regular file, open for reading, and its length in bytes.
    File(File, u64),
    /// Something else; or a parent that is no directory.
    Irregular(&'static str),
    Missing,
}

impl Root {
    /// Opens the regular file at `path`. No link is followed, no mount is crossed.
    pub(crate) fn find_file(&self, path: &EntryPath) -> Result<Found, Error> {
        let Some((parent, name)) = path.split_last() else { return Ok(Found::Irregular("a directory")) };
        let mut dir = self.top.clone();
        for name in parent.names() {
            dir = match self.enter(&dir, name)? {
                Step::Directory(dir) => dir,
                Step::Missing => return Ok(Found::Missing),
                Step::Symlink => return Ok(Found::Irregular("below a symlink")),
                Step::Whiteout | Step::Other => return Ok(Found::Irregular("below what is no directory")),
            };
        }
        let Some(expected) = dir.stat_of(name)? else { return Ok(Found::Missing) };
        if let Some(what) = irregular(expected.kind) {
            return Ok(Found::Irregular(what));
        }
        self.open_expected((&dir, name), &expected).map(|(file, len)| Found::File(file, len))
    }
}

fn irregular(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::File => None,
        Kind::Directory => Some("a directory"),
        Kind::Symlink => Some("a symlink"),
        Kind::Fifo => Some("a FIFO"),
        Kind::CharacterDevice | Kind::BlockDevice | Kind::Whiteout => Some("a device"),
        Kind::Other => Some("a socket or the like"),
    }
}
