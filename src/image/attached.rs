//! A manifest that belongs to an image and is none: its blobs are signatures, attestations and the like ([`Attachment`]). And by which
//! names such a manifest is found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::descriptor::Descriptor;
use super::document::Kept;
use super::fields::{Fields, numbered};
use super::json::Value;
use super::media::Form;
use super::store::Store;
use super::{Document, json};
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error};

/// Its own keys, and those of other forms: refused, in any case of their letters.
const KEYS: &[&str] =
    &["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations", "manifests", "fsLayers", "rootfs"];

/// What cosign appends to the tag that it makes of a digest: signatures, attestations, bill of materials (`SIGNATURE_SPEC.md`,
/// *Tag-based Discovery*).
const SUFFIXES: [&str; 3] = [SIGNATURES, ".att", ".sbom"];
const SIGNATURES: &str = ".sig";
/// Most characters of the encoded digest in a tag (OCI distribution-spec, *Referrers Tag Schema*).
const TAG_HEX: usize = 64;

/// A manifest that the layout holds for an image, and whose blobs are about it. Whoever wrote the layout chose it.
///
/// Once you hold one, its bytes were hashed and have the digest of what led to it, and it is well formed.
#[derive(Debug)]
pub struct Attachment {
    manifest: Kept,
    artifact_type: String,
    layers: Vec<AttachedLayer>,
}

/// A blob of an [`Attachment`]: of cosign's signatures, one payload that was signed.
#[derive(Debug)]
pub struct AttachedLayer {
    store: Arc<Store>,
    descriptor: Descriptor,
    annotations: BTreeMap<String, String>,
}

impl Attachment {
    /// Parses a manifest that was checked. Gives it with the digest of its `subject` (OCI image-spec `manifest.md`).
    pub(super) fn parse(store: &Arc<Store>, manifest: Kept) -> Result<(Self, Option<Digest>), Error> {
        let document = manifest.document();
        let at = document.path();
        let value = json::parse(document.bytes()).map_err(|error| error.at_descriptor(at))?;
        let fields = Fields::of(&value, "the attached manifest", KEYS, at)?;
        Form::Manifest.check(&document, &fields)?;
        // Odd and left out is what nobody relies on here.
        let mut notices = Vec::new();
        let config = Descriptor::read(fields.required("config")?, at.field("config"), &mut notices)?;
        let subject = fields.get("subject").map(|value| Descriptor::read(value, at.field("subject"), &mut notices)).transpose()?;
        let artifact_type = fields.media_type("artifactType")?.unwrap_or_else(|| config.media_type()).to_owned();
        let layer = |(i, value)| AttachedLayer::read(store, value, at.item("layers", i));
        let layers = numbered(fields.list("layers")?).map(layer).collect::<Result<_, _>>()?;
        Ok((Self { manifest, artifact_type, layers }, subject.map(|subject| subject.digest())))
    }

    /// The manifest, byte for byte.
    #[must_use]
    pub fn manifest(&self) -> Document<'_> {
        self.manifest.document()
    }

    /// What it is: `artifactType`, else the media type of its configuration (OCI image-spec `manifest.md`, *artifactType*).
    #[must_use]
    pub fn artifact_type(&self) -> &str {
        &self.artifact_type
    }

    /// Its blobs, in order. None was read.
    #[must_use]
    pub fn layers(&self) -> &[AttachedLayer] {
        &self.layers
    }
}

impl AttachedLayer {
    fn read(store: &Arc<Store>, value: &Value, at: DescriptorPath) -> Result<Self, Error> {
        let descriptor = Descriptor::read(value, at, &mut Vec::new())?;
        let annotations = Fields::of(value, "the descriptor", &[], descriptor.path())?.map("annotations")?;
        let annotations = annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok(Self { store: Arc::clone(store), descriptor, annotations })
    }

    /// What claims it: media type, digest, size.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The annotation of that name: text that others wrote.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }

    /// Reads the blob, as a document: bounded, and every byte hashed.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) over [`MAX_DOCUMENT_BYTES`](super::MAX_DOCUMENT_BYTES), before
    /// anything is read; [`BlobMissing`](crate::ErrorKind::BlobMissing), [`LayoutSymlink`](crate::ErrorKind::LayoutSymlink),
    /// [`SizeMismatch`](crate::ErrorKind::SizeMismatch), [`DigestMismatch`](crate::ErrorKind::DigestMismatch). `Ok` means that the bytes
    /// are the claimed ones.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        self.document().map(|kept| kept.document().bytes().to_vec())
    }

    pub(super) fn document(&self) -> Result<Kept, Error> {
        self.store.document(&self.descriptor)
    }
}

/// The tag of the signatures of a digest, as cosign names them.
pub(super) fn signatures_tag(digest: &Digest) -> String {
    format!("{}{SIGNATURES}", digest.to_string().replacen(':', "-", 1))
}

/// The tag of the index that lists what refers to a digest, where there is no registry to ask (OCI distribution-spec, *Referrers Tag
/// Schema*).
pub(super) fn referrers_tag(digest: &Digest) -> String {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').unwrap_or((&text, ""));
    format!("{algorithm}-{}", hex.get(..TAG_HEX).unwrap_or(hex))
}

/// The tag of an image's name: the name, or what stands after the last colon.
pub(super) fn tag(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, tag)| tag)
}

/// Whether a tag is one that cosign, or the referrers tag schema, makes of a digest: no image has such a name of its own.
pub(super) fn is_made_of_a_digest(tag: &str) -> bool {
    let stem = SUFFIXES.iter().find_map(|suffix| tag.strip_suffix(suffix));
    let Some((algorithm, hex)) = stem.unwrap_or(tag).split_once('-') else { return false };
    let whole = Digest::parse(format!("{algorithm}:{hex}")).is_ok();
    let cut = || algorithm == "sha512" && hex.len() == TAG_HEX && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    whole || (stem.is_none() && cut())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_made_of_a_digest_as_cosign_and_the_referrers_schema_make_it() {
        let (short, long) = (format!("sha256:{}", "0a".repeat(32)), format!("sha512:{}", "0a".repeat(64)));
        let digests = [short, long].map(|text| Digest::parse(text).unwrap());
        assert_eq!(signatures_tag(&digests[0]), format!("sha256-{}.sig", "0a".repeat(32)));
        assert_eq!(referrers_tag(&digests[0]), format!("sha256-{}", "0a".repeat(32)));
        assert_eq!(referrers_tag(&digests[1]), format!("sha512-{}", "0a".repeat(32)));
        for digest in &digests {
            for made in [signatures_tag(digest), referrers_tag(digest)] {
                assert!(is_made_of_a_digest(&made), "{made}");
                assert!(is_made_of_a_digest(tag(&format!("host:5000/name:{made}"))), "{made}");
                assert!(!is_made_of_a_digest(&format!("{made}.tar")) && !is_made_of_a_digest(&made.to_uppercase()), "{made}");
            }
        }
        for image in ["latest", "sha256-0a", "sha256-0a.sig", "v1.sig", "", "-", ".sig"] {
            assert!(!is_made_of_a_digest(image), "{image}");
        }
    }
}
