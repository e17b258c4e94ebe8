//! The program `examples/unpack`, run in this process: what it prints, its exit status, and what it leaves on disk.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use safe_layers::image::SimpleSigning;
use serde_json::{Value, json};

#[allow(dead_code, reason = "its main is not called here")]
#[path = "../examples/unpack/main.rs"]
mod unpack;

use unpack::hello;

struct Ran {
    status: u8,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.err, "");
        assert_eq!(self.out.lines().count(), 1, "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }

    #[track_caller]
    fn usage(&self) {
        assert_eq!((self.status, self.out.as_str()), (2, ""), "{}", self.err);
        assert!(self.err.starts_with("unpack: usage: "), "{}", self.err);
    }
}

fn run<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = unpack::run(words.into_iter().map(Into::into).collect(), &mut out, &mut err);
    Ran { status, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// A directory with the shipped layer as `layer.tar.gz`.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("layer.tar.gz"), hello::LAYER).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The names in the directory: what a failed unpack must not add to.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs with a policy that needs no privilege.
    fn run(&self, options: &[&str], layers: &[&str], dest: &str) -> Ran {
        let mut words = vec!["--policy=rootless".to_owned()];
        words.extend(options.iter().map(|&option| option.to_owned()));
        words.extend(layers.iter().map(|layer| self.path(layer)));
        words.push(self.path(dest));
        run(words)
    }
}

fn blob() -> String {
    format!("--blob={}@{}", hello::BLOB_DIGEST, hello::BLOB_SIZE)
}

fn diff_id() -> String {
    format!("--diff-id={}", hello::DIFF_ID)
}

#[test]
fn without_arguments_it_unpacks_the_shipped_layer_with_both_digests_verified() {
    let ran = run::<&str>([]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let dest = ran.out.lines().find_map(|line| line.strip_prefix("Unpacked 1 layer into ")).unwrap();
    assert_eq!(ran.out.matches(" verified\n").count(), 2, "{}", ran.out);
    assert_eq!(fs::read_link(Path::new(dest).join("bin")).unwrap(), Path::new("usr/bin"));
    assert!(fs::read_to_string(Path::new(dest).join("bin/hi")).unwrap().contains("Hello"));
    fs::remove_dir_all(Path::new(dest).parent().unwrap()).unwrap();
}

#[test]
fn a_layer_whose_claims_match_appears_under_its_name() {
    let place = Place::new();
    let ran = place.run(&[&blob(), &diff_id(), "--json"], &["layer.tar.gz"], "rootfs/");
    let report = ran.json();
    assert_eq!(ran.status, 0);
    assert_eq!(report["dest"], json!(place.path("rootfs/")));
    assert_eq!(report["layers"][0]["blob_digest"], json!(hello::BLOB_DIGEST));
    assert_eq!(
        report["layers"][0]["verified"],
        json!({
            "blob_digest": hello::BLOB_DIGEST, "blob_bytes": hello::BLOB_SIZE, "diff_id": hello::DIFF_ID
        })
    );
    assert_eq!(place.names(), ["layer.tar.gz", "rootfs"]);
}

#[test]
fn a_wrong_claim_leaves_nothing_and_says_which() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    for (option, kind) in [
        (format!("--blob={wrong}"), "DigestMismatch"),
        (format!("--diff-id={wrong}"), "DiffIdMismatch"),
        (format!("--blob={}@1", hello::BLOB_DIGEST), "SizeMismatch"),
    ] {
        let place = Place::new();
        let ran = place.run(&[&option, "--json"], &["layer.tar.gz"], "rootfs");
        let error = &ran.json()["error"];
        assert_eq!((ran.status, &error["class"], &error["kind"], &error["layer"]), (1, &json!("Mismatch"), &json!(kind), &json!(0)));
        assert_eq!(place.names(), ["layer.tar.gz"], "{option}");
        let ran = place.run(&[&option], &["layer.tar.gz"], "rootfs");
        assert!(ran.err.starts_with(&format!("unpack: refused: {kind}: ")), "{}", ran.err);
    }
}

#[test]
fn the_second_layer_of_two_spoils_both() {
    let place = Place::new();
    fs::write(place.path("bad.tar"), [b'x'; 512]).unwrap();
    let ran = place.run(&["--unverified", "--json"], &["layer.tar.gz", "bad.tar"], "rootfs");
    assert_eq!((ran.status, &ran.json()["error"]["layer"]), (1, &json!(1)));
    assert_eq!(place.names(), ["bad.tar", "layer.tar.gz"]);
}

#[test]
fn nothing_claimed_is_a_usage_error_and_so_is_a_count_that_differs() {
    let place = Place::new();
    place.run(&[], &["layer.tar.gz"], "rootfs").usage();
    place.run(&[&blob()], &["layer.tar.gz", "layer.tar.gz"], "rootfs").usage();
    place.run(&["--unverified", &blob()], &["layer.tar.gz"], "rootfs").usage();
    run(["--unverified", "layer", ".."]).usage();
    let ran = place.run(&["--json"], &["layer.tar.gz"], "rootfs");
    let error = &ran.json()["error"];
    assert_eq!((ran.status, &error["class"], &error["kind"]), (2, &json!("Usage"), &json!("Usage")));
    assert!(error["message"].as_str().unwrap().contains("--unverified"));
    assert_eq!(place.names(), ["layer.tar.gz"]);
}

#[test]
fn a_missing_layer_is_known_before_anything_is_written() {
    let place = Place::new();
    let ran = place.run(&["--unverified", "--json"], &["layer.tar.gz", "missing"], "rootfs");
    let error = &ran.json()["error"];
    assert_eq!((ran.status, &error["class"], &error["kind"]), (1, &json!("Io"), &json!("Io")));
    assert_eq!((&error["layer"], &error["errno"], &error["path"]), (&json!(1), &json!(2), &Value::Null));
    assert_eq!(place.names(), ["layer.tar.gz"]);
}

#[test]
fn a_destination_that_exists_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.path("rootfs")).unwrap();
    let ran = place.run(&["--unverified", "--json"], &["layer.tar.gz"], "rootfs");
    assert_eq!((ran.status, &ran.json()["error"]["kind"], &ran.json()["error"]["errno"]), (1, &json!("Io"), &json!(17)));
    assert_eq!(fs::read_dir(place.path("rootfs")).unwrap().count(), 0);
    assert_eq!(place.names(), ["layer.tar.gz", "rootfs"]);
}

#[test]
fn in_place_writes_into_a_directory_that_exists_and_makes_none() {
    let place = Place::new();
    fs::create_dir(place.path("rootfs")).unwrap();
    let ran = place.run(&["--unverified", "--in-place"], &["layer.tar.gz"], "rootfs");
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(fs::exists(place.path("rootfs/etc/motd")).unwrap());
    let ran = place.run(&["--unverified", "--in-place", "--json"], &["layer.tar.gz"], "none");
    assert_eq!((ran.status, &ran.json()["error"]["errno"]), (1, &json!(2)));
    assert_eq!(place.names(), ["layer.tar.gz", "rootfs"]);
}

#[test]
fn the_extension_is_a_claim_in_strict_and_a_hint_in_the_others() {
    let place = Place::new();
    fs::rename(place.path("layer.tar.gz"), place.path("layer.tar.zst")).unwrap();
    let ran = place.run(&["--unverified", "--policy=strict", "--json"], &["layer.tar.zst"], "strict");
    assert_eq!((ran.status, &ran.json()["error"]["kind"]), (1, &json!("MediaTypeMismatch")));
    assert_eq!(place.run(&["--unverified"], &["layer.tar.zst"], "rootless").status, 0);
    assert_eq!(place.names(), ["layer.tar.zst", "rootless"]);
}

#[test]
fn a_media_type_is_a_claim_in_every_policy() {
    let place = Place::new();
    let media_type = |compression: &str| format!("--media-type=application/vnd.oci.image.layer.v1.tar{compression}");
    assert_eq!(place.run(&["--unverified", &media_type("+gzip")], &["layer.tar.gz"], "right").status, 0);
    for (wrong, kind) in [("+zstd", "MediaTypeMismatch"), ("+gzip+encrypted", "UnsupportedMediaType")] {
        let ran = place.run(&["--unverified", &media_type(wrong), "--json"], &["layer.tar.gz"], "wrong");
        assert_eq!((ran.status, &ran.json()["error"]["kind"], &ran.json()["error"]["layer"]), (1, &json!(kind), &json!(0)));
    }
    assert_eq!(place.names(), ["layer.tar.gz", "right"]);
}

#[test]
fn a_limit_is_named_with_its_value() {
    let place = Place::new();
    let ran = place.run(&["--unverified", "--limit", "entries=2", "--json"], &["layer.tar.gz"], "rootfs");
    let error = &ran.json()["error"];
    assert_eq!((ran.status, &error["kind"], &error["limit"]), (1, &json!("LimitExceeded"), &json!({ "name": "entries", "value": 2 })));
    assert_eq!(place.names(), ["layer.tar.gz"]);
}

#[test]
fn a_fifo_is_a_layer_too() {
    let place = Place::new();
    rustix::fs::mknodat(rustix::fs::CWD, place.path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let fifo = place.path("fifo");
    let writer = std::thread::spawn(move || fs::write(fifo, hello::LAYER));
    let ran = place.run(&[&blob(), "--threads=2"], &["fifo"], "rootfs");
    writer.join().unwrap().unwrap();
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(fs::exists(place.path("rootfs/etc/motd")).unwrap());
}

#[test]
fn names_in_messages_hold_no_control_characters() {
    let ran = run([b"--unverified".to_vec(), b"no\x1b[2Jne".to_vec(), b"dest".to_vec()].map(OsString::from_vec));
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("\\x1b[2J") && !ran.err.contains('\x1b'), "{:?}", ran.err);
}

#[test]
fn help_is_printed_to_standard_output() {
    let ran = run(["--help"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("Usage: unpack [OPTION]... LAYER... DEST"));
}

#[test]
fn what_a_killed_run_left_stays_unless_it_is_to_be_recovered() {
    let place = Place::new();
    let left = place.path(".other.safe-layers-0123456789abcdef");
    fs::create_dir_all(format!("{left}/etc")).unwrap();
    let layer = place.path("layer.tar.gz");
    assert_eq!(run(["--policy", "rootless", "--unverified", &layer, &place.path("one")]).status, 0);
    assert!(fs::exists(&left).unwrap());
    assert_eq!(run(["--policy", "rootless", "--unverified", "--recover", "--durable", &layer, &place.path("two")]).status, 0);
    assert!(!fs::exists(&left).unwrap());
    assert!(fs::exists(place.path("two")).unwrap() && fs::exists(place.path("one")).unwrap());
}

#[test]
fn in_overlay_form_each_layer_has_a_directory_and_the_report_names_them() {
    let place = Place::new();
    let layer = place.path("layer.tar.gz");
    let dest = place.path("dest");
    let ran = run(["--policy", "rootless", "--unverified", "--json", "--form", "overlay-user", &layer, &layer, &dest]);
    assert_eq!(ran.json()["lowerdir"], json!(format!("{dest}/1:{dest}/0")));
    assert_eq!(ran.json()["form"], json!("user"));
    assert!(fs::exists(format!("{dest}/0")).unwrap() && fs::exists(format!("{dest}/1")).unwrap());
    let text = run(["--policy", "rootless", "--unverified", "--form", "overlay-user", &layer, &place.path("text")]).out;
    assert!(text.contains("lowerdir="), "{text}");
}

/// Puts a blob into the layout and gives its descriptor.
fn stored(place: &Place, bytes: &[u8], media_type: &str) -> Value {
    let mut hasher = safe_layers::Hasher::new(safe_layers::Algorithm::Sha256);
    hasher.update(bytes);
    let digest = hasher.finish().to_string();
    fs::write(place.path(&format!("layout/blobs/sha256/{}", digest.split_once(':').unwrap().1)), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// Writes the shipped layer as an OCI layout and gives the digest of its manifest.
fn layout(place: &Place) -> String {
    let described = |bytes: &[u8], kind: &str| stored(place, bytes, &format!("application/vnd.oci.image.{kind}"));
    fs::create_dir_all(place.path("layout/blobs/sha256")).unwrap();
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [hello::DIFF_ID] } });
    let config = described(config.to_string().as_bytes(), "config.v1+json");
    let layers = [described(hello::LAYER, "layer.v1.tar+gzip")];
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let manifest = described(manifest.to_string().as_bytes(), "manifest.v1+json");
    let mut named = manifest.clone();
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": "hello" });
    fs::write(place.path("layout/index.json"), json!({ "schemaVersion": 2, "manifests": [named] }).to_string()).unwrap();
    fs::write(place.path("layout/oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    manifest["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_is_unpacked_by_its_name_or_its_pin_and_the_report_says_what_it_was() {
    let place = Place::new();
    let pin = layout(&place);
    let (whole, named) = (format!("--image={}", place.path("layout")), format!("--image={}:hello", place.path("layout")));
    let pinned = format!("--pin={pin}");
    let ran = place.run(&[&whole, &pinned, "--platform=linux/amd64", "--json"], &[], "pinned");
    let report = ran.json();
    assert_eq!((ran.status, &report["image"]["manifest_digest"], &report["image"]["pinned"]), (0, &json!(pin), &json!(pin)));
    assert_eq!(report["image"]["chain_id"], json!(hello::DIFF_ID));
    assert_eq!(report["layers"][0]["verified"]["diff_id"], json!(hello::DIFF_ID));
    let ran = place.run(&[&named, "--unverified", "--platform=linux/amd64"], &[], "named");
    assert!(ran.status == 0 && ran.out.contains("not pinned") && ran.out.contains(&pin), "{}{}", ran.out, ran.err);
    let form = place.run(&[&named, "--unverified", "--platform=linux/amd64", "--form=overlay-user", "--json"], &[], "stack");
    assert_eq!(form.json()["form"], json!("user"));
    assert_eq!(place.names(), ["layer.tar.gz", "layout", "named", "pinned", "stack"]);
}

/// Attaches a signature by a key to the layout, whose public part is put beside it.
fn sign(place: &Place, digest: &str, secret: u8, file: &str) {
    let key = SigningKey::from_slice(&[secret; 32]).unwrap();
    fs::write(place.path(file), key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()).unwrap();
    let critical = json!({ "identity": { "docker-reference": "registry.test/hello" }, "image": { "docker-manifest-digest": digest },
        "type": "cosign container image signature" });
    let payload = json!({ "critical": critical, "optional": null }).to_string();
    let signature: DerSignature = key.sign(payload.as_bytes());
    let mut layer = stored(place, payload.as_bytes(), SimpleSigning::MEDIA_TYPE);
    layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": Base64::encode_string(signature.as_bytes()) });
    let config = stored(place, b"{}", "application/vnd.oci.image.config.v1+json");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
    let mut named = stored(place, manifest.as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": format!("{}.sig", digest.replace(':', "-")) });
    let index = place.path("layout/index.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    value["manifests"].as_array_mut().unwrap().push(named);
    fs::write(index, value.to_string()).unwrap();
}

#[test]
fn an_image_is_unpacked_where_a_signature_by_the_key_is_over_it() {
    let place = Place::new();
    let pin = layout(&place);
    sign(&place, &pin, 7, "mine.pem");
    let image = format!("--image={}", place.path("layout"));
    let key = |name: &str| format!("--key={}", place.path(name));
    let signed = place.run(&[&image, &key("mine.pem"), "--platform=linux/amd64", "--json"], &[], "signed").json();
    assert_eq!((&signed["image"]["signed"], &signed["image"]["pinned"]), (&json!(pin), &Value::Null));
    let both = place.run(&[&image, &key("mine.pem"), &format!("--pin={pin}"), "--platform=linux/amd64"], &[], "both");
    assert!(both.status == 0 && both.out.contains("pinned as"), "{}{}", both.out, both.err);
    let text = place.run(&[&image, &key("mine.pem"), "--platform=linux/amd64"], &[], "text");
    assert!(text.status == 0 && text.out.contains("signed by the key"), "{}{}", text.out, text.err);

    let other = SigningKey::from_slice(&[8; 32]).unwrap().verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    fs::write(place.path("other.pem"), other).unwrap();
    let ran = place.run(&[&image, &key("other.pem"), "--platform=linux/amd64", "--json"], &[], "dest");
    assert_eq!((ran.status, &ran.json()["error"]["kind"]), (1, &json!("SignatureInvalid")));
    fs::write(place.path("none.pem"), "no key").unwrap();
    place.run(&[&image, &key("none.pem")], &[], "dest").usage();
    place.run(&[&image, &key("mine.pem"), "--unverified"], &[], "dest").usage();
    let missing = place.run(&[&image, "--key=/nonexistent/key", "--json"], &[], "dest");
    assert_eq!((missing.status, &missing.json()["error"]["errno"]), (1, &json!(2)));
    assert!(!fs::exists(place.path("dest")).unwrap());
}

#[test]
fn an_image_that_is_not_the_pinned_one_leaves_nothing_and_the_error_names_the_link() {
    let place = Place::new();
    let pin = layout(&place);
    let image = format!("--image={}:hello", place.path("layout"));
    let wrong = format!("--pin=sha256:{}", "0".repeat(64));
    let ran = place.run(&[&image, &wrong, "--platform=linux/amd64", "--json"], &[], "dest");
    let error = &ran.json()["error"];
    let link = "index.json → manifests[0]";
    assert_eq!((ran.status, &error["kind"], &error["descriptor"]), (1, &json!("DigestMismatch"), &json!(link)));
    place.run(&[&image], &[], "dest").usage();
    place.run(&[&image, "--unverified", &format!("--pin={pin}")], &[], "dest").usage();
    place.run(&[&image, "--unverified"], &["layer.tar.gz"], "dest").usage();
    place.run(&[&image, &format!("--archive-digest={pin}")], &[], "dest").usage();
    let missing = place.run(&["--image=/nonexistent/image", "--unverified", "--json"], &[], "dest");
    assert_eq!((missing.status, &missing.json()["error"]["errno"], &missing.json()["error"]["layer"]), (1, &json!(2), &Value::Null));
    assert_eq!(place.names(), ["layer.tar.gz", "layout"]);
}
