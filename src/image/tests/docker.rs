//! The list of a docker-archive: names that obey the rules of entries, and claims by diff_id alone.

use super::*;
use crate::blob::Expect;

#[test]
fn images_are_read_in_order_with_cleaned_names() {
    let two = json!([
        {"Config": "./c.json", "RepoTags": ["name:tag", "name:1"], "Layers": ["1//layer.tar", "blobs/sha256/0a"]},
        {"Config": "blobs/sha256/0b", "RepoTags": null, "Layers": null, "Parent": "sha256:x", "LayerSources": {"sha256:x": {}}},
    ]);
    let archive = parse_docker(&two).unwrap();
    let [first, second] = archive.images() else { panic!("{archive:?}") };
    assert_eq!((first.config().as_bytes(), first.repo_tags()), (&b"c.json"[..], &["name:tag".to_owned(), "name:1".to_owned()][..]));
    assert_eq!(first.layers().iter().map(|layer| layer.as_bytes()).collect::<Vec<_>>(), [&b"1/layer.tar"[..], b"blobs/sha256/0a"]);
    assert_eq!((second.config().as_bytes(), second.repo_tags().len(), second.layers().len()), (&b"blobs/sha256/0b"[..], 0, 0));
    assert_eq!(parse_docker(&json!([])).unwrap().images(), []);
}

#[test]
fn a_name_that_is_no_member_of_the_archive_is_refused() {
    let long = "x".repeat(256);
    for (name, kind) in [
        ("../c.json", ErrorKind::PathTraversal),
        ("a/../../c.json", ErrorKind::PathTraversal),
        ("/etc/passwd", ErrorKind::AbsolutePath),
        ("a\0b", ErrorKind::InvalidName),
        (".", ErrorKind::InvalidName),
        ("/", ErrorKind::InvalidName),
        (&long, ErrorKind::NameTooLong),
    ] {
        refused(parse_docker(&with(docker(), "/0/Config", json!(name))), kind, "");
        refused(parse_docker(&with(docker(), "/0/Layers/1", json!(name))), kind, "");
        let error = parse_docker(&with(docker(), "/0/Layers/1", json!(name))).unwrap_err();
        assert_eq!(error.location().path.as_deref(), Some(name.as_bytes()));
    }
    refused(parse_docker(&with(docker(), "/0/Layers/1", json!(""))), ErrorKind::InvalidName, "`Layers`");
}

#[test]
fn configuration_and_layers_are_there_and_of_their_types() {
    for key in ["/0/Config", "/0/Layers"] {
        refused(parse_docker(&without(docker(), key)), ErrorKind::ManifestMalformed, "is missing");
        refused(parse_docker(&with(docker(), key, json!(7))), ErrorKind::ManifestMalformed, "is not a");
    }
    refused(parse_docker(&with(docker(), "/0/Layers/0", json!(7))), ErrorKind::ManifestMalformed, "`Layers`");
    refused(parse_docker(&with(docker(), "/0/RepoTags", json!("name"))), ErrorKind::ManifestMalformed, "`RepoTags`");
    refused(parse_docker(&with(docker(), "/0/RepoTags", json!(["a\nb"]))), ErrorKind::ManifestMalformed, "control character");
    refused(parse_docker(&json!([7])), ErrorKind::ManifestMalformed, "not an object");
}

#[test]
fn each_layer_is_claimed_by_its_diff_id() {
    let archive = parse_docker(&docker()).unwrap();
    let claims = archive.images()[0].claims(&parse_config(&config()).unwrap());
    assert_eq!(claims, Ok(vec![Expect::diff_id(digest(b"layer one")), Expect::diff_id(digest(b"layer two"))]));
    for diff_ids in [json!([]), json!([digest(b"x").to_string()])] {
        let config = parse_config(&with(config(), "/rootfs/diff_ids", diff_ids)).unwrap();
        refused(archive.images()[0].claims(&config), ErrorKind::LayerCountMismatch, "2 layers and ");
    }
}
