//! Images on disk that lie: each is tried as a layout and as an archive of it, with the right digest pinned and without.

use safe_layers::ErrorKind::{
    AmbiguousManifest, BadDigest, DiffIdMismatch, DigestMismatch, LayerCountMismatch, LayoutSymlink, MediaTypeMismatch, PathTraversal,
    SizeMismatch, SymlinkEscape, UnsupportedMediaType,
};
use serde_json::json;

use crate::common::builder::tar;
use crate::common::images::{Node, OCI_TAR, Stored, image, small};
use crate::harness::Outcome::{Contain, Reject};
use crate::images::attacks;

const INDEX: &str = "index.json";
const MANIFEST: &str = "index.json → manifests[0]";
const CONFIG: &str = "index.json → manifests[0] → config";
const LAYER: &str = "index.json → manifests[0] → layers[0]";

/// Changes one character of a document, and no length.
fn edited(image: Stored, name: &str, from: &str, to: &str) -> Stored {
    assert_eq!(from.len(), to.len());
    image.patch(name, |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        *bytes = text.replacen(from, to, 1).into_bytes();
    })
}

/// The first layer's blob is that of another image.
fn replaced(body: &str) -> Stored {
    let (image, other) = (small().oci(), image([tar().dir("etc").file("etc/e", body)]).oci());
    let evil = other.bytes(&other.layers[0]).to_vec();
    let name = image.layers[0].clone();
    image.with(&name, Node::File(evil))
}

attacks! {
    /// A bit of a layer flipped, its digest unchanged.
    img_layer_blob_flipped "" [Reject(DigestMismatch), Reject(DigestMismatch)]
        |_| {
            let image = small().oci();
            let name = image.layers[0].clone();
            (image.patch(&name, |bytes| bytes[40] ^= 0xff), LAYER)
        };

    /// A layer replaced by another one, as long and as valid.
    img_layer_blob_replaced "" [Reject(DigestMismatch), Reject(DigestMismatch)]
        |_| (replaced("a"), LAYER);

    /// A diff_id that the uncompressed layer does not have.
    img_diffid_mismatch "" [Reject(DiffIdMismatch), Reject(DiffIdMismatch)]
        |_| (small().config(|config| config["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "0".repeat(64)))).oci(), LAYER);

    /// Fewer diff_ids than layers: one layer would not be verified.
    img_diffid_fewer "" [Reject(LayerCountMismatch), Reject(LayerCountMismatch)]
        |_| {
            let two = image([tar().dir("etc").file("etc/a", "a"), tar().file("evil", "e")]);
            (two.config(|config| drop(config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop())).oci(), MANIFEST)
        };

    /// More diff_ids than layers.
    img_diffid_more "" [Reject(LayerCountMismatch), Reject(LayerCountMismatch)]
        |_| {
            let more = |config: &mut serde_json::Value| {
                config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(format!("sha256:{}", "1".repeat(64))));
            };
            (small().config(more).oci(), MANIFEST)
        };

    /// A descriptor with less than the size of the blob: the rest would be trailing data.
    img_size_lies_small "" [Reject(SizeMismatch), Reject(SizeMismatch)]
        |_| (small().manifest(|manifest| manifest["layers"][0]["size"] = json!(20)).oci(), LAYER);

    /// A configuration edited after the manifest was made.
    img_config_digest_mismatch "" [Reject(DigestMismatch), Reject(DigestMismatch)]
        |_| {
            let image = small().oci();
            let name = image.config.clone();
            (edited(image, &name, "\"config\":{}", "\"confit\":{}"), CONFIG)
        };

    /// A manifest edited after the index was made.
    img_manifest_digest_mismatch "" [Reject(DigestMismatch), Reject(DigestMismatch)]
        |_| {
            let image = small().oci();
            let name = image.manifest.clone();
            (edited(image, &name, "+gzip", "+zstd"), MANIFEST)
        };

    /// A layer's digest that is a path out of the layout.
    img_digest_traversal "CVE-2014-9358" [Reject(BadDigest), Reject(BadDigest)]
        |_| (small().manifest(|manifest| manifest["layers"][0]["digest"] = json!("sha256:../../../canary/file")).oci(), LAYER);

    /// A digest of an algorithm that nobody checks.
    img_digest_unknown_alg "" [Reject(BadDigest), Reject(BadDigest)]
        |_| {
            let md5 = "md5:d41d8cd98f00b204e9800998ecf8427e";
            (small().manifest(move |manifest| manifest["layers"][0]["digest"] = json!(md5)).oci(), LAYER)
        };

    /// A document with both `layers` and `manifests`.
    img_ambiguous_manifest "CVE-2021-41190" [Reject(AmbiguousManifest), Reject(AmbiguousManifest)]
        |_| {
            let both = |text: String| {
                let manifests = json!([{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
                    "digest": format!("sha256:{}", "0".repeat(64))}]);
                format!("{},\"manifests\":{manifests}}}", text.strip_suffix('}').unwrap())
            };
            (small().manifest_text(both).oci(), MANIFEST)
        };

    /// A key `layers` twice: readers take the first or the last.
    img_duplicate_json_keys "" [Reject(AmbiguousManifest), Reject(AmbiguousManifest)]
        |_| (small().manifest_text(|text| text.replacen('{', "{\"layers\":[],", 1)).oci(), MANIFEST);

    /// A layer that is to be fetched from elsewhere.
    img_foreign_layer_urls "CVE-2020-15157" [Reject(UnsupportedMediaType), Contain]
        |w| {
            let file = format!("file://{}", w.canary("/file"));
            let foreign = move |manifest: &mut serde_json::Value| {
                manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
                manifest["layers"][0]["urls"] = json!([file, "http://127.0.0.1:9/"]);
            };
            (small().manifest(foreign).oci(), LAYER)
        };

    /// A blob that is a symlink to a file of the host.
    img_blob_symlink "" [Reject(LayoutSymlink), Reject(LayoutSymlink)]
        |w| {
            let image = small().oci();
            let name = image.layers[0].clone();
            (image.with(&name, Node::Symlink(w.canary("/file"))), LAYER)
        };

    /// gzip that is called plain tar.
    img_mislabelled_gzip "" [Reject(MediaTypeMismatch), Reject(MediaTypeMismatch)]
        |_| (small().manifest(|manifest| manifest["layers"][0]["mediaType"] = json!(OCI_TAR)).oci(), LAYER);

    /// A docker-archive with a layer outside of it.
    img_docker_layers_traversal "CVE-2014-9358" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| {
            let image = small().docker();
            let list = json!([{"Config": image.config, "RepoTags": ["evil:latest"], "Layers": ["../canary/file"]}]).to_string();
            (image.with("manifest.json", Node::File(list.into_bytes())), "manifest.json → [0]")
        };

    /// A docker-archive with a layer that is a symlink to a file of the host.
    img_docker_layer_symlink "CVE-2014-9358" [Reject(SymlinkEscape), Reject(SymlinkEscape)]
        |w| {
            let image = small().docker();
            let name = image.layers[0].clone();
            (image.with(&name, Node::Symlink(w.canary("/file"))), "manifest.json → [0] → Layers[0]")
        };

    /// A layer replaced by another one that is longer.
    img_layer_blob_longer "" [Reject(SizeMismatch), Reject(SizeMismatch)]
        |_| (replaced(&"e".repeat(4096)), LAYER);

    /// A blob that blocks whoever opens it.
    img_blob_fifo "" [Reject(LayoutSymlink), Reject(LayoutSymlink)]
        |_| {
            let image = small().oci();
            let name = image.layers[0].clone();
            (image.with(&name, Node::Fifo), LAYER)
        };

    /// A blob that is a directory.
    img_blob_directory "" [Reject(LayoutSymlink), Reject(LayoutSymlink)]
        |_| {
            let image = small().oci();
            let name = image.layers[0].clone();
            (image.with(&name, Node::Dir), LAYER)
        };

    /// An index that is a symlink to a file of the host.
    img_index_symlink "" [Reject(LayoutSymlink), Reject(LayoutSymlink)]
        |w| (small().oci().with(INDEX, Node::Symlink(w.canary("/file"))), INDEX);

    /// Two layers whose places in the manifest are swapped.
    img_layers_swapped "" [Reject(DiffIdMismatch), Reject(DiffIdMismatch)]
        |_| {
            let two = image([tar().dir("etc").file("etc/a", "a"), tar().file("evil", "e")]);
            (two.manifest(|manifest| manifest["layers"].as_array_mut().unwrap().reverse()).oci(), LAYER)
        };
}
