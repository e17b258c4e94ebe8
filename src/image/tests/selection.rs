//! Which manifest of an index a host gets.

use super::*;

/// An index of one manifest for each platform; its bytes are the platform's text and its place.
fn index_of(platforms: &[&str]) -> Index {
    let manifests = platforms.iter().enumerate().map(|(i, platform)| {
        let base = descriptor(OCI_MANIFEST, format!("{platform}#{i}").as_bytes());
        let parts: Vec<_> = platform.split('/').collect();
        match parts[..] {
            [os, architecture] => with(base, "/platform", json!({"os": os, "architecture": architecture})),
            [os, architecture, variant] => with(base, "/platform", json!({"os": os, "architecture": architecture, "variant": variant})),
            _ => base,
        }
    });
    parse_index(&with(index(), "/manifests", manifests.collect())).unwrap()
}

#[track_caller]
fn picks(host: &str, platforms: &[&str], place: Option<usize>) {
    let index = index_of(platforms);
    let picked = index.select(&Platform::parse(host).unwrap());
    match place {
        Some(place) => assert_eq!(picked, Ok(&index.manifests()[place])),
        None => refused(picked, ErrorKind::ImageMissing, &format!("for {}", Platform::parse(host).unwrap())),
    }
}

#[test]
fn the_exact_platform_is_taken_wherever_it_stands() {
    picks("linux/amd64", &["linux/arm64", "linux/amd64", "linux/s390x"], Some(1));
    picks("linux/s390x", &["linux/arm64", "linux/amd64"], None);
    picks("linux/amd64", &["windows/amd64"], None);
    picks("linux/amd64", &[], None);
}

#[test]
fn arm_falls_back_to_lower_versions_the_highest_first() {
    let all = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64"];
    picks("linux/arm/v7", &all, Some(2));
    picks("linux/arm/v7", &all[..2], Some(1));
    picks("linux/arm/v7", &all[..1], Some(0));
    picks("linux/arm/v6", &all[2..], None);
    picks("linux/arm/v8", &all, Some(2));
    picks("linux/arm", &["linux/arm/v8", "linux/arm"], Some(1));
    picks("linux/arm64", &["linux/arm/v6", "linux/arm/v8"], Some(1));
}

#[test]
fn arm64_is_arm64_v8_and_later_versions_fall_back() {
    picks("linux/arm64", &["linux/arm64/v8"], Some(0));
    picks("linux/arm64/v8", &["linux/arm64"], Some(0));
    picks("linux/arm64/v8", &["linux/arm64/v8.1"], None);
    picks("linux/arm64/v8.2", &["linux/arm64", "linux/arm64/v8.1", "linux/arm64/v8.3"], Some(1));
    picks("linux/arm64/v9", &["linux/arm64/v8.6", "linux/arm64/v8.5"], Some(1));
    picks("linux/arm64/v9.1", &["linux/arm64", "linux/arm64/v9"], Some(1));
}

#[test]
fn amd64_falls_back_to_lower_versions_and_then_to_386() {
    let all = ["linux/386", "linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4"];
    picks("linux/amd64/v3", &all, Some(3));
    picks("linux/amd64/v3", &all[..3], Some(2));
    picks("linux/amd64/v3", &all[..2], Some(1));
    picks("linux/amd64/v3", &all[..1], Some(0));
    picks("linux/amd64", &all[2..], None);
    picks("linux/amd64/v1", &["linux/amd64"], Some(0));
    picks("linux/386", &all[1..], None);
}

#[test]
fn the_first_of_two_that_are_as_good_is_taken() {
    picks("linux/amd64", &["linux/arm64", "linux/amd64", "linux/amd64"], Some(1));
    // Names of other tools for the same platform.
    picks("linux/amd64", &["linux/x86_64", "linux/amd64/v1"], Some(0));
}

#[test]
fn a_descriptor_without_a_platform_comes_after_all_others_and_alone() {
    picks("linux/amd64", &["", "linux/amd64"], Some(1));
    picks("linux/amd64", &["", "linux/386"], Some(1));
    picks("linux/amd64", &["linux/arm64", ""], Some(1));
    let two = index_of(&["", ""]);
    refused(two.select(&Platform::parse("linux/amd64").unwrap()), ErrorKind::AmbiguousManifest, "manifests[0] and");
}

#[test]
fn attestations_and_unknown_things_are_never_taken() {
    let host = Platform::parse("linux/amd64").unwrap();
    let attestation = with(descriptor(OCI_MANIFEST, b"a"), "/platform", json!({"os": "unknown", "architecture": "unknown"}));
    let marked = with(
        with(descriptor(OCI_MANIFEST, b"m"), "/platform", json!({"os": "linux", "architecture": "amd64"})),
        "/annotations",
        json!({"vnd.docker.reference.type": "attestation-manifest"}),
    );
    let unknown = descriptor("application/vnd.example", b"u");
    let image = descriptor(OCI_MANIFEST, b"i");
    let all = parse_index(&with(index(), "/manifests", json!([attestation, marked, unknown, image]))).unwrap();
    assert_eq!(all.select(&host).unwrap().digest(), digest(b"i"));
    let none = parse_index(&with(index(), "/manifests", json!([attestation, marked]))).unwrap();
    refused(none.select(&host), ErrorKind::ImageMissing, "there are []");
    refused(none.select(&Platform::parse("unknown/unknown").unwrap()), ErrorKind::ImageMissing, "");
    let unknown = parse_index(&with(index(), "/manifests", json!([unknown]))).unwrap();
    refused(unknown.select(&host), ErrorKind::UnsupportedMediaType, "application/vnd.example");
}

#[test]
fn features_of_the_system_that_the_host_does_not_name_are_not_there() {
    let needs = |features: Value| {
        let platform = json!({"os": "linux", "architecture": "amd64", "os.features": features});
        parse_index(&with(index(), "/manifests", json!([with(descriptor(OCI_MANIFEST, b"1"), "/platform", platform)])))
    };
    let host = Platform::parse("linux/amd64").unwrap();
    assert!(needs(json!([])).unwrap().select(&host).is_ok());
    refused(needs(json!(["sse4"])).unwrap().select(&host), ErrorKind::ImageMissing, "");
    refused(needs(json!("sse4")), ErrorKind::ManifestMalformed, "`os.features`");
}

#[test]
fn names_choose_and_without_one_nothing_is_chosen_between_them() {
    let named = |key: &str, name: &str, content: &[u8]| with(descriptor(OCI_MANIFEST, content), "/annotations", json!({key: name}));
    let (reference, image) = ("org.opencontainers.image.ref.name", "io.containerd.image.name");
    let manifests = json!([named(reference, "one", b"1"), named(reference, "two", b"2"), named(image, "docker.io/three", b"3")]);
    let index = parse_index(&with(index(), "/manifests", manifests)).unwrap();
    let host = Platform::parse("linux/amd64").unwrap();
    assert_eq!(index.select_named("two", &host).unwrap().digest(), digest(b"2"));
    assert_eq!(index.select_named("docker.io/three", &host).unwrap().digest(), digest(b"3"));
    refused(index.select_named("four", &host), ErrorKind::ImageMissing, "called \"four\"");
    refused(index.select(&host), ErrorKind::AmbiguousManifest, "as good");

    let amd64 = json!({"os": "linux", "architecture": "amd64"});
    let tagged = |name: &str, content: &[u8]| with(named(reference, name, content), "/platform", amd64.clone());
    let two = |a: Value, b: Value| parse_index(&with(self::index(), "/manifests", json!([a, b]))).unwrap();
    refused(two(tagged("a", b"1"), tagged("b", b"2")).select(&host), ErrorKind::AmbiguousManifest, "as good");
    // Two names of one image, and two images of one name: no choice, and the first.
    assert!(two(tagged("a", b"1"), tagged("b", b"1")).select(&host).is_ok());
    assert_eq!(two(tagged("a", b"1"), tagged("a", b"2")).select(&host).unwrap().digest(), digest(b"1"));
}

#[test]
fn a_nested_index_is_chosen_as_a_manifest_is() {
    let index = parse_index(&with(index(), "/manifests", json!([descriptor(OCI_INDEX, b"i")]))).unwrap();
    assert_eq!(index.select(&Platform::parse("linux/amd64").unwrap()).unwrap().role(), Role::Index);
}
