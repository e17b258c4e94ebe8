//! The claim of one document about a blob: [`Descriptor`]. Syntactically right; proves nothing.

use super::attached::{is_made_of_a_digest, signatures_tag, tag};
use super::document::within_limit;
use super::fields::Fields;
use super::json::Value;
use super::{Document, Notice, NoticeReason, Platform, media};
use crate::blob::Expect;
use crate::convert::len_u64;
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error, ErrorKind};

const KEYS: &[&str] = &["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"];
/// OCI image-spec `annotations.md`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd, for the full name of an image in a layout.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// BuildKit, for what is about an image and is none.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
/// `cosign save`, for what each manifest of its layouts is; it has no names.
const KIND: &str = "kind";
const SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
const ATTESTATIONS: &str = "dev.cosignproject.cosign/atts";

/// A claim about a blob: media type, digest, size (OCI image-spec `descriptor.md`). It proves nothing; [`verify`](Self::verify) does.
///
/// Its digest is of a known algorithm and safe as a file name, its size within 63 bits. `urls` are never fetched and `data` is never
/// read, as the blob itself is there or missing: each is a [`Notice`](super::Notice) of the document that holds the descriptor.
///
/// ```
/// use safe_layers::image::{Document, Index};
/// let bytes = br#"{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,
///     "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}]}"#;
/// let index = Index::parse(&Document::dangerous_unverified("index.json", bytes))?;
/// let descriptor = &index.manifests()[0];
/// assert_eq!(descriptor.size(), 2);
/// assert!(descriptor.verify(b"{}").is_ok());
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    platform: Option<Platform>,
    names: Names,
    role: Role,
    at: DescriptorPath,
}

/// What a descriptor is called by its annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    reference: Option<String>,
    image: Option<String>,
    kind: Option<Kind>,
}

/// What `cosign save` says that a manifest is, where it is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Signatures,
    Attestations,
}

/// What a descriptor of an index leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// A manifest of an image.
    Manifest,
    /// A further index.
    Index,
    /// An attestation: provenance or bill of materials of an image (platform `unknown/unknown`, or BuildKit's annotation).
    Attestation,
    /// What is attached to an image by its name, signatures as a rule: `sha256-<hex>.sig` and the like, or as `cosign save` marks it.
    Attached,
    /// Another artifact, or a media type that is not known.
    Other,
}

impl Descriptor {
    /// Reads a descriptor; what is odd about it goes to `notices`.
    pub(super) fn read(value: &Value, at: DescriptorPath, notices: &mut Vec<Notice>) -> Result<Self, Error> {
        let fields = Fields::of(value, "the descriptor", KEYS, &at)?;
        let media_type = fields.media_type("mediaType")?.ok_or_else(|| fields.malformed("mediaType", "is missing"))?.to_owned();
        let (digest, size) = (fields.digest("digest")?, fields.size("size")?);
        let platform = fields.get("platform").map(|value| Platform::read(value, &at)).transpose()?;
        let annotations = fields.map("annotations")?;
        let name = |key| match annotations.get(key) {
            Some(name) if name.contains(char::is_control) => Err(fields.malformed(key, "holds a control character")),
            name => Ok(name.filter(|name| !name.is_empty()).map(|name| (*name).to_owned())),
        };
        let kind = match annotations.get(KIND) {
            Some(&SIGNATURES) => Some(Kind::Signatures),
            Some(&ATTESTATIONS) => Some(Kind::Attestations),
            _ => None,
        };
        let names = Names { reference: name(REF_NAME)?, image: name(IMAGE_NAME)?, kind };
        let attests = annotations.get(REFERENCE_TYPE) == Some(&ATTESTATION) || platform.as_ref().is_some_and(Platform::is_unknown);
        let artifact = fields.media_type("artifactType")?;
        let role = match media::Form::of(&media_type) {
            _ if attests => Role::Attestation,
            Some(_) if names.kind.is_some() || names.tags().any(is_made_of_a_digest) => Role::Attached,
            Some(media::Form::Index) if artifact.is_none() => Role::Index,
            // The artifact type of an ordinary image is the media type of its configuration.
            Some(media::Form::Manifest) if artifact.is_none_or(|artifact| media::Form::of(artifact) == Some(media::Form::Config)) => {
                Role::Manifest
            }
            _ => Role::Other,
        };
        // Both are checked for their type alone.
        let (urls, data) = (!fields.strings("urls")?.is_empty(), fields.string("data")?.is_some());
        notices.extend(urls.then(|| Notice::new(NoticeReason::HasUrls, &at)));
        notices.extend(data.then(|| Notice::new(NoticeReason::HasData, &at)));
        Ok(Self { media_type, digest, size, platform, names, role, at })
    }

    /// Checks `bytes` against this claim: the size, then the digest.
    ///
    /// For documents; a layer is checked by the reader that applies it ([`claim`](Self::claim)).
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] where more than [`MAX_DOCUMENT_BYTES`](super::MAX_DOCUMENT_BYTES) are claimed,
    /// [`ErrorKind::SizeMismatch`], [`ErrorKind::DigestMismatch`]; `Ok` means that the bytes are the claimed ones.
    pub fn verify<'a>(&self, bytes: &'a [u8]) -> Result<Document<'a>, Error> {
        self.document_len()?;
        if len_u64(bytes.len()) != self.size {
            let detail = format!("{} bytes, claimed were {}", bytes.len(), self.size);
            return Err(Error::new(ErrorKind::SizeMismatch, detail).at_descriptor(&self.at));
        }
        Document::hashed(&self.digest, Some(self.media_type.clone()), self.at.clone(), bytes)
    }

    /// The claimed size as that of a document, in bytes: asked before anything is read into memory.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] over [`MAX_DOCUMENT_BYTES`](super::MAX_DOCUMENT_BYTES).
    pub fn document_len(&self) -> Result<u64, Error> {
        within_limit(self.size, &self.at).map(|()| self.size)
    }

    /// What it claims about the blob of a layer: digest, size, media type.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedMediaType`] where the media type is not one of a layer, as [`Expect::media_type`] has it.
    pub fn claim(&self) -> Result<Expect, Error> {
        Expect::blob(self.digest).size(self.size).media_type(&self.media_type).map_err(|error| error.at_descriptor(&self.at))
    }

    /// The media type (RFC 6838), not always one that is known.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The digest of the blob as stored.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of the blob as stored, in bytes: 2^63 - 1 at most.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The platform (OCI image-spec `image-index.md`, `platform`).
    #[must_use]
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// The annotation `org.opencontainers.image.ref.name` (OCI image-spec `annotations.md`): text that others wrote, without control characters.
    #[must_use]
    pub fn ref_name(&self) -> Option<&str> {
        self.names.reference.as_deref()
    }

    /// The annotation `io.containerd.image.name`, the full name of an image: text that others wrote, without control characters.
    #[must_use]
    pub fn image_name(&self) -> Option<&str> {
        self.names.image.as_deref()
    }

    /// What it leads to, as a descriptor of an index.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The place in the chain of documents.
    #[must_use]
    pub fn path(&self) -> &DescriptorPath {
        &self.at
    }

    /// Whether it leads to signatures of what has this digest, by its name; or of the one image of the layout, as `cosign save` has it.
    pub(super) fn holds_signatures_of(&self, digest: &Digest) -> bool {
        self.names.kind == Some(Kind::Signatures) || self.is_tagged(&signatures_tag(digest))
    }

    /// Whether its tag, alone or after the name of a repository, is this one.
    pub(super) fn is_tagged(&self, tag: &str) -> bool {
        self.names.tags().any(|found| found == tag)
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.ref_name() == Some(name) || self.image_name() == Some(name)
    }
}

impl Names {
    fn tags(&self) -> impl Iterator<Item = &str> {
        self.reference.iter().chain(&self.image).map(|name| tag(name))
    }
}
