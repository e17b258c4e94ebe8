//! Layers in overlay form that are at work at the same time: what waits for what, which error is given, and how many threads work.
//!
//! That the layers are what they are one after the other is shown for each case of the conformance suite and for random stacks.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod common;

use std::any::Any;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::builder::{Entry, Source, Tar, tar};
use common::engine::container_for_caller;
use common::snapshot::{Tree, assert_same};
use safe_layers::{
    CancelToken, Error, ErrorKind, Event, Expect, LayerReport, LowerLayers, Observer, OverlayForm, Progress, Root, Unpacked, Unpacker,
};
use tempfile::TempDir;

/// A reader does not wait for ever for what must come.
const PATIENCE: Duration = Duration::from_secs(300);
const THREADS: [usize; 3] = [2, 4, 8];

type Blob = Box<dyn Read + Send>;

fn unpacker(parent: &Path, threads: usize) -> Unpacker {
    let parent = Root::open_ambient(parent, safe_layers::ambient_authority()).unwrap();
    let unpacker = Unpacker::overlay(parent, "dest", OverlayForm::User, container_for_caller()).unwrap();
    unpacker.threads(NonZeroUsize::new(threads).unwrap())
}

fn unverified(blobs: Vec<Blob>) -> Vec<(Expect, Blob)> {
    blobs.into_iter().map(|blob| (Expect::dangerous_unverified(), blob)).collect()
}

fn unpack(mut unpacker: Unpacker, blobs: Vec<Blob>) -> Result<Unpacked, Error> {
    unpacker.apply_all(unverified(blobs))?;
    unpacker.commit()
}

fn open(layer: &Tar) -> Blob {
    Box::new(layer.source().open())
}

/// Runs `then` once, before the first byte.
struct After<R, F>(R, Option<F>);

impl<R: Read, F: FnOnce() -> io::Result<()>> Read for After<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(then) = self.1.take() {
            then()?;
        }
        self.0.read(buffer)
    }
}

fn after(layer: &Tar, then: impl FnOnce() -> io::Result<()> + Send + 'static) -> Blob {
    Box::new(After(layer.source().open(), Some(then)))
}

/// Says when its end was read.
struct Told<R>(R, Arc<AtomicBool>);

impl<R: Read> Read for Told<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.1.store(true, Ordering::SeqCst);
        }
        Ok(read)
    }
}

fn wait_for(mut condition: impl FnMut() -> bool) -> io::Result<()> {
    let since = Instant::now();
    while !condition() {
        if since.elapsed() > PATIENCE {
            return Err(io::Error::other("it never came"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The path of something in the directory that is not committed yet.
fn staged(parent: &Path, path: &str) -> Option<PathBuf> {
    let mut names = std::fs::read_dir(parent).unwrap();
    names.find_map(|entry| Some(entry.unwrap().path().join(path)).filter(|path| path.symlink_metadata().is_ok()))
}

fn trees(parent: &Path, count: usize) -> Vec<Tree> {
    (0..count).map(|layer| Tree::take(&parent.join(format!("dest/{layer}")), |_| false)).collect()
}

/// The layers one after the other, and what became of them.
fn one_after_the_other(layers: &[Tar]) -> Result<(Vec<Tree>, Vec<LayerReport>), Error> {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack(unpacker(dir.path(), 1), layers.iter().map(open).collect())?;
    Ok((trees(dir.path(), layers.len()), unpacked.layers))
}

#[test]
fn an_upper_layer_that_needs_nothing_from_below_is_complete_before_the_lower_one_begins() {
    let lower = tar().dir("d").file("d/low", "1");
    let middle = tar().dir("d").file("d/mid", "2").dir("new").file("new/f", "3").hardlink("new/g", "new/f").symlink("s", "new");
    let upper = tar().dir("d").file("d/up", "4").file("last", "5");
    let (wanted, reports) = one_after_the_other(&[lower.clone(), middle.clone(), upper.clone()]).unwrap();
    for threads in THREADS {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().to_path_buf();
        // On two threads the uppermost begins when the middle one is complete.
        let slow = after(&lower, move || wait_for(|| staged(&parent, "1/new/g").is_some() && staged(&parent, "2/last").is_some()));
        let unpacked = unpack(unpacker(dir.path(), threads), vec![slow, open(&middle), open(&upper)]).unwrap();
        assert_eq!(unpacked.layers, reports);
        for (wanted, found) in wanted.iter().zip(trees(dir.path(), 3)) {
            assert_same(wanted, &found, &format!("{threads} threads"));
        }
    }
}

#[test]
fn an_upper_layer_that_needs_what_is_below_waits_for_it() {
    let lower = tar().add(Entry::dir("d").mode(0o700).mtime(5)).file("d/x", "1").dir("d/sub").file("f", "2").symlink("s", "d");
    let lower = lower.symlink("t", "f").dir("m").file("m/f", "3");
    let middle = tar().dir("m").file("m/g", "4");
    let uppers = [
        tar().file(".wh.f", ""),
        tar().file("d/.wh.none", "").file(".wh.none", "").file("none/.wh.f", ""),
        tar().dir("d").file("d/.wh..wh..opq", "").file("d/y", "4"),
        tar().dir("d").dir("d/sub").file("d/sub/z", "4").file(".wh.d", ""),
        tar().dir("f").file("f/x", "").file(".wh.f", ""),
        tar().dir("new").file("new/.wh..wh..opq", "").file("new/y", "4").file(".wh.new", ""),
        tar().file("d/sub/y", "4"),
        tar().hardlink("h", "d/x").hardlink("i", "m/f"),
        tar().hardlink("h", "later").file("later", "5"),
        tar().file("s/y", "4"),
        tar().file("s/sub/.wh.none", "").file("t/y", "4"),
        tar().file("d", "").dir("d"),
        tar().file(".wh..wh..opq", "").file("g", "4"),
        tar().dir("d").dir("d/sub").dir("d/sub/deep").file("d/sub/deep/.wh.none", "").file("d/sub/.wh..wh..opq", ""),
    ];
    for upper in uppers {
        for layers in [
            vec![lower.clone(), middle.clone(), upper.clone()],
            vec![lower.clone(), upper.clone(), tar().file("d/w", "6").file(".wh.f", "")],
        ] {
            let (wanted, reports) = one_after_the_other(&layers).unwrap();
            for threads in THREADS {
                let dir = tempfile::tempdir().unwrap();
                let read = Arc::new(AtomicBool::new(false));
                let seen = Arc::clone(&read);
                // All of the upper layer is read, and then it has time to go wrong.
                let slow = after(&layers[0], move || {
                    wait_for(|| seen.load(Ordering::SeqCst))?;
                    std::thread::sleep(Duration::from_millis(5));
                    Ok(())
                });
                let mut blobs: Vec<Blob> = vec![slow, Box::new(Told(layers[1].source().open(), read))];
                blobs.extend(layers[2..].iter().map(open));
                let unpacked = unpack(unpacker(dir.path(), threads), blobs).unwrap();
                assert_eq!(unpacked.layers, reports);
                for (wanted, found) in wanted.iter().zip(trees(dir.path(), layers.len())) {
                    assert_same(wanted, &found, &format!("{threads} threads"));
                }
            }
        }
    }
}

#[test]
fn a_root_that_is_opaque_in_the_middle_hides_what_is_below_from_those_above() {
    let layers = [
        tar().add(Entry::dir("./").mode(0o711).mtime(9)).file("f", "1").add(Entry::dir("d").mode(0o700).mtime(5)),
        tar().dir("m").file(".wh..wh..opq", ""),
        tar().file("d/y", "").file(".wh.f", "").file("m/z", ""),
    ];
    let (wanted, reports) = one_after_the_other(&layers).unwrap();
    assert_eq!(wanted[2].paths(), ["d", "d/y", "m", "m/z"]);
    for threads in THREADS {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack(unpacker(dir.path(), threads), layers.iter().map(open).collect()).unwrap();
        assert_eq!((unpacked.visible_layers(), &unpacked.layers), (vec!["2".into(), "1".into()], &reports));
        for (wanted, found) in wanted.iter().zip(trees(dir.path(), 3)) {
            assert_same(wanted, &found, &format!("{threads} threads"));
        }
    }
}

#[test]
fn layers_on_given_ones_and_on_earlier_ones_of_the_unpacker_see_them() {
    let given = tempfile::tempdir().unwrap();
    std::fs::create_dir(given.path().join("g")).unwrap();
    std::fs::write(given.path().join("g/f"), "given").unwrap();
    for threads in [1, 2, 4] {
        let dir = tempfile::tempdir().unwrap();
        let root = |path: &Path| Root::open_ambient(path, safe_layers::ambient_authority()).unwrap();
        let below = LowerLayers::Known(vec![root(given.path())]);
        let form = OverlayForm::User;
        let unpacker = Unpacker::overlay_on(root(dir.path()), "dest", form, below, container_for_caller()).unwrap();
        let mut unpacker = unpacker.threads(NonZeroUsize::new(threads).unwrap());
        unpacker.apply(&Expect::dangerous_unverified(), open(&tar().dir("d").file("d/x", "1"))).unwrap();
        let layers =
            [tar().file("g/.wh.f", "").file("d/.wh.x", ""), tar().file("g/.wh.f", "").file("d/y", "2"), tar().hardlink("h", "d/y")];
        unpacker.apply_all(unverified(layers.iter().map(open).collect())).unwrap();
        unpacker.commit().unwrap();
        let trees = trees(dir.path(), 4);
        assert_eq!(trees[1].paths(), ["d", "d/x", "g", "g/f"]);
        // What a layer in between hides already is not hidden again.
        assert_eq!(trees[2].paths(), ["d", "d/y"]);
        assert_eq!(trees[3].paths(), ["d", "d/y", "h"]);
    }
}

/// Two layers or more, the lowest of which is late; the error, and that nothing is there.
#[track_caller]
fn refused(threads: usize, blobs: impl FnOnce(&Path) -> Vec<Blob>) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let blobs = blobs(dir.path());
    let mut unpacker = unpacker(dir.path(), threads);
    let error = unpacker.apply_all(unverified(blobs)).unwrap_err();
    // It is spoiled.
    assert_eq!(unpacker.apply(&Expect::dangerous_unverified(), open(&tar())).unwrap_err(), error);
    assert_eq!(unpacker.commit().unwrap_err(), error);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    error
}

#[test]
fn the_error_is_that_of_the_lowest_layer_that_fails_whichever_fails_first() {
    let bad = |name: &str| tar().file("f", "x").file(name, "").file("../x", "");
    let below_fails = [bad("a"), bad("b"), tar().file(".wh.f", "")];
    let upper_fails = [tar().file("f", ""), bad("b"), bad("c")];
    for layers in [below_fails, upper_fails] {
        let wanted = refused(1, |_| layers.iter().map(open).collect());
        for threads in THREADS {
            assert_eq!(refused(threads, |_| layers.iter().map(open).collect()), wanted);
            // The upper ones are read before the first byte of the lowest comes.
            let error = refused(threads, |_| {
                let read = Arc::new(AtomicBool::new(false));
                let seen = Arc::clone(&read);
                let slow = after(&layers[0], move || wait_for(|| seen.load(Ordering::SeqCst)));
                vec![slow, Box::new(Told(layers[1].source().open(), read)), open(&layers[2])]
            });
            assert_eq!(error, wanted);
        }
    }
}

#[test]
fn a_layer_that_waits_ends_when_the_one_below_fails() {
    for threads in THREADS {
        let error = refused(threads, |parent| {
            let parent = parent.to_path_buf();
            let fails = after(&tar(), move || {
                wait_for(|| staged(&parent, "1/first").is_some())?;
                Err(io::Error::other("no more"))
            });
            vec![fails, open(&tar().file("first", "").file("d/f", "")), open(&tar().file("d/.wh.f", ""))]
        });
        assert_eq!((error.kind(), error.layer()), (ErrorKind::Io, Some(0)));
    }
}

/// Fails, and says when it is gone.
struct Failing(Arc<AtomicBool>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("no more"))
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn layers_above_one_that_failed_are_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let layer = || {
        let (begun, failed) = (Arc::clone(&begun), Arc::clone(&failed));
        after(&tar(), move || {
            begun.fetch_add(1, Ordering::SeqCst);
            wait_for(|| failed.load(Ordering::SeqCst))?;
            // The other thread has time to say it.
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        })
    };
    let mut blobs: Vec<Blob> = vec![Box::new(Failing(Arc::clone(&failed)))];
    blobs.extend((0..64).map(|_| layer()));
    let error = unpacker(dir.path(), 2).apply_all(unverified(blobs)).unwrap_err();
    assert_eq!(error.layer(), Some(0));
    assert!(begun.load(Ordering::SeqCst) < 64);
}

#[test]
fn a_cancel_ends_all_layers() {
    for threads in THREADS {
        let dir = tempfile::tempdir().unwrap();
        let token = CancelToken::new();
        let cancels = token.clone();
        let parent = dir.path().to_path_buf();
        let slow = after(&tar().file("f", ""), move || {
            wait_for(|| staged(&parent, "1/first").is_some())?;
            cancels.cancel();
            Ok(())
        });
        let blobs = vec![slow, open(&tar().file("first", "").file("d/f", ""))];
        let error = unpack(unpacker(dir.path(), threads).cancel(token), blobs).unwrap_err();
        assert_eq!((error.kind(), error.layer()), (ErrorKind::Cancelled, Some(0)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

fn text(panic: &dyn Any) -> &str {
    panic.downcast_ref::<&str>().copied().unwrap_or_default()
}

fn panics(layer: &Tar) -> Blob {
    after(layer, || panic!("the reader's"))
}

#[test]
fn a_panic_of_a_reader_is_the_callers_and_spoils_the_unpacker() {
    for threads in THREADS {
        for place in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let mut unpacker = unpacker(dir.path(), threads);
            // The layers above wait for the one that panics.
            let layer = |number| if number == place { panics(&tar()) } else { open(&tar().file(format!("d/f{number}"), "")) };
            let blobs = unverified((0..3).map(layer).collect());
            let panic = catch_unwind(AssertUnwindSafe(|| unpacker.apply_all(blobs))).unwrap_err();
            assert_eq!(text(&*panic), "the reader's");
            assert_eq!(unpacker.commit().map(drop).map_err(|error| error.kind()), Err(ErrorKind::Cancelled));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
        // As one after the other: a lower layer's error comes first.
        let error = refused(threads, |_| vec![open(&tar().file("f", "").cut_at(700)), panics(&tar())]);
        assert_eq!((error.kind(), error.layer()), (ErrorKind::Truncated, Some(0)));
    }
}

/// Panics at the first event of a layer.
struct Fragile(u64);

impl Observer for Fragile {
    fn event(&mut self, layer: u64, _: &Event) {
        assert!(layer != self.0, "the observer's");
    }
}

#[test]
fn a_panic_of_the_observer_is_the_callers() {
    for threads in [1, 2, 4, 8] {
        for layer in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let mut unpacker = unpacker(dir.path(), threads).observer(Box::new(Fragile(layer)));
            let odd = || tar().file("f", "").file("f", "");
            let blobs = unverified((0..3).map(|_| open(&odd())).collect());
            let panic = catch_unwind(AssertUnwindSafe(|| unpacker.apply_all(blobs))).unwrap_err();
            assert_eq!(text(&*panic), "the observer's");
            drop(unpacker);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}

/// Is called by one thread at a time, and hears the counts of each layer grow.
struct Exact {
    inside: Arc<AtomicUsize>,
    last: Vec<u64>,
}

impl Observer for Exact {
    fn progress(&mut self, progress: &Progress) {
        assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0);
        let last = &mut self.last[progress.layer as usize];
        assert!(progress.decoded_bytes > *last);
        *last = progress.decoded_bytes;
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts the readers that are in a read.
struct Counted<R> {
    reader: R,
    reading: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reading = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(reading, Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(200));
        let read = self.reader.read(buffer);
        self.reading.fetch_sub(1, Ordering::SeqCst);
        read
    }
}

/// A layer of many pieces.
fn large(number: u64) -> Source {
    tar().dir("d").each(0..64, move |file| Entry::file(format!("d/{number}-{file}"), vec![file as u8; 64 << 10])).gzip()
}

#[test]
fn no_more_layers_are_read_at_once_than_there_are_threads_and_all_are_heard() {
    for (threads, layers) in [(2, 6), (3, 5), (4, 3), (8, 2)] {
        let dir = TempDir::new().unwrap();
        let (reading, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let blob = |number| -> Blob {
            let (reading, most) = (Arc::clone(&reading), Arc::clone(&most));
            Box::new(Counted { reader: large(number).open(), reading, most })
        };
        let observer = Exact { inside: Arc::default(), last: vec![0; layers as usize] };
        let unpacker = unpacker(dir.path(), threads).observer(Box::new(observer));
        let unpacked = unpack(unpacker, (0..layers).map(blob).collect()).unwrap();
        assert_eq!(unpacked.layers.len() as u64, layers);
        assert!(most.load(Ordering::SeqCst) <= threads, "{threads} threads");
    }
}
