//! Images flattened into memory, and what was flattened unpacked again.

#[path = "../../examples/flatten/tar_sink.rs"]
mod tar_sink;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use safe_layers::image::{Choice, FlatEntry, FlatKind, Flattened, Image, Layout, TreeSink};
use safe_layers::{
    Devices, Error, Expect, LayerReport, Ownership, Policy, Reason, Root, SpecialBits, Times, Unpacker, UnsupportedXattrs,
    ambient_authority,
};
use tar_sink::TarSink;

use super::images::{OCI_TAR, image_of};
use super::snapshot::Tree;

/// Keeps what a stream gave, and writes it as a tar.
pub struct Recorder {
    pub entries: Vec<FlatEntry>,
    pub body_bytes: u64,
    pub aborted: Option<Error>,
    tar: TarSink<Vec<u8>>,
    /// Whether the entry at hand was ended; each must be before the next.
    open: bool,
}

impl Recorder {
    pub fn new() -> Self {
        Self { entries: Vec::new(), body_bytes: 0, aborted: None, tar: TarSink::new(Vec::new()), open: false }
    }

    /// The archive. Panics where the stream did not end as it must.
    #[track_caller]
    pub fn tar(self) -> Vec<u8> {
        assert!(!self.open && self.aborted.is_none());
        self.tar.finish().unwrap()
    }

    /// Kind and path of each entry, in the order in which they came.
    pub fn shown(&self) -> Vec<String> {
        self.entries.iter().map(shown).collect()
    }
}

fn shown(entry: &FlatEntry) -> String {
    let path = entry.path().as_bytes().escape_ascii();
    match entry.kind() {
        FlatKind::Directory => format!("d {path}"),
        FlatKind::File { .. } => format!("f {path}"),
        FlatKind::Symlink(_) => format!("s {path}"),
        FlatKind::Hardlink(target) => format!("h {path} = {}", target.as_bytes().escape_ascii()),
        other => format!("{other:?} {path}"),
    }
}

impl TreeSink for Recorder {
    fn entry(&mut self, entry: &FlatEntry) -> io::Result<()> {
        assert!(!self.open && self.aborted.is_none());
        self.open = true;
        self.entries.push(entry.clone());
        self.tar.entry(entry)
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(self.open && matches!(self.entries.last().unwrap().kind(), FlatKind::File { .. }));
        self.body_bytes += bytes.len() as u64;
        self.tar.data(offset, bytes)
    }

    fn entry_end(&mut self) -> io::Result<()> {
        assert!(std::mem::replace(&mut self.open, false));
        self.tar.entry_end()
    }

    fn abort(&mut self, error: &Error) {
        assert!(self.aborted.replace(error.clone()).is_none());
    }
}

/// The image of these layers, which are stored as they are.
pub fn image(layers: Vec<Vec<u8>>) -> Image {
    let plain = |manifest: &mut serde_json::Value| {
        manifest["layers"].as_array_mut().unwrap().iter_mut().for_each(|layer| layer["mediaType"] = OCI_TAR.into());
    };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&image_of(layers).manifest(plain).oci().archive().bytes()).unwrap();
    Layout::open_archive(file).unwrap().image(&Choice::dangerous_unpinned()).unwrap()
}

/// Flattens; what is refused in the first pass gave nothing.
#[track_caller]
pub fn flatten(image: &Image, policy: &Policy) -> Result<(Flattened, Recorder), Error> {
    let mut recorder = Recorder::new();
    match image.flatten(policy, &mut recorder) {
        Ok(flattened) => Ok((flattened, recorder)),
        Err(error) => {
            assert!(recorder.entries.is_empty() && recorder.aborted.is_none(), "{error}: given were {:?}", recorder.shown());
            Err(error)
        }
    }
}

/// Unpacks what was flattened under `policy` below `parent`. The policy's changes are in it and are not made again; as an ordinary user
/// all is the caller's.
#[track_caller]
pub fn unpack(tar: &[u8], policy: &Policy, parent: &Path) -> Tree {
    let mut again = Policy::container();
    again.ownership = if super::engine::is_root() { Ownership::Preserve } else { Ownership::SquashToCaller };
    (again.devices, again.special_bits, again.times) = (Devices::Create, SpecialBits::Keep, Times::Archive);
    again.unsupported_xattrs =
        if policy.unsupported_xattrs == UnsupportedXattrs::Error { UnsupportedXattrs::EventForUser } else { policy.unsupported_xattrs };
    again.limits = policy.limits.clone();
    (again.limits.entries, again.limits.total_bytes) = (u64::MAX, u64::MAX);
    let mut unpacker = Unpacker::rootfs(Root::open_ambient(parent, ambient_authority()).unwrap(), "again", again).unwrap();
    if let Err(error) = unpacker.apply(&Expect::dangerous_unverified(), tar) {
        panic!("what was flattened is refused: {error}");
    }
    let odd = unpacked_oddly(&unpacker.commit().unwrap().layers[0]);
    assert!(odd.is_empty(), "{odd:?}");
    Tree::take(&parent.join("again"), |_| false)
}

/// What must not happen to a tree that was flattened.
fn unpacked_oddly(report: &LayerReport) -> BTreeMap<Reason, u64> {
    told(report).1.into_iter().filter(|(reason, _)| *reason != Reason::SpecialBitsStripped).collect()
}

/// What is told of a layer, but for what only a filesystem brings.
pub fn told(report: &LayerReport) -> (String, BTreeMap<Reason, u64>) {
    const OF_THE_DISK: [Reason; 3] = [Reason::XattrUnsupported, Reason::TimeClamped, Reason::TimeNotRestored];
    let events = report.events.counts().iter().filter(|(reason, _)| !OF_THE_DISK.contains(reason));
    (
        format!("{:?}", (report.diff_id, report.decoded_bytes, report.entries, report.file_bytes)),
        events.map(|(reason, count)| (*reason, *count)).collect(),
    )
}
