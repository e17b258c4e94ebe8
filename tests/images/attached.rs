//! Where signatures are found: by the names and marks that cosign, its `save` and the OCI referrers give them.

use std::sync::{Arc, Mutex};

use safe_layers::Error;
use safe_layers::image::{Candidate, MAX_ATTACHED_LAYERS, MAX_ATTACHED_MANIFESTS, Verifier};

use super::signing::{REF_NAME, Signer, attach, attach_manifest, manifest};
use super::*;

/// The image in a directory and in an archive.
pub fn both(stored: &Stored, choice: &Choice) -> [Result<Image, Error>; 2] {
    let (_dir, in_directory) = directory(stored);
    [in_directory.unwrap().image(choice), archive(stored).unwrap().image(choice)]
}

/// Unpacks it from both; what fails leaves nothing.
pub fn trees(stored: &Stored, choice: &Choice) -> [Result<Tree, Error>; 2] {
    let (_dir, in_directory) = directory(stored);
    [in_directory, archive(stored)].map(|layout| {
        let place = tempfile::tempdir().unwrap();
        let unpacker = engine::unpacker(place.path(), Mode::ROOTFS[0], engine::container_for_caller())?;
        let unpacked = layout.unwrap().image(choice).and_then(|image| image.unpack(unpacker));
        let names: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, if unpacked.is_ok() { vec!["dest"] } else { vec![] });
        unpacked.map(|_| Tree::take(&place.path().join("dest"), |_| false))
    })
}

/// Trusts every image, and remembers what is attached to it.
#[derive(Clone, Default)]
struct Looks(Arc<Mutex<Vec<String>>>);

impl Verifier for Looks {
    fn verify(&self, candidate: &Candidate<'_>) -> Result<(), Error> {
        let told = candidate.attached(candidate.digest())?.map(|found| match found {
            Ok(found) => format!("{} of {} blobs", found.artifact_type(), found.layers().len()),
            Err(error) => error.to_string(),
        });
        self.0.lock().unwrap().extend(told);
        Ok(())
    }
}

fn attached_to(stored: &Stored) -> Vec<String> {
    let looks = Looks::default();
    archive(stored).unwrap().image(&Choice::verified_by(looks.clone()).platform(amd64()).reference("latest")).unwrap();
    Arc::try_unwrap(looks.0).unwrap_or_default().into_inner().unwrap()
}

/// The image with its signatures found in each of the ways that there are.
fn in_every_way() -> Vec<(&'static str, Stored)> {
    let plain = small().oci();
    let (pin, image) = (plain.pin, descriptor(OCI_MANIFEST, plain.bytes(&plain.manifest)));
    let tag = format!("sha256-{}", hex(pin));
    let with = |add: &dyn Fn(&mut Stored, Value)| {
        let mut stored = plain.clone();
        let signatures = manifest(&mut stored, &[Signer::mine().sign(pin)]);
        add(&mut stored, signatures);
        stored
    };
    let named = |name: String| {
        with(&move |stored, signatures| drop(stored.add_manifest(&signatures, |entry| entry["annotations"] = json!({ REF_NAME: name }))))
    };
    let subject = |mut signatures: Value| {
        signatures["subject"] = image.clone();
        signatures
    };
    vec![
        ("the tag alone", named(format!("{tag}.sig"))),
        ("the tag of a repository", named(format!("registry.test:5000/app:{tag}.sig"))),
        (
            "the full name alone",
            with(&|stored, signatures| {
                let name = format!("registry.test/app:{tag}.sig");
                stored.add_manifest(&signatures, |entry| entry["annotations"] = json!({"io.containerd.image.name": name}));
            }),
        ),
        (
            "the mark of `cosign save`",
            with(&|stored, signatures| {
                stored.add_manifest(&signatures, |entry| entry["annotations"] = json!({"kind": "dev.cosignproject.cosign/sigs"}));
            }),
        ),
        (
            "its subject",
            with(&|stored, signatures| {
                stored.add_manifest(&subject(signatures), |entry| entry["artifactType"] = json!("application/x.signature"));
            }),
        ),
        (
            "the list of the referrers",
            with(&|stored, signatures| {
                let signatures = subject(signatures).to_string().into_bytes();
                stored.add_blob(&signatures);
                let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, &signatures)]});
                stored.add_manifest(&list, |entry| entry["annotations"] = json!({ REF_NAME: tag }));
            }),
        ),
    ]
}

#[test]
fn a_signature_is_found_by_every_name_and_mark_that_it_may_have() {
    for (way, stored) in in_every_way() {
        for choice in [Choice::verified_by(Signer::mine().key()), Choice::verified_by(Signer::mine().key()).reference("latest")] {
            let choice = choice.platform(amd64());
            for image in both(&stored, &choice) {
                let image = image.unwrap_or_else(|error| panic!("{way}: {error}"));
                assert_eq!((image.anchor(), image.manifest().unwrap().digest()), (Anchor::Verifier(stored.pin), Some(stored.pin)), "{way}");
            }
            assert!(trees(&stored, &choice).iter().all(|tree| tree.as_ref().is_ok_and(|tree| tree.get("etc/a").is_some())), "{way}");
        }
        let other = Choice::verified_by(Signer::other().key()).platform(amd64()).reference("latest");
        both(&stored, &other).into_iter().for_each(|image| refused(image, ErrorKind::SignatureInvalid, "index.json → manifests[0]"));
    }
}

#[test]
fn what_is_attached_is_no_image_where_no_name_is_given() {
    for (way, stored) in in_every_way() {
        // The platform in the index would give the image precedence: without it, both would fit.
        let mut index: Value = serde_json::from_slice(stored.bytes("index.json")).unwrap();
        index["manifests"][0].as_object_mut().unwrap().remove("platform");
        let stored = stored.with("index.json", Node::File(index.to_string().into_bytes()));
        let image = archive(&stored).unwrap().image(&unpinned()).unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(image.manifest().unwrap().digest(), Some(stored.pin), "{way}");
        let told: Vec<_> = image.notices().map(|notice| notice.reason).collect();
        assert_eq!(told, [if way == "its subject" { NoticeReason::NotAnImage } else { NoticeReason::Attached }], "{way}");
    }
}

#[test]
fn what_is_attached_to_another_image_is_not_attached() {
    let mut stored = small().oci();
    let (pin, other) = (stored.pin, two().oci());
    let signatures = manifest(&mut stored, &[Signer::mine().sign(pin)]);
    attach_manifest(&mut stored, other.pin, &signatures);
    let mut referrer = signatures.clone();
    referrer["subject"] = descriptor(OCI_MANIFEST, other.bytes(&other.manifest));
    stored.add_manifest(&referrer, |entry| entry["artifactType"] = json!("application/x.y"));
    assert_eq!(attached_to(&stored), Vec::<String>::new());
}

#[test]
fn each_thing_attached_is_given_once_and_what_cannot_be_used_is_told() {
    let mut stored = small().oci();
    let pin = stored.pin;
    let mut signatures = manifest(&mut stored, &[Signer::mine().sign(pin), Signer::other().sign(pin)]);
    signatures["subject"] = descriptor(OCI_MANIFEST, stored.bytes(&stored.manifest));
    attach_manifest(&mut stored, pin, &signatures);
    stored.add_manifest(&signatures, |_| ());
    signatures["artifactType"] = json!("application/x.y");
    signatures["layers"] = json!([]);
    let gone = stored.add_manifest(&signatures, |_| ());
    signatures["artifactType"] = json!("application/x.z");
    stored.add_manifest(&signatures, |_| ());
    stored.remove(&gone);
    let path = format!("BlobMissing: it is not in the image in index.json → manifests[3] \"{gone}\"");
    assert_eq!(attached_to(&stored), [&format!("{OCI_CONFIG} of 2 blobs"), &path, "application/x.z of 0 blobs"]);
}

#[test]
fn a_list_of_referrers_that_claims_what_is_for_another_image_is_told() {
    let mut stored = small().oci();
    let pin = stored.pin;
    let signatures = manifest(&mut stored, &[Signer::mine().sign(pin)]).to_string().into_bytes();
    stored.add_blob(&signatures);
    let tag = format!("sha256-{}", hex(pin));
    let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, &signatures)]});
    stored.add_manifest(&list, |entry| entry["annotations"] = json!({ REF_NAME: tag }));
    let told = attached_to(&stored);
    assert!(told.len() == 1 && told[0].starts_with("DigestMismatch") && told[0].contains("manifests[1] → manifests[0]"), "{told:?}");
}

#[test]
fn no_more_is_looked_at_than_the_limits_allow() {
    let choice = || Choice::verified_by(Signer::mine().key()).platform(amd64()).reference("latest");
    let with_manifests = |count: u64| {
        let mut stored = small().oci();
        let pin = stored.pin;
        let mut index: Value = serde_json::from_slice(stored.bytes("index.json")).unwrap();
        for number in 0..count {
            let mut signatures = manifest(&mut stored, &[]);
            signatures["annotations"] = json!({"number": number.to_string()});
            let bytes = signatures.to_string().into_bytes();
            stored.add_blob(&bytes);
            let mut entry = descriptor(OCI_MANIFEST, &bytes);
            entry["annotations"] = json!({ REF_NAME: format!("sha256-{}.sig", hex(pin)) });
            index["manifests"].as_array_mut().unwrap().push(entry);
        }
        stored.with("index.json", Node::File(index.to_string().into_bytes()))
    };
    let last = MAX_ATTACHED_MANIFESTS + 1;
    let judged = |stored: &Stored| archive(stored).unwrap().image(&choice());
    refused(judged(&with_manifests(MAX_ATTACHED_MANIFESTS)), ErrorKind::SignatureInvalid, "index.json → manifests[0]");
    refused(judged(&with_manifests(last)), ErrorKind::LimitExceeded, &format!("index.json → manifests[{last}]"));
    // Nor by a verifier that goes on: the error is the last thing there is.
    let told = attached_to(&with_manifests(last + 9));
    assert_eq!(u64::try_from(told.len()).unwrap(), last);
    assert!(told.last().unwrap().starts_with("LimitExceeded: over the limit attached_manifests = 256"), "{told:?}");

    let with_layers = |count: u64| {
        let mut stored = small().oci();
        let (pin, wrong) = (stored.pin, Signer::other().sign(stored.pin));
        attach(&mut stored, pin, &vec![wrong; usize::try_from(count).unwrap()]);
        archive(&stored).unwrap().image(&choice())
    };
    refused(with_layers(MAX_ATTACHED_LAYERS), ErrorKind::SignatureInvalid, "index.json → manifests[0]");
    refused(with_layers(MAX_ATTACHED_LAYERS + 1), ErrorKind::LimitExceeded, "index.json → manifests[1]");
}
