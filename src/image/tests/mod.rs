//! Tests of the documents. Each rule has a valid and an invalid twin: the base documents, and one change to them.

mod chain;
mod claims;
mod config;
mod descriptor;
mod docker;
mod index;
mod manifest;
mod payload;
mod platform;
mod reading;
mod selection;

use serde_json::{Value, json};

use super::*;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

/// A descriptor of a blob that is `content`.
fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content).to_string(), "size": content.len()})
}

fn index() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, b"one"), descriptor(OCI_MANIFEST, b"two")]})
}

fn manifest() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"config"),
        "layers": [descriptor(OCI_LAYER, b"one"), descriptor(OCI_LAYER, b"two")]})
}

fn config() -> Value {
    json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers",
        "diff_ids": [digest(b"layer one").to_string(), digest(b"layer two").to_string()]}})
}

fn docker() -> Value {
    json!([{"Config": "c.json", "RepoTags": ["name:tag"], "Layers": ["1/layer.tar", "2/layer.tar"]}])
}

/// The base with `value` at `pointer`; a member that is not there is added.
fn with(mut base: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match base.pointer_mut(parent).unwrap() {
        Value::Object(members) => drop(members.insert(key.replace("~1", "/"), value)),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        other => panic!("{other} has no members"),
    }
    base
}

fn without(mut base: Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    base.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    base
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn parse_index(value: &Value) -> Result<Index, Error> {
    Index::parse(&Document::dangerous_unverified("index.json", &text(value)))
}

fn parse_manifest(value: &Value) -> Result<Manifest, Error> {
    Manifest::parse(&Document::dangerous_unverified("manifest", &text(value)))
}

fn parse_config(value: &Value) -> Result<ImageConfig, Error> {
    ImageConfig::parse(&Document::dangerous_unverified("config", &text(value)))
}

fn parse_docker(value: &Value) -> Result<DockerArchive, Error> {
    DockerArchive::parse(&Document::dangerous_unverified("manifest.json", &text(value)))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(parsed: Result<T, Error>, kind: ErrorKind, detail: &str) {
    let error = parsed.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.detail().contains(detail), "{error}");
    assert!(error.descriptor_path().is_some(), "{error}");
}
