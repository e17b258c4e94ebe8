//! A descriptor is a claim that is syntactically right.

use super::*;

fn first(change: impl Fn(Value) -> Value) -> Result<Index, Error> {
    parse_index(&with(index(), "/manifests/0", change(descriptor(OCI_MANIFEST, b"one"))))
}

#[test]
fn media_type_digest_and_size_are_there() {
    assert!(first(|d| d).is_ok());
    for key in ["/mediaType", "/digest", "/size"] {
        refused(first(|d| without(d, key)), ErrorKind::ManifestMalformed, "is missing");
        refused(first(|d| with(d, key, Value::Null)), ErrorKind::ManifestMalformed, "is missing");
        refused(first(|d| with(d, key, json!([]))), ErrorKind::ManifestMalformed, "`");
    }
    refused(first(|_| json!("x")), ErrorKind::ManifestMalformed, "not an object");
    refused(first(|_| Value::Null), ErrorKind::ManifestMalformed, "not an object");
}

#[test]
fn a_digest_is_of_the_exact_form() {
    for text in ["", "sha256:", "sha256:../../x", "md5:d41d8cd98f00b204e9800998ecf8427e", &digest(b"").to_string().to_uppercase()] {
        refused(first(|d| with(d, "/digest", json!(text))), ErrorKind::BadDigest, "");
    }
    refused(first(|d| with(d, "/digest", json!(format!("{}\n", digest(b""))))), ErrorKind::BadDigest, "");
}

#[test]
fn a_size_is_written_in_digits_and_fits_63_bits() {
    let size = |text: &str| {
        let bytes = index().to_string().replacen("\"size\":3", &format!("\"size\":{text}"), 1);
        Index::parse(&Document::dangerous_unverified("index.json", bytes.as_bytes()))
    };
    assert_eq!(size("9223372036854775807").unwrap().manifests()[0].size(), i64::MAX.unsigned_abs());
    assert_eq!(size("0").unwrap().manifests()[0].size(), 0);
    for text in
        ["-1", "-0", "3.0", "3e0", "30e-1", "9223372036854775808", "18446744073709551616", "1e30", "\"3\"", "true", "[3]", "{}", "null"]
    {
        refused(size(text), ErrorKind::ManifestMalformed, "`size`");
    }
    refused(size("{\"$serde_json::private::Number\": \"3\"}"), ErrorKind::ManifestMalformed, "`size`");
}

#[test]
fn a_media_type_is_of_the_form_of_one() {
    for text in ["a/b", "application/vnd.a-b.c+json", "x/a!#$&-^_.+"] {
        assert_eq!(first(|d| with(d, "/mediaType", json!(text))).unwrap().manifests()[0].role(), Role::Other, "{text}");
    }
    let long = format!("a/{}", "b".repeat(128));
    for text in ["", "a", "/", "a/", "/b", "a/b/c", "a/b; q=1", "a/b\n", " a/b", ".a/b", "a/b\u{e9}", &long] {
        refused(first(|d| with(d, "/mediaType", json!(text))), ErrorKind::ManifestMalformed, "is not a media type");
        refused(first(|d| with(d, "/artifactType", json!(text))), ErrorKind::ManifestMalformed, "is not a media type");
    }
}

#[test]
fn urls_and_embedded_data_are_told_and_change_nothing() {
    let plain = first(|d| d).unwrap();
    assert_eq!(plain.notices(), []);
    let odd = first(|d| with(with(d, "/urls", json!(["https://example.com/x", "\n"])), "/data", json!("bm90IG9uZQ=="))).unwrap();
    let path = odd.manifests()[0].path();
    assert_eq!(odd.notices(), [Notice::new(NoticeReason::HasUrls, path), Notice::new(NoticeReason::HasData, path)]);
    assert_eq!(odd.manifests(), plain.manifests());
    assert_eq!(first(|d| with(with(d, "/urls", json!([])), "/data", Value::Null)).unwrap().notices(), []);
    refused(first(|d| with(d, "/urls", json!("https://example.com"))), ErrorKind::ManifestMalformed, "`urls`");
    refused(first(|d| with(d, "/urls", json!([1]))), ErrorKind::ManifestMalformed, "`urls`");
    refused(first(|d| with(d, "/data", json!([1]))), ErrorKind::ManifestMalformed, "`data`");
}

#[test]
fn annotations_are_strings_and_the_names_among_them_are_one_line() {
    let named = |key: &str, value: Value| first(|d| with(d, "/annotations", json!({key: value, "other": "a\nb"})));
    let index = named("org.opencontainers.image.ref.name", json!("1.0")).unwrap();
    assert_eq!((index.manifests()[0].ref_name(), index.manifests()[0].image_name()), (Some("1.0"), None));
    let index = named("io.containerd.image.name", json!("docker.io/library/x:1")).unwrap();
    assert_eq!((index.manifests()[0].ref_name(), index.manifests()[0].image_name()), (None, Some("docker.io/library/x:1")));
    assert_eq!(named("org.opencontainers.image.ref.name", json!("")).unwrap().manifests()[0].ref_name(), None);
    for key in ["org.opencontainers.image.ref.name", "io.containerd.image.name"] {
        for value in ["a\nb", "\u{1b}[2J", "a\0", "\u{85}"] {
            refused(named(key, json!(value)), ErrorKind::ManifestMalformed, "control character");
        }
    }
    refused(named("x", json!(1)), ErrorKind::ManifestMalformed, "`annotations`");
    refused(named("x", Value::Null), ErrorKind::ManifestMalformed, "`annotations`");
    refused(first(|d| with(d, "/annotations", json!([]))), ErrorKind::ManifestMalformed, "`annotations`");
}

#[test]
fn unknown_fields_are_left_alone() {
    assert_eq!(first(|d| with(d, "/x", json!({"size": -1}))), first(|d| d));
}
