//! The configuration of one image: the diff_ids of its layers and how to run it ([`ImageConfig`]).

use std::collections::BTreeMap;

use super::fields::Fields;
use super::json::{self, Value};
use super::media::Form;
use super::{Document, Notice, NoticeReason, Platform, shown};
use crate::digest::{Digest, chain_id};
use crate::error::{Error, ErrorKind};

/// Its own keys that are read, and those of other forms: refused, in any case of their letters.
const KEYS: &[&str] =
    &["architecture", "os", "os.features", "variant", "config", "rootfs", "history", "manifests", "layers", "fsLayers", "schemaVersion"];
const ROOTFS_KEYS: &[&str] = &["type", "diff_ids"];
const HISTORY_KEYS: &[&str] = &["empty_layer"];
const RUN_KEYS: &[&str] =
    &["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "ArgsEscaped"];

/// A configuration (OCI image-spec `config.md`; the image JSON of Docker is the same).
///
/// Once you hold one, its root filesystem is of type `layers` and each diff_id is well formed. The bytes stay with the
/// [`Document`]: what is not read here is there.
///
/// ```
/// use safe_layers::image::{Document, ImageConfig};
/// let bytes = br#"{"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/bin/sh"]},
///     "rootfs": {"type": "layers", "diff_ids": ["sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"]}}"#;
/// let config = ImageConfig::parse(&Document::dangerous_unverified("config", bytes))?;
/// assert_eq!(config.chain_id(), Some(config.diff_ids()[0]));
/// assert_eq!(config.run().cmd, ["/bin/sh"]);
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    digest: Option<Digest>,
    platform: Platform,
    diff_ids: Vec<Digest>,
    run: RunConfig,
    notices: Vec<Notice>,
}

/// How to run an image (OCI image-spec `config.md`, `config`). An empty string or list is as none. No text holds a NUL; nothing
/// else of it is judged: whoever runs the image says what it may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunConfig {
    /// `User`: `user`, `uid`, `user:group` and so on.
    pub user: Option<String>,
    /// `Env`, in order: `NAME=value`, but some images have a name alone.
    pub env: Vec<String>,
    /// `Entrypoint`: the first words of the command.
    pub entrypoint: Vec<String>,
    /// `Cmd`: the words after them.
    pub cmd: Vec<String>,
    /// `WorkingDir`: a path in the image, not cleaned.
    pub working_dir: Option<String>,
    /// `StopSignal`: a name or a number.
    pub stop_signal: Option<String>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// `ExposedPorts`, sorted: `port`, `port/tcp`, `port/udp`.
    pub exposed_ports: Vec<String>,
    /// `Volumes`, sorted: paths in the image, not cleaned.
    pub volumes: Vec<String>,
}

impl ImageConfig {
    /// Parses a configuration.
    ///
    /// The history is no claim: the specification has it optional and tools leave entries out. Where it tells of another number of
    /// layers than there are diff_ids, that is a [`Notice`]. No `diff_ids` are an empty list, as Docker writes an image without layers.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`]; [`ErrorKind::AmbiguousManifest`]; [`ErrorKind::MediaTypeMismatch`] and
    /// [`ErrorKind::UnsupportedMediaType`] where the descriptor says that it is something else; [`ErrorKind::BadDigest`];
    /// [`ErrorKind::ManifestMalformed`] else, a root filesystem of another type among it.
    pub fn parse(document: &Document<'_>) -> Result<Self, Error> {
        let at = document.path();
        let value = json::parse(document.bytes()).map_err(|error| error.at_descriptor(at))?;
        let fields = Fields::of(&value, "the configuration", KEYS, at)?;
        Form::Config.check(document, &fields)?;
        let diff_ids = diff_ids(&fields)?;
        let mut notices = Vec::new();
        if told_layers(&fields)?.is_some_and(|told| told != diff_ids.len()) {
            notices.push(Notice::new(NoticeReason::HistoryDiffers, at));
        }
        let run = match fields.get("config") {
            None => RunConfig::default(),
            Some(value) => RunConfig::read(&Fields::of(value, "`config`", RUN_KEYS, at)?)?,
        };
        Ok(Self { digest: document.digest(), platform: Platform::of(&fields)?, diff_ids, run, notices })
    }

    /// The digest that the bytes were checked against: the image's id. None if nothing was.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What the image runs on.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The digests of the uncompressed layers, bottom first.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// The chain id of all layers; none where there is no layer.
    #[must_use]
    pub fn chain_id(&self) -> Option<Digest> {
        chain_id(&self.diff_ids)
    }

    /// How to run it.
    #[must_use]
    pub fn run(&self) -> &RunConfig {
        &self.run
    }

    /// What of it is left out or odd.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

fn diff_ids(fields: &Fields<'_>) -> Result<Vec<Digest>, Error> {
    let rootfs = Fields::of(fields.required("rootfs")?, "`rootfs`", ROOTFS_KEYS, fields.at())?;
    match rootfs.required_string("type")? {
        "layers" => {}
        other => {
            return Err(fields.error(ErrorKind::ManifestMalformed, format!("`rootfs` is of the type \"{}\", not `layers`", shown(other))));
        }
    }
    let diff_ids =
        rootfs.strings("diff_ids")?.into_iter().map(|text| Digest::parse(text).map_err(|error| error.at_descriptor(fields.at())));
    diff_ids.collect()
}

/// How many layers the history tells of; none where there is no history.
fn told_layers(fields: &Fields<'_>) -> Result<Option<usize>, Error> {
    let history = fields.list("history")?;
    let mut told: usize = 0;
    for value in history {
        let entry = Fields::of(value, "`history`", HISTORY_KEYS, fields.at())?;
        match entry.get("empty_layer") {
            Some(Value::Bool(true)) => {}
            None | Some(Value::Bool(false)) => told = told.saturating_add(1),
            Some(_) => return Err(entry.malformed("empty_layer", "is neither true nor false")),
        }
    }
    Ok(Some(told).filter(|_| !history.is_empty()))
}

impl RunConfig {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let labels = fields.map("Labels")?.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self {
            user: fields.text("User")?,
            env: fields.texts("Env")?,
            entrypoint: fields.texts("Entrypoint")?,
            cmd: fields.texts("Cmd")?,
            working_dir: fields.text("WorkingDir")?,
            stop_signal: fields.text("StopSignal")?,
            labels,
            exposed_ports: fields.set("ExposedPorts")?,
            volumes: fields.set("Volumes")?,
        })
    }
}
