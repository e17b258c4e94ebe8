//! What a signature of cosign is over: the payload that names an image ([`SimpleSigning`]).

use super::fields::Fields;
use super::json::Value;
use super::{Document, json, shown};
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error, ErrorKind};

/// cosign `SIGNATURE_SPEC.md`, *Simple Signing*.
const TYPE: &str = "cosign container image signature";

/// A payload in the format *simple signing* (containers `containers-signature.5`; cosign `SIGNATURE_SPEC.md`), of the media type
/// [`MEDIA_TYPE`](Self::MEDIA_TYPE). It says which image was signed; that it was is said by a signature over its bytes.
///
/// Once you hold one, it is of cosign's type and has no member that the format does not have: whoever reads it must know all.
///
/// ```
/// use safe_layers::image::{Document, SimpleSigning};
/// let bytes = br#"{"critical": {"identity": {"docker-reference": "registry.test/app"}, "type": "cosign container image signature",
///     "image": {"docker-manifest-digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}, "optional": null}"#;
/// let payload = SimpleSigning::parse(&Document::dangerous_unverified("the payload", bytes))?;
/// assert_eq!(payload.reference(), Some("registry.test/app"));
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleSigning {
    manifest_digest: Digest,
    reference: Option<String>,
}

impl SimpleSigning {
    /// The media type of a payload in a manifest of signatures.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

    /// Parses a payload. `optional` is whatever the signer wants to tell, and is not read.
    ///
    /// # Errors
    /// [`ErrorKind::AmbiguousManifest`], [`ErrorKind::LimitExceeded`]; [`ErrorKind::UnsupportedMediaType`] on a signature of another
    /// type; [`ErrorKind::BadDigest`]; [`ErrorKind::ManifestMalformed`] else, on a member that the format does not have too.
    pub fn parse(document: &Document<'_>) -> Result<Self, Error> {
        let at = document.path();
        let value = json::parse(document.bytes()).map_err(|error| error.at_descriptor(at))?;
        let critical = object(&value, "the payload", &["critical", "optional"], at)?.required("critical")?;
        let critical = object(critical, "`critical`", &["type", "image", "identity"], at)?;
        match critical.required_string("type")? {
            TYPE => {}
            other => {
                let detail = format!("a signature of the type \"{}\", not \"{TYPE}\"", shown(other));
                return Err(critical.error(ErrorKind::UnsupportedMediaType, detail));
            }
        }
        let image = object(critical.required("image")?, "`critical.image`", &["docker-manifest-digest"], at)?;
        let identity = object(critical.required("identity")?, "`critical.identity`", &["docker-reference"], at)?;
        identity.required("docker-reference")?;
        let reference = identity.line("docker-reference")?.map(str::to_owned);
        Ok(Self { manifest_digest: image.digest("docker-manifest-digest")?, reference })
    }

    /// The digest of the manifest, or the index, that was signed: `critical.image.docker-manifest-digest`.
    #[must_use]
    pub fn manifest_digest(&self) -> Digest {
        self.manifest_digest
    }

    /// What the signer called the image: `critical.identity.docker-reference`; none where it is empty. cosign writes the repository, without a tag.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

/// Takes an object that has no member but the known ones: the format has them refused.
fn object<'a>(value: &'a Value, what: &'static str, known: &[&str], at: &'a DescriptorPath) -> Result<Fields<'a>, Error> {
    let fields = Fields::of(value, what, known, at)?;
    match fields.unknown(known) {
        None => Ok(fields),
        Some(key) => {
            let detail = format!("{what} has \"{}\", which is none of its members", shown(key));
            Err(fields.error(ErrorKind::ManifestMalformed, detail))
        }
    }
}
