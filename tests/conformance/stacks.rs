//! Random stacks of layers: against a model that works the other way round, and wilder ones, in which all forms must agree.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use safe_layers::{ErrorKind, Fifos, Hardlinks, ImplicitParents, NonDirectoryParents, Policy, SymlinkedParents, Symlinks};

use crate::check::*;
use crate::common::model::{Model, Op, layer};

/// Paths that collide a lot: of directories, and of anything that may stand in their place but a symlink.
fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

/// Names that no directory has.
const PLAIN: [&str; 2] = ["x.", "y."];
/// Names that may be those of symlinks too: in the place of a directory one could become a parent, which the model leaves out.
const LINKS: [&str; 2] = ["s.", "t."];

fn leaf(names: [&'static str; 2]) -> impl Strategy<Value = String> {
    (prop::option::of(path()), prop::sample::select(names.to_vec()))
        .prop_map(|(parent, name)| parent.map_or(name.to_owned(), |parent| format!("{parent}/{name}")))
}

fn op() -> impl Strategy<Value = Op> {
    let any = || prop_oneof![2 => path(), 1 => leaf(PLAIN), 1 => leaf(LINKS)];
    let mode = || prop::sample::select(vec![0o644_u32, 0o600, 0o755, 0o444]);
    let linked = prop_oneof![3 => (prop_oneof![path(), leaf(PLAIN)], leaf(PLAIN)), 2 => (leaf(LINKS), leaf(LINKS))];
    prop_oneof![
        4 => (path(), prop::sample::select(vec![0o755_u32, 0o700, 0o711]), 1..9_i64)
            .prop_map(|(path, mode, mtime)| Op::Dir { path, mode, mtime }),
        4 => (any(), mode(), 1..9_i64, "[a-c]{0,3}")
            .prop_map(|(path, mode, mtime, data)| Op::File { path, mode, mtime, data: data.into_bytes() }),
        2 => (leaf(LINKS), 1..9_i64, "[a-c]{1,3}")
            .prop_map(|(path, mtime, target)| Op::Symlink { path, mtime, target: target.into_bytes() }),
        1 => (any(), 1..9_i64).prop_map(|(path, mtime)| Op::Fifo { path, mtime }),
        4 => linked.prop_map(|(path, target)| Op::Hardlink { path, target }),
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

/// Runs a property over random values, with the smallest that fails in the message.
fn holds<T: Debug>(values: &impl Strategy<Value = T>, property: impl Fn(T) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    if let Err(failure) = runner.run(values, property) {
        panic!("{failure}");
    }
}

/// The merged tree is the model, and so is each overlay that is mounted.
#[test]
fn a_random_stack_gives_the_tree_of_the_model() {
    holds(&stack(), |layers| {
        let tars: Vec<Tar> = layers.iter().map(|ops| layer(ops)).collect();
        match (Model::of(&layers), apply(&container(), &tars)) {
            (Some(model), Ok(applied)) => {
                let diff = model.tree(me()).diff(&applied.tree);
                prop_assert!(diff.is_empty(), "- model, + applied:\n{}", diff);
            }
            (None, Err(error)) => prop_assert_eq!(error.kind(), ErrorKind::HardlinkTargetMissing),
            (Some(model), Err(error)) => prop_assert!(false, "the model says {:?}, the engine {error}", model.tree(me()).paths()),
            (None, Ok(applied)) => prop_assert!(false, "the model refuses, the engine gives {:?}", applied.tree.paths()),
        }
        Ok(())
    });
}

/// One entry of any type, its links to anywhere.
#[derive(Clone, Debug)]
struct Wild {
    typeflag: u8,
    path: String,
    target: String,
    mode: u32,
    mtime: i64,
    xattr: Option<&'static str>,
}

impl Wild {
    fn entry(&self) -> Entry {
        let entry = Entry::of(self.typeflag, &self.path).mode(self.mode.into()).mtime(self.mtime.into());
        let entry = match self.typeflag {
            b'0' => entry.body(&self.target),
            b'1' | b'2' => entry.link(&self.target),
            _ => entry,
        };
        match self.xattr {
            Some(name @ "user.k") => entry.pax(format!("SCHILY.xattr.{name}"), &self.target),
            Some(name) => entry.pax(format!("SCHILY.xattr.{name}"), acl(&[(1, 7), (4, 5), (32, 1)])),
            None => entry,
        }
    }
}

fn wild() -> impl Strategy<Value = Wild> {
    let name = || prop::sample::select(vec!["a", "b", "c"]);
    let path = move || prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"));
    let up = prop::sample::select(vec!["", "/", "../", "../../", "./"]);
    let target = (up, path()).prop_map(|(up, path)| format!("{up}{path}"));
    let marker = (prop::option::of(path()), prop::sample::select(vec![".wh.a", ".wh.b", ".wh.c", ".wh..wh..opq"]));
    let marker = marker.prop_map(|(parent, name)| parent.map_or(name.to_owned(), |parent| format!("{parent}/{name}")));
    let mode = prop::sample::select(vec![0o755_u32, 0o700, 0o2750, 0o1777]);
    let placed = prop_oneof![
        3 => (path(), Just(b'5')),
        4 => (path(), Just(b'0')),
        3 => (path(), Just(b'2')),
        3 => (path(), Just(b'1')),
        1 => (path(), Just(b'6')),
        4 => (marker, Just(b'0')),
    ];
    let xattr = prop::sample::select(vec![None, None, Some("user.k"), Some("system.posix_acl_default"), Some("system.posix_acl_access")]);
    (placed, target, mode, 1..9_i64, xattr).prop_map(|((path, typeflag), target, mode, mtime, xattr)| {
        let target = if typeflag == b'1' { target.trim_start_matches(['.', '/']).to_owned() } else { target };
        Wild { typeflag, path, target, mode, mtime, xattr }
    })
}

/// Container and what it is with one knob or two turned.
fn policies() -> Vec<Policy> {
    let strict = with(strict(), |policy| (policy.symlinks, policy.fifos) = (Symlinks::Keep, Fifos::Create));
    let mut policies = vec![container(); 5];
    policies[1].symlinked_parents = SymlinkedParents::Reject;
    policies[2].non_directory_parents = NonDirectoryParents::Reject;
    policies[3].implicit_parents = ImplicitParents::Error;
    policies[4].hardlinks = Hardlinks::InLayer;
    policies.extend([container(), strict]);
    policies
}

/// Parents are symlinks as often as not, many a layer is refused: nobody says what is right, but every way and form says the same.
#[test]
fn a_random_stack_with_symlinks_for_parents_is_the_same_in_every_form() {
    let stacks = prop::collection::vec(prop::collection::vec(wild(), 0..7), 1..5);
    // How many stacks were accepted, and how many layers they had.
    let accepted = std::cell::Cell::new((0_u32, 0_u32));
    holds(&(stacks, prop::sample::select(policies())), |(layers, policy)| {
        let tars: Vec<Tar> = layers.iter().map(|entries| entries.iter().fold(tar(), |tar, entry| tar.add(entry.entry()))).collect();
        // As many layers as there are without a fault.
        for count in (1..=tars.len()).rev() {
            if apply(&policy, &tars[..count]).is_ok() {
                accepted.set((accepted.get().0 + 1, accepted.get().1 + count as u32));
                break;
            }
        }
        Ok(())
    });
    let (accepted, layers) = accepted.get();
    assert!(accepted * 4 > cases() && layers > accepted, "{accepted} of {} were accepted, of {layers} layers", cases());
}
