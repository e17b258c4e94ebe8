//! §11 Bytes and trust: a reader that fails or panics, a caller who cancels, a deadline.

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use safe_layers::{CancelToken, ErrorKind, Event, Expect, Observer, Progress};

use crate::check::*;
use crate::trust::{Given, accepts, assert_spoiled, begin, layer, put, sha256, waiver, want};

/// Gives some bytes of a layer, then fails in its way.
struct Fails<F>(Vec<u8>, F);

impl<F: FnMut() -> io::Result<usize>> Read for Fails<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return self.1();
        }
        let len = buffer.len().min(self.0.len()).min(300);
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0.drain(..len);
        Ok(len)
    }
}

/// The start of a layer: a whole entry and a part of the next.
fn start() -> Vec<u8> {
    layer().bytes()[..1300].to_vec()
}

#[test]
fn an_error_of_the_callers_reader_spoils_and_an_interrupted_read_is_retried() {
    for way in ways() {
        let world = way.world();
        let mut unpacker = begin(&world, &strict(), way);
        let reader = Fails(start(), || Err(io::Error::from_raw_os_error(5)));
        let error = unpacker.apply(&waiver(), reader).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Io, Some(5)));
        assert_spoiled(&world, unpacker, &error);

        let mut unpacker = begin(&world, &strict(), way);
        let mut interrupted = false;
        let reader = Fails(start(), move || {
            interrupted = !interrupted;
            if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(0) }
        });
        let tail = Fails(layer().bytes()[1300..].to_vec(), || Ok(0));
        unpacker.apply(&Expect::blob(sha256(&layer().bytes())), reader.chain(tail)).unwrap();
        unpacker.commit().unwrap();
        assert_same(&want().tree(), &world.tree().unwrap(), "interrupted");
    }
}

#[test]
fn a_panic_in_the_callers_reader_exposes_nothing_and_spoils() {
    for way in ways() {
        let world = way.world();
        let mut unpacker = begin(&world, &strict(), way);
        let reader = Fails(start(), || std::panic::resume_unwind(Box::new("the reader's own")));
        let panic = catch_unwind(AssertUnwindSafe(|| unpacker.apply(&waiver(), reader).map(drop))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the reader's own"));
        world.assert_not_exposed("a panic");
        let error = unpacker.apply(&waiver(), &layer().bytes()[..]).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.layer()), (ErrorKind::Cancelled, Some(0)));
        assert_spoiled(&world, unpacker, &error);

        // One that unwinds through the unpacker removes the private directory too.
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut unpacker = begin(&world, &strict(), way);
            let reader = Fails(start(), || std::panic::resume_unwind(Box::new(())));
            unpacker.apply(&waiver(), reader).map(drop)
        }));
        assert!(unwound.is_err());
        world.assert_not_exposed("a panic");
        world.assert_outside_untouched("a panic");
    }
}

#[test]
fn a_cancelled_unpack_exposes_nothing() {
    for way in ways() {
        for given in [Given::Stream, Given::File] {
            let world = way.world();
            let token = CancelToken::new();
            let mut unpacker = begin(&world, &strict(), way).cancel(token.clone());
            put(&mut unpacker, given, &waiver(), &layer().bytes()).unwrap();
            token.cancel();
            let error = put(&mut unpacker, given, &waiver(), &layer().bytes()).map(drop).unwrap_err();
            assert_eq!((error.kind(), error.layer()), (ErrorKind::Cancelled, Some(1)));
            assert_spoiled(&world, unpacker, &error);
        }
    }
}

/// Cancels when it hears of the first bytes.
struct Cancels(CancelToken);

impl Observer for Cancels {
    fn event(&mut self, _: u64, _: &Event) {}
    fn progress(&mut self, _: &Progress) {
        self.0.cancel();
    }
}

#[test]
fn a_commit_can_be_cancelled() {
    for way in ways() {
        let world = way.world();
        let token = CancelToken::new();
        let mut unpacker = begin(&world, &container(), way).cancel(token.clone());
        unpacker.apply(&Expect::dangerous_unverified(), tar().dir("d").bytes().as_slice()).unwrap();
        token.cancel();
        assert_eq!(unpacker.commit().unwrap_err().kind(), ErrorKind::Cancelled);
        world.assert_not_exposed("a cancelled commit");
        assert_eq!(
            fs::read_dir(world.parent()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count(),
            0
        );
    }
}

#[test]
fn an_unpack_can_be_cancelled_in_the_middle_of_a_file() {
    let blob = tar().add(Entry::file("f", "").body_run([b'x'], 16 << 20));
    for way in ways() {
        let world = way.world();
        let token = CancelToken::new();
        let mut unpacker = begin(&world, &strict(), way).cancel(token.clone()).observer(Box::new(Cancels(token)));
        let error = unpacker.apply(&waiver(), blob.source().open()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_spoiled(&world, unpacker, &error);
    }
}

#[test]
fn a_passed_deadline_is_an_error_that_names_it_and_one_to_come_is_none() {
    for policy in both() {
        let late = with(policy.clone(), |policy| policy.limits.deadline = Some(Duration::ZERO));
        for way in ways() {
            for given in [Given::Stream, Given::File] {
                let world = way.world();
                let mut unpacker = begin(&world, &late, way);
                let error = put(&mut unpacker, given, &waiver(), &layer().bytes()).map(drop).unwrap_err();
                assert_eq!((error.kind(), error.limit().map(|limit| limit.name)), (ErrorKind::DeadlineExceeded, Some("deadline")));
                assert_spoiled(&world, unpacker, &error);
            }
        }
        let early = with(policy, |policy| policy.limits.deadline = Some(Duration::from_secs(3600)));
        accepts(&early, &waiver(), &layer().bytes(), &want());
    }
}
