//! An index is an index and nothing else.

use super::*;

#[test]
fn both_forms_of_index_are_read_in_order() {
    for media_type in [OCI_INDEX, DOCKER_INDEX] {
        let index = parse_index(&with(index(), "/mediaType", json!(media_type))).unwrap();
        let digests: Vec<_> = index.manifests().iter().map(Descriptor::digest).collect();
        assert_eq!(digests, [digest(b"one"), digest(b"two")]);
    }
    // `index.json` of a layout often has no media type.
    assert!(parse_index(&without(index(), "/mediaType")).is_ok());
}

#[test]
fn the_schema_version_is_2() {
    refused(parse_index(&without(index(), "/schemaVersion")), ErrorKind::ManifestMalformed, "`schemaVersion` is missing");
    for version in [json!(3), json!("2"), json!(2.0), json!(-2), Value::Null] {
        refused(parse_index(&with(index(), "/schemaVersion", version)), ErrorKind::ManifestMalformed, "`schemaVersion`");
    }
    refused(parse_index(&with(index(), "/schemaVersion", json!(1))), ErrorKind::UnsupportedMediaType, "schema 1");
}

#[test]
fn fields_of_another_form_are_refused_whatever_they_hold() {
    for key in ["layers", "config", "fsLayers", "rootfs"] {
        for value in [json!([]), json!({}), Value::Null] {
            refused(parse_index(&with(index(), &format!("/{key}"), value)), ErrorKind::AmbiguousManifest, key);
        }
    }
}

#[test]
fn the_list_of_manifests_is_there() {
    refused(parse_index(&without(index(), "/manifests")), ErrorKind::ManifestMalformed, "`manifests` is missing");
    refused(parse_index(&with(index(), "/manifests", json!({}))), ErrorKind::ManifestMalformed, "`manifests` is not a list");
    for none in [json!([]), Value::Null] {
        assert_eq!(parse_index(&with(index(), "/manifests", none)).unwrap().manifests(), []);
    }
}

#[test]
fn a_media_type_that_is_none_of_an_index_is_refused_by_name() {
    let stated = |media_type: &str| parse_index(&with(index(), "/mediaType", json!(media_type)));
    for other in [OCI_MANIFEST, DOCKER_MANIFEST, OCI_CONFIG] {
        refused(stated(other), ErrorKind::MediaTypeMismatch, other);
    }
    for unknown in ["application/vnd.oci.image.index.v2+json", "application/vnd.oci.image.index.v1+JSON", "text/html"] {
        refused(stated(unknown), ErrorKind::UnsupportedMediaType, unknown);
    }
    for schema_1 in ["v1+json", "v1+prettyjws"] {
        let schema_1 = format!("application/vnd.docker.distribution.manifest.{schema_1}");
        refused(stated(&schema_1), ErrorKind::UnsupportedMediaType, "schema 1");
    }
    refused(stated("no media type"), ErrorKind::ManifestMalformed, "not a media type");
    refused(parse_index(&with(index(), "/artifactType", json!("a/b"))), ErrorKind::UnsupportedMediaType, "a/b");
}

#[test]
fn descriptor_and_document_must_say_the_same() {
    let below = |claimed: &str, inner: &Value| {
        let bytes = text(inner);
        let outer = parse_index(&with(index(), "/manifests/0", descriptor(claimed, &bytes))).unwrap();
        Index::parse(&outer.manifests()[0].verify(&bytes).unwrap())
    };
    assert!(below(OCI_INDEX, &index()).is_ok());
    assert!(below(OCI_INDEX, &without(index(), "/mediaType")).is_ok());
    refused(below(DOCKER_INDEX, &index()), ErrorKind::MediaTypeMismatch, "its descriptor");
    refused(below(OCI_MANIFEST, &without(index(), "/mediaType")), ErrorKind::MediaTypeMismatch, OCI_MANIFEST);
    refused(below("a/b", &without(index(), "/mediaType")), ErrorKind::UnsupportedMediaType, "a/b");
}

#[test]
fn each_descriptor_has_a_role_and_what_is_no_image_is_told() {
    let platform = |os: &str| json!({"os": os, "architecture": os});
    let manifests = [
        (descriptor(OCI_MANIFEST, b"1"), Role::Manifest, None),
        (descriptor(DOCKER_MANIFEST, b"1"), Role::Manifest, None),
        (descriptor(OCI_INDEX, b"1"), Role::Index, None),
        (descriptor(DOCKER_INDEX, b"1"), Role::Index, None),
        (with(descriptor(OCI_MANIFEST, b"1"), "/artifactType", json!(OCI_CONFIG)), Role::Manifest, None),
        (with(descriptor(OCI_MANIFEST, b"1"), "/artifactType", json!("a/b")), Role::Other, Some(NoticeReason::NotAnImage)),
        (with(descriptor(OCI_INDEX, b"1"), "/artifactType", json!("a/b")), Role::Other, Some(NoticeReason::NotAnImage)),
        (descriptor(OCI_CONFIG, b"1"), Role::Other, Some(NoticeReason::NotAnImage)),
        (descriptor("a/b", b"1"), Role::Other, Some(NoticeReason::NotAnImage)),
        (with(descriptor(OCI_MANIFEST, b"1"), "/platform", platform("unknown")), Role::Attestation, Some(NoticeReason::Attestation)),
        (
            with(descriptor(OCI_MANIFEST, b"1"), "/annotations", json!({"vnd.docker.reference.type": "attestation-manifest"})),
            Role::Attestation,
            Some(NoticeReason::Attestation),
        ),
        (with(descriptor(OCI_MANIFEST, b"1"), "/platform", platform("linux")), Role::Manifest, None),
        (with(descriptor(OCI_MANIFEST, b"1"), "/annotations", json!({"vnd.docker.reference.type": "x"})), Role::Manifest, None),
    ];
    for (value, role, reason) in manifests {
        let index = parse_index(&with(index(), "/manifests", json!([value]))).unwrap();
        assert_eq!(index.manifests()[0].role(), role, "{value}");
        assert_eq!(index.notices().first().map(|notice| notice.reason), reason, "{value}");
    }
}
