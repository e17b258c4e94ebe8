//! The list of manifests: OCI image index and Docker's manifest list ([`Index`]).

use super::descriptor::{Descriptor, Role};
use super::fields::{Fields, numbered};
use super::media::{Form, refuse_artifacts};
use super::{Document, Notice, NoticeReason, Platform, json, shown};
use crate::convert::len_u64;
use crate::error::{DescriptorPath, Error, ErrorKind};

/// Its own keys, and those of other forms: refused, in any case of their letters.
const KEYS: &[&str] =
    &["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations", "config", "layers", "fsLayers", "rootfs"];

/// Most indexes above an index: 4. The first is at 0.
///
/// Own choice: layouts in use have `index.json` and one index for the platforms. Over it: [`ErrorKind::LimitExceeded`].
pub const MAX_INDEX_DEPTH: u64 = 4;

/// An index (OCI image-spec `image-index.md`; Docker's `manifest-v2-2`, *Manifest List*).
///
/// Once you hold one it has no fields of a manifest, and each of its descriptors is well formed.
///
/// ```
/// use safe_layers::ErrorKind;
/// use safe_layers::image::{Document, Index, Platform};
/// let bytes = br#"{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,
///     "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
///     "platform": {"os": "linux", "architecture": "arm", "variant": "v6"}}]}"#;
/// let index = Index::parse(&Document::dangerous_unverified("index.json", bytes))?;
/// assert!(index.select(&Platform::parse("linux/arm/v7")?).is_ok());
/// assert_eq!(index.select(&Platform::parse("linux/amd64")?).unwrap_err().kind(), ErrorKind::ImageMissing);
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    manifests: Vec<Descriptor>,
    notices: Vec<Notice>,
    at: DescriptorPath,
}

impl Index {
    /// Parses an index.
    ///
    /// Descriptors of an unknown media type are kept, as the specification wants it ("MUST NOT generate an error"), and never selected.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] over [`MAX_INDEX_DEPTH`] or a limit of documents; [`ErrorKind::AmbiguousManifest`];
    /// [`ErrorKind::MediaTypeMismatch`] where descriptor and document disagree, or say something else than an index;
    /// [`ErrorKind::UnsupportedMediaType`] on a media type that is not known, on schema 1 and on artifacts;
    /// [`ErrorKind::BadDigest`]; [`ErrorKind::ManifestMalformed`] else.
    pub fn parse(document: &Document<'_>) -> Result<Self, Error> {
        let at = document.path();
        if len_u64(at.depth()) > MAX_INDEX_DEPTH {
            return Err(Error::limit_exceeded("index_depth", MAX_INDEX_DEPTH).at_descriptor(at));
        }
        let value = json::parse(document.bytes()).map_err(|error| error.at_descriptor(at))?;
        let fields = Fields::of(&value, "the index", KEYS, at)?;
        Form::Index.check(document, &fields)?;
        refuse_artifacts(&fields)?;
        if !fields.has("manifests") {
            return Err(fields.malformed("manifests", "is missing"));
        }
        let (mut manifests, mut notices) = (Vec::new(), Vec::new());
        for (i, value) in numbered(fields.list("manifests")?) {
            let descriptor = Descriptor::read(value, at.item("manifests", i), &mut notices)?;
            let skipped = match descriptor.role() {
                Role::Manifest | Role::Index => None,
                Role::Attestation => Some(NoticeReason::Attestation),
                Role::Attached => Some(NoticeReason::Attached),
                Role::Other => Some(NoticeReason::NotAnImage),
            };
            notices.extend(skipped.map(|reason| Notice::new(reason, descriptor.path())));
            manifests.push(descriptor);
        }
        Ok(Self { manifests, notices, at: at.clone() })
    }

    /// Every descriptor, in order.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// What of it is left out or odd.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Gives the manifest, or the index below, that a host of `platform` runs best; the first where several are as good.
    ///
    /// A descriptor without a platform is taken where no other fits: its configuration, or the index it leads to, says what it is for.
    ///
    /// # Errors
    /// [`ErrorKind::ImageMissing`] where none fits; [`ErrorKind::UnsupportedMediaType`] where there is no image at all, by the name of
    /// what is there; [`ErrorKind::AmbiguousManifest`] where several fit that have different names or no platform: then the name has
    /// to be [given](Self::select_named).
    pub fn select(&self, platform: &Platform) -> Result<&Descriptor, Error> {
        self.best(None, platform)
    }

    /// As [`select`](Self::select), of the descriptors whose annotation `org.opencontainers.image.ref.name` or
    /// `io.containerd.image.name` is `name`.
    ///
    /// # Errors
    /// Those of [`select`](Self::select).
    pub fn select_named(&self, name: &str, platform: &Platform) -> Result<&Descriptor, Error> {
        self.best(Some(name), platform)
    }

    fn best(&self, name: Option<&str>, platform: &Platform) -> Result<&Descriptor, Error> {
        let called: Vec<_> = self.manifests.iter().filter(|descriptor| name.is_none_or(|name| descriptor.is_called(name))).collect();
        let ranked = called.iter().filter_map(|descriptor| Some((rank(descriptor, platform)?, *descriptor)));
        let best = ranked.clone().map(|(rank, _)| rank).min();
        let mut fitting = ranked.filter(|(rank, _)| Some(*rank) == best).map(|(_, descriptor)| descriptor);
        let Some(first) = fitting.next() else { return Err(self.missing(&called, name, platform)) };
        let differs = |other: &Descriptor| {
            let named = name.is_none() && (first.ref_name(), first.image_name()) != (other.ref_name(), other.image_name());
            other.digest() != first.digest() && (named || first.platform().is_none())
        };
        match fitting.find(|other| differs(other)) {
            None => Ok(first),
            Some(other) => {
                let detail = format!("{} and {} are as good for {platform}", first.path(), other.path());
                Err(Error::new(ErrorKind::AmbiguousManifest, detail).at_descriptor(&self.at))
            }
        }
    }

    fn missing(&self, called: &[&Descriptor], name: Option<&str>, platform: &Platform) -> Error {
        let wanted = name.map_or_else(String::new, |name| format!(" called \"{}\"", shown(name)));
        let images = called.iter().filter(|descriptor| matches!(descriptor.role(), Role::Manifest | Role::Index));
        let there: Vec<_> = images.filter_map(|image| image.platform()).take(16).map(Platform::to_string).collect();
        let other = called.iter().find(|descriptor| descriptor.role() == Role::Other);
        match other.filter(|_| there.is_empty()) {
            Some(other) => {
                let detail = format!("\"{}\" is not the media type of a manifest or an index", shown(other.media_type()));
                Error::new(ErrorKind::UnsupportedMediaType, detail).at_descriptor(other.path())
            }
            None => {
                let detail = format!("no manifest{wanted} for {platform}; there are [{}]", there.join(", "));
                Error::new(ErrorKind::ImageMissing, detail).at_descriptor(&self.at)
            }
        }
    }
}

/// How far from what is wanted, as [`Platform::rank`]; without a platform after all others.
fn rank(descriptor: &Descriptor, platform: &Platform) -> Option<usize> {
    match (descriptor.role(), descriptor.platform()) {
        (Role::Attestation | Role::Attached | Role::Other, _) => None,
        (_, Some(image)) => platform.rank(image),
        (_, None) => Some(usize::MAX),
    }
}
