//! What a blob is taken for: by its first bytes, by its declared type, and when there are too few of them.

use super::*;

const GZIP: Compression = Compression::Gzip;
const ZSTD: Compression = Compression::Zstd;
const PLAIN: Compression = Compression::None;

#[test]
fn an_empty_blob_is_an_empty_layer_with_an_event_and_strictly_truncated() {
    for ask in [Ask::anything(), Ask::anything().declared(PLAIN), Ask::anything().declared(GZIP), Ask::anything().declared(ZSTD)] {
        let outcome = ask.outcome(b"");
        assert_eq!((outcome.decoded.len(), outcome.reasons()), (0, vec![Reason::EmptyBlob]));
        let summary = outcome.result.unwrap();
        assert_eq!((summary.diff_id, summary.blob_digest, summary.compression), (sha256(b""), sha256(b""), PLAIN));
        ask.strict().fails(b"", ErrorKind::Truncated);
    }
}

#[test]
fn a_blob_of_skippable_frames_alone_is_as_empty() {
    for blob in [skippable(b""), [skippable(b"toc"), skippable(b"")].concat()] {
        let outcome = Ask::anything().outcome(&blob);
        assert_eq!((outcome.decoded.len(), outcome.reasons()), (0, vec![Reason::EmptyBlob]));
        assert_eq!(outcome.result.unwrap().compression, ZSTD);
        Ask::anything().strict().fails(&blob, ErrorKind::Truncated);
    }
}

#[test]
fn bytes_without_a_magic_are_plain_however_few() {
    for blob in
        [&b"a"[..], b"\x1f", b"\x28", b"\x28\xb5", b"\x28\xb5\x2f", b"\x50", b"\x5f\x2a\x4d", b"\x1f\x8c", b"\x28\xb5\x2f\xfe", LAYER]
    {
        for ask in [Ask::anything(), Ask::anything().declared(PLAIN)] {
            let summary = ask.gives(blob, blob);
            assert_eq!((summary.compression, summary.diff_id, summary.blob_digest), (PLAIN, sha256(blob), sha256(blob)));
        }
    }
}

#[test]
fn a_declared_type_must_be_the_one_of_the_magic() {
    let blobs = [(PLAIN, LAYER.to_vec()), (GZIP, gz(LAYER)), (ZSTD, zst(LAYER)), (ZSTD, [skippable(b"x"), zst(LAYER)].concat())];
    for (found, blob) in blobs {
        for declared in [PLAIN, GZIP, ZSTD] {
            let ask = Ask::anything().declared(declared);
            if declared == found {
                assert_eq!(ask.gives(&blob, LAYER).compression, found);
            } else {
                let error = ask.fails(&blob, ErrorKind::MediaTypeMismatch);
                assert_eq!(error.location().offset, Some(0));
            }
        }
    }
}

#[test]
fn a_short_blob_is_held_against_its_declared_type() {
    for blob in [&b"a"[..], b"\x28", b"\x50\x2a"] {
        Ask::anything().declared(GZIP).fails(blob, ErrorKind::MediaTypeMismatch);
    }
    for blob in [&b"a"[..], b"\x1f", b"\x1f\x8b", b"abc"] {
        Ask::anything().declared(ZSTD).fails(blob, ErrorKind::MediaTypeMismatch);
    }
    Ask::anything().declared(PLAIN).fails(b"\x1f\x8b", ErrorKind::MediaTypeMismatch);
    // Cut within the right magic: not another type, but cut short.
    Ask::anything().declared(GZIP).fails(b"\x1f", ErrorKind::BadCompression);
    Ask::anything().declared(ZSTD).fails(b"\x28\xb5\x2f", ErrorKind::BadCompression);
}

#[test]
fn dockers_plain_type_is_sniffed_and_the_oci_one_is_not() {
    let docker = Ask::of(Expect::dangerous_unverified().media_type("application/vnd.docker.image.rootfs.diff.tar").unwrap());
    let oci = Ask::of(Expect::dangerous_unverified().media_type("application/vnd.oci.image.layer.v1.tar").unwrap());
    docker.gives(LAYER, LAYER);
    docker.gives(&gz(LAYER), LAYER);
    docker.gives(&zst(LAYER), LAYER);
    oci.gives(LAYER, LAYER);
    oci.fails(&gz(LAYER), ErrorKind::MediaTypeMismatch);
}

/// Damages a blob in a few places: flips, cuts, insertions, repetitions.
fn damaged(blob: &[u8], random: &mut Random) -> Vec<u8> {
    let mut blob = blob.to_vec();
    for _ in 0..random.next() % 3 + 1 {
        let at = random.next() as usize % blob.len().max(1);
        match random.next() % 5 {
            0 => blob.truncate(at),
            1 => blob.insert(at, random.next() as u8),
            2 => blob.extend_from_within(at..),
            3 if at < blob.len() => drop(blob.remove(at)),
            _ => blob.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
        }
    }
    blob
}

#[test]
fn damaged_blobs_have_one_outcome_however_they_are_cut() {
    let mut random = Random(11);
    let sources = [
        [gz(LAYER), gz(b"x"), vec![0; 5]].concat(),
        [zst(LAYER), skippable(b"abc"), zst(b"x")].concat(),
        [skippable(b""), zst(LAYER)].concat(),
    ];
    for _ in 0..300 {
        for source in &sources {
            let blob = damaged(source, &mut random);
            for ask in
                [Ask::anything(), Ask::anything().strict(), Ask::of(Expect::dangerous_unverified().size(100)).limit("total_bytes", 80)]
            {
                ask.outcome(&blob);
            }
        }
    }
}
