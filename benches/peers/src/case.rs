//! What is unpacked, where, and all that was measured of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::child::Measured;
use crate::fresh::Filesystem;
use crate::registry;

pub const WORKLOADS: [&str; 4] = ["rootfs", "many", "large", "small"];
pub const FORMATS: [&str; 3] = ["gzip", "zstd", "plain"];

/// A layer on a filesystem.
#[derive(Debug)]
pub struct Case {
    pub workload: String,
    pub format: String,
    pub filesystem: Filesystem,
    pub claims: Claims,
    /// Where a registry serves it.
    pub registry: String,
    dir: PathBuf,
}

/// What data.sh knows of a layer.
#[derive(Debug, Default)]
pub struct Claims {
    pub blob: String,
    pub diff_id: String,
    pub manifest: String,
    pub entries: u64,
    /// Names in the tree, the root apart.
    pub paths: u64,
    /// Of the tar.
    pub bytes: u64,
}

impl Claims {
    fn read(file: &Path) -> io::Result<Self> {
        let mut claims = Self::default();
        for line in std::fs::read_to_string(file)?.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let number = || value.parse().map_err(|_| io::Error::other(format!("no number: {line}")));
            match key {
                "blob" => claims.blob = value.to_owned(),
                "diff_id" => claims.diff_id = value.to_owned(),
                "manifest" => claims.manifest = value.to_owned(),
                "entries" => claims.entries = number()?,
                "paths" => claims.paths = number()?,
                "bytes" => claims.bytes = number()?,
                _ => return Err(io::Error::other(format!("what is {line}?"))),
            }
        }
        Ok(claims)
    }
}

impl Case {
    pub fn new(data: &Path, workload: &str, format: &str, filesystem: Filesystem) -> io::Result<Self> {
        let dir = data.join(workload).join(format);
        let claims = Claims::read(&dir.join("claims"))?;
        let registry = registry::serve(&dir.join("layout"), &claims.manifest)?;
        Ok(Self { workload: workload.to_owned(), format: format.to_owned(), filesystem, claims, registry, dir })
    }

    pub fn title(&self) -> String {
        format!("{}, {}, {}", self.workload, self.format, self.filesystem.name())
    }

    pub fn blob(&self) -> PathBuf {
        self.dir.join("blob")
    }

    pub fn layout(&self) -> PathBuf {
        self.dir.join("layout")
    }

    /// The layout as an archive.
    pub fn import(&self) -> PathBuf {
        self.dir.join("import.tar")
    }

    /// The layer as a tar.
    pub fn plain(&self) -> PathBuf {
        self.dir.with_file_name("plain").join("blob")
    }

    /// Brings what is read into the page cache.
    pub fn warm(&self) -> io::Result<()> {
        let mut piece = vec![0; 256 << 10];
        for file in [self.plain(), self.blob(), self.import()] {
            let mut file = File::open(file)?;
            while file.read(&mut piece)? != 0 {}
        }
        Ok(())
    }
}

/// What was measured of a case.
#[derive(Debug, Default)]
pub struct Results {
    /// Of each round, by the program's name.
    pub rounds: Vec<BTreeMap<&'static str, Measured>>,
    /// What could not be run, and why.
    pub missing: BTreeMap<&'static str, String>,
    /// How many names a tree has beyond those of the archive, where it is not the same number.
    pub paths: BTreeMap<&'static str, i64>,
    /// System calls on files.
    pub calls: BTreeMap<&'static str, u64>,
}

impl Results {
    /// Gives one number of each round in which the program ran.
    pub fn each(&self, name: &str, number: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(name).map(&number)).collect()
    }
}
