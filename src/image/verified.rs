//! One image whose documents are verified, and its way into a tree: [`Image`].

use std::sync::Arc;

use super::choice::Anchor;
use super::document::Kept;
use super::store::Store;
use super::stretch::{Blob, Stretch};
use super::trust::Trust;
use super::{Descriptor, Document, ImageConfig, Notice, NoticeReason};
use crate::blob::Expect;
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error, ErrorKind};
use crate::observe::Oddities;
use crate::policy::Policy;
use crate::unpacker::{Unpacked, Unpacker};

/// An image: its manifest and configuration, verified, and a claim for each layer. Made by [`Layout::image`](super::Layout::image).
///
/// No layer was read to make it, and whoever was to be asked ([`Choice::verified_by`](super::Choice::verified_by)) accepted its
/// [`manifest`](Self::manifest): the digests in those bytes are the ones that every layer is checked against.
#[derive(Debug)]
pub struct Image(Parts);

/// What an image is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) trust: Trust,
    pub(super) manifest: Option<Kept>,
    pub(super) config_bytes: Kept,
    pub(super) config: ImageConfig,
    pub(super) layers: Vec<ImageLayer>,
    pub(super) notices: Vec<Notice>,
}

/// A layer of an image on disk, and what is claimed about it.
#[derive(Debug)]
pub struct ImageLayer {
    store: Arc<Store>,
    claim: Expect,
    source: Source,
    at: DescriptorPath,
}

/// Where the bytes of a layer are.
#[derive(Debug)]
pub(super) enum Source {
    /// In the blob that a descriptor claims.
    Claimed(Descriptor),
    /// In this member of a docker-archive.
    Member(Stretch),
}

impl Image {
    pub(super) fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// What the chain of digests hangs from.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.0.trust.anchor()
    }

    /// The manifest, byte for byte, with the digest that it was checked against; none in a docker-archive.
    #[must_use]
    pub fn manifest(&self) -> Option<Document<'_>> {
        self.0.manifest.as_ref().map(Kept::document)
    }

    /// The configuration, byte for byte: history and whatever else [`config`](Self::config) does not read is in it. It has a
    /// [digest](Document::digest) but in a docker-archive where nothing is pinned.
    #[must_use]
    pub fn config_document(&self) -> Document<'_> {
        self.0.config_bytes.document()
    }

    /// The configuration, parsed.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.0.config
    }

    /// The chain id of all layers (OCI image-spec `config.md`, *Layer ChainID*); none where there is no layer.
    #[must_use]
    pub fn chain_id(&self) -> Option<Digest> {
        self.0.config.chain_id()
    }

    /// The layers, bottom first.
    #[must_use]
    pub fn layers(&self) -> &[ImageLayer] {
        &self.0.layers
    }

    /// What of the documents is left out or odd: those on the way to the image, in order.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.0.notices.iter().chain(self.0.config.notices())
    }

    /// Applies every layer, bottom first, and commits: into one tree, or a directory for each layer, as `unpacker` was made.
    ///
    /// Those that have a directory each are side by side, on the [threads](Unpacker::threads) of `unpacker` together
    /// ([`Unpacker::apply_all`]); the result is that of one after the other.
    ///
    /// Before anything is written, each blob must be there and have the claimed size; each is hashed whole before a decoder sees a
    /// byte, and hashed again while it is decoded. A layer of a docker-archive has no claim but its diff_id and is read once.
    ///
    /// ```
    /// # fn unpack(image: &safe_layers::image::Image, parent: safe_layers::Root) -> Result<(), safe_layers::Error> {
    /// use safe_layers::{OverlayForm, Policy, Unpacker};
    /// let unpacker = Unpacker::overlay(parent, "image", OverlayForm::User, Policy::rootless())?;
    /// let unpacked = image.unpack(unpacker)?;
    /// println!("lowerdir={:?}", unpacked.lowerdir("/var/lib/images/image"));
    /// # Ok(())
    /// # }
    /// # let _ = unpack;
    /// ```
    ///
    /// # Errors
    /// Those of [`Unpacker::apply_file`] and [`Unpacker::commit`], with the link of the chain; [`ErrorKind::BlobMissing`],
    /// [`ErrorKind::LayoutSymlink`], [`ErrorKind::SizeMismatch`]; under a policy that refuses oddities, as `strict`,
    /// [`ErrorKind::UnsupportedMediaType`] where a layer has `urls`, which are never fetched. `Ok` means that the tree is at its final
    /// name, and every byte of it hangs from the [anchor](Self::anchor).
    pub fn unpack(&self, mut unpacker: Unpacker) -> Result<Unpacked, Error> {
        self.check_stored(unpacker.policy())?;
        unpacker.apply_each(&self.0.layers, |layer, job| {
            job.verify_and_stream(&layer.claim, || layer.open()).map_err(|error| error.at_descriptor(&layer.at))
        })?;
        unpacker.commit()
    }

    /// Checks that the blob of every layer is there and has the claimed size, before any is read.
    pub(super) fn check_stored(&self, policy: &Policy) -> Result<(), Error> {
        if policy.oddities == Oddities::Refuse {
            self.refuse_urls()?;
        }
        for (number, layer) in (0..).zip(&self.0.layers) {
            layer.find().map_err(|error| error.in_layer(number))?;
        }
        Ok(())
    }

    fn refuse_urls(&self) -> Result<(), Error> {
        let of_a_layer = |notice: &&Notice| self.0.layers.iter().any(|layer| layer.at == notice.path);
        match self.0.notices.iter().filter(|notice| notice.reason == NoticeReason::HasUrls).find(of_a_layer) {
            None => Ok(()),
            Some(Notice { path, .. }) => {
                let detail = "`urls` are never fetched, and the policy wants none";
                Err(Error::new(ErrorKind::UnsupportedMediaType, detail).at_descriptor(path))
            }
        }
    }
}

impl ImageLayer {
    pub(super) fn new(store: Arc<Store>, claim: Expect, source: Source, at: DescriptorPath) -> Self {
        Self { store, claim, source, at }
    }

    /// What is claimed about it: digest, size, media type and diff_id; in a docker-archive the diff_id alone.
    #[must_use]
    pub fn claim(&self) -> &Expect {
        &self.claim
    }

    /// Its place in the chain of documents.
    #[must_use]
    pub fn path(&self) -> &DescriptorPath {
        &self.at
    }

    /// The size of its blob as stored, in bytes: as claimed, or in a docker-archive as found.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.source {
            Source::Claimed(descriptor) => descriptor.size(),
            Source::Member(stretch) => stretch.len(),
        }
    }

    /// Opens its blob, whose size alone is checked.
    ///
    /// # Errors
    /// [`ErrorKind::BlobMissing`], [`ErrorKind::LayoutSymlink`], [`ErrorKind::SizeMismatch`], [`ErrorKind::Io`].
    pub fn open(&self) -> Result<Blob, Error> {
        self.find().map(|stretch| stretch.reader())
    }

    fn find(&self) -> Result<Stretch, Error> {
        match &self.source {
            Source::Claimed(descriptor) => self.store.claimed(descriptor),
            Source::Member(stretch) => Ok(stretch.clone()),
        }
    }
}
