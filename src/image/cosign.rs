//! Signatures by a key, as cosign makes them ([`CosignKey`]). The only file that knows about keys and signatures.

use base64ct::{Base64, Encoding as _};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;

use super::attached::{AttachedLayer, Attachment};
use super::trust::{Candidate, Verifier};
use super::{SimpleSigning, shown};
use crate::digest::Digest;
use crate::error::{Class, Error};

/// cosign `SIGNATURE_SPEC.md`, *Signature*: the annotation of a payload's descriptor.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Most findings that an error tells in full.
const MOST_TOLD: usize = 8;

/// A public key, and the images that were signed with its private one: ECDSA over P-256 with SHA-256, as `cosign sign --key` does
/// (cosign `SIGNATURE_SPEC.md`).
///
/// An image is accepted where at least one signature that the layout holds for its manifest, or for an index that led to the manifest,
/// is by this key over a payload that names that very digest. Certificates, transparency logs, times and bundles are not looked at:
/// whoever has the key decides, and a signature counts for ever. cosign 3 makes a bundle unless it is given `--new-bundle-format=false`.
///
/// A signature says **which bytes**, not **which name**: an old image that was once signed, or another one by the same key, is as good.
/// [`expect_reference`](Self::expect_reference) narrows that to one repository; a [pin](super::Choice::and_verified_by) to one image.
///
/// ```
/// use safe_layers::image::{Choice, CosignKey};
/// let pem = "-----BEGIN PUBLIC KEY-----\n\
///     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC1AeJUH4UJcW72ik7OBQonP8FWA3\n\
///     l+TZCUkBhY5kjmdi4XUIoEAzqa8N7XubGFMcWzaa1X9sgQ2HzxDxJPiPCQ==\n\
///     -----END PUBLIC KEY-----\n";
/// let choice = Choice::verified_by(CosignKey::from_pem(pem)?).reference("latest");
/// # drop(choice);
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignKey {
    key: VerifyingKey,
    reference: Option<String>,
}

impl CosignKey {
    /// Takes a public key, as `cosign public-key` and `openssl pkey -pubout` write it: PEM of a `SubjectPublicKeyInfo` (RFC 5280).
    ///
    /// # Errors
    /// [`ErrorKind::SignatureInvalid`](crate::ErrorKind::SignatureInvalid) where it is no such key, or none over P-256.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        match VerifyingKey::from_public_key_pem(pem) {
            Ok(key) => Ok(Self { key, reference: None }),
            Err(error) => Err(Error::signature_invalid(format!("the key is no public key over P-256 in PEM: {error}"))),
        }
    }

    /// Wants signatures whose payload calls the image `name` (`critical.identity.docker-reference`), exactly. cosign writes the
    /// repository, without a tag, unless the signer said otherwise. Default: any name.
    #[must_use]
    pub fn expect_reference(self, name: impl Into<String>) -> Self {
        Self { reference: Some(name.into()), ..self }
    }

    /// Looks for one signature that counts among the blobs of one manifest; tells `findings` of those that do not.
    fn search(&self, attachment: &Attachment, digest: &Digest, findings: &mut Findings) -> Result<Verdict, Error> {
        let is_payload = |layer: &&AttachedLayer| layer.descriptor().media_type() == SimpleSigning::MEDIA_TYPE;
        let mut payloads = attachment.layers().iter().filter(is_payload).peekable();
        if payloads.peek().is_none() {
            let detail = format!("no signature, but \"{}\"", shown(attachment.artifact_type()));
            findings.add(Error::signature_invalid(detail).at_descriptor(attachment.manifest().path()))?;
        }
        for layer in payloads {
            match self.check(layer, digest) {
                Ok(()) => return Ok(Verdict::Signed),
                Err(error) => findings.add(error.at_descriptor(layer.descriptor().path()))?,
            }
        }
        Ok(Verdict::NotSigned)
    }

    /// Checks one signature: over the exact bytes first, and only then what they say.
    fn check(&self, layer: &AttachedLayer, digest: &Digest) -> Result<(), Error> {
        let invalid = |detail: String| Err(Error::signature_invalid(detail));
        let Some(signature) = layer.annotation(SIGNATURE) else { return invalid(format!("a payload without `{SIGNATURE}`")) };
        let Ok(der) = Base64::decode_vec(signature) else { return invalid("the signature is not base64".into()) };
        let Ok(signature) = Signature::from_der(&der) else { return invalid("the signature is none of ECDSA over P-256 in DER".into()) };
        let payload = layer.document()?;
        if self.key.verify(payload.document().bytes(), &signature).is_err() {
            return invalid("the signature is not by this key over this payload".into());
        }
        let payload = SimpleSigning::parse(&payload.document())?;
        if payload.manifest_digest() != *digest {
            return invalid(format!("the payload names {}, not {digest}", payload.manifest_digest()));
        }
        match (&self.reference, payload.reference()) {
            (Some(wanted), named) if named != Some(wanted) => {
                invalid(format!("the payload calls it \"{}\", not \"{}\"", shown(named.unwrap_or_default()), shown(wanted)))
            }
            _ => Ok(()),
        }
    }
}

impl Verifier for CosignKey {
    fn verify(&self, candidate: &Candidate<'_>) -> Result<(), Error> {
        let (mut findings, mut asked) = (Findings::default(), Vec::new());
        for digest in candidate.documents().filter_map(|document| document.digest()) {
            for attachment in candidate.attached(digest)? {
                match attachment {
                    Ok(attachment) if self.search(&attachment, &digest, &mut findings)? == Verdict::Signed => return Ok(()),
                    Ok(_) => {}
                    Err(error) => findings.add(error)?,
                }
            }
            asked.push(digest.to_string());
        }
        Err(findings.error(&asked.join(" or ")))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Signed,
    NotSigned,
}

/// What was found and does not count.
#[derive(Debug, Default)]
struct Findings {
    told: Vec<String>,
    more: u64,
}

impl Findings {
    /// Remembers why something does not count. What fails for want of resources, or over a limit, ends the search: it is no finding.
    fn add(&mut self, error: Error) -> Result<(), Error> {
        match error.class() {
            Class::Io | Class::Limit | Class::Cancelled => return Err(error),
            _ if self.told.len() < MOST_TOLD => self.told.push(error.to_string()),
            _ => self.more = self.more.saturating_add(1),
        }
        Ok(())
    }

    fn error(self, digests: &str) -> Error {
        let more = if self.more == 0 { String::new() } else { format!("; and {} more", self.more) };
        Error::signature_invalid(match self.told.as_slice() {
            [] => format!("no signature is attached to {digests}"),
            told => format!("nothing that is attached to {digests} is a signature by the key: {}{more}", told.join("; ")),
        })
    }
}
