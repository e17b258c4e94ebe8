//! Images on disk that nobody trusts: [`Layout`] opens a layout or an archive, [`Choice`] says which image and by what it is
//! trusted (a pin, a [`Verifier`], both), [`Image`] is what was found: it unpacks, or gives its merged tree as a stream
//! ([`TreeSink`]).
//!
//! Below that, for callers who find blobs themselves, are the documents: index, manifest, configuration, and the list in a
//! docker-archive. Their parsers do no I/O.
//!
//! ```text
//! bytes → Document (size and digest checked, or the waiver said) → Index → Descriptor → Document → Manifest ─┐
//!                                                                                │ config                    ├→ a claim for each layer
//!                                                                                └→ Document → ImageConfig ──┘
//! ```
//!
//! ```
//! use safe_layers::image::{Document, ImageConfig, Index, Manifest, Platform};
//! # use safe_layers::{Algorithm, Digest, Hasher};
//! # fn digest(bytes: &[u8]) -> Digest {
//! #     let mut hasher = Hasher::new(Algorithm::Sha256);
//! #     hasher.update(bytes);
//! #     hasher.finish()
//! # }
//! # let layer = digest(b"layer");
//! # let config_json = format!(r#"{{"os": "linux", "architecture": "amd64", "rootfs": {{"type": "layers", "diff_ids": ["{layer}"]}}}}"#);
//! # let manifest_json = format!(r#"{{"schemaVersion": 2,
//! #     "config": {{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "{}", "size": {}}},
//! #     "layers": [{{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "{layer}", "size": 5}}]}}"#,
//! #     digest(config_json.as_bytes()), config_json.len());
//! # let index_json = format!(r#"{{"schemaVersion": 2, "manifests": [
//! #     {{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "{}", "size": {}}}]}}"#,
//! #     digest(manifest_json.as_bytes()), manifest_json.len());
//! # let (index_json, manifest_json, config_json) = (index_json.as_bytes(), manifest_json.as_bytes(), config_json.as_bytes());
//! # let pinned = digest(manifest_json);
//! let index = Index::parse(&Document::dangerous_unverified("index.json", index_json))?;
//! let descriptor = index.select(&Platform::parse("linux/amd64")?)?;
//! assert_eq!(descriptor.digest(), pinned); // or the choice is the writer's of index.json
//! let manifest = Manifest::parse(&descriptor.verify(manifest_json)?)?;
//! let config = ImageConfig::parse(&manifest.config().verify(config_json)?)?;
//! let claims = manifest.claims(&config)?; // one `Expect` for each layer, bottom first
//! assert_eq!(claims[0].claimed_diff_id(), Some(layer));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In scope
//! OCI image-spec 1.1 and what Docker calls schema 2: documents that have one reading. Of keys that are not known, only that none
//! stands twice. OCI layouts as directories and as tar archives; docker-archives, whose layers may be links to each other.
//!
//! # Out of scope
//! Fetching (`urls` are never followed); artifacts that are no container images; schema 1; archives that are compressed or come
//! through a pipe.
//!
//! # Signatures
//! [`Choice::verified_by`] has a [`Verifier`] of the caller say whether a manifest is trusted, before it is parsed. [`Candidate::attached`]
//! gives it what the layout holds for the image: by cosign's tag, by the mark of `cosign save`, by the OCI referrers. Feature `cosign`
//! has one verifier, `CosignKey`: signatures by a key over P-256, in the format that cosign has as manifests of simple-signing payloads.
//! Not read: certificates, transparency logs, sigstore bundles (what cosign 3 writes unless told otherwise), GPG, notation.
//!
//! What a signature says is that its key was used on these very bytes. Not said is which name or tag they have, that they are the newest,
//! or that nobody took the signature back: whoever writes `index.json` chooses among all that was ever signed. A pin beside the
//! verifier leaves no choice.
//!
//! # What is refused, and the silence about the rest
//! A document that two readers may read in two ways: [`ErrorKind::AmbiguousManifest`](crate::ErrorKind::AmbiguousManifest). A key that
//! stands twice, anywhere; a key that becomes a known one where case is folded, as Go does it; the fields of a manifest in an index, and
//! the like (CVE-2021-41190). What is left out or odd, but has one reading, is a [`Notice`].

mod archive;
mod attached;
mod attachments;
mod chain;
mod choice;
mod config;
#[cfg(feature = "cosign")]
mod cosign;
mod descriptor;
mod docker;
mod document;
mod fields;
mod flatten;
mod index;
mod json;
mod layout;
mod manifest;
mod media;
mod payload;
mod platform;
mod store;
mod stretch;
#[cfg(test)]
mod tests;
mod trust;
mod verified;

pub use archive::{MAX_ARCHIVE_MEMBERS, MAX_ARCHIVE_NAME_BYTES};
pub use attached::{AttachedLayer, Attachment};
pub use attachments::{Attachments, MAX_ATTACHED_LAYERS, MAX_ATTACHED_MANIFESTS};
pub use chain::MAX_LAYERS;
pub use choice::{Anchor, Choice};
pub use config::{ImageConfig, RunConfig};
#[cfg(feature = "cosign")]
pub use cosign::CosignKey;
pub use descriptor::{Descriptor, Role};
pub use docker::{DockerArchive, DockerImage};
pub use document::Document;
pub use flatten::{FlatEntry, FlatKind, Flattened, TreeSink};
pub use index::{Index, MAX_INDEX_DEPTH};
pub use json::{MAX_DOCUMENT_BYTES, MAX_DOCUMENT_VALUES};
pub use layout::{Layout, LayoutForm};
pub use manifest::Manifest;
pub use payload::SimpleSigning;
pub use platform::Platform;
pub use stretch::Blob;
pub use trust::{Candidate, Verifier};
pub use verified::{Image, ImageLayer};

use crate::error::DescriptorPath;

/// Something of a document that is left out or odd, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// What.
    pub reason: NoticeReason,
    /// Where.
    pub path: DescriptorPath,
}

/// What of a document is left out or odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoticeReason {
    /// A descriptor has `urls`, which are never fetched: the blob is there or it is missing.
    HasUrls,
    /// A descriptor has `data`, which is never read: a second copy of the blob could be another one.
    HasData,
    /// A descriptor of an index leads to an attestation and is never selected.
    Attestation,
    /// A descriptor of an index leads to what is attached to an image, signatures as a rule, and is never selected.
    Attached,
    /// A descriptor of an index leads to something that is not known to be an image and is never selected.
    NotAnImage,
    /// The history of a configuration tells of more or of fewer layers than there are.
    HistoryDiffers,
}

impl Notice {
    fn new(reason: NoticeReason, path: &DescriptorPath) -> Self {
        Self { reason, path: path.clone() }
    }
}

/// Shows text of a document in an error: short, and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(160).flat_map(char::escape_default).collect()
}
