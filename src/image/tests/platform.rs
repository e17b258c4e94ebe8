//! One spelling for each platform.

use super::*;

#[test]
fn the_usual_spellings_are_one_platform() {
    for (text, normal) in [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/x86-64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i386/x", "linux/386"),
        ("linux/x86", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9.0", "linux/arm64/v9"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("macos/aarch64", "darwin/arm64"),
        ("linux/riscv64", "linux/riscv64"),
    ] {
        assert_eq!(Platform::parse(text).unwrap().to_string(), normal);
    }
}

#[test]
fn what_is_no_platform_is_refused() {
    for text in ["", "linux", "/", "linux/", "/amd64", "linux//v7", "linux/arm/v7/x", "linux/amd64\n", "\u{1b}/x"] {
        assert_eq!(Platform::parse(text).map_err(|error| error.kind()), Err(ErrorKind::ManifestMalformed), "{text:?}");
    }
}

#[test]
fn a_platform_in_a_document_names_system_and_architecture_on_one_line() {
    let platform = |value: Value| parse_index(&with(index(), "/manifests/0/platform", value));
    let plain = json!({"os": "linux", "architecture": "amd64"});
    assert!(platform(plain.clone()).is_ok());
    assert!(platform(with(with(plain.clone(), "/variant", json!("")), "/os.version", json!(7))).is_ok());
    assert_eq!(platform(Value::Null).unwrap().manifests()[0].platform(), None);
    for key in ["/os", "/architecture"] {
        refused(platform(without(plain.clone(), key)), ErrorKind::ManifestMalformed, "is missing");
        refused(platform(with(plain.clone(), key, json!(""))), ErrorKind::ManifestMalformed, "is empty");
        refused(platform(with(plain.clone(), key, json!("a\nb"))), ErrorKind::ManifestMalformed, "control character");
        refused(platform(with(plain.clone(), key, json!(1))), ErrorKind::ManifestMalformed, "is not a string");
    }
    refused(platform(with(plain.clone(), "/variant", json!(8))), ErrorKind::ManifestMalformed, "`variant`");
    refused(platform(with(plain, "/OS", json!("windows"))), ErrorKind::AmbiguousManifest, "ignore case");
    refused(platform(json!("linux/amd64")), ErrorKind::ManifestMalformed, "not an object");
}

#[test]
fn the_platform_of_this_program_runs_itself() {
    let host = Platform::compiled_for();
    assert!(host.runs(&host));
    assert_eq!(host.os(), std::env::consts::OS);
    if cfg!(target_arch = "x86_64") {
        assert_eq!((host.architecture(), host.variant()), ("amd64", None));
    }
}

#[test]
fn versions_that_no_number_is_are_no_reason_to_fail() {
    for variant in ["v", "v0", "v999999999999", "vx", "v-1", "v8.", "v8.x", "v8.255", "v9.255", "v255"] {
        for architecture in ["amd64", "arm", "arm64"] {
            let host = Platform::parse(&format!("linux/{architecture}/{variant}")).unwrap();
            assert!(host.runs(&host), "{host}");
        }
    }
}
