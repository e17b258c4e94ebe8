//! §11 Bytes and trust.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use safe_layers::{
    Algorithm, Compression, Digest, Error, ErrorKind, Event, Expect, Hasher, LayerReport, Observer, Policy, Progress, Reason, TrailingData,
    Unpacker, chain_id,
};

use crate::check::*;
use crate::common::builder::{Gzip, Skippable, Source, Zstd};

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

pub fn sha256(bytes: &[u8]) -> Digest {
    digest(Algorithm::Sha256, bytes)
}

pub fn waiver() -> Expect {
    Expect::dangerous_unverified()
}

pub fn layer() -> Tar {
    tar().file("f", "x").dir("d")
}

pub fn want() -> Want {
    tree().file("f", "x").dir("d")
}

/// How a blob is given.
#[derive(Clone, Copy, Debug)]
pub enum Given {
    Stream,
    File,
}

/// Applies one blob.
pub fn put(unpacker: &mut Unpacker, given: Given, expect: &Expect, blob: &[u8]) -> Result<LayerReport, Error> {
    match given {
        Given::Stream => unpacker.apply(expect, blob),
        Given::File => unpacker.apply_file(expect, &file_of(blob)),
    }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn begin(world: &World, policy: &Policy, way: Way) -> Unpacker {
    Unpacker::rootfs(open_root(world.parent()), "dest", way.policy(policy)).unwrap().threads(way.threads())
}

/// Applies one blob in every way, given in both forms, and compares the tree.
#[track_caller]
pub fn accepts(policy: &Policy, expect: &Expect, blob: &[u8], want: &Want) -> LayerReport {
    let mut last = None;
    for way in ways() {
        for given in [Given::Stream, Given::File] {
            let world = way.world();
            let mut unpacker = begin(&world, policy, way);
            let report = put(&mut unpacker, given, expect, blob).unwrap_or_else(|error| panic!("{way:?} {given:?}: {error}"));
            unpacker.commit().unwrap();
            assert_same(&want.clone().tree(), &world.tree().unwrap(), &format!("{way:?} {given:?}"));
            world.assert_outside_untouched("accepted");
            assert_eq!(*last.get_or_insert_with(|| report.clone()), report);
        }
    }
    last.unwrap()
}

/// Applies a good layer and one that must be refused: nothing may ever stand under the final name, and nothing be left.
#[track_caller]
fn rejects(policy: &Policy, expect: &Expect, blob: &[u8], kind: ErrorKind) {
    for given in [Given::Stream, Given::File] {
        rejects_given(policy, given, expect, blob, kind);
    }
}

#[track_caller]
fn rejects_given(policy: &Policy, given: Given, expect: &Expect, blob: &[u8], kind: ErrorKind) {
    for way in ways() {
        let world = way.world();
        let mut unpacker = begin(&world, policy, way);
        let good = layer().bytes();
        put(&mut unpacker, given, &Expect::blob(sha256(&good)), &good).unwrap();
        let error = put(&mut unpacker, given, expect, blob).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.layer(), error.partially_applied()), (kind, Some(1), false), "{way:?} {given:?}: {error}");
        assert_spoiled(&world, unpacker, &error);
    }
}

/// Every later call gives the same error, and nothing is left once the unpacker is gone.
#[track_caller]
pub fn assert_spoiled(world: &World, mut unpacker: Unpacker, error: &Error) {
    world.assert_not_exposed("a layer failed");
    let good = tar().file("late", "x").bytes();
    assert_eq!(unpacker.apply(&waiver(), &good[..]).as_ref(), Err(error));
    assert_eq!(unpacker.apply_file(&waiver(), &file_of(&good)).as_ref(), Err(error));
    assert_eq!(unpacker.commit().as_ref(), Err(error));
    world.assert_not_exposed("a failed layer was to be committed");
    world.assert_outside_untouched("a failed layer");
}

#[test]
fn a_blob_digest_of_either_algorithm_must_match() {
    let blob = layer().gzip().bytes();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for policy in both() {
            let expect = Expect::blob(digest(algorithm, &blob));
            let report = accepts(&policy, &expect, &blob, &want());
            assert_eq!((report.blob_digest, report.verified.blob_digest), (digest(algorithm, &blob), expect.claimed_blob()));
            assert_eq!((report.verified.diff_id, report.verified.blob_bytes), (None, None));
            rejects(&policy, &Expect::blob(digest(algorithm, b"other")), &blob, ErrorKind::DigestMismatch);
        }
    }
}

#[test]
fn a_diff_id_of_either_algorithm_must_match() {
    let (plain, blob) = (layer().bytes(), layer().zstd().bytes());
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for policy in both() {
            let expect = Expect::diff_id(digest(algorithm, &plain));
            let report = accepts(&policy, &expect, &blob, &want());
            assert_eq!((report.diff_id, report.verified.diff_id), (digest(algorithm, &plain), expect.claimed_diff_id()));
            rejects(&policy, &Expect::diff_id(digest(algorithm, &blob)), &blob, ErrorKind::DiffIdMismatch);
        }
    }
}

#[test]
fn a_size_must_match_to_the_byte() {
    let blob = layer().gzip().bytes();
    let expect = |size: usize| Expect::blob(sha256(&blob)).size(size as u64);
    for policy in both() {
        let report = accepts(&policy, &expect(blob.len()), &blob, &want());
        assert_eq!((report.blob_bytes, report.verified.blob_bytes), (blob.len() as u64, Some(blob.len() as u64)));
        for wrong in [0, 1, blob.len() - 1, blob.len() + 1, usize::MAX] {
            rejects(&policy, &expect(wrong), &blob, ErrorKind::SizeMismatch);
        }
    }
}

#[test]
fn with_the_waiver_nothing_is_verified_and_the_report_says_so() {
    let report = accepts(&strict(), &waiver(), &layer().bytes(), &want());
    let verified = report.verified;
    assert_eq!((verified.blob_digest, verified.blob_bytes, verified.diff_id), (None, None, None));
}

#[test]
fn trust_is_judged_in_the_order_size_blob_digest_diff_id() {
    let blob = layer().gzip().bytes();
    let (right, wrong) = (sha256(&blob), sha256(b"other"));
    let len = blob.len() as u64;
    let plain = sha256(&layer().bytes());
    for policy in both() {
        rejects(&policy, &Expect::blob(wrong).and_diff_id(wrong).size(len + 1), &blob, ErrorKind::SizeMismatch);
        rejects(&policy, &Expect::blob(wrong).and_diff_id(wrong).size(len), &blob, ErrorKind::DigestMismatch);
        rejects(&policy, &Expect::blob(right).and_diff_id(wrong).size(len), &blob, ErrorKind::DiffIdMismatch);
        accepts(&policy, &Expect::blob(right).and_diff_id(plain).size(len), &blob, &want());
    }
}

#[test]
fn a_file_is_verified_before_a_byte_of_it_is_parsed() {
    let hostile = tar().file("../f", "x").gzip().bytes();
    let wrong = Expect::blob(sha256(b"other"));
    for policy in both() {
        rejects_given(&policy, Given::File, &wrong, &hostile, ErrorKind::DigestMismatch);
        rejects_given(&policy, Given::File, &wrong, b"no archive at all", ErrorKind::DigestMismatch);
        rejects_given(&policy, Given::Stream, &wrong, &hostile, ErrorKind::PathTraversal);
        rejects(&policy, &Expect::blob(sha256(&hostile)), &hostile, ErrorKind::PathTraversal);
    }
}

/// Changes the file at the first piece of the second reading.
struct Changes(File, u64);

impl Observer for Changes {
    fn progress(&mut self, _: &Progress) {
        self.0.write_all_at(b"changed", self.1).unwrap();
    }
}

#[test]
fn a_file_that_changes_between_the_readings_is_an_error() {
    // Longer than what may be read ahead of the observer.
    let blob = tar().add(Entry::file("f", "").body_run([b'x'], 24 << 20)).bytes();
    for way in ways() {
        let world = way.world();
        let file = file_of(&blob);
        let observer = Changes(file.try_clone().unwrap(), 23 << 20);
        let mut unpacker = begin(&world, &strict(), way).observer(Box::new(observer));
        let error = unpacker.apply_file(&Expect::blob(sha256(&blob)), &file).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DigestMismatch);
        assert_spoiled(&world, unpacker, &error);
    }
}

#[test]
fn a_file_is_read_from_its_start_wherever_it_stands() {
    let blob = layer().bytes();
    let world = World::new();
    let file = file_of(&blob);
    for expect in [Expect::blob(sha256(&blob)), Expect::diff_id(sha256(&blob)), waiver()] {
        let mut unpacker = begin(&world, &strict(), ways().next().unwrap());
        unpacker.apply_file(&expect, &file).unwrap();
        unpacker.commit().unwrap();
        world.clear();
    }
}

#[test]
fn a_digest_covers_every_byte_those_after_the_end_of_the_archive_too() {
    let (short, long) = (layer(), layer().trailing([0; 10_240]));
    for policy in both() {
        for blob in [long.bytes(), long.gzip().bytes(), long.zstd().bytes()] {
            accepts(&policy, &Expect::diff_id(sha256(&long.bytes())), &blob, &want());
            rejects(&policy, &Expect::diff_id(sha256(&short.bytes())), &blob, ErrorKind::DiffIdMismatch);
        }
        let odd = layer().trailing(b"after the end");
        rejects(&policy, &Expect::diff_id(sha256(&odd.bytes())), &odd.bytes(), ErrorKind::TrailingData);
        let ignore = with(policy, |policy| policy.trailing_data = TrailingData::Ignore);
        let report = accepts(&ignore, &Expect::diff_id(sha256(&odd.bytes())), &odd.bytes(), &want());
        assert_eq!(report.events.count(Reason::TrailingDataIgnored), 1);
        rejects(&ignore, &Expect::diff_id(sha256(&short.bytes())), &odd.bytes(), ErrorKind::DiffIdMismatch);
    }
}

#[test]
fn a_blob_that_is_cut_short_is_an_error_wherever_it_is_cut() {
    for blob in [layer().bytes(), layer().gzip().bytes(), layer().zstd().bytes()] {
        for cut in [1, 100, blob.len() / 2, blob.len() - 1] {
            let cut = &blob[..cut.min(blob.len() - 1)];
            // The digest is judged before the end of the archive.
            rejects(&container(), &Expect::blob(sha256(&blob)), cut, ErrorKind::DigestMismatch);
            // That the caller claims just these bytes does not help.
            let claimed = Expect::blob(sha256(cut));
            for way in ways() {
                let world = way.world();
                let mut unpacker = begin(&world, &strict(), way);
                let error = unpacker.apply(&claimed, cut).map(drop).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::BadCompression | ErrorKind::BadHeader), "{error}");
                assert_spoiled(&world, unpacker, &error);
            }
        }
    }
}

#[test]
fn every_member_and_frame_is_part_of_the_layer() {
    let source = layer().source();
    let plain = Expect::diff_id(sha256(&source.bytes()));
    let frame = Skippable { magic: 0, declared: 2, content: b"hi" };
    let blobs = [
        Gzip { split: crate::common::builder::Split::Into(5), file_name: "name", ..Gzip::OK }.wrap(&source),
        Gzip { empty_members: 2, ..Gzip::OK }.wrap(&source),
        Zstd { frames: 3, skippable_first: Some(frame), skippable: Some(frame), ..Zstd::OK }.wrap(&source),
    ];
    for policy in both() {
        for blob in &blobs {
            accepts(&policy, &plain, &blob.bytes(), &want());
        }
    }
}

#[test]
fn a_compressed_stream_that_is_not_whole_and_right_is_an_error() {
    let source = layer().source();
    let bad: [(Source, ErrorKind); 5] = [
        (Gzip { bad_crc: true, ..Gzip::OK }.wrap(&source), ErrorKind::BadCompression),
        (Gzip { no_trailer: true, ..Gzip::OK }.wrap(&source), ErrorKind::BadCompression),
        (Gzip { trailing: b"garbage", ..Gzip::OK }.wrap(&source), ErrorKind::TrailingData),
        (Zstd { bad_checksum: true, ..Zstd::OK }.wrap(&source), ErrorKind::BadCompression),
        (Zstd { dictionary: Some(7), ..Zstd::OK }.wrap(&source), ErrorKind::BadCompression),
    ];
    for policy in both() {
        for (blob, kind) in &bad {
            let blob = blob.bytes();
            rejects(&policy, &Expect::blob(sha256(&blob)), &blob, *kind);
        }
    }
    let zeros = Gzip { trailing: &[0; 100], ..Gzip::OK }.wrap(&source).bytes();
    let report = accepts(&container(), &waiver(), &zeros, &want());
    assert_eq!(report.events.count(Reason::TrailingZeros), 1);
    rejects(&strict(), &waiver(), &zeros, ErrorKind::TrailingData);
}

#[test]
fn a_declared_media_type_must_match_the_magic_exactly() {
    let oci = "application/vnd.oci.image.layer.v1.tar";
    let docker = "application/vnd.docker.image.rootfs.diff.tar";
    let blobs =
        [(Compression::None, layer().bytes()), (Compression::Gzip, layer().gzip().bytes()), (Compression::Zstd, layer().zstd().bytes())];
    let types = [
        (oci.to_owned(), Compression::None),
        (format!("{oci}+gzip"), Compression::Gzip),
        (format!("{oci}+zstd"), Compression::Zstd),
        (format!("{docker}.gzip"), Compression::Gzip),
        (format!("{docker}.zstd"), Compression::Zstd),
    ];
    for (compression, blob) in &blobs {
        for (media_type, declared) in &types {
            let expect = Expect::blob(sha256(blob)).media_type(media_type).unwrap();
            if compression == declared {
                assert_eq!(accepts(&strict(), &expect, blob, &want()).compression, *compression);
            } else {
                rejects(&strict(), &expect, blob, ErrorKind::MediaTypeMismatch);
            }
        }
        // Without a type, and with docker's uncompressed one, the magic is asked.
        for expect in [waiver(), waiver().media_type(docker).unwrap()] {
            assert_eq!(accepts(&strict(), &expect, blob, &want()).compression, *compression);
        }
    }
}

#[test]
fn a_media_type_that_is_no_layers_is_an_error() {
    for media_type in ["application/vnd.oci.image.layer.v1.tar+encrypted", "application/vnd.oci.image.config.v1+json", ""] {
        assert_eq!(waiver().media_type(media_type).unwrap_err().kind(), ErrorKind::UnsupportedMediaType);
    }
}

#[test]
fn an_empty_blob_is_an_empty_layer_with_an_event_and_refused_by_strict() {
    let expect = Expect::blob(sha256(b"")).size(0);
    let report = accepts(&container(), &expect, b"", &tree());
    assert_eq!((report.events.count(Reason::EmptyBlob), report.entries.total), (1, 0));
    rejects(&strict(), &expect, b"", ErrorKind::Truncated);
    // Two zero blocks are an archive without entries.
    accepts(&strict(), &waiver(), &tar().bytes(), &tree());
}

#[test]
fn a_digest_is_lower_case_hex_of_the_exact_length_and_nothing_else() {
    let hex = "ab".repeat(32);
    assert!(Digest::parse(format!("sha256:{hex}")).is_ok());
    assert!(Digest::parse(format!("sha512:{hex}{hex}")).is_ok());
    let bad = [
        format!("sha256:{}", hex.to_uppercase()),
        format!("SHA256:{hex}"),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha512:{hex}"),
        format!("sha256:{}", "g".repeat(64)),
        format!("sha256:../{}", &hex[3..]),
        format!(" sha256:{hex}"),
        format!("sha384:{hex}"),
        format!("md5:{}", &hex[..32]),
        hex.clone(),
        String::new(),
    ];
    for text in bad {
        assert_eq!(Digest::parse(&text).unwrap_err().kind(), ErrorKind::BadDigest, "{text}");
    }
}

#[test]
fn a_chain_id_is_the_digest_of_the_text_of_the_chain() {
    let (first, second) = (sha256(b"1"), sha256(b"2"));
    assert_eq!(chain_id(&[]), None);
    assert_eq!(chain_id(&[first]), Some(first));
    assert_eq!(chain_id(&[first, second]), Some(sha256(format!("{first} {second}").as_bytes())));
}

#[test]
fn a_commit_without_a_layer_is_an_error() {
    for way in ways() {
        let world = way.world();
        let error = begin(&world, &strict(), way).commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LayerCountMismatch);
        world.assert_not_exposed("no layer");
        world.assert_outside_untouched("no layer");
    }
}

#[test]
fn one_failed_layer_spoils_the_unpacker_whatever_it_failed_of() {
    let pairs = [
        (tar().file("a", "x").file("../b", "y").bytes(), ErrorKind::PathTraversal),
        (tar().file("a", "x").end_blocks(0).cut_at(700).bytes(), ErrorKind::Truncated),
        (tar().hardlink("a", "b").bytes(), ErrorKind::HardlinkTargetMissing),
        (tar().file("a", "x").raw([7; 512]).bytes(), ErrorKind::BadChecksum),
    ];
    for policy in both() {
        for (blob, kind) in &pairs {
            rejects(&policy, &Expect::blob(sha256(blob)), blob, *kind);
        }
        let few = with(policy, |policy| policy.limits.entries = 2);
        let many = tar().file("a", "").file("b", "").file("c", "").bytes();
        rejects(&few, &Expect::blob(sha256(&many)), &many, ErrorKind::LimitExceeded);
    }
}

#[test]
fn nothing_stands_under_the_final_name_before_the_commit() {
    /// Looks for the final name whenever something happens.
    struct Looks(std::path::PathBuf);
    impl Observer for Looks {
        fn event(&mut self, _: u64, _: &Event) {
            assert!(fs::symlink_metadata(&self.0).is_err());
        }
        fn progress(&mut self, _: &Progress) {
            assert!(fs::symlink_metadata(&self.0).is_err());
        }
    }
    for way in ways() {
        let world = way.world();
        let mut unpacker = begin(&world, &strict(), way).observer(Box::new(Looks(world.dest_path())));
        for _ in 0..3 {
            unpacker.apply(&waiver(), tar().file("d/f", "x").source().open()).unwrap();
            world.assert_not_exposed("before the commit");
        }
        let unpacked = unpacker.commit().unwrap();
        assert_eq!(unpacked.layers.len(), 3);
        assert_same(&tree().implicit("d").file("d/f", "x").tree(), &world.tree().unwrap(), "committed");
    }
}
