//! Media types of documents: which there are, and that a document, its descriptor and its content say the same.

use super::fields::Fields;
use super::{Document, json, shown};
use crate::error::{DescriptorPath, Error, ErrorKind};

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Index,
    Manifest,
    Config,
}

impl Form {
    /// Reads a media type (OCI image-spec `media-types.md`; Docker's `manifest-v2-2`). Exact: no parameters, no other case.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.oci.image.index.v1+json" | "application/vnd.docker.distribution.manifest.list.v2+json" => Some(Self::Index),
            "application/vnd.oci.image.manifest.v1+json" | "application/vnd.docker.distribution.manifest.v2+json" => Some(Self::Manifest),
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => Some(Self::Config),
            _ => None,
        }
    }

    /// Tells by its keys alone what a document is that nothing else says it of. One with the keys of two forms is none.
    pub(super) fn of_content(document: &Document<'_>) -> Result<Self, Error> {
        const MARKS: [(&str, Form); 3] = [("manifests", Form::Index), ("layers", Form::Manifest), ("rootfs", Form::Config)];
        let at = document.path();
        let value = json::parse(document.bytes()).map_err(|error| error.at_descriptor(at))?;
        let fields = Fields::of(&value, "the document", &MARKS.map(|(key, _)| key), at)?;
        let mut forms = MARKS.iter().filter(|(key, _)| fields.has(key));
        match (forms.next(), forms.next()) {
            (Some((_, form)), None) => Ok(*form),
            (Some((one, _)), Some((other, _))) => {
                Err(fields.error(ErrorKind::AmbiguousManifest, format!("`{one}` and `{other}` in one document")))
            }
            (None, _) => {
                let detail = "neither an index (`manifests`) nor a manifest (`layers`) nor a configuration (`rootfs`)";
                Err(fields.error(ErrorKind::ManifestMalformed, detail.into()))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Index => "an image index",
            Self::Manifest => "an image manifest",
            Self::Config => "an image configuration",
        }
    }

    /// The keys that only documents of another form have. A document with one of them has two readings (CVE-2021-41190).
    fn foreign(self) -> &'static [&'static str] {
        match self {
            Self::Index => &["config", "layers", "fsLayers", "rootfs"],
            Self::Manifest => &["manifests", "fsLayers", "rootfs"],
            Self::Config => &["manifests", "layers", "fsLayers", "schemaVersion"],
        }
    }

    /// Refuses a media type that is none of this form.
    pub(super) fn must_be(self, media_type: &str, at: &DescriptorPath) -> Result<(), Error> {
        let shown = shown(media_type);
        let (kind, detail) = match Self::of(media_type) {
            Some(form) if form == self => return Ok(()),
            Some(_) => (ErrorKind::MediaTypeMismatch, format!("\"{shown}\" is not the media type of {}", self.name())),
            None if is_schema_1(media_type) => {
                (ErrorKind::UnsupportedMediaType, format!("\"{shown}\": Docker's schema 1 is not supported"))
            }
            None => (ErrorKind::UnsupportedMediaType, format!("\"{shown}\" is not the media type of {}", self.name())),
        };
        Err(Error::new(kind, detail).at_descriptor(at))
    }

    /// Refuses what has keys of another form, or says by its media type or its version that it is something else.
    pub(super) fn check(self, document: &Document<'_>, fields: &Fields<'_>) -> Result<(), Error> {
        if let Some(claimed) = document.media_type() {
            self.must_be(claimed, fields.at())?;
        }
        if self != Self::Config {
            self.check_version(document, fields)?;
        }
        match self.foreign().iter().find(|key| fields.has(key)) {
            None => Ok(()),
            Some(key) => {
                let detail = format!("`{key}` in {}: another reader may take it for something else", self.name());
                Err(fields.error(ErrorKind::AmbiguousManifest, detail))
            }
        }
    }

    fn check_version(self, document: &Document<'_>, fields: &Fields<'_>) -> Result<(), Error> {
        use super::json::Value::Integer;
        let stated = fields.media_type("mediaType")?;
        match (stated, document.media_type()) {
            (Some(stated), Some(claimed)) if stated != claimed => {
                let detail = format!("the document says \"{}\", its descriptor \"{}\"", shown(stated), shown(claimed));
                return Err(fields.error(ErrorKind::MediaTypeMismatch, detail));
            }
            (Some(stated), _) => self.must_be(stated, fields.at())?,
            (None, _) => {}
        }
        match fields.required("schemaVersion")? {
            Integer(2) => Ok(()),
            Integer(1) => Err(fields.error(ErrorKind::UnsupportedMediaType, "Docker's schema 1 is not supported".into())),
            _ => Err(fields.malformed("schemaVersion", "is not 2")),
        }
    }
}

/// Refuses a document that says it is for something else than a container image (OCI image-spec `manifest.md`, `artifactType`).
pub(super) fn refuse_artifacts(fields: &Fields<'_>) -> Result<(), Error> {
    match fields.string("artifactType")? {
        None => Ok(()),
        Some(artifact) => {
            Err(fields.error(ErrorKind::UnsupportedMediaType, format!("an artifact of type \"{}\", no container image", shown(artifact))))
        }
    }
}

fn is_schema_1(media_type: &str) -> bool {
    media_type.strip_prefix("application/vnd.docker.distribution.manifest.").is_some_and(|rest| matches!(rest, "v1+json" | "v1+prettyjws"))
}
