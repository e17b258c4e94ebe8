//! The demonstration: a layer that ships with the program, with both of its digests claimed.

use std::path::Path;

use cap_std::ambient_authority;
use safe_layers::{Digest, Error, Expect, Policy, Root, Unpacked, Unpacker};

use super::failure::Failure;
use super::{hello, report};

/// Unpacks the layer into a new temporary directory, which stays, and tells about it.
pub(crate) fn run() -> Result<String, Failure> {
    let place = tempfile::Builder::new().prefix("safe-layers-").tempdir().map_err(Failure::Demo)?;
    let unpacked = unpack(place.path())?;
    let dest = place.keep().join("hello");
    Ok(format!("{}\n{}{}", intro(), report::text(&unpacked, dest.as_os_str()), next(&dest)))
}

/// An ordinary user cannot give files away, so owners are squashed to that user.
fn policy() -> (&'static str, Policy) {
    if rustix::process::geteuid().is_root() { ("container", Policy::container()) } else { ("rootless", Policy::rootless()) }
}

fn unpack(place: &Path) -> Result<Unpacked, Error> {
    let expect = Expect::blob(Digest::parse(hello::BLOB_DIGEST)?).size(hello::BLOB_SIZE).and_diff_id(Digest::parse(hello::DIFF_ID)?);
    let parent = Root::open_ambient(place, ambient_authority())?;
    let mut unpacker = Unpacker::rootfs(parent, "hello", policy().1)?;
    unpacker.apply(&expect, hello::LAYER)?;
    unpacker.commit()
}

fn intro() -> String {
    format!(
        "This unpacks a small container layer that ships with the program (examples/data/hello-layer.tar.gz) under the policy\n\
         `{}`. Its size, its digest and the digest of its uncompressed bytes are claimed; the tree appeared only after all\n\
         of them matched.\n",
        policy().0
    )
}

fn next(dest: &Path) -> String {
    let dest = safe_layers::escape_path(dest.as_os_str().as_encoded_bytes());
    format!(
        "\n\
         Look at it:            ls -lR {dest}\n\
         Unpack your own layer: cargo run --release --example unpack -- --blob sha256:DIGEST LAYER.tar.gz DEST\n\
         \x20                      (DIGEST is in the image manifest; without one, say --unverified)\n\
         See a refusal:         cargo run --release --example unpack -- --blob sha256:{} examples/data/hello-layer.tar.gz {dest}-2\n\
         All options:           cargo run --release --example unpack -- --help\n",
        "0".repeat(64)
    )
}
