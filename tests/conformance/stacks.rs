//! Random stacks of layers against a model that works the other way round.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::check::*;
use crate::common::model::{Model, Op, layer};

/// Paths that collide a lot. Names with a dot at the end are never directories, so that a hardlink always has a sensible place.
fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn leaf() -> impl Strategy<Value = String> {
    (prop::option::of(path()), prop::sample::select(vec!["x.", "y.", "z."]))
        .prop_map(|(parent, name)| parent.map_or(name.to_owned(), |parent| format!("{parent}/{name}")))
}

fn op() -> impl Strategy<Value = Op> {
    let any = || prop_oneof![path(), leaf()];
    let mode = || prop::sample::select(vec![0o644_u32, 0o600, 0o755, 0o444]);
    prop_oneof![
        4 => (path(), prop::sample::select(vec![0o755_u32, 0o700, 0o711]), 1..9_i64)
            .prop_map(|(path, mode, mtime)| Op::Dir { path, mode, mtime }),
        4 => (any(), mode(), 1..9_i64, "[a-c]{0,3}")
            .prop_map(|(path, mode, mtime, data)| Op::File { path, mode, mtime, data: data.into_bytes() }),
        // In the place of a directory a symlink could become a parent, which the model leaves out: only where none can be.
        2 => (leaf(), 1..9_i64, "[a-c]{1,3}").prop_map(|(path, mtime, target)| Op::Symlink { path, mtime, target: target.into_bytes() }),
        1 => (any(), 1..9_i64).prop_map(|(path, mtime)| Op::Fifo { path, mtime }),
        3 => (any(), leaf()).prop_map(|(path, target)| Op::Hardlink { path, target }),
        3 => any().prop_map(|path| Op::Whiteout { path }),
        2 => prop_oneof![Just(String::new()), path()].prop_map(|path| Op::Opaque { path }),
    ]
}

fn stack() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..9).prop_map(without_loops), 1..5)
}

/// Leaves out the links to themselves, of which the model knows less.
fn without_loops(mut ops: Vec<Op>) -> Vec<Op> {
    ops.retain(|op| !matches!(op, Op::Hardlink { path, target } if path == target));
    ops
}

/// As many cases as `PROPTEST_CASES` says, for a longer run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
}

/// The merged tree is the model, and so is each overlay that is mounted.
#[test]
fn a_random_stack_gives_the_tree_of_the_model() {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let result = runner.run(&stack(), |layers| {
        let tars: Vec<Tar> = layers.iter().map(|ops| layer(ops)).collect();
        let applied = apply(&container(), &tars);
        match (Model::of(&layers), applied) {
            (Some(model), Ok(applied)) => {
                let diff = model.tree(me()).diff(&applied.tree);
                prop_assert!(diff.is_empty(), "- model, + applied:\n{}", diff);
            }
            (None, Err(error)) => prop_assert_eq!(error.kind(), safe_layers::ErrorKind::HardlinkTargetMissing),
            (model, applied) => prop_assert!(
                false,
                "the model says {:?}, the engine {:?}",
                model.map(|m| m.tree(me()).paths()),
                applied.map(|a| a.tree.paths())
            ),
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
