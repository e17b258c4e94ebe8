//! From the anchor to the claims about each layer: index → manifest → configuration, and the list of a docker-archive.
//!
//! ```text
//! OCI:     [a pinned digest | index.json] → (index, at most MAX_INDEX_DEPTH) → manifest → configuration → layers
//! docker:  manifest.json → configuration, which has the pinned digest or comes with the archive → layers
//! ```
//! Each document is checked before it is parsed: only a [`Document`] can be, and `store` makes those.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::choice::{Anchor, Choice, Wanted};
use super::descriptor::{Descriptor, Role};
use super::document::Kept;
use super::layout::{DOCKER_LIST, LayoutForm};
use super::media::Form;
use super::store::{self, Store};
use super::trust::{Candidate, Trust};
use super::verified::{ImageLayer, Parts, Source};
use super::{DockerArchive, DockerImage, Document, Image, ImageConfig, Index, Manifest, Notice, Platform, shown};
use crate::blob::Expect;
use crate::convert::len_u64;
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error, ErrorKind};

/// OCI image-spec `image-layout.md`, *index.json file*.
pub(super) const INDEX: &str = "index.json";

/// Most layers of an image: 1,024.
///
/// Own choice: Docker and containerd stop at some 127, and an overlay mount at 500. Over it: [`ErrorKind::LimitExceeded`].
pub const MAX_LAYERS: u64 = 1 << 10;

/// Follows the chain to the image that `choice` means.
pub(super) fn follow(store: &Arc<Store>, form: LayoutForm, choice: &Choice) -> Result<Image, Error> {
    let anchor = anchor(store, choice)?;
    if form == LayoutForm::DockerArchive {
        return docker(store, choice, anchor);
    }
    let way = Way { store, choice, notices: Vec::new(), passed: Vec::new(), above: Vec::new() };
    let (Wanted::Digest(pin), None) = (choice.wanted, &choice.reference) else {
        return way.follow_index(required(store, INDEX)?, anchor);
    };
    let pinned = store.pinned(&pin)?;
    match Form::of_content(&pinned.document())? {
        Form::Index => way.follow_index(pinned, anchor),
        // The id of an image, as docker knows it; the list of a docker-archive tells where the layers are.
        Form::Config if form == LayoutForm::Archive => docker(store, choice, anchor),
        Form::Manifest | Form::Config => way.image(pinned, anchor, choice.platform.as_ref()),
    }
}

fn anchor(store: &Store, choice: &Choice) -> Result<Anchor, Error> {
    match (choice.wanted, store.pin()) {
        (Wanted::Digest(digest), _) => Ok(Anchor::Digest(digest)),
        (_, Some(pin)) => Ok(Anchor::Archive(pin)),
        (Wanted::Nothing, None) => Ok(Anchor::Nothing),
        (Wanted::Archive, None) => {
            let detail = "the digest of the archive was to be relied on, but it was opened without one";
            Err(Error::new(ErrorKind::DigestMismatch, detail).at_descriptor(&DescriptorPath::document("the archive")))
        }
    }
}

/// The way from the first document to the manifest.
struct Way<'a> {
    store: &'a Arc<Store>,
    choice: &'a Choice,
    notices: Vec<Notice>,
    /// What the descriptors on the way claim.
    passed: Vec<Digest>,
    /// The indexes that something claims, outermost first.
    above: Vec<Kept>,
}

impl Way<'_> {
    /// Goes from index to index down to the manifest, each time to what runs best.
    fn follow_index(mut self, first: Kept, anchor: Anchor) -> Result<Image, Error> {
        let platform = self.choice.platform.clone().unwrap_or_else(Platform::compiled_for);
        let (mut here, mut reference) = (first, self.choice.reference.as_deref());
        loop {
            // Bounded: the parser counts the indexes above.
            let index = Index::parse(&here.document())?;
            self.notices.extend_from_slice(index.notices());
            let next = match reference.take() {
                Some(name) => index.select_named(name, &platform)?,
                None => index.select(&platform)?,
            };
            let below = self.enter(next)?;
            let above = std::mem::replace(&mut here, below);
            self.above.extend((above.document().path() != &DescriptorPath::document(INDEX)).then_some(above));
            if next.role() == Role::Manifest {
                self.check_pin(next)?;
                return self.image(here, anchor, Some(&platform));
            }
        }
    }

    fn enter(&mut self, descriptor: &Descriptor) -> Result<Kept, Error> {
        self.passed.push(descriptor.digest());
        self.store.document(descriptor)
    }

    /// Where a name was asked for, `index.json` led here: the pin must be on the way.
    fn check_pin(&self, manifest: &Descriptor) -> Result<(), Error> {
        match self.choice.wanted {
            Wanted::Digest(pin) if self.choice.reference.is_some() && !self.passed.contains(&pin) => {
                let detail = format!("the name leads to the manifest {}, pinned was {pin}", manifest.digest());
                Err(Error::new(ErrorKind::DigestMismatch, detail).at_descriptor(manifest.path()))
            }
            _ => Ok(()),
        }
    }

    fn image(mut self, manifest: Kept, anchor: Anchor, platform: Option<&Platform>) -> Result<Image, Error> {
        let trust = Trust::in_manifest(anchor, self.choice, &Candidate::new(self.store, &manifest, &self.above)?)?;
        let parsed = Manifest::parse(&manifest.document())?;
        self.notices.extend_from_slice(parsed.notices());
        let config_bytes = self.store.document(parsed.config())?;
        let config = ImageConfig::parse(&config_bytes.document())?;
        check_platform(&config, config_bytes.document().path(), platform)?;
        let claims = within_limit(parsed.claims(&config)?, manifest.document().path())?;
        let layer = |(claim, layer): (_, &Descriptor)| {
            ImageLayer::new(Arc::clone(self.store), claim, Source::Claimed(layer.clone()), layer.path().clone())
        };
        let layers = claims.into_iter().zip(parsed.layers()).map(layer).collect();
        Ok(Image::new(Parts { trust, manifest: Some(manifest), config_bytes, config, layers, notices: self.notices }))
    }
}

fn docker(store: &Arc<Store>, choice: &Choice, anchor: Anchor) -> Result<Image, Error> {
    let trust = Trust::without_manifest(anchor, choice, &DescriptorPath::document(DOCKER_LIST))?;
    let list = DockerArchive::parse(&required(store, DOCKER_LIST)?.document())?;
    let called = |image: &&DockerImage| choice.reference.as_ref().is_none_or(|name| image.repo_tags().contains(name));
    let images: Vec<&DockerImage> = list.images().iter().filter(called).collect();
    let (image, config_bytes) = match choice.wanted {
        Wanted::Digest(pin) => docker_pinned(store, &images, &pin)?,
        Wanted::Archive | Wanted::Nothing => {
            let image = the_one(&images, choice)?;
            let at = image.path().field("Config");
            let stretch = store.member(image.config(), &at)?;
            (image, Kept::unclaimed(store::read(&stretch, &at)?, stretch.digest(), at))
        }
    };
    let config = ImageConfig::parse(&config_bytes.document())?;
    let platform = match choice.wanted {
        Wanted::Digest(_) => choice.platform.clone(),
        _ => Some(choice.platform.clone().unwrap_or_else(Platform::compiled_for)),
    };
    check_platform(&config, config_bytes.document().path(), platform.as_ref())?;
    let claims = within_limit(image.claims(&config)?, image.path())?;
    let layers = (0..).zip(claims).zip(image.layers()).map(|((number, claim), path)| {
        let at = image.path().item("Layers", number);
        let stretch = store.member(path, &at)?;
        Ok(ImageLayer::new(Arc::clone(store), claim, Source::Member(stretch), at))
    });
    let layers = layers.collect::<Result<_, Error>>()?;
    Ok(Image::new(Parts { trust, manifest: None, config_bytes, config, layers, notices: Vec::new() }))
}

/// Gives the first image whose configuration has the pinned digest.
fn docker_pinned<'i>(store: &Store, images: &[&'i DockerImage], pin: &Digest) -> Result<(&'i DockerImage, Kept), Error> {
    let (mut tried, mut differs) = (BTreeSet::new(), None);
    for image in images {
        let at = image.path().field("Config");
        let stretch = store.member(image.config(), &at)?;
        // A list may lead to one member a hundred thousand times.
        if !tried.insert(stretch.offset()) {
            continue;
        }
        let bytes = store::read(&stretch, &at)?;
        match Document::hashed(pin, None, at, &bytes) {
            Ok(document) => return Ok((image, document.keep())),
            Err(error) => differs = Some(error),
        }
    }
    match differs {
        Some(error) if images.len() == 1 => Err(error),
        _ => Err(no_image(&format!("no configuration has the digest {pin}"))),
    }
}

fn the_one<'i>(images: &[&'i DockerImage], choice: &Choice) -> Result<&'i DockerImage, Error> {
    match images {
        [image] => Ok(image),
        [] => Err(no_image(&format!("no image is called \"{}\"", shown(choice.reference.as_deref().unwrap_or_default())))),
        several => {
            let detail = format!("{} images: one has to be named", len_u64(several.len()));
            Err(Error::new(ErrorKind::AmbiguousManifest, detail).at_descriptor(&DescriptorPath::document(DOCKER_LIST)))
        }
    }
}

fn no_image(detail: &str) -> Error {
    Error::new(ErrorKind::ImageMissing, detail.to_owned()).at_descriptor(&DescriptorPath::document(DOCKER_LIST))
}

fn within_limit(claims: Vec<Expect>, at: &DescriptorPath) -> Result<Vec<Expect>, Error> {
    if len_u64(claims.len()) > MAX_LAYERS {
        return Err(Error::limit_exceeded("image_layers", MAX_LAYERS).at_descriptor(at));
    }
    Ok(claims)
}

fn check_platform(config: &ImageConfig, at: &DescriptorPath, platform: Option<&Platform>) -> Result<(), Error> {
    match platform {
        Some(platform) if !platform.runs(config.platform()) => {
            let detail = format!("the image is for {}, not for {platform}", config.platform());
            Err(Error::new(ErrorKind::ImageMissing, detail).at_descriptor(at))
        }
        _ => Ok(()),
    }
}

pub(super) fn required(store: &Store, name: &'static str) -> Result<Kept, Error> {
    store
        .unclaimed(name)?
        .ok_or_else(|| Error::new(ErrorKind::BlobMissing, "it is not in the image").at_descriptor(&DescriptorPath::document(name)))
}
