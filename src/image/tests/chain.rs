//! Bytes come to a parser only by a check, and an error says which link of the chain is at fault.

use super::*;

#[test]
fn bytes_of_the_claimed_size_and_digest_are_a_document_and_others_are_not() {
    let index = parse_index(&index()).unwrap();
    let one = &index.manifests()[0];
    let document = one.verify(b"one").unwrap();
    assert_eq!((document.bytes(), document.digest(), document.media_type()), (&b"one"[..], Some(one.digest()), Some(OCI_MANIFEST)));
    assert_eq!(document.path(), one.path());
    refused(one.verify(b"on"), ErrorKind::SizeMismatch, "2 bytes, claimed were 3");
    refused(one.verify(b"one "), ErrorKind::SizeMismatch, "4 bytes, claimed were 3");
    refused(one.verify(b"two"), ErrorKind::DigestMismatch, "claimed was");
}

#[test]
fn the_size_is_judged_before_the_digest_and_the_limit_before_both() {
    let wrong = with(index(), "/manifests/0/digest", json!(digest(b"other").to_string()));
    refused(parse_index(&wrong).unwrap().manifests()[0].verify(b"four"), ErrorKind::SizeMismatch, "");
    let huge = with(index(), "/manifests/0/size", json!(MAX_DOCUMENT_BYTES + 1));
    let huge = parse_index(&huge).unwrap();
    refused(huge.manifests()[0].verify(b"one"), ErrorKind::LimitExceeded, "document_bytes");
    refused(huge.manifests()[0].document_len(), ErrorKind::LimitExceeded, "document_bytes");
    let most = with(index(), "/manifests/0/size", json!(MAX_DOCUMENT_BYTES));
    assert_eq!(parse_index(&most).unwrap().manifests()[0].document_len(), Ok(MAX_DOCUMENT_BYTES));
}

#[test]
fn sha512_is_checked_as_sha256_is() {
    let sha512 = |bytes: &[u8]| {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(bytes);
        hasher.finish().to_string()
    };
    let index = parse_index(&with(index(), "/manifests/0/digest", json!(sha512(b"one")))).unwrap();
    assert!(index.manifests()[0].verify(b"one").is_ok());
    refused(index.manifests()[0].verify(b"two"), ErrorKind::DigestMismatch, "sha512:");
}

#[test]
fn a_pin_is_checked_and_the_waiver_checks_nothing() {
    let bytes = text(&manifest());
    let pinned = Document::pinned("the pinned manifest", &digest(&bytes), &bytes).unwrap();
    assert_eq!(pinned.digest(), Some(digest(&bytes)));
    assert!(Manifest::parse(&pinned).is_ok());
    refused(Document::pinned("the pinned manifest", &digest(b"other"), &bytes), ErrorKind::DigestMismatch, "");
    let long = vec![b' '; usize::try_from(MAX_DOCUMENT_BYTES).unwrap() + 1];
    refused(Document::pinned("the pinned manifest", &digest(&long), &long), ErrorKind::LimitExceeded, "document_bytes");
    assert_eq!(Document::dangerous_unverified("x", &bytes).digest(), None);
}

#[test]
fn an_error_names_the_link_at_fault() {
    let bad_config = text(&with(manifest(), "/config/digest", json!("sha256:0")));
    let index_json = with(index(), "/manifests/1", descriptor(OCI_MANIFEST, &bad_config));
    let index = parse_index(&index_json).unwrap();
    let error = Manifest::parse(&index.manifests()[1].verify(&bad_config).unwrap()).unwrap_err();
    assert_eq!(error.descriptor_path().unwrap().to_string(), "index.json → manifests[1] → config");
    assert!(error.to_string().ends_with(" in index.json → manifests[1] → config"), "{error}");

    let places = [
        (parse_index(&with(self::index(), "/schemaVersion", json!(3))).unwrap_err(), "index.json"),
        (parse_index(&with(self::index(), "/manifests/1/size", json!(-1))).unwrap_err(), "index.json → manifests[1]"),
        (parse_manifest(&with(manifest(), "/layers/1/mediaType", json!("a/b"))).unwrap_err(), "manifest → layers[1]"),
        (parse_config(&with(config(), "/rootfs/diff_ids/1", json!("md5:0"))).unwrap_err(), "config"),
        (parse_docker(&with(docker(), "/0/Config", json!("../x"))).unwrap_err(), "manifest.json → [0]"),
        (index.manifests()[0].verify(b"x").unwrap_err(), "index.json → manifests[0]"),
    ];
    for (error, place) in places {
        assert_eq!(error.descriptor_path().unwrap().to_string(), place, "{error}");
    }
}

#[test]
fn indexes_nest_up_to_the_limit() {
    fn innermost(document: &Document<'_>, inner: &[Vec<u8>]) -> Result<Index, Error> {
        let index = Index::parse(document)?;
        match inner.split_last() {
            None => Ok(index),
            Some((bytes, inner)) => innermost(&index.manifests()[0].verify(bytes)?, inner),
        }
    }
    let wrapped = |times: u64| {
        let mut documents = vec![text(&index())];
        for _ in 0..times {
            let outer = json!({"schemaVersion": 2, "manifests": [descriptor(OCI_INDEX, documents.last().unwrap())]});
            documents.push(text(&outer));
        }
        let first = documents.pop().unwrap();
        innermost(&Document::dangerous_unverified("index.json", &first), &documents)
    };
    assert!(wrapped(0).is_ok());
    assert!(wrapped(MAX_INDEX_DEPTH).is_ok());
    refused(wrapped(MAX_INDEX_DEPTH + 1), ErrorKind::LimitExceeded, "index_depth");
}
