//! Any bytes as each of the documents of an image: one reading or none, and the one that `serde_json::Value` has too.
//!
//! ```text
//! input: a document
//! ```

use std::collections::HashSet;

use safe_layers::image::{Descriptor, DockerArchive, Document, ImageConfig, Index, Manifest, Platform, Role, SimpleSigning};
use safe_layers::{Algorithm, Error, ErrorKind, Expect, Hasher};
use serde_json::Value;

use super::Accepted;

const HOSTS: [&str; 6] = ["linux/amd64", "linux/amd64/v3", "linux/arm/v7", "linux/arm64", "linux/arm64/v9.1", "linux/s390x"];

pub fn manifest(input: &[u8]) -> Accepted {
    let document = Document::dangerous_unverified("input", input);
    let read = Read::of(&document);
    let accepted = read.accepted();
    let forms = accepted.indexes + accepted.manifests + accepted.configs + accepted.archives + accepted.payloads;
    assert!(forms <= 1, "a document has two forms: {read:?}");
    if forms == 0 {
        return accepted;
    }
    assert!(!has_key_twice(std::str::from_utf8(input).unwrap()), "a key stands twice in an accepted document");
    let value = serde_json::from_slice::<Value>(input).unwrap();
    read.agrees_with(&value);

    // Written anew, with keys in another order and without escapes, it is the same.
    let written = value.to_string().into_bytes();
    assert_eq!(Read::of(&Document::dangerous_unverified("input", &written)), read);
    // Checked, it is the same, and other bytes are not it.
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(input);
    let pin = hasher.finish();
    assert_eq!(Read::of(&Document::pinned("input", &pin, input).unwrap()).without_digest(), read.without_digest());
    let other = Document::pinned("input", &pin, &[input, b" "].concat()).map(drop).map_err(|error| error.kind());
    assert_eq!(other, Err(ErrorKind::DigestMismatch));
    accepted
}

/// What the document is, by each of the parsers.
#[derive(Debug, PartialEq)]
struct Read {
    index: Option<Index>,
    manifest: Option<Manifest>,
    config: Option<ImageConfig>,
    archive: Option<DockerArchive>,
    payload: Option<SimpleSigning>,
}

impl Read {
    fn of(document: &Document<'_>) -> Self {
        Self {
            index: sane(Index::parse(document)),
            manifest: sane(Manifest::parse(document)),
            config: sane(ImageConfig::parse(document)),
            archive: sane(DockerArchive::parse(document)),
            payload: sane(SimpleSigning::parse(document)),
        }
    }

    fn accepted(&self) -> Accepted {
        let count = |there: bool| u64::from(there);
        Accepted {
            indexes: count(self.index.is_some()),
            manifests: count(self.manifest.is_some()),
            configs: count(self.config.is_some()),
            archives: count(self.archive.is_some()),
            payloads: count(self.payload.is_some()),
            ..Accepted::default()
        }
    }

    /// A configuration remembers whether anything checked it.
    fn without_digest(&self) -> String {
        let shown = format!("{self:?}");
        let (start, rest) = shown.split_once("ImageConfig { digest: ").unwrap_or((&shown, ""));
        format!("{start}{}", rest.split_once(", platform").map_or("", |(_, rest)| rest))
    }

    fn agrees_with(&self, value: &Value) {
        if let Some(index) = &self.index {
            keys_are_exact(value, &["schemaVersion", "mediaType", "manifests", "config", "layers"]);
            assert_eq!(described(index.manifests()), listed(&value["manifests"]));
            HOSTS.iter().for_each(|host| selects_what_runs(index, &Platform::parse(host).unwrap()));
        }
        if let Some(manifest) = &self.manifest {
            keys_are_exact(value, &["schemaVersion", "mediaType", "manifests", "config", "layers"]);
            assert_eq!(described(std::slice::from_ref(manifest.config())), listed(&serde_json::json!([value["config"]])));
            assert_eq!(described(manifest.layers()), listed(&value["layers"]));
            for layer in manifest.layers() {
                let claim = Expect::blob(layer.digest()).size(layer.size()).media_type(layer.media_type());
                assert_eq!(layer.claim(), claim);
            }
        }
        if let Some(config) = &self.config {
            keys_are_exact(value, &["os", "architecture", "variant", "config", "rootfs", "layers", "manifests"]);
            assert_eq!(value["rootfs"]["type"], "layers");
            let diff_ids = config.diff_ids().iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(diff_ids, strings(&value["rootfs"]["diff_ids"]));
            let run = config.run();
            for (list, key) in [(&run.env, "Env"), (&run.entrypoint, "Entrypoint"), (&run.cmd, "Cmd")] {
                assert_eq!(*list, strings(&value["config"][key]));
                assert!(list.iter().all(|text| !text.contains('\0')));
            }
            assert_eq!(run.user.as_deref().unwrap_or(""), value["config"]["User"].as_str().unwrap_or(""));
        }
        if let Some(payload) = &self.payload {
            keys_are_exact(value, &["critical", "optional"]);
            let critical = &value["critical"];
            assert_eq!(critical["type"], "cosign container image signature");
            assert_eq!(critical["image"]["docker-manifest-digest"], payload.manifest_digest().to_string());
            assert_eq!(critical["identity"]["docker-reference"], payload.reference().unwrap_or(""));
            assert!(
                [(critical, 3), (&critical["image"], 1), (&critical["identity"], 1)]
                    .iter()
                    .all(|(object, count)| { object.as_object().unwrap().len() == *count })
            );
        }
        if let Some(archive) = &self.archive {
            let images = value.as_array().unwrap();
            assert_eq!(archive.images().len(), images.len());
            for (image, value) in archive.images().iter().zip(images) {
                assert_eq!(image.layers().len(), strings(&value["Layers"]).len());
                assert_eq!(image.repo_tags(), strings(&value["RepoTags"]));
                for name in image.layers().iter().chain([image.config()]) {
                    assert!(!name.is_root() && name.names().all(|name| !matches!(name.as_bytes(), b"." | b"..")), "{name:?}");
                }
            }
        }
    }
}

/// An error names its place and shows little of the document.
fn sane<T>(read: Result<T, Error>) -> Option<T> {
    if let Err(error) = &read {
        assert!(error.descriptor_path().is_some_and(|path| path.to_string().starts_with("input")), "{error}");
        assert!(!error.detail().contains(char::is_control) && error.detail().len() < 4_000, "{error}");
    }
    read.ok()
}

fn described(descriptors: &[Descriptor]) -> Vec<(String, String, u64)> {
    descriptors.iter().map(|one| (one.media_type().to_owned(), one.digest().to_string(), one.size())).collect()
}

fn listed(list: &Value) -> Vec<(String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = list.as_array().into_iter().flatten();
    listed.map(|one| (text(&one["mediaType"]), text(&one["digest"]), one["size"].as_u64().unwrap())).collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn selects_what_runs(index: &Index, host: &Platform) {
    if let Ok(selected) = index.select(host) {
        assert!(matches!(selected.role(), Role::Manifest | Role::Index));
        assert!(selected.platform().is_none_or(|platform| host.runs(platform)));
        assert!(index.manifests().contains(selected));
    }
}

/// No key of the document becomes one of `known` where case is folded, but those themselves.
fn keys_are_exact(value: &Value, known: &[&str]) {
    let fold = |key: &str| key.replace('\u{17f}', "s").to_lowercase();
    for key in value.as_object().unwrap().keys() {
        assert!(known.iter().all(|known| key == known || fold(key) != fold(known)), "{key:?} is nearly a known key");
    }
}

/// Whether a key stands twice in an object, anywhere in `text`, which is JSON: what is a string before a colon is a key.
fn has_key_twice(text: &str) -> bool {
    let mut objects: Vec<HashSet<String>> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '{' | '[' => objects.push(HashSet::new()),
            '}' | ']' => drop(objects.pop()),
            '"' => {
                let mut escaped = false;
                let end = rest.find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let (string, after) = rest.split_at(end.unwrap());
                rest = &after[1..];
                if rest.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(':') {
                    let key = serde_json::from_str(&format!("\"{string}\"")).unwrap();
                    if !objects.last_mut().unwrap().insert(key) {
                        return true;
                    }
                }
            }
            _ => {}
        }
    }
    false
}
