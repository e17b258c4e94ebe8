//! The only way to the parsers: bytes that were checked against a claim, or a waiver said aloud ([`Document`]).

use super::json::MAX_DOCUMENT_BYTES;
use crate::convert::len_u64;
use crate::digest::{Digest, Hasher};
use crate::error::{DescriptorPath, Error, ErrorKind};

/// The bytes of a document, checked against what claims them.
///
/// Once you hold one that is not from [`dangerous_unverified`](Self::dangerous_unverified), every byte was hashed and is what the
/// descriptor, or the pin, says: made by [`Descriptor::verify`](super::Descriptor::verify) and [`pinned`](Self::pinned) alone.
/// The parsers take nothing else.
///
/// ```
/// use safe_layers::image::{Document, Index};
/// let bytes = br#"{"schemaVersion": 2, "manifests": []}"#;
/// let index = Index::parse(&Document::dangerous_unverified("index.json", bytes))?;
/// assert_eq!(index.manifests().len(), 0);
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    bytes: &'a [u8],
    digest: Option<Digest>,
    media_type: Option<String>,
    at: DescriptorPath,
}

impl<'a> Document<'a> {
    /// Checks `bytes` against a digest that the caller trusts, and calls them `name` in errors.
    ///
    /// ```
    /// use safe_layers::{Algorithm, Digest, Hasher, image::Document};
    /// let empty = Digest::parse("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")?;
    /// assert_eq!(Document::pinned("the pinned manifest", &empty, b"")?.digest(), Some(empty));
    /// let error = Document::pinned("the pinned manifest", &empty, b"x").unwrap_err();
    /// assert_eq!(error.kind(), safe_layers::ErrorKind::DigestMismatch);
    /// # Ok::<(), safe_layers::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] over [`MAX_DOCUMENT_BYTES`], [`ErrorKind::DigestMismatch`]; `Ok` means that the bytes are the pinned ones.
    pub fn pinned(name: &'static str, digest: &Digest, bytes: &'a [u8]) -> Result<Self, Error> {
        let at = DescriptorPath::document(name);
        within_limit(len_u64(bytes.len()), &at)?;
        Self::hashed(digest, None, at, bytes)
    }

    /// Takes `bytes` for what they are, called `name` in errors: for a document that nothing claims, as `index.json` of a layout
    /// and `manifest.json` of a docker-archive.
    ///
    /// Whoever wrote the bytes then chooses every digest below them.
    #[must_use]
    pub fn dangerous_unverified(name: &'static str, bytes: &'a [u8]) -> Self {
        Self { bytes, digest: None, media_type: None, at: DescriptorPath::document(name) }
    }

    /// As [`pinned`](Self::pinned), where the size was checked already.
    pub(super) fn hashed(digest: &Digest, media_type: Option<String>, at: DescriptorPath, bytes: &'a [u8]) -> Result<Self, Error> {
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(bytes);
        let found = hasher.finish();
        if found != *digest {
            let detail = format!("the bytes have the digest {found}, claimed was {digest}");
            return Err(Error::new(ErrorKind::DigestMismatch, detail).at_descriptor(&at));
        }
        Ok(Self { bytes, digest: Some(*digest), media_type, at })
    }

    /// The bytes, for whoever checks a signature over them or stores them.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The digest that the bytes were checked against; none if nothing was.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The media type that the descriptor claims; none where there was no descriptor.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The place in the chain of documents.
    #[must_use]
    pub fn path(&self) -> &DescriptorPath {
        &self.at
    }

    /// The same with a copy of the bytes.
    pub(super) fn keep(&self) -> Kept {
        Kept { bytes: self.bytes.to_vec(), digest: self.digest, media_type: self.media_type.clone(), at: self.at.clone() }
    }
}

/// A document that holds its bytes. What was checked of them stays so: they are never changed.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    digest: Option<Digest>,
    media_type: Option<String>,
    at: DescriptorPath,
}

impl Kept {
    /// Takes bytes that no descriptor claims; `digest` where they were checked against that of a whole archive.
    pub(super) fn unclaimed(bytes: Vec<u8>, digest: Option<Digest>, at: DescriptorPath) -> Self {
        Self { bytes, digest, media_type: None, at }
    }

    pub(super) fn document(&self) -> Document<'_> {
        Document { bytes: &self.bytes, digest: self.digest, media_type: self.media_type.clone(), at: self.at.clone() }
    }
}

pub(super) fn within_limit(len: u64, at: &DescriptorPath) -> Result<(), Error> {
    if len > MAX_DOCUMENT_BYTES {
        return Err(Error::limit_exceeded("document_bytes", MAX_DOCUMENT_BYTES).at_descriptor(at));
    }
    Ok(())
}
