//! Every call on the tree fails in turn: with each of many error numbers, once and for ever.
//!
//! After that there is an error and nothing under the final name, or the exact tree; what a tree lacks the report tells. The same
//! unpack succeeds once the cause is gone, and what was left is found by `recover`. With `SAFE_LAYERS_TORTURE=full` every call is
//! taken with every error number, else a part that grows with neither.
#![cfg(feature = "fault-injection")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::builder::{Entry, Tar, tar};
use common::canary::make_removable;
use common::engine::{self, Form, Mode};
use common::snapshot::{Tree, assert_same};
use safe_layers::fault::{Calls, Fault, inject};
use safe_layers::{Durability, Error, ErrorKind, Expect, LayerReport, Reason, Resolver, Root, recover};

const ERRNOS: [(&str, i32); 11] = [
    ("EPERM", 1),
    ("EINTR", 4),
    ("EIO", 5),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EEXIST", 17),
    ("EMFILE", 24),
    ("ENOSPC", 28),
    ("ENOSYS", 38),
    ("EDQUOT", 122),
];

const MODES: [Mode; 7] = [
    Mode { form: Form::Rootfs, resolver: Resolver::Auto, threads: 1, chunk: usize::MAX },
    Mode { form: Form::Rootfs, resolver: Resolver::Walk, threads: 1, chunk: usize::MAX },
    Mode { form: Form::Overlay, resolver: Resolver::Auto, threads: 1, chunk: usize::MAX },
    Mode { form: Form::Overlay, resolver: Resolver::Walk, threads: 1, chunk: usize::MAX },
    Mode { form: Form::Rootfs, resolver: Resolver::Auto, threads: 2, chunk: usize::MAX },
    Mode { form: Form::Overlay, resolver: Resolver::Walk, threads: 4, chunk: usize::MAX },
    BESIDE,
];

/// With the layers side by side.
const BESIDE: Mode = Mode { form: Form::Overlay, resolver: Resolver::Auto, threads: 2, chunk: usize::MAX };

/// Layers that need every kind of call.
fn layers() -> [Tar; 2] {
    let lower = tar()
        .add(Entry::dir("").mode(0o755))
        .add(Entry::dir("d").mode(0o2750).pax("SCHILY.xattr.user.a", "1"))
        .add(Entry::file("d/x", "1").mode(0o640).pax("SCHILY.xattr.user.b", "2"))
        .dir("d/sub")
        .file("d/sub/w", "2")
        .symlink("s", "/d/sub")
        .file("f", "3")
        .hardlink("late", "z")
        .hardlink("h", "f")
        .fifo("p")
        .file("z", "4")
        .add(Entry::gnu_sparse("sparse", &[(4096, 512)], 1 << 16, vec![1_u8; 512]))
        .file("gone/a/b", "5")
        .file("old/c", "");
    let upper = tar()
        .file("s/through", "6")
        .file(".wh.gone", "")
        .file("old/new", "")
        .file("old/.wh..wh..opq", "")
        .file("d/.wh.x", "")
        .dir("f")
        .hardlink("up", "z")
        .add(Entry::dir("d").mode(0o500).mtime(-5));
    [lower, upper]
}

fn unpack(parent: &Path, mode: Mode) -> Result<Vec<LayerReport>, Error> {
    let mut unpacker = engine::unpacker(parent, mode, engine::container_for_caller())?.durability(Durability::Tree);
    if mode == BESIDE {
        unpacker.apply_all(layers().map(|layer| (Expect::dangerous_unverified(), layer.source().open())))?;
    } else {
        for layer in layers() {
            engine::apply(&mut unpacker, mode, &layer.source(), None)?;
        }
    }
    Ok(unpacker.commit()?.layers)
}

fn open(path: &Path) -> Root {
    Root::open_ambient(path, cap_std::ambient_authority()).unwrap()
}

/// A place to unpack in, made anew for each run.
struct Place {
    dir: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        // An ordinary user removes only what he may write to.
        make_removable(self.dir.path()).ok();
    }
}

impl Place {
    fn new() -> Self {
        let shared = Path::new("/dev/shm");
        let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        Self { dir: dir.unwrap() }
    }

    fn tree(&self) -> Option<Tree> {
        let dest = self.dir.path().join("dest");
        dest.symlink_metadata().ok().map(|_| Tree::take(&dest, |_| false))
    }

    fn names(&self) -> Vec<String> {
        std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// The tree and the events without a fault.
struct Reference {
    tree: Tree,
    events: Vec<BTreeMap<Reason, u64>>,
    calls: u64,
}

fn events(reports: &[LayerReport]) -> Vec<BTreeMap<Reason, u64>> {
    reports.iter().map(|report| report.events.counts().clone()).collect()
}

fn reference(mode: Mode) -> Reference {
    let place = Place::new();
    let (reports, calls) = inject(Fault::Never, || unpack(place.dir.path(), mode).unwrap());
    Reference { tree: normal(place.tree().unwrap(), mode), events: events(&reports), calls: calls.count }
}

/// Without the time of the directory that holds the layers, which is that of the run.
fn normal(mut tree: Tree, mode: Mode) -> Tree {
    if mode.form == Form::Overlay {
        tree.nodes.get_mut(&b""[..]).unwrap().mtime = (0, 0);
    }
    tree
}

/// What became of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    Exact,
    /// With an event for what is missing.
    Told,
    /// The fault was never reached.
    NotReached,
}

fn run(mode: Mode, fault: Fault, reference: &Reference) -> (Outcome, Calls) {
    let place = Place::new();
    let what = format!("{mode:?}, {fault:?}");
    let (result, calls) = inject(fault, || unpack(place.dir.path(), mode));
    let outcome = match result {
        Ok(reports) => {
            let tree = normal(place.tree().unwrap_or_else(|| panic!("{what}: success without a tree")), mode);
            if events(&reports) == reference.events {
                assert_same(&reference.tree, &tree, &what);
                if calls.failed.is_some() { Outcome::Exact } else { Outcome::NotReached }
            } else {
                Outcome::Told
            }
        }
        Err(_) => {
            if let Some(tree) = place.tree() {
                // The name is there only if the tree is: what failed came after it.
                assert_same(&reference.tree, &normal(tree, mode), &what);
                let dest = place.dir.path().join("dest");
                make_removable(&dest).and_then(|()| std::fs::remove_dir_all(&dest)).unwrap();
            }
            Outcome::Refused
        }
    };
    if outcome == Outcome::Refused {
        let left = place.names();
        let recovered = recover(&open(place.dir.path())).unwrap();
        assert_eq!(left.len(), recovered.len(), "{what}: left {left:?}, recovered {recovered:?}");
        assert!(matches!(fault, Fault::ForEver(..) | Fault::Named(..)) || left.len() <= 1, "{what}: left {left:?}");
        unpack(place.dir.path(), mode).unwrap_or_else(|error| panic!("{what}: again: {error}"));
        assert_same(&reference.tree, &normal(place.tree().unwrap(), mode), &format!("{what}: again"));
        assert_eq!(place.names(), ["dest"]);
    }
    (outcome, calls)
}

#[test]
fn whatever_call_fails_the_tree_is_exact_or_absent() {
    let full = std::env::var_os("SAFE_LAYERS_TORTURE").is_some_and(|value| value == "full");
    let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
    for (turn, mode) in MODES.into_iter().enumerate() {
        let reference = reference(mode);
        assert!(reference.calls > 150, "{} calls", reference.calls);
        for call in 0..reference.calls {
            for (number, (_, errno)) in ERRNOS.into_iter().enumerate() {
                // In the short form each call has some of the errors, other ones in each mode.
                if !full && !(call as usize + number + turn).is_multiple_of(5) {
                    continue;
                }
                for fault in [Fault::Once(call, errno), Fault::ForEver(call, errno)] {
                    let (outcome, calls) = run(mode, fault, &reference);
                    assert!(calls.failed.is_some(), "{mode:?}, {fault:?}: never reached");
                    *outcomes.entry(outcome).or_default() += 1;
                }
            }
        }
    }
    println!("faults: {} runs, {outcomes:?}", outcomes.values().sum::<u64>());
    assert!(outcomes[&Outcome::Refused] > 1000);
}

#[test]
fn a_kernel_without_a_call_gives_the_same_tree_or_a_refusal() {
    for mode in MODES {
        let reference = reference(mode);
        for name in ["openat2", "statx", "renameat_with", "syncfs", "fsetxattr", "fgetxattr", "flistxattr", "fremovexattr"] {
            for errno in [38, 1] {
                let (outcome, calls) = run(mode, Fault::Named(name, errno), &reference);
                println!("{mode:?}, {name} fails with {errno}: {outcome:?}");
                let never_needed = outcome == Outcome::NotReached;
                assert_eq!(never_needed, calls.failed.is_none());
                if matches!(name, "openat2" | "statx" | "renameat_with") {
                    assert!(matches!(outcome, Outcome::Exact | Outcome::NotReached), "{name}: {outcome:?}");
                }
            }
        }
    }
}

#[test]
fn the_first_file_that_cannot_be_filled_is_named_whichever_thread_fills_it() {
    for threads in [1, 2, 4, 8] {
        for name in ["pwrite64", "futimens"] {
            let place = Place::new();
            let layer = (0..200).fold(tar(), |tar, number| tar.file(format!("f{number}"), "content"));
            let mode = Mode { threads, ..MODES[0] };
            let unpack = || engine::unpack(place.dir.path(), mode, engine::container_for_caller(), &[layer.source()]);
            let error = inject(Fault::Named(name, 28), unpack).0.unwrap_err();
            let found = (error.errno(), error.location().entry, error.location().path.clone());
            assert_eq!(found, (Some(28), Some(0), Some(b"f0".to_vec())), "{name}, {threads} threads");
            assert_eq!(place.tree().map(|_| ()), None);
        }
    }
}

#[test]
fn a_staging_directory_that_is_taken_is_made_anew_and_one_that_cannot_be_locked_is_an_error() {
    const TAKEN: i32 = 11;
    for (errno, told) in [(TAKEN, None), (5, Some(5))] {
        let place = Place::new();
        let unpack = || engine::unpack(place.dir.path(), MODES[0], engine::container_for_caller(), &[tar().file("f", "x").source()]);
        let (result, calls) = inject(Fault::Named("flock", errno), unpack);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.errno(), calls.failed), (ErrorKind::Io, told, Some("flock")));
        assert_eq!(std::fs::read_dir(place.dir.path()).unwrap().count(), 0, "a leftover");
    }
}

#[test]
fn a_staging_directory_whose_owner_cannot_be_set_will_do_where_it_is_the_callers_already() {
    let place = Place::new();
    let begin = || engine::unpacker(place.dir.path(), MODES[0], engine::container_for_caller());
    let (begun, calls) = inject(Fault::Named("fchown", 1), begin);
    let mut unpacker = begun.unwrap();
    assert_eq!(calls.failed, Some("fchown"));
    engine::apply(&mut unpacker, MODES[0], &tar().file("f", "x").source(), None).unwrap();
    unpacker.commit().unwrap();
    assert!(place.tree().is_some());
}

#[test]
fn a_large_file_that_cannot_be_written_comes_before_what_is_wrong_later_in_it_and_a_small_one_is_never_begun() {
    // What fits in a piece is written when all of it is there.
    for (len, cut, errno) in [(2000, 1000, None), (700 << 10, 600 << 10, Some(28))] {
        for threads in [1, 2, 4, 8] {
            let place = Place::new();
            let mode = Mode { threads, ..MODES[0] };
            let layer = tar().file("f", vec![b'x'; len]).cut_at(512 + cut).source();
            let run = || engine::unpack(place.dir.path(), mode, engine::container_for_caller(), std::slice::from_ref(&layer));
            let error = inject(Fault::Named("pwrite64", 28), run).0.unwrap_err();
            let kind = if errno.is_some() { ErrorKind::Io } else { ErrorKind::Truncated };
            assert_eq!((error.kind(), error.errno(), error.location().entry), (kind, errno, Some(0)), "{threads} threads");
            assert_eq!(place.tree().map(|_| ()), None);
        }
    }
}

#[test]
fn a_second_name_of_a_copied_file_is_no_copy_of_its_own_where_procfs_is_missing() {
    for mode in MODES.into_iter().filter(|mode| mode.form == Form::Overlay) {
        let layers = [tar().file("a", "1").hardlink("b", "a"), tar().hardlink("c", "a").hardlink("d", "b")];
        let unpack = |place: &Place| -> Result<(), Error> {
            let mut unpacker = engine::unpacker(place.dir.path(), mode, engine::container_for_caller())?;
            for layer in &layers {
                engine::apply(&mut unpacker, mode, &layer.source(), None)?;
            }
            unpacker.commit().map(drop)
        };
        let place = Place::new();
        unpack(&place).unwrap();
        assert_eq!(place.tree().unwrap().get("1/d").unwrap().nlink, 4);
        // No filesystem says that it is procfs.
        let place = Place::new();
        let (result, calls) = inject(Fault::Named("fstatfs", 38), || unpack(&place));
        assert_eq!(calls.failed, Some("fstatfs"));
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.location().path.as_deref()), (ErrorKind::Io, Some(&b"d"[..])));
        assert_eq!(place.tree(), None);
    }
}

#[test]
fn a_durable_commit_needs_both_syncs_and_one_that_is_not_asks_for_none() {
    for mode in MODES {
        let unpack = |place: &Place, durability| -> Result<(), Error> {
            let mut unpacker = engine::unpacker(place.dir.path(), mode, engine::container_for_caller())?.durability(durability);
            engine::apply(&mut unpacker, mode, &tar().file("f", "x").source(), None)?;
            unpacker.commit().map(drop)
        };
        // After the second the tree is there: its name may be lost, not a part of it.
        for (call, visible) in [("syncfs", false), ("fsync", true)] {
            let place = Place::new();
            let (result, calls) = inject(Fault::Named(call, 5), || unpack(&place, Durability::Tree));
            assert_eq!((result.map_err(|error| error.errno()), calls.failed), (Err(Some(5)), Some(call)), "{mode:?}");
            assert_eq!(place.tree().is_some(), visible, "{mode:?}, {call}");
            let place = Place::new();
            let (result, calls) = inject(Fault::Named(call, 5), || unpack(&place, Durability::None));
            assert_eq!((result, calls.failed), (Ok(()), None), "{mode:?}");
        }
    }
}

#[test]
fn a_success_that_is_not_exact_is_noticed() {
    let mode = MODES[0];
    let mut wrong = reference(mode);
    wrong.tree.nodes.remove(&b"z"[..]).unwrap();
    let noticed = std::panic::catch_unwind(|| run(mode, Fault::Never, &wrong));
    assert!(noticed.is_err());
}
