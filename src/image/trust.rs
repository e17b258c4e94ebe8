//! The caller's own say over an image, beside the pin ([`Verifier`]), and the only place where an image becomes a trusted one ([`Trust`]).
//!
//! A verifier is asked when the manifest's bytes match the digest that led to them, before they are parsed and before any other blob of
//! the image is looked at. What it says no to is no [`Image`](super::Image).

use std::fmt;
use std::sync::Arc;

use super::Document;
use super::attachments::Attachments;
use super::choice::{Anchor, Choice};
use super::document::Kept;
use super::store::Store;
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error, ErrorKind};

/// Says whether an image is to be trusted: by a signature, by a list of digests, by asking somebody.
///
/// With feature `cosign`, `CosignKey` is one.
///
/// ```
/// use safe_layers::image::{Candidate, Choice, Verifier};
/// use safe_layers::{Digest, Error};
///
/// /// Trusts what the list has.
/// struct Listed(Vec<Digest>);
///
/// impl Verifier for Listed {
///     fn verify(&self, candidate: &Candidate<'_>) -> Result<(), Error> {
///         match self.0.contains(&candidate.digest()) {
///             true => Ok(()),
///             false => Err(Error::signature_invalid("the manifest is not on the list")),
///         }
///     }
/// }
///
/// let choice = Choice::verified_by(Listed(Vec::new())).reference("latest");
/// # drop(choice);
/// ```
pub trait Verifier: Send + Sync {
    /// Judges an image by its manifest, whose digest was checked, and by what its layout holds for it.
    ///
    /// Nothing of the image was parsed yet but indexes on the way. What is [attached](Candidate::attached) is hostile: it is whatever
    /// whoever wrote the layout put there.
    ///
    /// # Errors
    /// Whatever is to be the error of [`Layout::image`](super::Layout::image), by [`Error::signature_invalid`] for a reason of one's
    /// own. `Ok` means that the image may be unpacked: it becomes the [`Anchor`] where nothing is pinned.
    fn verify(&self, candidate: &Candidate<'_>) -> Result<(), Error>;
}

/// An image that is not trusted yet, as a [`Verifier`] sees it.
///
/// Once you hold one, the bytes of each of its documents were hashed and have the digest that it says.
#[derive(Debug)]
pub struct Candidate<'a> {
    store: &'a Arc<Store>,
    digest: Digest,
    manifest: &'a Kept,
    above: &'a [Kept],
}

impl<'a> Candidate<'a> {
    /// Takes a manifest that was checked, and the indexes that led to it, outermost first.
    pub(super) fn new(store: &'a Arc<Store>, manifest: &'a Kept, above: &'a [Kept]) -> Result<Self, Error> {
        let document = manifest.document();
        let unchecked = || Error::signature_invalid("nothing claims the manifest's bytes").at_descriptor(document.path());
        Ok(Self { store, digest: document.digest().ok_or_else(unchecked)?, manifest, above })
    }

    /// The digest of the manifest, which its bytes have.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The manifest, byte for byte.
    #[must_use]
    pub fn manifest(&self) -> Document<'a> {
        self.manifest.document()
    }

    /// The manifest and the indexes that led to it, nearest first. Who signs an image for several platforms often signs the index
    /// alone, and each of these is named by the digest in the one after it. `index.json` is not among them: nothing claims it.
    pub fn documents(&self) -> impl Iterator<Item = Document<'a>> {
        std::iter::once(self.manifest).chain(self.above.iter().rev()).map(Kept::document)
    }

    /// Finds what the layout holds for the image or the index with this digest: signatures, attestations and the like.
    ///
    /// # Errors
    /// Those of [`Index::parse`](super::Index::parse) for `index.json`; [`ErrorKind::BlobMissing`] and [`ErrorKind::LayoutSymlink`]
    /// where that is not there or no regular file.
    pub fn attached(&self, digest: Digest) -> Result<Attachments, Error> {
        Attachments::of(self.store, digest)
    }
}

/// That whoever was to be asked about an image was asked, and did not refuse. An image is made with one, and only here is one made.
#[derive(Debug)]
pub(super) struct Trust(Anchor);

impl Trust {
    /// Asks every verifier of the choice. `anchor` is what is pinned.
    pub(super) fn in_manifest(anchor: Anchor, choice: &Choice, candidate: &Candidate<'_>) -> Result<Self, Error> {
        for verifier in &choice.verifiers.0 {
            verifier.verify(candidate).map_err(|error| error.at_descriptor(candidate.manifest().path()))?;
        }
        match anchor {
            Anchor::Nothing if !choice.verifiers.0.is_empty() => Ok(Self(Anchor::Verifier(candidate.digest))),
            anchor => Ok(Self(anchor)),
        }
    }

    /// For an image without a manifest, which no verifier can be asked about.
    pub(super) fn without_manifest(anchor: Anchor, choice: &Choice, at: &DescriptorPath) -> Result<Self, Error> {
        if choice.verifiers.0.is_empty() {
            return Ok(Self(anchor));
        }
        let detail = "the image is to be verified by its manifest, and in a docker-archive it has none";
        Err(Error::new(ErrorKind::SignatureInvalid, detail).at_descriptor(at))
    }

    pub(super) fn anchor(&self) -> Anchor {
        self.0
    }
}

/// The verifiers of a choice: all must accept. Equal where they are the same ones.
#[derive(Clone, Default)]
pub(super) struct Verifiers(Vec<Arc<dyn Verifier>>);

impl Verifiers {
    pub(super) fn and(mut self, verifier: impl Verifier + 'static) -> Self {
        self.0.push(Arc::new(verifier));
        self
    }
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} verifiers", self.0.len())
    }
}

impl PartialEq for Verifiers {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl Eq for Verifiers {}
