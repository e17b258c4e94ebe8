//! What a payload of a signature may say.

use super::*;

fn payload() -> Value {
    json!({"critical": {"identity": {"docker-reference": "registry.test/app"}, "image": {"docker-manifest-digest": digest(b"m").to_string()},
        "type": "cosign container image signature"}, "optional": {"a": [1, {"b": null}]}})
}

fn parse(value: &Value) -> Result<SimpleSigning, Error> {
    SimpleSigning::parse(&Document::dangerous_unverified("payload", &text(value)))
}

#[test]
fn a_payload_names_a_digest_and_a_repository() {
    let parsed = parse(&payload()).unwrap();
    assert_eq!((parsed.manifest_digest(), parsed.reference()), (digest(b"m"), Some("registry.test/app")));
    let nameless = parse(&with(payload(), "/critical/identity/docker-reference", json!(""))).unwrap();
    assert_eq!(nameless.reference(), None);
    for optional in [json!(null), json!({}), json!("anything")] {
        assert_eq!(parse(&with(payload(), "/optional", optional)), Ok(parsed.clone()));
    }
    assert_eq!(parse(&without(payload(), "/optional")), Ok(parsed));
}

#[test]
fn what_must_be_said_is_missing_or_of_another_type() {
    for pointer in [
        "/critical",
        "/critical/type",
        "/critical/image",
        "/critical/image/docker-manifest-digest",
        "/critical/identity",
        "/critical/identity/docker-reference",
    ] {
        refused(parse(&without(payload(), pointer)), ErrorKind::ManifestMalformed, "is missing");
        let result = parse(&with(payload(), pointer, json!([])));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ManifestMalformed, "{pointer}");
    }
    refused(parse(&with(payload(), "/critical/image/docker-manifest-digest", json!("sha256:0"))), ErrorKind::BadDigest, "");
    refused(parse(&with(payload(), "/critical/type", json!("atomic container signature"))), ErrorKind::UnsupportedMediaType, "atomic");
    refused(parse(&with(payload(), "/critical/identity/docker-reference", json!("a\nb"))), ErrorKind::ManifestMalformed, "control");
}

#[test]
fn what_is_said_beyond_the_format_is_refused_but_for_optional() {
    for pointer in ["/more", "/critical/more", "/critical/image/more", "/critical/identity/more"] {
        refused(parse(&with(payload(), pointer, json!(null))), ErrorKind::ManifestMalformed, "\"more\", which is none of its members");
    }
    for pointer in ["/Critical", "/critical/Type", "/critical/image/Docker-manifest-digest", "/OPTIONAL"] {
        refused(parse(&with(payload(), pointer, json!("x"))), ErrorKind::AmbiguousManifest, "readers that ignore case");
    }
}
