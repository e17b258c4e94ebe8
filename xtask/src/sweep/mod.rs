//! What the sweeps over system calls share: the program under test, what it makes when nothing fails, strace, workers.

mod strace;
mod tally;

pub use strace::{Point, Ran, points, points_of, run, run_for, trace_file, traced};
pub use tally::{Tally, thin, try_all};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use crate::common::builder::{Entry, Source, tar};
use crate::common::snapshot::Tree;
use crate::run::unpack_program;

/// Where trees are quick to make.
pub const MEMORY: &str = "/dev/shm";

/// A program that makes a tree under the name `dest`: the one under test, or a naive one that must be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Unpack {
        form: &'static str,
        threads: u32,
        durable: bool,
    },
    /// See [`crate::naive`].
    Naive(&'static str),
}

/// The layers in files, with the words that claim their digests.
pub struct Layers {
    _dir: tempfile::TempDir,
    words: Vec<String>,
}

impl Layers {
    /// Layers that need every kind of call.
    pub fn every_call() -> Self {
        let lower = tar()
            .add(Entry::dir("").mode(0o755))
            .add(Entry::dir("d").mode(0o2750).pax("SCHILY.xattr.user.a", "1"))
            .add(Entry::file("d/x", "1").mode(0o640).pax("SCHILY.xattr.user.b", "2"))
            .file("d/sub/w", "2")
            .symlink("s", "/d/sub")
            .hardlink("late", "z")
            .fifo("p")
            .file("z", "4444")
            .add(Entry::gnu_sparse("sparse", &[(4096, 512)], 1 << 16, vec![1_u8; 512]))
            .file("gone/a", "5")
            .file("old/c", "");
        let upper = tar()
            .file("s/through", "6")
            .file(".wh.gone", "")
            .file("old/new", "")
            .file("old/.wh..wh..opq", "")
            .hardlink("up", "z")
            .add(Entry::dir("d").mode(0o500).mtime(-5));
        Self::of(&[("0.tar.gz", lower.gzip()), ("1.tar.zst", upper.zstd())])
    }

    pub fn of(layers: &[(&str, Source)]) -> Self {
        let dir = tempfile::tempdir_in(MEMORY).expect("a temporary directory");
        let (mut words, mut files) = (Vec::new(), Vec::new());
        for (name, layer) in layers {
            let (bytes, file) = (layer.bytes(), dir.path().join(name));
            std::fs::write(&file, &bytes).expect("a layer");
            words.push(format!("--blob={}@{}", sha256(&bytes), bytes.len()));
            files.push(file.to_str().expect("a path").to_owned());
        }
        words.append(&mut files);
        Self { _dir: dir, words }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

impl Job {
    /// The words of a run that makes `dest` in `place`.
    pub fn words(self, layers: &Layers, place: &Path, recover: bool) -> Vec<String> {
        let dest = place.join("dest").to_str().expect("a path").to_owned();
        match self {
            Self::Naive(how) => {
                let program = std::env::current_exe().expect("this program");
                vec![program.to_str().expect("a path").to_owned(), "naive".to_owned(), how.to_owned(), dest]
            }
            Self::Unpack { form, threads, durable } => {
                let mut words = vec![unpack_program().to_str().expect("a path").to_owned(), "--json".to_owned()];
                words.extend([format!("--form={form}"), format!("--threads={threads}")]);
                words.extend(durable.then(|| "--durable".to_owned()));
                words.extend(recover.then(|| "--recover".to_owned()));
                words.extend(layers.words.iter().cloned());
                words.push(dest);
                words
            }
        }
    }

    pub fn name(self) -> String {
        match self {
            Self::Naive(how) => format!("naive {how}"),
            Self::Unpack { form, threads, .. } => format!("{form}, threads {threads}"),
        }
    }
}

/// Two directories: one to unpack in, and one in memory for what is said.
pub struct Place {
    scratch: tempfile::TempDir,
    dir: PathBuf,
}

impl Place {
    /// Both in memory.
    pub fn new() -> Self {
        let scratch = tempfile::tempdir_in(MEMORY).expect("a temporary directory");
        let place = Self { dir: scratch.path().join("place"), scratch };
        place.clear();
        place
    }

    /// The one to unpack in is made in another directory.
    pub fn within(parent: &Path) -> Self {
        let place = Self { dir: parent.join("place"), ..Self::new() };
        place.clear();
        place
    }

    pub fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Empties the directory to unpack in.
    pub fn clear(&self) {
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir).expect("a directory");
        }
        std::fs::create_dir(&self.dir).expect("a directory");
    }
}

/// The tree under the final name, if there is one, without what belongs to the run.
pub fn tree(place: &Path) -> Option<Tree> {
    let dest = place.join("dest");
    dest.symlink_metadata().ok()?;
    let mut tree = Tree::take(&dest, |_| false);
    // Of the overlay form: the directory that holds the layers has no entry.
    if tree.get("0").is_some()
        && let Some(root) = tree.nodes.get_mut(&b""[..])
    {
        root.mtime = (0, 0);
    }
    Some(tree)
}

/// The names in a directory but `dest`.
pub fn leftovers(place: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(place).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name != "dest").collect()
}

/// The tree and the events of a run in which nothing fails.
pub struct Reference {
    pub tree: Tree,
    pub events: BTreeMap<String, u64>,
}

impl Reference {
    pub fn of(job: Job, layers: &Layers) -> Self {
        let place = Place::new();
        let ran = run(&job.words(layers, &place.dir(), false), place.scratch());
        assert!(ran.succeeded(), "{job:?}: {ran:?}");
        Self { tree: tree(&place.dir()).expect("a tree"), events: events(&ran.out) }
    }
}

/// How often each event is told in a report, over all layers.
pub fn events(report: &str) -> BTreeMap<String, u64> {
    let report: serde_json::Value = serde_json::from_str(report).unwrap_or_default();
    let mut sums = BTreeMap::new();
    for layer in report["layers"].as_array().into_iter().flatten() {
        for (reason, count) in layer["events"]["counts"].as_object().into_iter().flatten() {
            *sums.entry(reason.clone()).or_default() += count.as_u64().unwrap_or_default();
        }
    }
    sums
}
