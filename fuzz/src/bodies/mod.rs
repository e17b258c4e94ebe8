//! What each fuzz target does with an input. Depends on nothing that the tests of the crate have not, so that one of them includes it
//! and runs on stable.
//!
//! A body panics when something that must hold does not, and gives the kinds of entry or document that the input got accepted: a corpus
//! in which nothing is ever accepted tests the refusals alone.

mod chunking;
mod differential;
#[cfg(feature = "fault-injection")]
mod fault;
#[cfg(feature = "image")]
mod image;
mod layers;
#[cfg(feature = "image")]
mod manifest;
mod pass;
mod path;
mod pax;
mod peers;
mod policies;
mod reader;
mod setting;
mod sparse;
mod tar;
mod unpack;
mod world;
mod wrap;

use std::path::Path;

use safe_layers::{EntryCounts, LayerReport};

pub use chunking::chunking;
pub use differential::differential;
#[cfg(feature = "fault-injection")]
pub use fault::fault;
#[cfg(feature = "image")]
pub use image::image;
pub use layers::layers;
#[cfg(feature = "image")]
pub use manifest::manifest;
pub use path::path;
pub use pax::pax;
pub use policies::policies;
pub use reader::reader;
pub use sparse::sparse;
pub use unpack::unpack;
pub use wrap::wrap;

/// How many entries, or documents, of each kind were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub files: u64,
    pub symlinks: u64,
    pub hardlinks: u64,
    pub whiteouts: u64,
    pub xattrs: u64,
    pub indexes: u64,
    pub manifests: u64,
    pub configs: u64,
    pub archives: u64,
    pub payloads: u64,
}

impl Accepted {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.symlinks += other.symlinks;
        self.hardlinks += other.hardlinks;
        self.whiteouts += other.whiteouts;
        self.xattrs += other.xattrs;
        self.indexes += other.indexes;
        self.manifests += other.manifests;
        self.configs += other.configs;
        self.archives += other.archives;
        self.payloads += other.payloads;
    }

    /// What was made of layers. Attributes are in no report.
    fn of(layers: &[LayerReport]) -> Self {
        let mut accepted = Self::default();
        for layer in layers {
            let EntryCounts { files, symlinks, hardlinks, whiteouts, .. } = layer.entries;
            accepted.add(Self { files, symlinks, hardlinks, whiteouts, ..Self::default() });
        }
        accepted
    }

    fn count(&self, kind: &str) -> u64 {
        match kind {
            "file" => self.files,
            "symlink" => self.symlinks,
            "hardlink" => self.hardlinks,
            "whiteout" => self.whiteouts,
            "xattr" => self.xattrs,
            "index" => self.indexes,
            "manifest" => self.manifests,
            "config" => self.configs,
            "archive" => self.archives,
            "payload" => self.payloads,
            _ => panic!("no kind {kind}"),
        }
    }
}

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    pub body: fn(&[u8]) -> Accepted,
    /// The kinds of entry, or document, that the corpus must get accepted.
    pub reaches: &'static [&'static str],
}

const EVERY_KIND: &[&str] = &["file", "symlink", "hardlink", "whiteout", "xattr"];

pub const TARGETS: &[Target] = &[
    Target { name: "reader", body: reader, reaches: EVERY_KIND },
    Target { name: "path", body: path, reaches: EVERY_KIND },
    Target { name: "pax", body: pax, reaches: EVERY_KIND },
    // One sparse file each.
    Target { name: "sparse", body: sparse, reaches: &["file", "xattr"] },
    Target { name: "wrap", body: wrap, reaches: EVERY_KIND },
    Target { name: "unpack", body: unpack, reaches: EVERY_KIND },
    Target { name: "policies", body: policies, reaches: EVERY_KIND },
    Target { name: "layers", body: layers, reaches: EVERY_KIND },
    Target { name: "differential", body: differential, reaches: EVERY_KIND },
    Target { name: "chunking", body: chunking, reaches: EVERY_KIND },
    #[cfg(feature = "image")]
    Target { name: "manifest", body: manifest, reaches: &["index", "manifest", "config", "archive", "payload"] },
    #[cfg(feature = "image")]
    Target { name: "image", body: image, reaches: &["archive", "manifest", "config", "file", "payload"] },
    #[cfg(feature = "fault-injection")]
    Target { name: "fault", body: fault, reaches: EVERY_KIND },
];

/// Runs every file of the target's corpus; together they must get every kind of entry accepted that the target can reach.
#[track_caller]
pub fn replay(target: &Target, corpus: &Path) {
    let Target { name, body, reaches } = target;
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
    for kind in *reaches {
        assert!(accepted.count(kind) > 0, "{name}: the corpus holds no accepted {kind}: {accepted:?}");
    }
}
