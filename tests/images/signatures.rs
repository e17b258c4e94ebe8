//! Signatures by a key, as cosign makes them: the genuine ones, and what is none.

use std::path::Path;
use std::process::Command;

use safe_layers::image::{CosignKey, SimpleSigning};

use super::attached::{both, trees};
use super::signing::{REFERENCE, SIGNATURE, Signed, Signer, attach, attach_manifest, base64, manifest, payload};
use super::*;

const MANIFEST: &str = "index.json → manifests[0]";

fn by_my_key() -> Choice {
    Choice::verified_by(Signer::mine().key()).platform(amd64()).reference("latest")
}

/// The small image with these signatures attached.
fn signed(signatures: &[Signed]) -> Stored {
    let mut stored = small().oci();
    let pin = stored.pin;
    attach(&mut stored, pin, signatures);
    stored
}

/// Checks that the image is refused for want of a signature, and that the error says why what is there does not count.
#[track_caller]
fn not_signed(stored: &Stored, why: &[&str]) {
    for tree in trees(stored, &by_my_key()) {
        let error = tree.unwrap_err();
        assert_eq!((error.kind(), error.descriptor_path().unwrap().to_string().as_str()), (ErrorKind::SignatureInvalid, MANIFEST));
        why.iter().for_each(|why| assert!(error.detail().contains(why), "{error}"));
        assert!(!error.detail().contains(char::is_control), "{error}");
    }
}

#[test]
fn a_genuine_image_beside_an_attackers_does_not_vouch_for_it() {
    let (genuine, attackers) = (small().oci(), two().oci());
    let (pin, evil) = (genuine.pin, attackers.pin);
    // All that belongs to the genuine image is there, and index.json leads to the other one.
    let mut beside = attackers.clone();
    genuine.files.iter().filter(|(name, _)| name.starts_with("blobs/")).for_each(|(name, node)| beside.put(name, node.clone()));
    let genuine_signature = [Signer::mine().sign(pin)];
    let mut honest = beside.clone();
    attach(&mut honest, pin, &genuine_signature);
    not_signed(&honest, &["no signature is attached", &evil.to_string()]);
    // The genuine signatures get the name of the attacker's image.
    let mut renamed = beside.clone();
    attach(&mut renamed, evil, &genuine_signature);
    not_signed(&renamed, &[&format!("the payload names {pin}, not {evil}")]);
    // They say that they are about the attacker's image.
    let mut subject = beside.clone();
    let mut signatures = manifest(&mut subject, &genuine_signature);
    signatures["subject"] = descriptor(OCI_MANIFEST, attackers.bytes(&attackers.manifest));
    subject.add_manifest(&signatures, |_| ());
    not_signed(&subject, &[&format!("the payload names {pin}, not {evil}")]);
    // The attacker signs himself.
    let mut by_himself = beside;
    attach(&mut by_himself, evil, &[Signer::other().sign(evil)]);
    not_signed(&by_himself, &["not by this key"]);
}

#[test]
fn what_is_not_signed_by_the_key_is_refused_with_the_reason() {
    let (mine, pin) = (Signer::mine(), small().oci().pin);
    not_signed(&small().oci(), &["no signature is attached", &pin.to_string()]);
    not_signed(&signed(&[]), &["no signature, but"]);
    not_signed(&signed(&[Signer::other().sign(pin)]), &["not by this key", "index.json → manifests[1] → layers[0]"]);
    not_signed(&signed(&[mine.sign(sha256(b"another image"))]), &["the payload names", &sha256(b"another image").to_string()]);
    let genuine = mine.sign(pin);
    let edited = String::from_utf8(genuine.payload.clone()).unwrap().replace("a test", "a fake").into_bytes();
    not_signed(&signed(&[Signed { payload: edited, ..genuine.clone() }]), &["not by this key"]);
    let swapped = mine.sign(sha256(b"another image")).signature;
    not_signed(&signed(&[Signed { signature: swapped, ..genuine.clone() }]), &["not by this key"]);
    for (signature, why) in [
        (format!("{}\n", genuine.signature), "not base64"),
        (genuine.signature.replace('=', ""), "not base64"),
        ("!".to_owned(), "not base64"),
        (base64(b""), "none of ECDSA over P-256 in DER"),
        (base64(&[0; 64]), "none of ECDSA over P-256 in DER"),
        // r and s are zero: what careless verifiers accept from anybody (CVE-2022-21449).
        (base64(&[0x30, 6, 2, 1, 0, 2, 1, 0]), "none of ECDSA over P-256 in DER"),
    ] {
        not_signed(&signed(&[Signed { signature, ..genuine.clone() }]), &[why]);
    }
    // Whoever cuts the annotation off, or calls the payload something else, takes the signature away.
    for (pointer, value, why) in
        [("annotations", json!({}), SIGNATURE), ("mediaType", json!("application/vnd.dsse.envelope.v1+json"), "no signature, but")]
    {
        let mut stored = small().oci();
        let mut signatures = manifest(&mut stored, std::slice::from_ref(&genuine));
        signatures["layers"][0][pointer] = value;
        attach_manifest(&mut stored, pin, &signatures);
        not_signed(&stored, &[why]);
    }
}

#[test]
fn a_payload_that_was_signed_still_has_to_have_one_reading() {
    let (mine, pin) = (Signer::mine(), small().oci().pin);
    let text = payload(pin).to_string();
    let other = sha256(b"another image");
    for (from, to, why) in [
        ("{\"critical\"", format!("{{\"critical\":{},\"critical\"", payload(other)["critical"]), "stands twice"),
        ("\"image\":{", format!("\"image\":{{\"docker-manifest-digest\":\"{other}\","), "stands twice"),
        ("\"image\":{", format!("\"image\":{{\"Docker-manifest-digest\":\"{other}\","), "readers that ignore case"),
        ("\"image\":{", "\"image\":{\"more\":1,".to_owned(), "none of its members"),
        ("\"identity\":{", "\"condition\":\"never\",\"identity\":{".to_owned(), "none of its members"),
        ("cosign container", "atomic container".to_owned(), "a signature of the type"),
        ("sha256:", "sha256-".to_owned(), "BadDigest"),
        ("{\"critical\"", "{}{\"critical\"".to_owned(), "ManifestMalformed"),
    ] {
        assert!(text.contains(from), "{text}");
        not_signed(&signed(&[mine.sign_bytes(text.replacen(from, &to, 1).into_bytes())]), &[why]);
    }
}

#[test]
fn one_signature_that_counts_is_enough_wherever_it_stands() {
    let (mine, pin) = (Signer::mine(), small().oci().pin);
    let broken = Signed { payload: b"{".to_vec(), signature: "!".into() };
    let all = [broken, Signer::other().sign(pin), mine.sign(sha256(b"another image")), mine.sign(pin)];
    let mut stored = signed(&all[..3]);
    not_signed(&stored, &["not base64", "not by this key", "the payload names"]);
    attach(&mut stored, pin, &all[3..]);
    assert!(both(&stored, &by_my_key()).iter().all(Result::is_ok));
    assert!(both(&signed(&all), &by_my_key()).iter().all(Result::is_ok));
    // Many that do not count are counted.
    not_signed(&signed(&vec![Signer::other().sign(pin); 20]), &["and 12 more"]);
}

#[test]
fn blobs_of_a_signature_that_are_missing_or_not_what_they_should_be_take_it_away() {
    let (mine, mut stored) = (Signer::mine(), small().oci());
    let pin = stored.pin;
    let genuine = mine.sign(pin);
    let manifest_name = attach(&mut stored, pin, std::slice::from_ref(&genuine));
    let payload_name = common::images::blob_name(&genuine.payload);
    assert!(both(&stored, &by_my_key()).iter().all(Result::is_ok));
    for name in [&manifest_name, &payload_name] {
        let place = if *name == manifest_name { "index.json → manifests[1]" } else { "index.json → manifests[1] → layers[0]" };
        let mut gone = stored.clone();
        gone.remove(name);
        not_signed(&gone, &["BlobMissing", place]);
        for (node, what) in [(Node::Symlink(stored.config.clone()), "symlink"), (Node::Fifo, "LayoutSymlink"), (Node::Dir, "directory")] {
            not_signed(&stored.clone().with(name, node), &["LayoutSymlink", what, place]);
        }
        not_signed(&stored.clone().patch(name, |bytes| bytes[30] ^= 1), &["DigestMismatch", place]);
        not_signed(&stored.clone().patch(name, |bytes| bytes.push(b' ')), &["SizeMismatch", place]);
    }
    // More is claimed than a document may have.
    let mut large = small().oci();
    let mut signatures = manifest(&mut large, &[genuine]);
    signatures["layers"][0]["size"] = json!(1_u64 << 40);
    attach_manifest(&mut large, pin, &signatures);
    refused(archive(&large).unwrap().image(&by_my_key()), ErrorKind::LimitExceeded, "index.json → manifests[1] → layers[0]");
}

#[test]
fn a_signed_image_with_another_layer_leaves_nothing() {
    let mut stored = two().oci();
    let pin = stored.pin;
    attach(&mut stored, pin, &[Signer::mine().sign(pin)]);
    for layer in stored.layers.clone() {
        let changed = stored.clone().patch(&layer, |bytes| bytes[20] ^= 1);
        let place = format!("{MANIFEST} → layers[{}]", stored.layers.iter().position(|name| *name == layer).unwrap());
        trees(&changed, &by_my_key()).into_iter().for_each(|tree| refused(tree, ErrorKind::DigestMismatch, &place));
    }
    assert!(trees(&stored, &by_my_key()).iter().all(Result::is_ok));
}

#[test]
fn a_signature_says_which_bytes_and_only_if_asked_which_repository() {
    // An image that was signed once: whoever writes index.json may have it pass for the latest.
    let (new, mut old) = (two().oci(), small().oci());
    let pin = old.pin;
    new.files.iter().filter(|(name, _)| name.starts_with("blobs/")).for_each(|(name, node)| old.put(name, node.clone()));
    attach(&mut old, pin, &[Signer::mine().sign(pin)]);
    attach(&mut old, new.pin, &[Signer::mine().sign(new.pin)]);
    assert_eq!(archive(&old).unwrap().image(&by_my_key()).unwrap().anchor(), Anchor::Verifier(pin));
    let expecting = |name: &str| {
        let choice = Choice::verified_by(Signer::mine().key().expect_reference(name)).platform(amd64()).reference("latest");
        archive(&old).unwrap().image(&choice)
    };
    assert!(expecting(REFERENCE).is_ok());
    for other in ["registry.test/other", "registry.test/app:latest", "", "\u{1b}[31m"] {
        let error = expecting(other).unwrap_err();
        assert!(error.kind() == ErrorKind::SignatureInvalid && error.detail().contains("the payload calls it"), "{error}");
        assert!(!error.detail().contains(char::is_control), "{error}");
    }
}

#[test]
fn a_key_is_one_over_p_256_or_none() {
    assert_eq!(CosignKey::from_pem(&Signer::mine().pem()), Ok(Signer::mine().key()));
    let pem = Signer::mine().pem();
    // Over another curve (openssl's P-384), cut, of another kind, and none.
    let p384 = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEJuITutBdAWGQ+JRtKRHm8+vOFGMmzNro\n\
        wxbeCL81JI/PubQSK2Jop4HGDDWw1cv/yTYc1p9CyFAamDOJHJ5aULxi4kkt++Dm\n\
        JhoAFL9vqybSITZQhlTWEh3d4UevipEA\n\
        -----END PUBLIC KEY-----\n";
    let private = pem.replace("PUBLIC", "PRIVATE");
    for wrong in [p384, "", "no key", pem.get(..90).unwrap(), &private] {
        let error = CosignKey::from_pem(wrong).unwrap_err();
        assert!(error.kind() == ErrorKind::SignatureInvalid && error.detail().starts_with("the key is no public key"), "{error}");
    }
}

/// An image without layers, its payload, and a signature over that by a key of openssl 3.0.19: `genpkey -algorithm EC -pkeyopt
/// ec_paramgen_curve:P-256`, `pkey -pubout`, `dgst -sha256 -sign`, `base64 -w0`.
#[test]
fn what_openssl_signed_once_is_accepted() {
    const KEY: &str = include_str!("vector/key.pem");
    let (config, bytes) = (include_bytes!("vector/config.json"), include_bytes!("vector/manifest.json"));
    let signature =
        Signed { payload: include_bytes!("vector/payload.json").to_vec(), signature: include_str!("vector/signature.txt").into() };
    let mut stored = small().index(|index| index["manifests"] = json!([])).oci();
    stored.add_blob(config);
    let name = stored.add_manifest(&serde_json::from_slice(bytes).unwrap(), |entry| {
        entry["digest"] = json!(sha256(bytes).to_string());
        entry["size"] = json!(bytes.len());
    });
    stored.remove(&name);
    stored.add_blob(bytes);
    attach(&mut stored, sha256(bytes), &[signature]);
    let choice = |pem: &str| Choice::verified_by(CosignKey::from_pem(pem).unwrap().expect_reference(REFERENCE)).platform(amd64());
    for image in both(&stored, &choice(KEY)) {
        assert_eq!(image.unwrap().anchor(), Anchor::Verifier(sha256(bytes)));
    }
    both(&stored, &choice(&Signer::mine().pem())).into_iter().for_each(|image| refused(image, ErrorKind::SignatureInvalid, MANIFEST));
}

#[test]
fn openssl_and_the_verifier_agree_on_what_is_signed() {
    let Some(openssl) = Openssl::new() else { return };
    let pin = small().oci().pin;
    for round in 0..8 {
        let text = payload(pin).to_string().replace("a test", &format!("round {round}"));
        let signature = openssl.sign(text.as_bytes());
        let key = CosignKey::from_pem(&openssl.public).unwrap();
        let accepts = |payload: &str, signature: &[u8]| {
            let stored = signed(&[Signed { payload: payload.as_bytes().to_vec(), signature: base64(signature) }]);
            archive(&stored).unwrap().image(&Choice::verified_by(key.clone()).platform(amd64())).is_ok()
        };
        assert!(openssl.verifies(text.as_bytes(), &signature) && accepts(&text, &signature));
        let other = text.replace("round", "Round");
        assert!(!openssl.verifies(other.as_bytes(), &signature) && !accepts(&other, &signature));
        for byte in (0..signature.len()).step_by(5) {
            let mut flipped = signature.clone();
            flipped[byte] ^= 1 << (round % 8);
            assert_eq!(accepts(&text, &flipped), openssl.verifies(text.as_bytes(), &flipped), "byte {byte} of {signature:?}");
        }
    }
}

/// The program, with a key that it made.
struct Openssl {
    dir: tempfile::TempDir,
    public: String,
}

impl Openssl {
    /// None where there is no such program: skipped, but not where all that the tests need is installed.
    #[expect(clippy::explicit_write, reason = "past the capture of the test's output")]
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "openssl is missing with CI=true");
            writeln!(std::io::stderr(), "skipped: openssl is missing").unwrap();
            return None;
        }
        let mut openssl = Self { dir: tempfile::tempdir().unwrap(), public: String::new() };
        openssl.run(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "private.pem"]).unwrap();
        openssl.run(&["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]).unwrap();
        openssl.public = fs::read_to_string(openssl.path("public.pem")).unwrap();
        Some(openssl)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        fs::write(self.path("message"), message).unwrap();
        self.run(&["dgst", "-sha256", "-sign", "private.pem", "-out", "signature", "message"]).unwrap();
        fs::read(self.path("signature")).unwrap()
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        fs::write(self.path("message"), message).unwrap();
        fs::write(self.path("signature"), signature).unwrap();
        self.run(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message"]).is_ok()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    fn run(&self, words: &[&str]) -> Result<(), String> {
        let done = Command::new("openssl").args(words).current_dir(&self.dir).output().unwrap();
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }
}

#[test]
fn the_media_type_of_payloads_is_that_of_cosign() {
    assert_eq!(SimpleSigning::MEDIA_TYPE, "application/vnd.dev.cosign.simplesigning.v1+json");
}
