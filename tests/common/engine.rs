//! The one place that knows how the tests start the engine: resolvers, threads, forms, policies, claims.

use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;

use safe_layers::{Compression, Digest, Error, Expect, LayerReport, OverlayForm, Policy, Resolver, Root, Unpacker};
use sha2::Digest as _;

use super::builder::{Chunks, Source};

/// Up to this size a blob is held in memory, hashed for its claim, and also fed in small pieces.
pub const SMALL_BLOB: u64 = 1 << 20;

/// Where a layer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Staged beside `dest` and renamed to it.
    Rootfs,
    /// Into the existing directory `dest`.
    InPlace,
    /// Staged, a directory for each layer: `dest/0` and so on.
    Overlay,
}

/// One way to run the engine: all of them must give the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub form: Form,
    pub resolver: Resolver,
    pub threads: usize,
    /// Bytes for each read at most, for small blobs.
    pub chunk: usize,
}

impl Mode {
    pub const ROOTFS: [Self; 3] = [
        Self { form: Form::Rootfs, resolver: Resolver::Openat2, threads: 1, chunk: usize::MAX },
        Self { form: Form::Rootfs, resolver: Resolver::Walk, threads: 2, chunk: 7 },
        Self { form: Form::Rootfs, resolver: Resolver::Walk, threads: 1, chunk: 1 },
    ];
    pub const OVERLAY: [Self; 2] = [
        Self { form: Form::Overlay, resolver: Resolver::Openat2, threads: 2, chunk: 7 },
        Self { form: Form::Overlay, resolver: Resolver::Walk, threads: 1, chunk: usize::MAX },
    ];
    pub const IN_PLACE: [Self; 2] = [
        Self { form: Form::InPlace, resolver: Resolver::Openat2, threads: 2, chunk: 7 },
        Self { form: Form::InPlace, resolver: Resolver::Walk, threads: 1, chunk: usize::MAX },
    ];
}

/// Starts the engine below `parent`, for `parent/dest`.
pub fn unpacker(parent: &Path, mode: Mode, mut policy: Policy) -> Result<Unpacker, Error> {
    policy.resolver = mode.resolver;
    let authority = safe_layers::ambient_authority();
    let unpacker = match mode.form {
        Form::Rootfs => Unpacker::rootfs(Root::open_ambient(parent, authority)?, "dest", policy)?,
        Form::Overlay => Unpacker::overlay(Root::open_ambient(parent, authority)?, "dest", OverlayForm::User, policy)?,
        Form::InPlace => Unpacker::in_place(Root::open_ambient(parent.join("dest"), authority)?, policy)?,
    };
    Ok(unpacker.threads(NonZeroUsize::new(mode.threads).unwrap()))
}

/// Applies one blob: with its true size and digest as the claim if it is small, else with none.
pub fn apply(unpacker: &mut Unpacker, mode: Mode, blob: &Source, compression: Option<Compression>) -> Result<LayerReport, Error> {
    let (expect, reader): (_, Box<dyn Read + Send>) = match blob.bytes_up_to(SMALL_BLOB) {
        Some(bytes) => {
            let claim = Expect::blob(sha256(&bytes)).size(bytes.len() as u64);
            (claim, Box::new(Chunks(std::io::Cursor::new(bytes), mode.chunk)))
        }
        None => (Expect::dangerous_unverified(), Box::new(blob.open())),
    };
    let expect = match compression {
        Some(compression) => expect.compression(compression),
        None => expect,
    };
    unpacker.apply(&expect, reader)
}

/// Applies a stack of blobs, bottom first, and commits.
pub fn unpack(parent: &Path, mode: Mode, policy: Policy, blobs: &[Source]) -> Result<Vec<LayerReport>, Error> {
    let mut unpacker = unpacker(parent, mode, policy)?;
    let reports = blobs.iter().map(|blob| apply(&mut unpacker, mode, blob, None)).collect::<Result<_, _>>()?;
    unpacker.commit()?;
    Ok(reports)
}

pub fn sha256(bytes: &[u8]) -> Digest {
    let hex = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Digest::parse(format!("sha256:{hex}")).unwrap()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The policy for real images that this process has the privilege for.
pub fn container_for_caller() -> Policy {
    if is_root() { Policy::container() } else { Policy::rootless() }
}
