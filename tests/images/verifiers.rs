//! The caller's own say: what a verifier is shown, when, and that nobody gets an image past it.

use std::sync::{Arc, Mutex};

use safe_layers::Error;
use safe_layers::image::{Candidate, Verifier};

use super::attached::both;
use super::signing::{Signer, attach};
use super::*;

/// Remembers what it was shown, and says what it was told to say.
#[derive(Clone)]
struct Says {
    seen: Arc<Mutex<Vec<Shown>>>,
    answer: Result<(), Error>,
}

type Shown = (Digest, Vec<u8>, usize);

impl Says {
    fn this(answer: Result<(), Error>) -> Self {
        Self { seen: Arc::default(), answer }
    }

    fn seen(&self) -> Vec<Shown> {
        self.seen.lock().unwrap().clone()
    }
}

impl Verifier for Says {
    fn verify(&self, candidate: &Candidate<'_>) -> Result<(), Error> {
        assert_eq!(candidate.manifest().digest(), Some(candidate.digest()));
        let shown = (candidate.digest(), candidate.manifest().bytes().to_vec(), candidate.documents().count());
        self.seen.lock().unwrap().push(shown);
        self.answer.clone()
    }
}

fn no() -> Error {
    Error::signature_invalid("not this one")
}

#[test]
fn a_verifier_sees_the_manifest_before_anything_below_it_and_has_the_last_word() {
    // Neither the configuration nor a layer is there: a verifier that refuses is all that is met.
    let mut stored = two().oci();
    stored.remove(&stored.config.clone());
    stored.remove(&stored.layers[0].clone());
    for pin in [None, Some(stored.pin)] {
        let says = Says::this(Err(no()));
        let choice = pin.map_or_else(|| Choice::verified_by(says.clone()), |pin| Choice::pinned(pin).and_verified_by(says.clone()));
        let place = if pin.is_none() { "index.json → manifests[0]" } else { "the pinned document" };
        both(&stored, &choice.platform(amd64())).into_iter().for_each(|image| refused(image, ErrorKind::SignatureInvalid, place));
        let shown = (stored.pin, stored.bytes(&stored.manifest).to_vec(), 1);
        assert_eq!(says.seen(), [shown.clone(), shown]);
    }
    let yes = Choice::verified_by(Says::this(Ok(()))).platform(amd64());
    both(&stored, &yes).into_iter().for_each(|image| refused(image, ErrorKind::BlobMissing, "index.json → manifests[0] → config"));
}

#[test]
fn a_manifest_that_is_not_what_leads_to_it_is_shown_to_nobody() {
    let stored = two().oci();
    let name = stored.manifest.clone();
    let stored = stored.patch(&name, |bytes| bytes[20] ^= 1);
    for choice in [Choice::verified_by, |says| Choice::pinned(two().oci().pin).and_verified_by(says)] {
        let says = Says::this(Ok(()));
        both(&stored, &choice(says.clone()).platform(amd64()))
            .into_iter()
            .for_each(|image| assert_eq!(image.unwrap_err().kind(), ErrorKind::DigestMismatch));
        assert_eq!(says.seen(), []);
    }
}

#[test]
fn every_verifier_is_asked_and_the_error_is_that_of_the_one_that_refuses() {
    let stored = small().oci();
    let [first, second, third] = [Says::this(Ok(())), Says::this(Err(no())), Says::this(Ok(()))];
    let choice = Choice::verified_by(first.clone()).and_verified_by(second.clone()).and_verified_by(third.clone()).platform(amd64());
    let error = archive(&stored).unwrap().image(&choice).unwrap_err();
    assert_eq!(error.to_string(), "SignatureInvalid: not this one in index.json → manifests[0]");
    assert_eq!([first.seen().len(), second.seen().len(), third.seen().len()], [1, 1, 0]);
    let choice = Choice::verified_by(first).and_verified_by(third.clone()).platform(amd64());
    assert_eq!(archive(&stored).unwrap().image(&choice).unwrap().anchor(), Anchor::Verifier(stored.pin));
    assert_eq!(third.seen().len(), 1);
}

#[test]
fn a_pin_and_a_signature_must_both_hold() {
    let (mut signed, unsigned) = (small().oci(), two().oci());
    let pin = signed.pin;
    let signature = [Signer::mine().sign(pin)];
    attach(&mut signed, pin, &signature);
    let both_of = |pin: Digest| pinned(pin).and_verified_by(Signer::mine().key());
    for image in both(&signed, &both_of(pin)) {
        assert_eq!(image.unwrap().anchor(), Anchor::Digest(pin));
    }
    // The signature holds, and the pin is of another image.
    both(&signed, &both_of(pin).reference("latest")).into_iter().for_each(|image| assert!(image.is_ok()));
    both(&signed, &both_of(unsigned.pin)).into_iter().for_each(|image| refused(image, ErrorKind::BlobMissing, "the pinned document"));
    both(&signed, &both_of(unsigned.pin).reference("latest"))
        .into_iter()
        .for_each(|image| refused(image, ErrorKind::DigestMismatch, "index.json → manifests[0]"));
    // The pin holds, and nothing is signed.
    both(&unsigned, &both_of(unsigned.pin))
        .into_iter()
        .for_each(|image| refused(image, ErrorKind::SignatureInvalid, "the pinned document"));
}

#[test]
fn a_pinned_archive_still_has_to_be_signed() {
    let mut signed = small().oci();
    let pin = signed.pin;
    for is_signed in [false, true] {
        if is_signed {
            attach(&mut signed, pin, &[Signer::mine().sign(pin)]);
        }
        let bytes = signed.archive().bytes();
        let layout = Layout::open_pinned_archive(file(&bytes), &sha256(&bytes)).unwrap();
        let image = layout.image(&Choice::pinned_archive().and_verified_by(Signer::mine().key()).platform(amd64()));
        match is_signed {
            true => assert_eq!(image.unwrap().anchor(), Anchor::Archive(sha256(&bytes))),
            false => refused(image, ErrorKind::SignatureInvalid, "index.json → manifests[0]"),
        }
    }
}

#[test]
fn a_docker_archive_has_nothing_that_could_be_verified() {
    let says = Says::this(Ok(()));
    let docker = small().docker();
    for choice in [Choice::verified_by(says.clone()), Choice::pinned(docker.pin).and_verified_by(says.clone())] {
        refused(archive(&docker).unwrap().image(&choice.platform(amd64())), ErrorKind::SignatureInvalid, "manifest.json");
    }
    // Of a newer one the image's id leads past the manifest too.
    let oci = small().oci();
    let list = json!([{"Config": oci.config, "RepoTags": null, "Layers": oci.layers}]).to_string().into_bytes();
    let layout = archive(&oci.clone().with("manifest.json", Node::File(list))).unwrap();
    refused(layout.image(&pinned(oci.config_digest).and_verified_by(says.clone())), ErrorKind::SignatureInvalid, "manifest.json");
    assert!(layout.image(&pinned(oci.pin).and_verified_by(says.clone())).is_ok());
    assert_eq!(says.seen().len(), 1);
}

#[test]
fn a_signature_over_the_index_of_several_platforms_is_one_over_each_of_its_images() {
    let (stored, index) = nested();
    let signed_by = |signer: Signer, digest: Digest| {
        let mut stored = stored.clone();
        attach(&mut stored, digest, &[signer.sign(digest)]);
        let choice = Choice::verified_by(Signer::mine().key()).reference("multi").platform(Platform::parse("linux/arm64").unwrap());
        archive(&stored).unwrap().image(&choice)
    };
    let image = signed_by(Signer::mine(), index).unwrap();
    let manifest = image.manifest().unwrap().digest().unwrap();
    assert_eq!((image.anchor(), image.layers().len()), (Anchor::Verifier(manifest), 2));
    let place = "index.json → manifests[0] → manifests[2]";
    refused(signed_by(Signer::other(), index), ErrorKind::SignatureInvalid, place);
    // One over the image alone is enough; one over `index.json` is none: nothing leads to that.
    assert!(signed_by(Signer::mine(), manifest).is_ok());
    refused(signed_by(Signer::mine(), sha256(stored.bytes("index.json"))), ErrorKind::SignatureInvalid, place);

    let says = Says::this(Ok(()));
    let choice = Choice::pinned(index).and_verified_by(says.clone()).platform(Platform::parse("linux/arm64").unwrap());
    archive(&stored).unwrap().image(&choice).unwrap();
    assert_eq!(says.seen()[0].2, 2);
}

#[test]
fn choices_are_equal_where_their_verifiers_are_the_same_ones() {
    let choice = Choice::verified_by(Says::this(Ok(())));
    assert_eq!(choice, choice.clone());
    assert_ne!(choice, Choice::verified_by(Says::this(Ok(()))));
    assert_ne!(choice, Choice::dangerous_unpinned());
    assert!(format!("{choice:?}").contains("1 verifier"), "{choice:?}");
}
