//! What each fuzz target does with an input. Depends on the crate, `tempfile` and `std` alone, so that a test on stable can include it.
//!
//! A body panics when something that must hold does not, and gives the kinds of entry that the input got accepted: a corpus
//! in which nothing is ever accepted tests the refusals alone.

mod pass;
mod path;
mod pax;
mod reader;
mod tar;
mod unpack;

use std::path::Path;

pub use path::path;
pub use pax::pax;
pub use reader::reader;
pub use unpack::unpack;

/// How many entries of each kind were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub files: u64,
    pub symlinks: u64,
    pub hardlinks: u64,
    pub whiteouts: u64,
    pub xattrs: u64,
}

impl Accepted {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.symlinks += other.symlinks;
        self.hardlinks += other.hardlinks;
        self.whiteouts += other.whiteouts;
        self.xattrs += other.xattrs;
    }
}

/// A target: its name, which is also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]) -> Accepted);

pub const TARGETS: [Target; 4] = [("reader", reader), ("path", path), ("pax", pax), ("unpack", unpack)];

/// Runs every file of the target's corpus; together they must get every kind of entry accepted.
#[track_caller]
pub fn replay((name, body): Target, corpus: &Path) {
    let mut files = std::fs::read_dir(corpus.join(name)).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    let mut accepted = Accepted::default();
    for file in &files {
        let input = std::fs::read(file).unwrap();
        match std::panic::catch_unwind(|| body(&input)) {
            Ok(more) => accepted.add(more),
            Err(_) => panic!("{name}: {} fails", file.display()),
        }
    }
    let Accepted { files, symlinks, hardlinks, whiteouts, xattrs } = accepted;
    for (kind, count) in [("file", files), ("symlink", symlinks), ("hardlink", hardlinks), ("whiteout", whiteouts), ("xattr", xattrs)] {
        assert!(count > 0, "{name}: the corpus holds no accepted {kind}: {accepted:?}");
    }
}
