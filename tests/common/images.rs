//! A builder of images on disk, whole or changed in one place: layouts as directories and archives, and docker-archives.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use safe_layers::Digest;
use serde_json::{Value, json};

use super::builder::{Entry, Tar, tar};
use super::engine::sha256;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";

type Edit = Box<dyn Fn(&mut Value)>;
type EditText = Box<dyn Fn(String) -> String>;

/// An image that is to be written, and what is changed of it before what lies above is made: digests above are those of the changed.
pub struct Recipe {
    layers: Vec<(Vec<u8>, Vec<u8>)>,
    config: Edit,
    manifest: Edit,
    manifest_text: EditText,
    index: Edit,
}

/// The files of an image, and what they are called.
#[derive(Clone)]
pub struct Stored {
    /// In this order in an archive.
    pub files: Vec<(String, Node)>,
    /// The names of the layers' blobs, bottom first.
    pub layers: Vec<String>,
    pub config: String,
    pub manifest: String,
    /// What a caller pins: the digest of the manifest, in a docker-archive that of the configuration.
    pub pin: Digest,
    pub config_digest: Digest,
}

#[derive(Clone)]
pub enum Node {
    File(Vec<u8>),
    Symlink(String),
    Hardlink(String),
    Fifo,
    Dir,
}

/// An image of these layers, for `linux/amd64`, called `latest`.
pub fn image<const N: usize>(layers: [Tar; N]) -> Recipe {
    Recipe {
        layers: layers.iter().map(|layer| (layer.bytes(), layer.gzip().bytes())).collect(),
        config: Box::new(|_| {}),
        manifest: Box::new(|_| {}),
        manifest_text: Box::new(|text| text),
        index: Box::new(|_| {}),
    }
}

/// An image of layers that are stored as they are, whatever they hold: nothing is compressed or known of them.
pub fn image_of(layers: Vec<Vec<u8>>) -> Recipe {
    Recipe { layers: layers.into_iter().map(|layer| (layer.clone(), layer)).collect(), ..image([]) }
}

/// An image of one small layer.
pub fn small() -> Recipe {
    image([tar().dir("etc").file("etc/a", "a")])
}

impl Recipe {
    pub fn config(self, edit: impl Fn(&mut Value) + 'static) -> Self {
        Self { config: Box::new(edit), ..self }
    }

    pub fn manifest(self, edit: impl Fn(&mut Value) + 'static) -> Self {
        Self { manifest: Box::new(edit), ..self }
    }

    pub fn manifest_text(self, edit: impl Fn(String) -> String + 'static) -> Self {
        Self { manifest_text: Box::new(edit), ..self }
    }

    pub fn index(self, edit: impl Fn(&mut Value) + 'static) -> Self {
        Self { index: Box::new(edit), ..self }
    }

    fn config_bytes(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|(plain, _)| sha256(plain).to_string()).collect();
        let mut config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        (self.config)(&mut config);
        config.to_string().into_bytes()
    }

    /// As an OCI layout.
    pub fn oci(&self) -> Stored {
        let config = self.config_bytes();
        let layers: Vec<Value> = self.layers.iter().map(|(_, blob)| descriptor(OCI_GZIP, blob)).collect();
        let mut manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, &config), "layers": layers});
        (self.manifest)(&mut manifest);
        let manifest = (self.manifest_text)(manifest.to_string()).into_bytes();
        let mut entry = descriptor(OCI_MANIFEST, &manifest);
        entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        let mut index = json!({"schemaVersion": 2, "manifests": [entry]});
        (self.index)(&mut index);
        let mut stored = Stored {
            files: vec![
                ("oci-layout".to_owned(), Node::File(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())),
                ("index.json".to_owned(), Node::File(index.to_string().into_bytes())),
            ],
            layers: self.layers.iter().map(|(_, blob)| blob_name(blob)).collect(),
            config: blob_name(&config),
            manifest: blob_name(&manifest),
            pin: sha256(&manifest),
            config_digest: sha256(&config),
        };
        self.layers.iter().for_each(|(_, blob)| stored.add_blob(blob));
        stored.add_blob(&config);
        stored.add_blob(&manifest);
        stored
    }

    /// As a docker-archive of the old form: the layers uncompressed, each in a directory of its own.
    pub fn docker(&self) -> Stored {
        let config = self.config_bytes();
        let config_digest = sha256(&config);
        let config_name = format!("{}.json", hex(config_digest));
        let layers: Vec<String> = self.layers.iter().map(|(plain, _)| format!("{}/layer.tar", hex(sha256(plain)))).collect();
        let list = json!([{"Config": config_name, "RepoTags": ["small:latest"], "Layers": layers}]);
        let mut files = vec![(config_name.clone(), Node::File(config))];
        files.extend(layers.iter().cloned().zip(self.layers.iter().map(|(plain, _)| Node::File(plain.clone()))));
        files.push(("manifest.json".to_owned(), Node::File(list.to_string().into_bytes())));
        Stored { files, layers, config: config_name, manifest: "manifest.json".to_owned(), pin: config_digest, config_digest }
    }
}

impl Stored {
    /// Adds a file, or puts it in the place of the one of that name.
    pub fn put(&mut self, name: &str, node: Node) {
        match self.files.iter_mut().find(|(other, _)| other == name) {
            Some((_, place)) => *place = node,
            None => self.files.push((name.to_owned(), node)),
        }
    }

    pub fn add_blob(&mut self, bytes: &[u8]) {
        self.put(&blob_name(bytes), Node::File(bytes.to_vec()));
    }

    /// Adds a manifest and an entry of `index.json` for it, which `edit` changes: gives the name of its blob.
    pub fn add_manifest(&mut self, manifest: &Value, edit: impl Fn(&mut Value)) -> String {
        let bytes = manifest.to_string().into_bytes();
        self.add_blob(&bytes);
        let media_type = manifest["mediaType"].as_str().unwrap_or(OCI_MANIFEST);
        let mut entry = descriptor(media_type, &bytes);
        edit(&mut entry);
        let mut index: Value = serde_json::from_slice(self.bytes("index.json")).unwrap();
        index["manifests"].as_array_mut().unwrap().push(entry);
        self.put("index.json", Node::File(index.to_string().into_bytes()));
        blob_name(&bytes)
    }

    pub fn remove(&mut self, name: &str) {
        self.files.retain(|(other, _)| other != name);
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        match self.files.iter().find(|(other, _)| other == name) {
            Some((_, Node::File(bytes))) => bytes,
            _ => panic!("{name} is no file"),
        }
    }

    /// Whether it is an OCI layout, which can be a directory.
    pub fn is_layout(&self) -> bool {
        self.files.iter().any(|(name, _)| name == "oci-layout")
    }

    /// Changes a file and nothing that names it.
    pub fn patch(mut self, name: &str, edit: impl Fn(&mut Vec<u8>)) -> Self {
        let mut bytes = self.bytes(name).to_vec();
        edit(&mut bytes);
        self.put(name, Node::File(bytes));
        self
    }

    pub fn with(mut self, name: &str, node: Node) -> Self {
        self.put(name, node);
        self
    }

    /// Writes a directory.
    pub fn write(&self, dir: &Path) {
        for (name, node) in &self.files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match node {
                Node::File(bytes) => fs::write(path, bytes).unwrap(),
                Node::Symlink(target) => symlink(target, path).unwrap(),
                Node::Hardlink(target) => fs::hard_link(dir.join(target), path).unwrap(),
                Node::Fifo => rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap(),
                Node::Dir => fs::create_dir_all(path).unwrap(),
            }
        }
    }

    pub fn archive(&self) -> Tar {
        self.files.iter().fold(tar(), |archive, (name, node)| archive.add(entry(name, node)))
    }
}

fn entry(name: &str, node: &Node) -> Entry {
    match node {
        Node::File(bytes) => Entry::file(name, bytes),
        Node::Symlink(target) => Entry::symlink(name, target),
        Node::Hardlink(target) => Entry::hardlink(name, target),
        Node::Fifo => Entry::fifo(name),
        Node::Dir => Entry::dir(name),
    }
}

pub fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(content).to_string(), "size": content.len()})
}

pub fn hex(digest: Digest) -> String {
    digest.to_string().split_once(':').unwrap().1.to_owned()
}

pub fn blob_name(content: &[u8]) -> String {
    format!("blobs/sha256/{}", hex(sha256(content)))
}
