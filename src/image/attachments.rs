//! What a layout holds for an image beside the image, found one by one ([`Attachments`]).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::Index;
use super::attached::{Attachment, referrers_tag};
use super::chain;
use super::descriptor::Descriptor;
use super::media::Form;
use super::store::Store;
use crate::convert::len_u64;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};

/// Most manifests that are looked at to find what is attached to one image: 256. Over it: [`ErrorKind::LimitExceeded`].
///
/// Own choice: cosign has one for all signatures of an image; where a manifest says itself what it is attached to, each of
/// `index.json` has to be read, up to [`MAX_DOCUMENT_BYTES`](super::MAX_DOCUMENT_BYTES) each.
pub const MAX_ATTACHED_MANIFESTS: u64 = 1 << 8;

/// Most blobs of all that is attached to one image: 256. Over it: [`ErrorKind::LimitExceeded`].
///
/// Own choice: a signature is one blob, and cosign appends a new one whenever an image is signed again.
pub const MAX_ATTACHED_LAYERS: u64 = 1 << 8;

/// What the layout holds for one image or index: signatures and the like, each read when it is asked for.
///
/// First the manifests that cosign's tag names (`sha256-<hex>.sig`, perhaps after a name and a colon) and those that `cosign save`
/// marks; then the list under the referrers tag (`sha256-<hex>`); last those of `index.json` whose `subject` is the image. Each once.
///
/// An item is an error where something that is there for the image cannot be used: missing, not what is claimed, not well formed. What
/// comes after it may be fine. After [`ErrorKind::LimitExceeded`] over [`MAX_ATTACHED_MANIFESTS`] or [`MAX_ATTACHED_LAYERS`] nothing
/// comes.
#[derive(Debug)]
pub struct Attachments {
    store: Arc<Store>,
    digest: Digest,
    places: VecDeque<Place>,
    looked_at: BTreeSet<Digest>,
    layers: u64,
}

/// Where something may be.
#[derive(Debug)]
enum Place {
    /// By its name it is for the image.
    Named(Descriptor),
    /// The list of what is.
    Referrers(Descriptor),
    /// That list, or nothing, says that it is.
    Referrer(Descriptor, Listed),
}

/// Whether something says of a manifest that it is for the image, but itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    ByReferrers,
    Nowhere,
}

impl Attachments {
    /// Reads `index.json`: nothing claims it, and all that it can do is to hide something.
    pub(super) fn of(store: &Arc<Store>, digest: Digest) -> Result<Self, Error> {
        let index = Index::parse(&chain::required(store, chain::INDEX)?.document())?;
        let (mut named, mut listed, mut others) = (VecDeque::new(), Vec::new(), Vec::new());
        for descriptor in index.manifests() {
            match Form::of(descriptor.media_type()) {
                _ if descriptor.digest() == digest => {}
                Some(Form::Manifest) if descriptor.holds_signatures_of(&digest) => named.push_back(Place::Named(descriptor.clone())),
                Some(Form::Manifest) => others.push(Place::Referrer(descriptor.clone(), Listed::Nowhere)),
                Some(Form::Index) if descriptor.is_tagged(&referrers_tag(&digest)) => listed.push(Place::Referrers(descriptor.clone())),
                _ => {}
            }
        }
        named.extend(listed.into_iter().chain(others));
        Ok(Self { store: Arc::clone(store), digest, places: named, looked_at: BTreeSet::new(), layers: 0 })
    }

    /// Looks at one place: gives what is there, if it is for the image.
    fn look(&mut self, place: Place) -> Result<Option<Attachment>, Error> {
        let (Place::Named(descriptor) | Place::Referrers(descriptor) | Place::Referrer(descriptor, _)) = &place;
        if !self.looked_at.insert(descriptor.digest()) {
            return Ok(None);
        }
        if len_u64(self.looked_at.len()) > MAX_ATTACHED_MANIFESTS {
            return Err(self.end("attached_manifests", MAX_ATTACHED_MANIFESTS, descriptor));
        }
        let found = self.store.document(descriptor)?;
        if let Place::Referrers(_) = &place {
            let list = Index::parse(&found.document())?;
            let manifests = list.manifests().iter().filter(|descriptor| Form::of(descriptor.media_type()) == Some(Form::Manifest));
            manifests.rev().for_each(|descriptor| self.places.push_front(Place::Referrer(descriptor.clone(), Listed::ByReferrers)));
            return Ok(None);
        }
        let (attachment, subject) = Attachment::parse(&self.store, found)?;
        match &place {
            Place::Referrer(_, Listed::Nowhere) if subject != Some(self.digest) => return Ok(None),
            Place::Referrer(_, Listed::ByReferrers) if subject != Some(self.digest) => {
                let detail = format!("it is listed as attached to {}, and its `subject` does not say so", self.digest);
                return Err(Error::new(ErrorKind::DigestMismatch, detail).at_descriptor(descriptor.path()));
            }
            _ => {}
        }
        self.layers = self.layers.saturating_add(len_u64(attachment.layers().len()));
        if self.layers > MAX_ATTACHED_LAYERS {
            return Err(self.end("attached_layers", MAX_ATTACHED_LAYERS, descriptor));
        }
        Ok(Some(attachment))
    }

    fn end(&mut self, limit: &'static str, value: u64, at: &Descriptor) -> Error {
        self.places.clear();
        Error::limit_exceeded(limit, value).at_descriptor(at.path())
    }
}

impl Iterator for Attachments {
    type Item = Result<Attachment, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(place) = self.places.pop_front() {
            match self.look(place) {
                Ok(None) => {}
                Ok(Some(attachment)) => return Some(Ok(attachment)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
