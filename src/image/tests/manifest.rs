//! A manifest is the manifest of a container image and nothing else.

use super::*;

#[test]
fn both_forms_of_manifest_are_read_in_order() {
    let docker = json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": descriptor(DOCKER_CONFIG, b"config"),
        "layers": [descriptor(DOCKER_LAYER, b"one"), descriptor(DOCKER_LAYER, b"two")]});
    for value in [manifest(), docker, without(manifest(), "/mediaType")] {
        let manifest = parse_manifest(&value).unwrap();
        assert_eq!(manifest.config().digest(), digest(b"config"));
        let layers: Vec<_> = manifest.layers().iter().map(|layer| (layer.digest(), layer.size())).collect();
        assert_eq!(layers, [(digest(b"one"), 3), (digest(b"two"), 3)]);
    }
}

#[test]
fn configuration_and_layers_are_there() {
    refused(parse_manifest(&without(manifest(), "/config")), ErrorKind::ManifestMalformed, "`config` is missing");
    refused(parse_manifest(&with(manifest(), "/config", Value::Null)), ErrorKind::ManifestMalformed, "`config` is missing");
    refused(parse_manifest(&with(manifest(), "/config", json!([]))), ErrorKind::ManifestMalformed, "not an object");
    refused(parse_manifest(&without(manifest(), "/layers")), ErrorKind::ManifestMalformed, "`layers` is missing");
    refused(parse_manifest(&with(manifest(), "/layers", json!({}))), ErrorKind::ManifestMalformed, "`layers` is not a list");
    for none in [json!([]), Value::Null] {
        assert_eq!(parse_manifest(&with(manifest(), "/layers", none)).unwrap().layers(), []);
    }
}

#[test]
fn the_schema_version_is_2() {
    refused(parse_manifest(&without(manifest(), "/schemaVersion")), ErrorKind::ManifestMalformed, "`schemaVersion`");
    refused(parse_manifest(&with(manifest(), "/schemaVersion", json!(0))), ErrorKind::ManifestMalformed, "`schemaVersion`");
    let schema_1 = json!({"schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": [], "history": [], "signatures": []});
    refused(parse_manifest(&schema_1), ErrorKind::UnsupportedMediaType, "schema 1");
}

#[test]
fn fields_of_another_form_are_refused_whatever_they_hold() {
    for key in ["manifests", "fsLayers", "rootfs"] {
        for value in [json!([]), json!({}), Value::Null] {
            refused(parse_manifest(&with(manifest(), &format!("/{key}"), value)), ErrorKind::AmbiguousManifest, key);
        }
    }
}

#[test]
fn artifacts_are_refused_by_name() {
    refused(parse_manifest(&with(manifest(), "/artifactType", json!("a/b"))), ErrorKind::UnsupportedMediaType, "a/b");
    assert!(parse_manifest(&with(manifest(), "/artifactType", Value::Null)).is_ok());
    for media_type in ["application/vnd.oci.empty.v1+json", "application/vnd.cncf.helm.config.v1+json"] {
        let artifact = with(manifest(), "/config/mediaType", json!(media_type));
        refused(parse_manifest(&artifact), ErrorKind::UnsupportedMediaType, media_type);
    }
    refused(parse_manifest(&with(manifest(), "/config/mediaType", json!(OCI_MANIFEST))), ErrorKind::MediaTypeMismatch, OCI_MANIFEST);
}

#[test]
fn a_layer_that_is_none_is_refused_by_name() {
    for media_type in ["application/vnd.oci.empty.v1+json", "application/vnd.in-toto+json", OCI_CONFIG, "application/octet-stream"] {
        let odd = with(manifest(), "/layers/1/mediaType", json!(media_type));
        refused(parse_manifest(&odd), ErrorKind::UnsupportedMediaType, media_type);
    }
    let encrypted = with(manifest(), "/layers/1/mediaType", json!("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"));
    refused(parse_manifest(&encrypted), ErrorKind::UnsupportedMediaType, "decrypt");
    for media_type in [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        DOCKER_LAYER,
    ] {
        assert!(parse_manifest(&with(manifest(), "/layers/1/mediaType", json!(media_type))).is_ok());
    }
}

#[test]
fn descriptor_and_document_must_say_the_same() {
    let below = |claimed: &str, inner: &Value| {
        let bytes = text(inner);
        let outer = parse_index(&with(index(), "/manifests/0", descriptor(claimed, &bytes))).unwrap();
        Manifest::parse(&outer.manifests()[0].verify(&bytes).unwrap())
    };
    assert!(below(OCI_MANIFEST, &manifest()).is_ok());
    assert!(below(DOCKER_MANIFEST, &without(manifest(), "/mediaType")).is_ok());
    refused(below(DOCKER_MANIFEST, &manifest()), ErrorKind::MediaTypeMismatch, "its descriptor");
    refused(below(OCI_INDEX, &manifest()), ErrorKind::MediaTypeMismatch, OCI_INDEX);
    refused(parse_manifest(&with(manifest(), "/mediaType", json!(OCI_INDEX))), ErrorKind::MediaTypeMismatch, OCI_INDEX);
    refused(parse_manifest(&with(manifest(), "/mediaType", json!("a/b"))), ErrorKind::UnsupportedMediaType, "a/b");
}

#[test]
fn the_same_layer_may_stand_twice() {
    assert!(parse_manifest(&with(manifest(), "/layers/1", descriptor(OCI_LAYER, b"one"))).is_ok());
}

#[test]
fn urls_of_a_layer_are_told_with_its_place() {
    let foreign = parse_manifest(&with(manifest(), "/layers/1/urls", json!(["https://example.com/layer"]))).unwrap();
    assert_eq!(foreign.notices(), [Notice::new(NoticeReason::HasUrls, foreign.layers()[1].path())]);
    assert_eq!(foreign.notices()[0].path.to_string(), "manifest → layers[1]");
}
