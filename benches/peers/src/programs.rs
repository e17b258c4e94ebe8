//! Everything that is run, and how: this crate, its peers, and the floors.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::Case;
use crate::containerd;

/// The one that the peers are compared with: this crate as it is by default.
pub const OURS: &str = "safe-layers";
/// This crate on one thread.
pub const OURS_ALONE: &str = "safe-layers-1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ours,
    Peer,
    /// What some part of the work takes alone.
    Floor,
}

/// Which digests are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    Nothing,
    Blob,
    DiffId,
    Both,
}

impl Checks {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Blob => "blob",
            Self::DiffId => "diff_id",
            Self::Both => "both",
        }
    }
}

/// What is started. The words are those of the packages beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The method of `Unpacker`, and its threads.
    Ours(&'static str, &'static str),
    ZlibRs(&'static str),
    MinizTar,
    OciUnpack,
    GnuTar(&'static [&'static str]),
    Bsdtar,
    Umoci,
    /// The image is fetched from a file, and unpacked.
    ContainerdImport,
    /// The image is there already.
    ContainerdUnpack,
    Decode,
    HashBlob,
    HashTar,
    Calls(&'static str),
}

#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    pub role: Role,
    pub checks: Checks,
    pub how: How,
    /// Formats that it is run on.
    pub formats: &'static [&'static str],
    /// Formats that some versions of it cannot read: no failure of the benchmark.
    pub may_fail: &'static [&'static str],
}

const fn program(name: &'static str, role: Role, checks: Checks, how: How) -> Program {
    Program { name, role, checks, how, formats: &["plain", "gzip", "zstd"], may_fail: &[] }
}

pub const PROGRAMS: &[Program] = &[
    program(OURS, Role::Ours, Checks::Both, How::Ours("apply", "0")),
    program(OURS_ALONE, Role::Ours, Checks::Both, How::Ours("apply", "1")),
    program("safe-layers-4", Role::Ours, Checks::Both, How::Ours("apply", "4")),
    program("safe-layers-file", Role::Ours, Checks::Both, How::Ours("apply_file", "0")),
    program("tar-miniz", Role::Peer, Checks::Nothing, How::MinizTar),
    program("tar-zlib-rs", Role::Peer, Checks::Nothing, How::ZlibRs("tar")),
    program("oci-image", Role::Peer, Checks::Nothing, How::ZlibRs("oci-image")),
    program("oci-image-store", Role::Peer, Checks::Both, How::ZlibRs("oci-image-store")),
    program("oci-unpack", Role::Peer, Checks::Blob, How::OciUnpack),
    program("astral-tokio-tar", Role::Peer, Checks::Nothing, How::ZlibRs("astral-tokio-tar")),
    program("gnu-tar", Role::Peer, Checks::Nothing, How::GnuTar(&[])),
    Program { formats: &["gzip"], ..program("gnu-tar-igzip", Role::Peer, Checks::Nothing, How::GnuTar(&["--use-compress-program=igzip"])) },
    program("bsdtar", Role::Peer, Checks::Nothing, How::Bsdtar),
    Program { may_fail: &["zstd"], ..program("umoci", Role::Peer, Checks::Both, How::Umoci) },
    program("containerd", Role::Peer, Checks::Both, How::ContainerdImport),
    program("containerd-unpack", Role::Peer, Checks::DiffId, How::ContainerdUnpack),
    Program { formats: &["gzip", "zstd"], ..program("decode", Role::Floor, Checks::Nothing, How::Decode) },
    Program { formats: &["gzip", "zstd"], ..program("hash-blob", Role::Floor, Checks::Nothing, How::HashBlob) },
    program("hash-tar", Role::Floor, Checks::Nothing, How::HashTar),
    program("calls-1", Role::Floor, Checks::Nothing, How::Calls("1")),
    program("calls-2", Role::Floor, Checks::Nothing, How::Calls("2")),
];

/// Gives the program of this name.
pub fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

impl Program {
    /// What is measured. `ctr` is the client of containerd, with its address.
    pub fn command(&self, case: &Case, dest: &Path, ctr: Option<Command>) -> Command {
        let (blob, tree) = (case.blob(), dest.join("rootfs"));
        let claims = [case.claims.blob.as_str(), &case.claims.diff_id];
        match self.how {
            How::Ours(how, threads) => words("peers-ours", &["unpack", how, threads], |c| c.arg(blob).args(claims).arg(dest).arg("rootfs")),
            How::ZlibRs(word) => words("peers-zlib-rs", &[word], |c| c.arg(blob).arg(tree).args(claims)),
            How::MinizTar => words("peers-miniz", &["tar"], |c| c.arg(blob).arg(tree)),
            How::OciUnpack => {
                let reference = format!("{}/peers/layer", case.registry);
                words("peers-miniz", &["oci-unpack", &reference], |c| c.arg(dest.join("image")))
            }
            How::GnuTar(options) => into(&tree, "tar", |c| c.args(GNU_TAR).args(options).arg("-C").arg(&tree).arg("-xpf").arg(blob)),
            How::Bsdtar => into(&tree, "bsdtar", |c| c.env("LC_ALL", "C.UTF-8").args(BSDTAR).arg("-C").arg(&tree).arg("-xpf").arg(blob)),
            How::Umoci => {
                let mut command = Command::new("umoci");
                command.args(["raw", "unpack", "--image"]).arg(format!("{}:layer", case.layout().display())).arg(tree);
                command
            }
            How::ContainerdImport | How::ContainerdUnpack => {
                let mut ctr = ctr.expect("a containerd");
                match self.how {
                    How::ContainerdImport => ctr.args(containerd::IMPORT).arg(case.import()),
                    _ => ctr.args(["snapshots", "unpack", &case.claims.manifest]),
                };
                ctr
            }
            How::Decode => words("peers-ours", &["decode"], |c| c.arg(blob)),
            How::HashBlob => words("peers-ours", &["hash"], |c| c.arg(blob)),
            How::HashTar => words("peers-ours", &["hash"], |c| c.arg(case.plain())),
            How::Calls(threads) => words("peers-ours", &["calls", threads], |c| c.arg(case.plain()).arg(tree)),
        }
    }

    /// Where the tree is when it is done; none where none is made.
    pub fn tree(&self, case: &Case, dest: &Path) -> Option<PathBuf> {
        match self.how {
            How::Decode | How::HashBlob | How::HashTar => None,
            How::OciUnpack => Some(dest.join("image/rootfs")),
            How::ZlibRs("oci-image-store") => Some(dest.join("rootfs/layers").join(case.claims.diff_id.trim_start_matches("sha256:"))),
            How::ContainerdImport | How::ContainerdUnpack => Some(dest.join(containerd::TREE)),
            _ => Some(dest.join("rootfs")),
        }
    }

    /// Whether a daemon does the work.
    pub fn has_daemon(&self) -> bool {
        matches!(self.how, How::ContainerdImport | How::ContainerdUnpack)
    }
}

const GNU_TAR: [&str; 4] = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--warning=no-timestamp"];
const BSDTAR: [&str; 1] = ["--numeric-owner"];

/// A program of the packages beside this one: they stand where this one does.
fn words(program: &str, first: &[&str], rest: impl FnOnce(&mut Command) -> &mut Command) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program").with_file_name(program));
    rest(command.args(first));
    command
}

/// A program that wants a directory to write into.
fn into(tree: &Path, program: &str, words: impl FnOnce(&mut Command) -> &mut Command) -> Command {
    std::fs::create_dir(tree).expect("a directory");
    let mut command = Command::new(program);
    words(&mut command);
    command
}
