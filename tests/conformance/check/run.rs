//! Runs layers in every way there is and compares the whole tree or the whole place of the error.

use std::collections::BTreeMap;
use std::path::Path;

use safe_layers::{Error, ErrorKind, Expect, LayerReport, Policy, Reason, Unpacker};

use super::dump::dump;
use super::flat;
use super::{Source, Tar, Tree, Want, Way, World, assert_same, open_root, overlay, ways};

/// A tree, and what was reported of each layer.
#[derive(Debug)]
pub struct Applied {
    pub tree: Tree,
    pub reports: Vec<LayerReport>,
}

impl Applied {
    /// The events of the last layer: reason and count.
    #[track_caller]
    pub fn events(self, expected: &[(Reason, u64)]) -> Self {
        let expected: BTreeMap<Reason, u64> = expected.iter().copied().collect();
        assert_eq!(*self.reports.last().unwrap().events.counts(), expected);
        self
    }
}

/// Applies the layers in one way and commits.
pub fn run(world: &World, policy: &Policy, layers: &[Tar], way: Way) -> Result<Vec<LayerReport>, Error> {
    run_blobs(world, policy, &sources(layers), way)
}

fn run_blobs(world: &World, policy: &Policy, blobs: &[Source], way: Way) -> Result<Vec<LayerReport>, Error> {
    let mut unpacker = Unpacker::rootfs(open_root(world.parent()), "dest", way.policy(policy))?.threads(way.threads());
    for blob in blobs {
        unpacker.apply(&Expect::dangerous_unverified(), blob.open())?;
    }
    Ok(unpacker.commit()?.layers)
}

fn sources(layers: &[Tar]) -> Vec<Source> {
    layers.iter().map(Tar::source).collect()
}

/// Applies the layers in every way, mounted overlays among them, which must agree; the canary must be as it was, and after an error nothing exposed.
#[track_caller]
pub fn apply(policy: &Policy, layers: &[Tar]) -> Result<Applied, Error> {
    apply_blobs(policy, &sources(layers))
}

#[track_caller]
fn apply_blobs(policy: &Policy, blobs: &[Source]) -> Result<Applied, Error> {
    let mut outcome: Option<Result<Applied, Error>> = None;
    for way in ways() {
        let world = way.world();
        let result = run_blobs(&world, policy, blobs, way);
        let what = format!("{way:?}");
        world.assert_outside_untouched(&what);
        world.assert_nothing_taken(&what);
        let found = match result {
            Ok(reports) => Ok(Applied { tree: world.tree().unwrap(), reports }),
            Err(error) => {
                world.assert_not_exposed(&what);
                Err(error)
            }
        };
        match &outcome {
            Some(first) => assert_agree(first, &found, &what),
            None => outcome = Some(found),
        }
    }
    let outcome = outcome.unwrap();
    overlay::agrees(policy, blobs, &outcome);
    flat::agrees(policy, blobs, &outcome);
    outcome
}

/// The same tree and the same reports, or the same error at the same place.
#[track_caller]
fn assert_agree(first: &Result<Applied, Error>, other: &Result<Applied, Error>, what: &str) {
    match (first, other) {
        (Ok(first), Ok(other)) => {
            assert_same(&first.tree, &other.tree, what);
            assert_eq!(first.reports, other.reports, "{what}");
        }
        (Err(first), Err(other)) => assert_eq!((first.kind(), first.location()), (other.kind(), other.location()), "{what}"),
        _ => panic!("{what}: the ways disagree: {} and {}", shown(first), shown(other)),
    }
}

fn shown(result: &Result<Applied, Error>) -> String {
    match result {
        Ok(applied) => format!("accepted {:?}", applied.tree.paths()),
        Err(error) => format!("refused {error}"),
    }
}

/// Applies the layers and compares the whole tree.
#[track_caller]
pub fn gives(policy: &Policy, layers: &[Tar], want: Want) -> Applied {
    let applied = gives_of_blobs(policy, &sources(layers), want);
    dump(policy, layers, &applied.tree);
    applied
}

/// As [`gives`], of layers that are compressed or otherwise stored in their own way.
#[track_caller]
pub fn gives_of_blobs(policy: &Policy, blobs: &[Source], want: Want) -> Applied {
    match apply_blobs(policy, blobs) {
        Ok(applied) => {
            assert_same(&want.tree(), &applied.tree, "applied");
            applied
        }
        Err(error) => panic!("refused: {error}"),
    }
}

/// Applies the layers, the last of which must be refused: the kind, the entry and the path.
#[track_caller]
pub fn refuses(policy: &Policy, layers: &[Tar], kind: ErrorKind, at: impl Into<At>) -> Error {
    let at = at.into();
    match apply(policy, layers) {
        Ok(applied) => panic!("accepted: {:?}", applied.tree.paths()),
        Err(error) => {
            let place = error.location();
            let found = (error.kind(), error.layer(), place.entry, place.path.as_ref().map(|path| path.escape_ascii().to_string()));
            let expected = (kind, Some(layers.len() as u64 - 1), at.0, at.1.map(|path| path.escape_ascii().to_string()));
            assert_eq!(found, expected, "{error}");
            error
        }
    }
}

/// Where an error is.
#[derive(Clone)]
pub struct At(Option<u64>, Option<Vec<u8>>);

impl At {
    /// In the headers of an entry, before its name is known.
    pub fn entry(entry: u64) -> Self {
        Self(Some(entry), None)
    }

    /// In the archive as a whole.
    pub fn nowhere() -> Self {
        Self(None, None)
    }
}

impl<P: AsRef<[u8]>> From<(u64, P)> for At {
    fn from((entry, path): (u64, P)) -> Self {
        Self(Some(entry), Some(path.as_ref().to_vec()))
    }
}

/// Writes layers into an existing directory that `prepare` filled, in every way, and compares the whole tree with `want`.
#[track_caller]
pub fn gives_in_place(policy: &Policy, prepare: impl Fn(&Path), layers: &[Tar], want: Want) {
    let want = want.tree();
    for way in ways() {
        let world = way.world();
        std::fs::create_dir(world.dest_path()).unwrap();
        prepare(&world.dest_path());
        if let Err(error) = run_in_place(&world, policy, layers, way) {
            panic!("{way:?}: {error}");
        }
        world.assert_outside_untouched(&format!("{way:?}"));
        world.assert_nothing_taken(&format!("{way:?}"));
        assert_same(&want, &world.tree().unwrap(), &format!("{way:?}"));
    }
}

pub fn run_in_place(world: &World, policy: &Policy, layers: &[Tar], way: Way) -> Result<(), Error> {
    let mut unpacker = Unpacker::in_place(open_root(&world.dest_path()), way.policy(policy))?.threads(way.threads());
    for layer in layers {
        unpacker.apply(&Expect::dangerous_unverified(), layer.source().open())?;
    }
    unpacker.commit().map(drop)
}
