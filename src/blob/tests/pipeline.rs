//! One thread, two or three: the same pieces, the same result, the same error; and no hang whichever side fails first.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::blob::{Aside, Buffer, Counts, Deadline, Share, Stop, drive};
use crate::observe::CancelToken;

type Seen = (Vec<(Vec<u8>, Counts)>, Result<(BlobSummary, Vec<Reason>), Error>);

fn alone(count: usize) -> Share {
    Share::alone(NonZeroUsize::new(count).unwrap())
}

/// Drives `source`; the sink refuses the piece with index `refuse`.
fn drive_with<R: Read + Send>(count: usize, source: R, ask: &Ask, refuse: usize) -> Seen {
    let cancel = CancelToken::new();
    let mut pieces = Vec::new();
    let mut sink = |piece: &Arc<Buffer>, counts: Counts| {
        let bytes = piece.filled();
        if pieces.len() == refuse {
            return Err(Error::new(ErrorKind::PathTraversal, "the sink's").at_offset(counts.decoded_bytes));
        }
        assert!(!bytes.is_empty() && bytes.len() <= 256 << 10);
        pieces.push((bytes.to_vec(), counts));
        Ok(())
    };
    let result = drive(source, ask.stream(), &alone(count), &Stop::new(&cancel, None), &Aside::default(), &mut sink);
    let result = result.map(|(_proof, summary, events)| (summary, events.into_iter().map(|event| event.reason).collect()));
    (pieces, result)
}

#[track_caller]
fn same_in_all<R: Read + Send>(source: impl Fn() -> R, ask: &Ask, refuse: usize) -> Seen {
    let inline = drive_with(1, source(), ask, refuse);
    for count in [2, 3] {
        assert!(drive_with(count, source(), ask, refuse) == inline, "{count}: {:?}", inline.1);
    }
    inline
}

/// Gives a blob in reads of a given size, then fails or ends.
struct Slow<'a> {
    blob: &'a [u8],
    step: usize,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Fail,
    Panic,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = self.step.min(buffer.len());
        match self.blob.read(&mut buffer[..step])? {
            0 => match self.then {
                Then::End => Ok(0),
                Then::Fail => Err(io::Error::from_raw_os_error(5)),
                Then::Panic => panic!("the reader's"),
            },
            count => Ok(count),
        }
    }
}

fn layer() -> Vec<u8> {
    let mut random = Random(3);
    [random.bytes(150_000), vec![0; 600_000], LAYER.repeat(6_000), random.bytes(100_000)].concat()
}

#[test]
fn all_shapes_give_the_same_pieces_and_results_whatever_the_reads() {
    let layer = layer();
    for blob in [layer.clone(), gz(&layer), zst(&layer), gz(b""), Vec::new(), [gz(&layer), vec![0; 9]].concat()] {
        let mut lengths = Vec::new();
        for step in [1 << 20, 1001] {
            let (pieces, result) = same_in_all(|| Slow { blob: &blob, step, then: Then::End }, &Ask::anything(), usize::MAX);
            let decoded: Vec<u8> = pieces.iter().flat_map(|piece| piece.0.clone()).collect();
            assert!(decoded == if blob.len() < 100 { &b""[..] } else { &layer[..] });
            assert_eq!(result.unwrap().0.blob_digest, sha256(&blob));
            lengths.push(pieces.iter().map(|piece| piece.0.len()).collect::<Vec<_>>());
        }
        assert!(lengths.iter().all(|other| *other == lengths[0]));
    }
}

#[test]
fn all_shapes_give_the_same_error_of_every_kind() {
    let layer = layer();
    let (zip, zstandard) = (gz(&layer), zst(&layer));
    let anything = Ask::anything;
    let wrong = sha256(b"other");
    let cases = [
        (Ask::of(Expect::blob(wrong)), zip.clone(), ErrorKind::DigestMismatch),
        (Ask::of(Expect::diff_id(wrong)), zstandard.clone(), ErrorKind::DiffIdMismatch),
        (Ask::of(Expect::blob(wrong).size(9)), zip.clone(), ErrorKind::SizeMismatch),
        (Ask::of(Expect::blob(wrong).size(1 << 40)), zip.clone(), ErrorKind::SizeMismatch),
        (anything().declared(Compression::Zstd), zip.clone(), ErrorKind::MediaTypeMismatch),
        (anything(), zip[..zip.len() - 1].to_vec(), ErrorKind::BadCompression),
        (anything(), zstandard[..zstandard.len() / 2].to_vec(), ErrorKind::BadCompression),
        (anything(), [&zip[..200_000], &[0xff; 4000]].concat(), ErrorKind::BadCompression),
        (anything(), [&zip[..], b"x"].concat(), ErrorKind::TrailingData),
        (anything().limit("total_bytes", 1_000_000), zip.clone(), ErrorKind::LimitExceeded),
        (anything().limit("blob_bytes", 200_000), zstandard.clone(), ErrorKind::LimitExceeded),
        (anything().limit("members", 1), zip.repeat(2), ErrorKind::LimitExceeded),
        (anything().limit("zstd_window", 1024), zstandard, ErrorKind::WindowTooLarge),
        (anything().strict(), Vec::new(), ErrorKind::Truncated),
        // Plain bytes are read to where they are used; each of these ends within a piece.
        (anything().limit("total_bytes", 1_000_000), layer.clone(), ErrorKind::LimitExceeded),
        (anything().limit("blob_bytes", 700_001), layer.clone(), ErrorKind::LimitExceeded),
        (Ask::of(Expect::blob(wrong).size(600_000)), layer.clone(), ErrorKind::SizeMismatch),
        (Ask::of(Expect::blob(wrong).size(1 << 40)), layer.clone(), ErrorKind::SizeMismatch),
        (Ask::of(Expect::blob(wrong)), layer.clone(), ErrorKind::DigestMismatch),
        (Ask::of(Expect::diff_id(wrong)), layer.clone(), ErrorKind::DiffIdMismatch),
    ];
    for (ask, blob, kind) in cases {
        for step in [1 << 20, 5000] {
            let (_, result) = same_in_all(|| Slow { blob: &blob, step, then: Then::End }, &ask, usize::MAX);
            assert_eq!(result.unwrap_err().kind(), kind);
        }
    }
}

#[test]
fn a_failing_reader_is_reported_after_all_that_it_gave_was_handed_on() {
    let layer = layer();
    let blob = gz(&layer);
    let (pieces, result) = same_in_all(|| Slow { blob: &blob, step: 3000, then: Then::Fail }, &Ask::anything(), usize::MAX);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Io, Some(5)));
    assert_eq!(pieces.iter().map(|piece| piece.0.len()).sum::<usize>(), layer.len());
}

#[test]
fn a_reader_that_lies_about_its_count_is_an_error() {
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len() + 1)
        }
    }
    let (_, result) = same_in_all(|| Liar, &Ask::anything(), usize::MAX);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn the_sinks_error_ends_all_shapes_and_comes_before_later_ones_of_the_blob() {
    let layer = layer();
    let broken = [gz(&layer), b"x".to_vec()].concat();
    for refuse in [0, 1, 3] {
        let (pieces, result) = same_in_all(|| Slow { blob: &broken, step: 1 << 20, then: Then::End }, &Ask::anything(), refuse);
        assert_eq!(pieces.len(), refuse);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PathTraversal);
        // A source without end: the thread that decodes ahead must stop.
        let endless = || io::repeat(7);
        let (_, result) = same_in_all(endless, &Ask::anything(), refuse);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PathTraversal);
    }
}

#[test]
fn a_panic_of_the_reader_or_of_the_sink_arrives_on_the_callers_thread() {
    let blob = gz(&layer());
    let cancel = CancelToken::new();
    let stop = Stop::new(&cancel, None);
    for count in [1, 2, 3] {
        let reader = Slow { blob: &blob, step: 4096, then: Then::Panic };
        let panic = catch_unwind(AssertUnwindSafe(|| {
            drive(reader, Ask::anything().stream(), &alone(count), &stop, &Aside::default(), &mut |_, _| Ok(())).map(|_| ())
        }));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the reader's"));
        let panic = catch_unwind(AssertUnwindSafe(|| {
            drive(io::repeat(7), Ask::anything().stream(), &alone(count), &stop, &Aside::default(), &mut |_, _| panic!("the sink's"))
                .map(|_| ())
        }));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the sink's"));
    }
}

#[test]
fn what_the_sink_leaves_is_done_by_others_while_it_goes_on() {
    for count in [2, 3, 5] {
        let (cancel, aside) = (CancelToken::new(), Aside::default());
        let (blob, mut left) = (gz(&layer()), 0);
        let mut sink = |_: &Arc<Buffer>, _: Counts| {
            let (done, jobs) = std::sync::mpsc::channel();
            for number in 0..8 {
                let done = done.clone();
                aside.push(Box::new(move || done.send(number).unwrap()));
            }
            drop(done);
            // Nobody but another thread can: this one waits for it.
            left += jobs.into_iter().count();
            Ok(())
        };
        drive(&blob[..], Ask::anything().stream(), &alone(count), &Stop::new(&cancel, None), &aside, &mut sink).map(drop).unwrap();
        assert_eq!(left, 8 * layer().len().div_ceil(256 << 10));
    }
}

#[test]
fn a_panic_in_what_the_sink_left_arrives_on_the_callers_thread() {
    for count in [1, 2, 3, 5] {
        let (cancel, aside) = (CancelToken::new(), Aside::default());
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let mut sink = |_: &Arc<Buffer>, _: Counts| {
                (0..4).for_each(|_| aside.push(Box::new(|| panic!("the job's"))));
                Ok(())
            };
            drive(&gz(&layer())[..], Ask::anything().stream(), &alone(count), &Stop::new(&cancel, None), &aside, &mut sink).map(|_| ())?;
            // As whoever drives does: what nobody did yet.
            aside.finish();
            Ok::<_, Error>(())
        }));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the job's"));
    }
}

#[test]
fn a_sink_that_keeps_pieces_when_it_fails_or_panics_holds_nobody_up() {
    for panics in [false, true] {
        let (cancel, mut kept) = (CancelToken::new(), Vec::new());
        let stop = Stop::new(&cancel, None);
        let mut sink = |piece: &Arc<Buffer>, _: Counts| {
            kept.push(Arc::clone(piece));
            assert!(kept.len() < 5 || !panics, "the sink's");
            if kept.len() < 5 { Ok(()) } else { Err(Error::new(ErrorKind::PathTraversal, "the sink's")) }
        };
        let driven = catch_unwind(AssertUnwindSafe(|| {
            drive(io::repeat(7), Ask::anything().stream(), &alone(2), &stop, &Aside::default(), &mut sink)
        }));
        assert_eq!(driven.is_err(), panics);
        assert!(driven.is_err() || driven.unwrap().is_err());
        assert!(kept.iter().all(|piece| piece.filled().iter().all(|byte| *byte == 7)));
    }
}

#[test]
fn a_cancelled_token_and_a_passed_deadline_end_an_endless_blob() {
    for count in [1, 2, 3] {
        let cancel = CancelToken::new();
        let mut pieces = 0;
        let result =
            drive(io::repeat(7), Ask::anything().stream(), &alone(count), &Stop::new(&cancel, None), &Aside::default(), &mut |_, _| {
                pieces += 1;
                if pieces == 3 {
                    cancel.cancel();
                }
                Ok(())
            });
        assert_eq!((result.map(|_| ()).map_err(|error| error.kind()), pieces), (Err(ErrorKind::Cancelled), 3));

        // Of one read come many pieces.
        let (cancel, bomb, mut pieces) = (CancelToken::new(), gz(&vec![0; 8 << 20]), 0);
        let result =
            drive(&bomb[..], Ask::anything().stream(), &alone(count), &Stop::new(&cancel, None), &Aside::default(), &mut |_, _| {
                pieces += 1;
                cancel.cancel();
                Ok(())
            });
        assert_eq!((result.map(|_| ()).map_err(|error| error.kind()), pieces), (Err(ErrorKind::Cancelled), 1));

        let cancel = CancelToken::new();
        let stop = Stop::new(&cancel, Deadline::after(Duration::from_millis(20)));
        let result = drive(io::repeat(7), Ask::anything().stream(), &alone(count), &stop, &Aside::default(), &mut |_, _| Ok(()));
        assert_eq!(result.map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::DeadlineExceeded));
    }
}
