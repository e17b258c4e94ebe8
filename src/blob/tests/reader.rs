//! Claims and limits: what is verified, in which order, and what a blob may cost.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;

use super::*;
use crate::blob::{Share, Stop, hash_blob};
use crate::limits::RATIO_FLOOR;
use crate::observe::{CancelToken, Verified};

fn forms() -> Vec<(Compression, Vec<u8>)> {
    vec![(Compression::None, LAYER.to_vec()), (Compression::Gzip, gz(LAYER)), (Compression::Zstd, zst(LAYER))]
}

#[test]
fn every_claim_that_holds_is_reported_as_verified_in_both_algorithms() {
    for (compression, blob) in forms() {
        for blob_algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for diff_algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let (stored, diff_id) = (digest(blob_algorithm, &blob), digest(diff_algorithm, LAYER));
                let size = blob.len() as u64;
                let summary = Ask::of(Expect::blob(stored).and_diff_id(diff_id).size(size).compression(compression)).gives(&blob, LAYER);
                let verified = Verified { blob_digest: Some(stored), blob_bytes: Some(size), diff_id: Some(diff_id) };
                assert_eq!((summary.blob_digest, summary.diff_id, summary.verified), (stored, diff_id, verified));
            }
        }
        let summary = Ask::anything().gives(&blob, LAYER);
        assert_eq!((summary.blob_digest, summary.diff_id), (sha256(&blob), sha256(LAYER)));
        assert_eq!(summary.verified, Verified::default());
    }
}

#[test]
fn a_wrong_digest_is_named_beside_the_one_found() {
    for (_, blob) in forms() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let (wrong, found) = (digest(algorithm, b"other"), digest(algorithm, &blob));
            let error = Ask::of(Expect::blob(wrong)).fails(&blob, ErrorKind::DigestMismatch);
            assert_eq!(error.detail(), format!("claimed {wrong}, found {found}"));
            let error = Ask::of(Expect::diff_id(wrong)).fails(&blob, ErrorKind::DiffIdMismatch);
            assert_eq!(error.detail(), format!("claimed {wrong}, found {}", digest(algorithm, LAYER)));
        }
    }
}

#[test]
fn a_size_that_differs_by_one_byte_is_refused_without_reading_on() {
    for (_, blob) in forms() {
        let size = blob.len() as u64;
        Ask::of(Expect::dangerous_unverified().size(size)).gives(&blob, LAYER);
        Ask::of(Expect::dangerous_unverified().size(size + 1)).fails(&blob, ErrorKind::SizeMismatch);
        Ask::of(Expect::dangerous_unverified().size(size - 1)).fails(&blob, ErrorKind::SizeMismatch);
        let mut stream = Ask::of(Expect::dangerous_unverified().size(3)).stream();
        let (mut input, mut output) = (&blob[..], [0; 100]);
        let error = loop {
            if let Err(error) = stream.decode(&mut input, &mut output) {
                break error;
            }
        };
        assert_eq!((error.kind(), stream.stored_bytes(), input.len()), (ErrorKind::SizeMismatch, 3, blob.len() - 3));
    }
}

#[test]
fn size_comes_before_digest_digest_before_the_end_of_the_stream_and_that_before_the_diff_id() {
    let wrong = sha256(b"other");
    let cut = &gz(LAYER)[..20];
    let all_wrong = Expect::blob(wrong).and_diff_id(wrong);
    Ask::of(all_wrong.clone().size(21)).fails(cut, ErrorKind::SizeMismatch);
    Ask::of(all_wrong.size(20)).fails(cut, ErrorKind::DigestMismatch);
    Ask::of(Expect::blob(sha256(cut)).and_diff_id(wrong).size(20)).fails(cut, ErrorKind::BadCompression);
    Ask::of(Expect::blob(sha256(&gz(LAYER))).and_diff_id(wrong)).fails(&gz(LAYER), ErrorKind::DiffIdMismatch);
    // An error met while decoding is reported as it comes.
    Ask::of(Expect::blob(wrong).size(1000)).fails(&[&gz(LAYER)[..], b"x"].concat(), ErrorKind::TrailingData);
    Ask::of(Expect::blob(wrong)).strict().fails(b"", ErrorKind::DigestMismatch);
}

#[test]
fn every_flipped_bit_of_a_claimed_blob_is_refused() {
    for (_, blob) in forms() {
        for ask in [Ask::of(Expect::blob(sha256(&blob)).size(blob.len() as u64)), Ask::of(Expect::blob(digest(Algorithm::Sha512, &blob)))] {
            for bit in 0..blob.len() * 8 {
                let mut flipped = blob.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                for cut in [CUTS[0], CUTS[5]] {
                    assert!(ask.run(&flipped, cut).result.is_err(), "bit {bit}");
                }
            }
        }
    }
}

#[test]
fn every_cut_and_every_added_byte_of_a_claimed_blob_is_refused() {
    for (_, blob) in forms() {
        let ask = Ask::of(Expect::blob(sha256(&blob)));
        for len in 0..blob.len() {
            assert!(ask.run(&blob[..len], CUTS[0]).result.is_err(), "{len}");
        }
        for byte in 0..=u8::MAX {
            assert!(ask.run(&[&blob[..], &[byte]].concat(), CUTS[0]).result.is_err(), "{byte}");
        }
        assert!(ask.run(&blob, CUTS[0]).result.is_ok());
    }
}

#[test]
fn a_blob_that_is_not_read_to_its_end_proves_nothing() {
    let kind = |stream: BlobStream, digests: Digests| stream.finish(digests.finish()).map(|_| ()).map_err(|error| error.kind());
    for (_, blob) in forms() {
        let mut stream = Ask::anything().stream();
        let (mut output, mut input, mut digests) = ([0; 1000], &blob[..], stream.digests());
        let made = stream.decode(&mut input, &mut output).unwrap();
        digests.stored(&blob[..blob.len() - input.len()]);
        if !stream.hashes_once() {
            digests.decoded(&output[..made]);
        }
        assert_eq!(kind(stream, digests), Err(ErrorKind::Truncated));
    }
    let untouched = Ask::anything().stream();
    let digests = untouched.digests();
    assert_eq!(kind(untouched, digests), Err(ErrorKind::Truncated));
}

#[test]
fn bytes_that_were_not_hashed_prove_nothing() {
    for (_, blob) in forms() {
        for missing in ["none", "a stored byte", "all stored", "a decoded byte"] {
            let mut stream = Ask::anything().stream();
            let (mut output, mut digests, mut decoded) = (vec![0; 1 << 20], stream.digests(), Vec::new());
            let made = stream.decode(&mut &blob[..], &mut output).unwrap();
            decoded.extend_from_slice(&output[..made]);
            while let drained @ 1.. = stream.end_of_input(&mut output).unwrap() {
                decoded.extend_from_slice(&output[..drained]);
            }
            let once = stream.hashes_once();
            digests.stored(match missing {
                "a stored byte" => &blob[1..],
                "all stored" => &[],
                _ => &blob,
            });
            if !once {
                digests.decoded(if missing == "a decoded byte" { &decoded[1..] } else { &decoded });
            }
            let whole = missing == "none" || missing == "a decoded byte" && once;
            assert_eq!(stream.finish(digests.finish()).is_ok(), whole, "{missing}");
        }
    }
}

#[test]
fn stored_bytes_are_limited() {
    for (_, blob) in forms() {
        let size = blob.len() as u64;
        Ask::anything().limit("blob_bytes", size).gives(&blob, LAYER);
        let error = Ask::anything().limit("blob_bytes", size - 1).fails(&blob, ErrorKind::LimitExceeded);
        assert_eq!(error.limit(), Error::limit_exceeded("blob_bytes", size - 1).limit());
        Ask::of(Expect::dangerous_unverified().size(size)).limit("blob_bytes", 5).fails(&blob, ErrorKind::LimitExceeded);
    }
}

#[test]
fn decoded_bytes_are_limited_to_the_byte() {
    for (_, blob) in forms() {
        let len = LAYER.len() as u64;
        Ask::anything().limit("total_bytes", len).gives(&blob, LAYER);
        for limit in [0, 1, len - 1] {
            let outcome = Ask::anything().limit("total_bytes", limit).outcome(&blob);
            assert_eq!(outcome.decoded, LAYER[..limit as usize]);
            assert_eq!(outcome.result, Err(Error::limit_exceeded("total_bytes", limit).at_offset(limit)));
        }
    }
}

/// Drains a blob without keeping what it decodes to; gives the error's limit and what was decoded.
fn bomb(ask: &Ask, blob: &[u8]) -> (Result<(), Error>, u64) {
    let mut stream = ask.stream();
    let mut output = vec![0; 1 << 18];
    let mut input = blob;
    let result = loop {
        let at_end = input.is_empty();
        let result = if at_end { stream.end_of_input(&mut output) } else { stream.decode(&mut input, &mut output) };
        match result {
            Ok(0) if at_end => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    (result, stream.decoded_bytes())
}

/// Zeros as a zstd blob: the fastest to make, at about 32,000 to 1.
fn zeros(len: u64) -> Vec<u8> {
    let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    io::copy(&mut io::repeat(0).take(len), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_gibibyte_of_zeros_stops_at_the_ratio_or_at_the_total() {
    let zeros = zeros(1 << 30);
    let (result, decoded) = bomb(&Ask::anything(), &zeros);
    assert_eq!(result.unwrap_err().limit(), Error::limit_exceeded("ratio", 1000).limit());
    assert!((RATIO_FLOOR..RATIO_FLOOR + (1 << 19)).contains(&decoded), "{decoded}");
    let (result, decoded) = bomb(&Ask::anything().limit("total_bytes", 1 << 20), &zeros);
    assert_eq!(result, Err(Error::limit_exceeded("total_bytes", 1 << 20).at_offset(1 << 20)));
    assert_eq!(decoded, 1 << 20);
}

#[test]
fn the_ratio_is_asked_only_above_its_floor_and_allows_the_limit() {
    assert_eq!(bomb(&Ask::anything().limit("ratio", 1), &zeros(RATIO_FLOOR - 1)), (Ok(()), RATIO_FLOOR - 1));
    let (result, _) = bomb(&Ask::anything().limit("ratio", 1), &zeros(RATIO_FLOOR));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(bomb(&Ask::anything().limit("ratio", 1 << 20), &zeros(RATIO_FLOOR + 1)), (Ok(()), RATIO_FLOOR + 1));
}

/// A reader that is interrupted before every byte.
struct Interrupted<'a>(&'a [u8], usize);

impl Read for Interrupted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1 % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.0.read(&mut buffer[..1])
    }
}

fn hash(blob: &[u8], expect: &Expect, limits: &Limits) -> Result<(), ErrorKind> {
    let cancel = CancelToken::new();
    let on = |threads: usize| {
        let share = Share::alone(NonZeroUsize::new(threads).unwrap());
        hash_blob(Interrupted(blob, 0), &share, expect, limits, &Stop::new(&cancel, None)).map_err(|error| error.kind())
    };
    let results = [1, 2, 4].map(on);
    assert_eq!(results, [results[0]; 3]);
    results[0]
}

#[test]
fn a_whole_blob_is_verified_before_it_is_decoded() {
    let (blob, limits) = (gz(LAYER), Limits::default());
    let right = Expect::blob(sha256(&blob)).size(blob.len() as u64);
    assert_eq!(hash(&blob, &right, &limits), Ok(()));
    assert_eq!(hash(&blob[1..], &right, &limits), Err(ErrorKind::SizeMismatch));
    assert_eq!(hash(&[&blob[..], b"x"].concat(), &right, &limits), Err(ErrorKind::SizeMismatch));
    assert_eq!(hash(&blob, &Expect::blob(sha256(b"")), &limits), Err(ErrorKind::DigestMismatch));
    let small = Limits { blob_bytes: 5, ..Limits::default() };
    assert_eq!(hash(&blob, &right, &small), Err(ErrorKind::LimitExceeded));
}

#[test]
fn nothing_is_read_where_neither_size_nor_blob_digest_is_claimed() {
    struct Untouchable;
    impl Read for Untouchable {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("read")
        }
    }
    let cancel = CancelToken::new();
    let stop = Stop::new(&cancel, None);
    let hash = |expect: &Expect, threads| {
        hash_blob(Untouchable, &Share::alone(NonZeroUsize::new(threads).unwrap()), expect, &Limits::default(), &stop)
    };
    assert_eq!([1, 2].map(|threads| hash(&Expect::diff_id(sha256(b"")), threads)), [Ok(()), Ok(())]);
    cancel.cancel();
    for threads in [1, 2] {
        assert_eq!(hash(&Expect::blob(sha256(b"")), threads).unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

#[test]
fn a_reader_that_panics_while_the_blob_is_hashed_does_so_on_the_callers_thread() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the caller's own")
        }
    }
    for threads in [1, 2] {
        let cancel = CancelToken::new();
        let share = Share::alone(NonZeroUsize::new(threads).unwrap());
        let (expect, limits) = (Expect::blob(sha256(b"")), Limits::default());
        let hashed = std::panic::catch_unwind(AssertUnwindSafe(|| hash_blob(Panics, &share, &expect, &limits, &Stop::new(&cancel, None))));
        assert_eq!(hashed.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's own"));
    }
}
