//! Who signs images in tests, and where the signatures are put: as cosign does both.

use base64ct::{Base64, Encoding as _};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use safe_layers::Digest;
use safe_layers::image::{CosignKey, SimpleSigning};
use serde_json::{Value, json};

use crate::common::images::{OCI_CONFIG, OCI_MANIFEST, Stored, descriptor, hex};

pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What payloads call the image.
pub const REFERENCE: &str = "registry.test/app";

/// A payload and the signature that is said to be over it.
#[derive(Clone)]
pub struct Signed {
    pub payload: Vec<u8>,
    pub signature: String,
}

/// A private key.
pub struct Signer(SigningKey);

impl Signer {
    pub fn mine() -> Self {
        Self(SigningKey::from_slice(&[7; 32]).unwrap())
    }

    pub fn other() -> Self {
        Self(SigningKey::from_slice(&[8; 32]).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    pub fn key(&self) -> CosignKey {
        CosignKey::from_pem(&self.pem()).unwrap()
    }

    /// Signs an image.
    pub fn sign(&self, digest: Digest) -> Signed {
        self.sign_bytes(payload(digest).to_string().into_bytes())
    }

    pub fn sign_bytes(&self, payload: Vec<u8>) -> Signed {
        let signature: DerSignature = self.0.sign(&payload);
        Signed { signature: base64(signature.as_bytes()), payload }
    }
}

pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

pub fn payload(digest: Digest) -> Value {
    json!({"critical": {"identity": {"docker-reference": REFERENCE}, "image": {"docker-manifest-digest": digest.to_string()},
        "type": "cosign container image signature"}, "optional": {"creator": "a test", "timestamp": 1}})
}

/// The manifest of these signatures; their payloads are put into the layout.
pub fn manifest(stored: &mut Stored, signatures: &[Signed]) -> Value {
    stored.add_blob(b"{}");
    let layers = signatures.iter().map(|signed| {
        stored.add_blob(&signed.payload);
        let mut layer = descriptor(SimpleSigning::MEDIA_TYPE, &signed.payload);
        layer["annotations"] = json!({ SIGNATURE: signed.signature });
        layer
    });
    let layers: Vec<Value> = layers.collect();
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"), "layers": layers})
}

/// Attaches signatures to an image, by the tag that cosign makes of `digest`. Gives the name of their manifest's blob.
pub fn attach(stored: &mut Stored, digest: Digest, signatures: &[Signed]) -> String {
    let manifest = manifest(stored, signatures);
    attach_manifest(stored, digest, &manifest)
}

pub fn attach_manifest(stored: &mut Stored, digest: Digest, manifest: &Value) -> String {
    let tag = format!("sha256-{}.sig", hex(digest));
    stored.add_manifest(manifest, move |entry| entry["annotations"] = json!({ REF_NAME: tag }))
}
