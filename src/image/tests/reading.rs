//! A document has one reading or none.

use super::*;

fn raw(bytes: &[u8]) -> Result<Index, Error> {
    Index::parse(&Document::dangerous_unverified("index.json", bytes))
}

fn raw_config(bytes: &[u8]) -> Result<ImageConfig, Error> {
    ImageConfig::parse(&Document::dangerous_unverified("config", bytes))
}

const EMPTY: &str = r#"{"schemaVersion": 2, "manifests": []}"#;

/// [`EMPTY`] with one more member.
fn plus(member: &str) -> Vec<u8> {
    EMPTY.replacen('{', &format!("{{{member}, "), 1).into_bytes()
}

#[test]
fn a_key_that_stands_twice_is_refused_at_every_level() {
    assert!(raw(&plus(r#""x": {"a": 1, "b": {"a": [{"a": 2}]}}"#)).is_ok());
    for member in [
        r#""manifests": []"#,
        r#""manif\u0065sts": []"#,
        r#""x": 1, "x": 1"#,
        r#""x": {"a": 1, "a": 1}"#,
        r#""x": [[{"b": {"a": 1, "c": 2, "a": 1}}]]"#,
        r#""annotations": {"k": "v", "k": "v"}"#,
        r#""": 1, "": 1"#,
    ] {
        refused(raw(&plus(member)), ErrorKind::AmbiguousManifest, "stands twice");
    }
}

#[test]
fn a_key_that_becomes_a_known_one_where_case_is_folded_is_refused() {
    assert!(raw(&plus(r#""Mediatypes": 1, "manifest": 1, "Annotation": {}"#)).is_ok());
    // Those of other forms as well, and the two letters beyond ASCII that Go folds.
    for key in ["Manifests", "SCHEMAVERSION", "mediatype", "Layers", "CONFIG", "RootFS", "manife\u{17f}ts", "artifact\\u0054YPE"] {
        refused(raw(&plus(&format!("\"{key}\": null"))), ErrorKind::AmbiguousManifest, "ignore case");
    }
    let kelvin = with(config(), "/config", json!({"Wor\u{212a}ingDir": "/"}));
    refused(parse_config(&kelvin), ErrorKind::AmbiguousManifest, "WorkingDir");
    refused(parse_config(&with(config(), "/rootfs/Diff_ids", json!([]))), ErrorKind::AmbiguousManifest, "diff_ids");
    refused(parse_config(&with(config(), "/config", json!({"env": ["A=b"]}))), ErrorKind::AmbiguousManifest, "Env");
    refused(parse_manifest(&with(manifest(), "/layers/1/Digest", json!("x"))), ErrorKind::AmbiguousManifest, "digest");
    refused(parse_docker(&with(docker(), "/0/layers", json!([]))), ErrorKind::AmbiguousManifest, "Layers");
}

#[test]
fn the_keys_of_maps_differ_by_case() {
    let labels = json!({"Labels": {"a": "1", "A": "2"}, "ExposedPorts": {"80/tcp": {}, "80/TCP": {}}});
    let config = parse_config(&with(config(), "/config", labels)).unwrap();
    assert_eq!((config.run().labels.len(), config.run().exposed_ports.len()), (2, 2));
}

#[test]
fn bytes_before_or_after_the_value_are_refused() {
    assert!(raw(format!("\n\t {EMPTY} \r\n").as_bytes()).is_ok());
    for bytes in ["", " ", &format!("{EMPTY}{EMPTY}"), &format!("{EMPTY}x"), &format!("{EMPTY}\0"), &format!("{EMPTY},"), "{", "nul"] {
        refused(raw(bytes.as_bytes()), ErrorKind::ManifestMalformed, "");
    }
    refused(raw(format!("\u{feff}{EMPTY}").as_bytes()), ErrorKind::ManifestMalformed, "byte order mark");
    let utf16: Vec<u8> = EMPTY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(raw(&utf16), ErrorKind::ManifestMalformed, "");
}

#[test]
fn bytes_that_are_not_utf_8_and_halves_of_characters_are_refused_even_where_they_are_not_read() {
    assert!(raw(&plus("\"x\": \"\u{fffd}\\ud83d\\ude00\"")).is_ok());
    let mut invalid = plus(r#""x": "??""#);
    let at = invalid.iter().position(|byte| *byte == b'?').unwrap();
    invalid[at] = 0xff;
    refused(raw(&invalid), ErrorKind::ManifestMalformed, "not UTF-8 at byte");
    refused(raw(&plus(r#""x": "\ud800""#)), ErrorKind::ManifestMalformed, "hex escape");
    refused(raw(&plus("\"x\": \"a\nb\"")), ErrorKind::ManifestMalformed, "control character");
}

#[test]
fn what_is_no_json_is_refused() {
    for member in [r#"x: 1"#, r#""x": 01"#, r#""x": .5"#, r#""x": +1"#, r#""x": NaN"#, r#""x": 1e999"#, r#""x": '1'"#, r#""x": [1,]"#] {
        refused(raw(&plus(member)), ErrorKind::ManifestMalformed, "");
    }
    refused(raw(b"{\"schemaVersion\": 2, /* */ \"manifests\": []}"), ErrorKind::ManifestMalformed, "");
}

#[test]
fn levels_are_bounded() {
    let nested = |levels: usize| plus(&format!("\"x\": {}{}", "[".repeat(levels), "]".repeat(levels)));
    // The document itself is one.
    assert!(raw(&nested(126)).is_ok());
    refused(raw(&nested(127)), ErrorKind::ManifestMalformed, "recursion limit");
    refused(raw(&nested(1_000_000)), ErrorKind::ManifestMalformed, "recursion limit");
}

#[test]
fn a_document_at_the_limit_of_bytes_passes_and_one_over_it_does_not() {
    let padded = |len: usize| format!("{EMPTY}{}", " ".repeat(len - EMPTY.len())).into_bytes();
    let limit = usize::try_from(MAX_DOCUMENT_BYTES).unwrap();
    assert!(raw(&padded(limit)).is_ok());
    let error = raw(&padded(limit + 1)).unwrap_err();
    assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("document_bytes", MAX_DOCUMENT_BYTES)));
}

#[test]
fn a_document_at_the_limit_of_values_passes_and_one_over_it_does_not() {
    // The document, its two members, and the list.
    let values = |count: usize| plus(&format!("\"x\": [{}0]", "0,".repeat(count - 5)));
    let limit = usize::try_from(MAX_DOCUMENT_VALUES).unwrap();
    assert!(raw(&values(limit)).is_ok());
    let error = raw(&values(limit + 1)).unwrap_err();
    assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("document_values", MAX_DOCUMENT_VALUES)));
}

#[test]
fn a_document_that_is_no_object_or_no_list_where_it_must_be_is_refused() {
    for bytes in ["[]", "null", "2", "\"x\"", "[{}]"] {
        refused(raw(bytes.as_bytes()), ErrorKind::ManifestMalformed, "not an object");
        refused(raw_config(bytes.as_bytes()), ErrorKind::ManifestMalformed, "not an object");
    }
    refused(parse_docker(&json!({})), ErrorKind::ManifestMalformed, "not a list");
}

#[test]
fn what_an_error_shows_of_a_document_is_short_and_without_control_characters() {
    let long = "\u{1b}[2J".repeat(10_000);
    for document in [
        with(index(), "/mediaType", json!(long)),
        with(index(), "/artifactType", json!(long)),
        with(index(), "/manifests/0/digest", json!(long)),
        with(index(), "/manifests/0/mediaType", json!(long)),
    ] {
        let error = parse_index(&document).unwrap_err();
        assert!(!error.to_string().contains('\u{1b}') && error.to_string().len() < 2_000, "{error}");
    }
    let twice = format!("{{\"{0}\": 1, \"{0}\": 1}}", "\\u001b[2J".repeat(10_000));
    let error = raw(twice.as_bytes()).unwrap_err();
    assert!(!error.to_string().contains('\u{1b}') && error.to_string().len() < 2_000, "{error}");
}
