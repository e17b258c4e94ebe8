//! The manifest of one image: its configuration and its layers ([`Manifest`]).

use super::descriptor::Descriptor;
use super::fields::{Fields, numbered};
use super::media::{Form, refuse_artifacts};
use super::{Document, ImageConfig, Notice, json};
use crate::blob::Expect;
use crate::error::{DescriptorPath, Error, ErrorKind};

/// Its own keys, and those of other forms: refused, in any case of their letters.
const KEYS: &[&str] =
    &["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations", "manifests", "fsLayers", "rootfs"];

/// A manifest (OCI image-spec `manifest.md`; Docker's `manifest-v2-2`, *Image Manifest*).
///
/// Once you hold one it has no fields of an index, its configuration has the media type of one, and each layer that of a layer.
///
/// ```
/// use safe_layers::ErrorKind;
/// use safe_layers::image::{Document, Manifest};
/// let parse = |bytes: &[u8]| Manifest::parse(&Document::dangerous_unverified("manifest", bytes)).map_err(|error| error.kind());
/// let artifact = br#"{"schemaVersion": 2, "artifactType": "application/x.y", "config": {}, "layers": []}"#;
/// assert_eq!(parse(artifact), Err(ErrorKind::UnsupportedMediaType));
/// assert_eq!(parse(br#"{"schemaVersion": 2, "layers": [], "manifests": []}"#), Err(ErrorKind::AmbiguousManifest));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
    notices: Vec<Notice>,
    at: DescriptorPath,
}

impl Manifest {
    /// Parses a manifest.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`]; [`ErrorKind::AmbiguousManifest`]; [`ErrorKind::MediaTypeMismatch`] where descriptor and document
    /// disagree, or say something else than a manifest; [`ErrorKind::UnsupportedMediaType`] on schema 1, on artifacts, on a
    /// configuration or a layer that is none of an image, encrypted layers among them, by name; [`ErrorKind::BadDigest`];
    /// [`ErrorKind::ManifestMalformed`] else.
    pub fn parse(document: &Document<'_>) -> Result<Self, Error> {
        let at = document.path();
        let value = json::parse(document.bytes()).map_err(|error| error.at_descriptor(at))?;
        let fields = Fields::of(&value, "the manifest", KEYS, at)?;
        Form::Manifest.check(document, &fields)?;
        refuse_artifacts(&fields)?;
        if !fields.has("layers") {
            return Err(fields.malformed("layers", "is missing"));
        }
        let mut notices = Vec::new();
        let config = Descriptor::read(fields.required("config")?, at.field("config"), &mut notices)?;
        Form::Config.must_be(config.media_type(), config.path())?;
        let mut layers = Vec::new();
        for (i, value) in numbered(fields.list("layers")?) {
            let layer = Descriptor::read(value, at.item("layers", i), &mut notices)?;
            layer.claim()?;
            layers.push(layer);
        }
        Ok(Self { config, layers, notices, at: at.clone() })
    }

    /// The configuration; its digest is the image's id (OCI image-spec `config.md`, *ImageID*).
    #[must_use]
    pub fn config(&self) -> &Descriptor {
        &self.config
    }

    /// The layers, bottom first.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// What of it is left out or odd.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Gives what is claimed about each layer, bottom first: digest, size and media type by this manifest, diff_id by `config`.
    ///
    /// # Errors
    /// [`ErrorKind::DigestMismatch`] where `config` is not the verified configuration of this manifest,
    /// [`ErrorKind::LayerCountMismatch`] where it has more or fewer diff_ids than there are layers.
    pub fn claims(&self, config: &ImageConfig) -> Result<Vec<Expect>, Error> {
        if config.digest() != Some(self.config.digest()) {
            let detail = format!("the configuration was not verified as {}", self.config.digest());
            return Err(Error::new(ErrorKind::DigestMismatch, detail).at_descriptor(self.config.path()));
        }
        let diff_ids = config.diff_ids();
        if diff_ids.len() != self.layers.len() {
            let detail = format!("{} layers and {} diff_ids", self.layers.len(), diff_ids.len());
            return Err(Error::new(ErrorKind::LayerCountMismatch, detail).at_descriptor(&self.at));
        }
        self.layers.iter().zip(diff_ids).map(|(layer, diff_id)| Ok(layer.claim()?.and_diff_id(*diff_id))).collect()
    }
}
