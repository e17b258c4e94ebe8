//! The layer that ships with `examples/unpack`: where it comes from, and that the claims made of it are right.
//!
//! `cargo test --test hello_layer -- --ignored` writes `examples/data/hello-layer.tar.gz` anew from [`layer`]; the failing
//! test beside it then tells the claims that belong into `examples/unpack/hello.rs`.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

use std::io::{Read as _, Write as _};

use safe_layers::{Algorithm, Digest, Hasher};
use tar::{EntryType, Header};

#[path = "../examples/unpack/hello.rs"]
mod hello;

/// 2024-01-01 00:00:00 UTC.
const MTIME: u64 = 1_704_067_200;

const SCRIPT: &[u8] = b"#!/bin/sh\necho \"Hello from a layer that was verified before it was visible.\"\n";
const MOTD: &[u8] = b"This file came out of a container layer.\n";
const NOTE: &[u8] = b"In the layer this file belongs to 1000:1000.\n";

/// The uncompressed layer: directories, files, a symlink, a hardlink, an owner that is not root.
fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: EntryType, mode: u32, id: u64, body: &[u8], link: Option<&str>| {
        let mut header = Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(id);
        header.set_gid(id);
        header.set_mtime(MTIME);
        header.set_size(u64::try_from(body.len()).unwrap());
        if let Some(link) = link {
            header.set_link_name(link).unwrap();
        }
        header.set_cksum();
        tar.append(&header, body).unwrap();
    };
    add("etc/", EntryType::Directory, 0o755, 0, b"", None);
    add("etc/motd", EntryType::Regular, 0o644, 0, MOTD, None);
    add("home/", EntryType::Directory, 0o755, 0, b"", None);
    add("home/guest/", EntryType::Directory, 0o700, 1000, b"", None);
    add("home/guest/note", EntryType::Regular, 0o600, 1000, NOTE, None);
    add("usr/", EntryType::Directory, 0o755, 0, b"", None);
    add("usr/bin/", EntryType::Directory, 0o755, 0, b"", None);
    add("usr/bin/hello", EntryType::Regular, 0o755, 0, SCRIPT, None);
    add("usr/bin/hi", EntryType::Link, 0o755, 0, b"", Some("usr/bin/hello"));
    add("bin", EntryType::Symlink, 0o777, 0, b"", Some("usr/bin"));
    tar.into_inner().unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn the_shipped_layer_is_the_one_built_here_and_its_claims_are_right() {
    let mut decoded = Vec::new();
    flate2::read::GzDecoder::new(hello::LAYER).read_to_end(&mut decoded).unwrap();
    assert!(decoded == layer(), "examples/data/hello-layer.tar.gz holds other bytes than the builder gives");
    assert_eq!(hello::DIFF_ID, digest(&decoded).to_string());
    assert_eq!(hello::BLOB_DIGEST, digest(hello::LAYER).to_string());
    assert_eq!(hello::BLOB_SIZE, u64::try_from(hello::LAYER.len()).unwrap());
}

#[test]
#[ignore = "writes the shipped layer anew"]
fn write_the_shipped_layer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/hello-layer.tar.gz");
    let file = std::fs::File::create(path).expect("the repository is writable");
    // GzEncoder writes no name and no time, so the same flate2 gives the same bytes.
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    gzip.write_all(&layer()).unwrap();
    gzip.finish().unwrap();
}
