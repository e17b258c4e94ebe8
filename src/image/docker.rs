//! The list of images in a docker-archive, as `docker save` writes it: `manifest.json` ([`DockerArchive`]).

use super::fields::{Fields, numbered};
use super::json::{self, Value};
use super::{Document, ImageConfig, shown};
use crate::blob::Expect;
use crate::entry::{AbsoluteNames, EntryPath};
use crate::error::{DescriptorPath, Error, ErrorKind};
use crate::limits::Limits;

const KEYS: &[&str] = &["Config", "RepoTags", "Layers", "Parent", "LayerSources"];

/// The file `manifest.json` of a docker-archive (Docker's image specification 1.2, *Combined Image JSON + Filesystem Changeset Format*).
///
/// It has no digest anywhere, so it proves nothing: whoever pins the image pins the digest of its configuration, whose
/// diff_ids are then the claims. Its names obey the rules of an archive's entries: relative, without `..`.
///
/// ```
/// use safe_layers::image::{DockerArchive, Document};
/// let bytes = br#"[{"Config": "0a1b.json", "RepoTags": ["name:tag"], "Layers": ["77/layer.tar"]}]"#;
/// let archive = DockerArchive::parse(&Document::dangerous_unverified("manifest.json", bytes))?;
/// assert_eq!(archive.images()[0].layers()[0].as_bytes(), b"77/layer.tar");
/// let outside = br#"[{"Config": "../0a1b.json", "RepoTags": null, "Layers": []}]"#;
/// let error = DockerArchive::parse(&Document::dangerous_unverified("manifest.json", outside)).unwrap_err();
/// assert_eq!(error.kind(), safe_layers::ErrorKind::PathTraversal);
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerArchive {
    images: Vec<DockerImage>,
}

/// One image of a docker-archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerImage {
    config: EntryPath,
    repo_tags: Vec<String>,
    layers: Vec<EntryPath>,
    at: DescriptorPath,
}

impl DockerArchive {
    /// Parses the list.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`]; [`ErrorKind::AmbiguousManifest`]; [`ErrorKind::ManifestMalformed`]; for names those of
    /// [`EntryPath::parse`], an absolute one among them, and [`ErrorKind::InvalidName`] where nothing is left of it.
    pub fn parse(document: &Document<'_>) -> Result<Self, Error> {
        let at = document.path();
        let value = json::parse(document.bytes()).map_err(|error| error.at_descriptor(at))?;
        let Value::Array(items) = &value else {
            return Err(Error::new(ErrorKind::ManifestMalformed, "the list of images is not a list").at_descriptor(at));
        };
        let images: Result<_, _> = numbered(items).map(|(i, value)| DockerImage::read(value, at.item("", i))).collect();
        Ok(Self { images: images? })
    }

    /// Every image, in order.
    #[must_use]
    pub fn images(&self) -> &[DockerImage] {
        &self.images
    }
}

impl DockerImage {
    fn read(value: &Value, at: DescriptorPath) -> Result<Self, Error> {
        let fields = Fields::of(value, "the image", KEYS, &at)?;
        let config = member("Config", fields.required_string("Config")?, &at)?;
        if !fields.has("Layers") {
            return Err(fields.malformed("Layers", "is missing"));
        }
        let layers: Result<_, _> = fields.strings("Layers")?.into_iter().map(|name| member("Layers", name, &at)).collect();
        let repo_tags = fields.strings("RepoTags")?;
        if repo_tags.iter().any(|tag| tag.contains(char::is_control)) {
            return Err(fields.malformed("RepoTags", "holds a control character"));
        }
        Ok(Self { config, repo_tags: repo_tags.into_iter().map(str::to_owned).collect(), layers: layers?, at })
    }

    /// The configuration's name in the archive.
    #[must_use]
    pub fn config(&self) -> &EntryPath {
        &self.config
    }

    /// What the image is called: text that others wrote, without control characters.
    #[must_use]
    pub fn repo_tags(&self) -> &[String] {
        &self.repo_tags
    }

    /// The layers' names in the archive, bottom first.
    #[must_use]
    pub fn layers(&self) -> &[EntryPath] {
        &self.layers
    }

    /// The place in the chain of documents.
    #[must_use]
    pub fn path(&self) -> &DescriptorPath {
        &self.at
    }

    /// Gives what is claimed about each layer, bottom first: its diff_id, by `config`.
    ///
    /// As good as `config` is: pinned, or [unverified](Document::dangerous_unverified).
    ///
    /// # Errors
    /// [`ErrorKind::LayerCountMismatch`] where `config` has more or fewer diff_ids than there are layers.
    pub fn claims(&self, config: &ImageConfig) -> Result<Vec<Expect>, Error> {
        let diff_ids = config.diff_ids();
        if diff_ids.len() != self.layers.len() {
            let detail = format!("{} layers and {} diff_ids", self.layers.len(), diff_ids.len());
            return Err(Error::new(ErrorKind::LayerCountMismatch, detail).at_descriptor(&self.at));
        }
        Ok(diff_ids.iter().map(|diff_id| Expect::diff_id(*diff_id)).collect())
    }
}

/// Reads the name of a member of the archive.
fn member(key: &str, name: &str, at: &DescriptorPath) -> Result<EntryPath, Error> {
    let path = EntryPath::parse(name.as_bytes(), AbsoluteNames::Reject, &Limits::default()).and_then(|path| {
        if path.is_root() {
            return Err(Error::new(ErrorKind::InvalidName, format!("`{key}` names \"{}\", which is no member", shown(name))));
        }
        Ok(path)
    });
    path.map_err(|error| error.with_path(name.as_bytes()).at_descriptor(at))
}
