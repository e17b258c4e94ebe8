//! Stacks of layers that nobody wrote by hand give the tree that the rules give, whatever the resolver and the number of threads.

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

use proptest::prelude::*;

use common::canary::World;
use common::engine::{self, Mode};
use common::model::{Model, Op, layer};
use common::snapshot::assert_same;

/// A path of at most three components over few names, so that layers meet.
fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..=3).prop_map(|names| names.join("/"))
}

/// A name that no other entry uses as a parent.
fn leaf(name: &'static str) -> impl Strategy<Value = String> {
    path().prop_map(move |path| format!("{path}/{name}"))
}

fn op() -> impl Strategy<Value = Op> {
    let mode = prop::sample::select(vec![0o000, 0o644, 0o700, 0o755]);
    let mtime = 0_i64..2_000_000_000;
    prop_oneof![
        3 => (path(), mode.clone(), mtime.clone()).prop_map(|(path, mode, mtime)| Op::Dir { path, mode, mtime }),
        4 => (path(), mode, mtime.clone(), ".{0,9}")
            .prop_map(|(path, mode, mtime, data)| Op::File { path, mode, mtime, data: data.into() }),
        1 => (leaf("s"), mtime, path()).prop_map(|(path, mtime, target)| Op::Symlink { path, mtime, target: target.into() }),
        1 => (leaf("h"), prop_oneof![path(), leaf("h")])
            .prop_filter("a link below its own target", |(path, target)| !path.starts_with(&format!("{target}/")))
            .prop_map(|(path, target)| Op::Hardlink { path, target }),
        2 => path().prop_map(|path| Op::Whiteout { path }),
        1 => prop_oneof![path(), Just(String::new())].prop_map(|path| Op::Opaque { path }),
    ]
}

fn stack() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..12), 1..4)
}

/// Whether a hardlink may be to a lower file that a marker of the same layer hides: the rules do not say what it is then.
fn is_unsettled(ops: &[Op]) -> bool {
    let made = |target: &String| ops.iter().any(|op| matches!(op, Op::File { path, .. } if path == target));
    let lower = ops.iter().any(|op| matches!(op, Op::Hardlink { target, .. } if !made(target)));
    lower && ops.iter().any(|op| matches!(op, Op::Whiteout { .. } | Op::Opaque { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stack_of_layers_gives_the_tree_of_the_model(stack in stack()) {
        prop_assume!(!stack.iter().any(|ops| is_unsettled(ops)));
        let world = World::new();
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let blobs = stack.iter().map(|ops| layer(ops).source()).collect::<Vec<_>>();
        for mode in Mode::ROOTFS {
            world.clear();
            let result = engine::unpack(world.parent(), mode, engine::container_for_caller(), &blobs);
            match (Model::of(&stack), result) {
                // A hardlink without a target, or one before its target: tests of their own, with names.
                (None, _) => {}
                (Some(model), _) if model.has_waited => {}
                (Some(model), Ok(_)) => assert_same(&model.tree(owner), &world.tree().unwrap(), &format!("{mode:?}")),
                (Some(model), Err(error)) => prop_assert!(false, "{mode:?}: {error}, the model {:?}", model.tree(owner).paths()),
            }
        }
        world.assert_outside_untouched("the stack");
    }
}
