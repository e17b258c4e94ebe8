//! An image on disk with files changed, removed, exchanged and replaced by what is none: as a directory and as an archive it is the
//! same image or none, and by its pin it is the one that was made or none. One that is accepted by what is attached to it is that one.
//!
//! ```text
//! input: changes, three bytes each: the file, what becomes of it, where or by what
//! ```

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;

use safe_layers::image::{Candidate, Choice, FlatEntry, Image, Layout, Platform, SimpleSigning, TreeSink, Verifier};
use safe_layers::{Digest, Error, LayerReader, Ownership, Policy, Root, Unpacker, ambient_authority};
use serde_json::json;

use super::Accepted;
use super::world::Scratch;
use crate::common::builder::tar;
use crate::common::images::{Node, OCI_CONFIG, OCI_MANIFEST, Recipe, Stored, descriptor, hex, image as recipe};

/// Changes of one input.
const MOST: usize = 16;

pub fn image(input: &[u8]) -> Accepted {
    let whole = whole();
    let (pin, config) = (whole.pin, whole.config_digest);
    let changed = input.chunks_exact(3).take(MOST).fold(whole, changed);
    let dir = Scratch::new();
    let at = dir.path().join("layout");
    std::fs::create_dir(&at).unwrap();
    changed.write(&at);
    let mut archive = tempfile::tempfile_in(dir.path()).unwrap();
    archive.write_all(&changed.archive().bytes()).unwrap();
    archive.rewind().unwrap();
    let mut accepted = Accepted::default();

    // Nothing is pinned: both are the same, or none is there.
    let found = [as_directory(&at, &Choice::dangerous_unpinned()), as_archive(&archive, &Choice::dangerous_unpinned())];
    let digests = found.each_ref().map(|image| image.as_ref().ok().map(documents));
    assert_eq!(digests[0], digests[1], "{found:?}");
    accepted.archives += u64::from(digests[0].is_some());

    // Pinned: the one that was made, with its layers, or none.
    for image in [as_directory(&at, &Choice::pinned(pin)), as_archive(&archive, &Choice::pinned(pin))] {
        let Ok(image) = image else { continue };
        assert_eq!(documents(&image), (Some(pin), Some(config), 2));
        accepted.manifests += 1;
        accepted.configs += 1;
        for (layer, whole) in EACH.into_iter().enumerate() {
            let count = entries(&image, layer);
            assert!(count.as_ref().map_or(true, |count| *count == whole), "layer {layer} is another one: {count:?}");
            accepted.files += count.unwrap_or(0);
        }
        flattened(&image, dir.path());
    }

    // By what is attached: as both, and the one that was made, or refused.
    let by_payload = || Choice::verified_by(Vouched(pin));
    let found = [as_directory(&at, &by_payload()), as_archive(&archive, &by_payload())];
    let digests = found.each_ref().map(|image| image.as_ref().ok().map(documents));
    assert_eq!(digests[0], digests[1], "{found:?}");
    for image in found.into_iter().flatten() {
        assert_eq!(documents(&image), (Some(pin), Some(config), 2));
        accepted.payloads += 1;
    }
    accepted
}

/// Flattens and unpacks an image that has its pin: both or neither, and each file of the tree is in the stream.
fn flattened(image: &Image, dir: &Path) {
    let mut stream = Count::default();
    let flat = image.flatten(&policy(), &mut stream);
    assert_eq!(stream.aborts, u64::from(flat.is_err() && stream.began), "{flat:?}");
    let parent = Root::open_ambient(dir, ambient_authority()).unwrap();
    let unpacked = Unpacker::rootfs(parent, "tree", policy()).and_then(|unpacker| image.unpack(unpacker));
    let kind = |error: &Error| error.kind();
    assert_eq!(flat.as_ref().err().map(kind), unpacked.as_ref().err().map(kind), "{flat:?}, {unpacked:?}");
    if unpacked.is_ok() {
        assert_eq!((stream.objects, stream.bytes), (5, 3 + 3000));
        std::fs::remove_dir_all(dir.join("tree")).unwrap();
    }
}

fn policy() -> Policy {
    let mut policy = Policy::container();
    policy.ownership = Ownership::SquashToCaller;
    policy
}

/// Counts what a stream gives.
#[derive(Default)]
struct Count {
    began: bool,
    objects: u64,
    bytes: u64,
    aborts: u64,
}

impl TreeSink for Count {
    fn entry(&mut self, _: &FlatEntry) -> io::Result<()> {
        (self.began, self.objects) = (true, self.objects + 1);
        Ok(())
    }

    fn data(&mut self, _: u64, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn entry_end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn abort(&mut self, _: &Error) {
        self.aborts += 1;
    }
}

/// Accepts an image for which a payload is there, as it was made: for what a signature would say.
struct Vouched(Digest);

impl Verifier for Vouched {
    fn verify(&self, candidate: &Candidate<'_>) -> Result<(), Error> {
        for found in candidate.attached(candidate.digest())?.flatten() {
            assert!(found.manifest().digest().is_some());
            for layer in found.layers() {
                let Ok(bytes) = layer.bytes() else { continue };
                let payload = layer.descriptor().verify(&bytes).and_then(|document| SimpleSigning::parse(&document));
                if payload.is_ok_and(|payload| payload.manifest_digest() == candidate.digest() && candidate.digest() == self.0) {
                    return Ok(());
                }
            }
        }
        Err(Error::signature_invalid("no payload names the image"))
    }
}

/// Entries of the layers.
const EACH: [u64; 2] = [2, 3];

fn whole() -> Stored {
    let made: Recipe = recipe([tar().dir("d").file("d/f", "one"), tar().file("d/f", "two").symlink("s", "d").file("g", vec![b'x'; 3000])]);
    let mut made = made.oci();
    let tag = format!("sha256-{}.sig", hex(made.pin));
    let critical = json!({"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": made.pin.to_string()},
        "type": "cosign container image signature"});
    let payload = json!({ "critical": critical }).to_string().into_bytes();
    made.add_blob(&payload);
    let config = descriptor(OCI_CONFIG, made.bytes(&made.config));
    let signatures = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config,
        "layers": [descriptor(SimpleSigning::MEDIA_TYPE, &payload)]});
    made.add_manifest(&signatures, |entry| entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag}));
    made
}

/// Applies one change.
fn changed(mut stored: Stored, change: &[u8]) -> Stored {
    let [file, what, value] = [change[0], change[1], change[2]].map(usize::from);
    if stored.files.is_empty() {
        return stored;
    }
    let name = stored.files[file % stored.files.len()].0.clone();
    let other = stored.files[value % stored.files.len()].0.clone();
    let node = match what % 10 {
        0 => return stored,
        9 => return moved(stored, value),
        1 => {
            stored.remove(&name);
            return stored;
        }
        2 => Node::Symlink(other),
        3 => Node::Fifo,
        4 => Node::Dir,
        5 => Node::File(content(&stored, &other)),
        6 => Node::File([content(&stored, &name), b" ".to_vec()].concat()),
        7 => {
            let mut bytes = content(&stored, &name);
            bytes.truncate(bytes.len() * value / 256);
            Node::File(bytes)
        }
        _ => {
            let mut bytes = content(&stored, &name);
            let at = bytes.len() * value / 256;
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (what / 10 % 8));
            Node::File(bytes)
        }
    };
    stored.put(&name, node);
    stored
}

/// Moves the directory of the blobs away, and puts nothing or what is none in its place.
fn moved(mut stored: Stored, value: usize) -> Stored {
    for (name, _) in &mut stored.files {
        if let Some(rest) = name.strip_prefix("blobs/") {
            *name = format!("moved/{rest}");
        }
    }
    match value % 3 {
        0 => {}
        1 => stored.put("blobs", Node::Symlink("moved".into())),
        _ => stored.put("blobs", Node::Fifo),
    }
    stored
}

fn content(stored: &Stored, name: &str) -> Vec<u8> {
    match stored.files.iter().find(|(other, _)| other == name) {
        Some((_, Node::File(bytes))) => bytes.clone(),
        _ => Vec::new(),
    }
}

fn choose(choice: &Choice) -> Choice {
    choice.clone().platform(Platform::parse("linux/amd64").unwrap())
}

fn as_directory(at: &std::path::Path, choice: &Choice) -> Result<Image, Error> {
    Layout::open(Root::open_ambient(at, ambient_authority()).unwrap())?.image(&choose(choice))
}

fn as_archive(archive: &File, choice: &Choice) -> Result<Image, Error> {
    Layout::open_archive(archive.try_clone().unwrap())?.image(&choose(choice))
}

fn documents(image: &Image) -> (Option<Digest>, Option<Digest>, usize) {
    (image.manifest().and_then(|manifest| manifest.digest()), image.config_document().digest(), image.layers().len())
}

/// The entries of a layer whose bytes are the claimed ones.
fn entries(image: &Image, layer: usize) -> Result<u64, Error> {
    let layer = &image.layers()[layer];
    let mut reader = LayerReader::new(layer.open()?, layer.claim(), Policy::container());
    let mut count = 0;
    while reader.next_entry()?.is_some() {
        count += 1;
    }
    reader.finish()?;
    Ok(count)
}
