//! Every bit of a claimed layer is flipped, every length cut, bytes are appended and swapped: none of it appears.

use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use safe_layers::{Digest, Expect, Policy, Root, Unpacker};

use crate::common::builder::{Entry, tar};
use crate::evidence::Counts;
use crate::run::Settings;
use crate::sweep::{Place, Tally, leftovers, sha256, thin, try_all};

/// Variants tried of each blob under each claim in the short form.
const SHORT: u64 = 1500;

const CLAIMS: [Claim; 4] = [Claim::Blob, Claim::BlobAndSize, Claim::DiffId, Claim::Both];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Blob,
    BlobAndSize,
    DiffId,
    Both,
    Nothing,
}

/// A layer as it is stored, and the archive in it.
struct Blob {
    name: &'static str,
    /// What decodes it, of other make.
    decoder: Option<&'static str>,
    stored: Vec<u8>,
    plain: Vec<u8>,
}

/// What is done to the blob.
#[derive(Clone, Copy, Debug)]
enum Change {
    Flip(usize),
    Cut(usize),
    /// One of [`appendices`].
    Append(usize),
    /// This byte and the next, which differs.
    Swap(usize),
}

pub fn run(settings: &Settings) -> Counts {
    let mut counts = Counts::default();
    for blob in blobs() {
        let changes = thin(changes(&blob), settings.pick(SHORT, u64::MAX));
        for claim in CLAIMS {
            let tally = try_all(&changes, |change, place| check(&blob, claim, *change, place));
            let what = format!("changed {} ({claim:?} claimed)", blob.name);
            tally.complain(&what);
            counts.row(&what, tally.tried(), tally.violations.len() as u64);
            if tally.outcomes.len() > 1 {
                counts.note(format!("{what}: {}.", tally.spread()));
            }
        }
        let tally: Tally = try_all(&changes, |change, place| check(&blob, Claim::Nothing, *change, place));
        counts.control(format!("changed {} (nothing claimed)", blob.name), tally.tried(), tally.violations.len() as u64);
    }
    counts
}

fn blobs() -> [Blob; 3] {
    let layer = tar().dir("d").add(Entry::file("d/f", "content").pax("SCHILY.xattr.user.a", "1"));
    let plain = layer.bytes();
    [
        Blob { name: ".tar", decoder: None, stored: plain.clone(), plain: plain.clone() },
        Blob { name: ".tar.gz", decoder: Some("gzip"), stored: layer.gzip().bytes(), plain: plain.clone() },
        Blob { name: ".tar.zst", decoder: Some("zstd"), stored: layer.zstd().bytes(), plain },
    ]
}

fn changes(blob: &Blob) -> Vec<Change> {
    let len = blob.stored.len();
    let flips = (0..len * 8).map(Change::Flip);
    let swaps = (1..len).filter(|at| blob.stored[at - 1] != blob.stored[*at]).map(|at| Change::Swap(at - 1));
    flips.chain((0..len).map(Change::Cut)).chain((0..appendices(blob).len()).map(Change::Append)).chain(swaps).collect()
}

/// What may follow a blob: nothing in particular, zeros, the blob again, an empty member or frame.
fn appendices(blob: &Blob) -> Vec<Vec<u8>> {
    let empty_member = tar().end_blocks(0).gzip().bytes();
    let skippable_frame = vec![0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let zeros = [1, 2, 511, 512, 1024, 4096].map(|len| vec![0; len]);
    let ones = (1..=255).map(|byte| vec![byte]);
    ones.chain(zeros).chain([blob.stored.clone(), blob.plain.clone(), empty_member, skippable_frame]).collect()
}

fn changed(blob: &Blob, change: Change) -> Vec<u8> {
    let mut bytes = blob.stored.clone();
    match change {
        Change::Flip(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
        Change::Cut(len) => bytes.truncate(len),
        Change::Append(which) => bytes.extend(&appendices(blob)[which]),
        Change::Swap(at) => bytes.swap(at, at + 1),
    }
    bytes
}

/// Reads the blob and looks at each read whether the final name is there.
struct Watching<'a> {
    bytes: &'a [u8],
    dest: PathBuf,
    seen: &'a mut bool,
}

impl Read for Watching<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        *self.seen |= self.dest.symlink_metadata().is_ok();
        self.bytes.read(buffer)
    }
}

fn check(blob: &Blob, claim: Claim, change: Change, place: &Place) -> Result<&'static str, String> {
    let (bytes, mut seen) = (changed(blob, change), false);
    let reader = Watching { bytes: &bytes, dest: place.dir().join("dest"), seen: &mut seen };
    let result = unpack(&place.dir(), &expect(blob, claim), reader);
    let there = place.dir().join("dest").symlink_metadata().is_ok();
    let left = leftovers(&place.dir());
    match result {
        _ if seen || !left.is_empty() => Err(format!("{change:?}: seen early, or left: {left:?}")),
        Err(_) if there => Err(format!("{change:?}: an error and a tree")),
        Err(_) => Ok("an error"),
        Ok(()) if !there => Err(format!("{change:?}: success without a tree")),
        // Its diff_id says what is in a blob, not how it is compressed: the header of a gzip member, say.
        Ok(()) if claim == Claim::DiffId && decoded(blob, &bytes).as_ref() == Some(&blob.plain) => Ok("the same archive in another blob"),
        Ok(()) => Err(format!("{change:?}: accepted")),
    }
}

fn expect(blob: &Blob, claim: Claim) -> Expect {
    let digest = |bytes: &[u8]| Digest::parse(sha256(bytes)).expect("a digest");
    let stored = Expect::blob(digest(&blob.stored));
    match claim {
        Claim::Blob => stored,
        Claim::BlobAndSize => stored.size(blob.stored.len() as u64),
        Claim::DiffId => Expect::diff_id(digest(&blob.plain)),
        Claim::Both => stored.and_diff_id(digest(&blob.plain)),
        Claim::Nothing => Expect::dangerous_unverified(),
    }
}

fn unpack(place: &Path, expect: &Expect, reader: impl Read + Send) -> Result<(), safe_layers::Error> {
    let parent = Root::open_ambient(place, safe_layers::ambient_authority())?;
    let mut unpacker = Unpacker::rootfs(parent, "dest", Policy::container())?.threads(NonZeroUsize::MIN);
    unpacker.apply(expect, reader)?;
    unpacker.commit().map(drop)
}

/// What a decoder of other make reads in these bytes; none where it refuses them.
fn decoded(blob: &Blob, bytes: &[u8]) -> Option<Vec<u8>> {
    let Some(decoder) = blob.decoder else { return Some(bytes.to_vec()) };
    let mut file = tempfile::tempfile().ok()?;
    std::io::Write::write_all(&mut file, bytes).ok()?;
    std::io::Seek::rewind(&mut file).ok()?;
    let output = Command::new(decoder).args(["-d", "-c", "-q"]).stdin(file).stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}
