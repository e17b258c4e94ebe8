//! What an attack by an image on disk is, and how each is run and judged.

use std::fs::{self, File};
use std::io::Write as _;

use safe_layers::image::{Anchor, Choice, Layout, Platform};
use safe_layers::{Error, ErrorKind, Root, ambient_authority};

use crate::common::canary::World;
use crate::common::engine::{self, Mode, sha256};
use crate::common::images::Stored;
use crate::harness::{Column, Outcome};

/// Declares the attacks, a test for each, and `ATTACKS`, the list of them: as the macro of the layers' attacks, but each gives the
/// image and the link of the chain that its error must name.
macro_rules! attacks {
    ($($(#[doc = $title:literal])+ $name:ident $ids:literal [$strict:expr, $container:expr] |$world:pat_param| $image:expr;)*) => {
        pub const ATTACKS: &[$crate::images::ImageAttack] = &[$($name::ATTACK,)*];

        $(mod $name {
            #[allow(unused_imports)]
            use super::*;

            pub const ATTACK: $crate::images::ImageAttack = $crate::images::ImageAttack {
                name: stringify!($name),
                title: concat!($($title),+),
                ids: $ids,
                strict: $strict,
                container: $container,
                image: |$world| $image,
            };

            #[test]
            fn is_held() {
                $crate::images::judge(&ATTACK);
            }
        })*
    };
}
pub(crate) use attacks;

/// One case of the catalogue.
pub struct ImageAttack {
    pub name: &'static str,
    pub title: &'static str,
    pub ids: &'static str,
    pub strict: Outcome,
    pub container: Outcome,
    pub image: fn(&World) -> (Stored, &'static str),
}

/// How an image is stored and trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A layout in a directory.
    Directory(Trust),
    /// The same, or a docker-archive, as a tar.
    Archive(Trust),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// The digest that the image had before it was changed.
    Pin,
    /// The digest of the whole archive: whoever pinned it vouches for the change.
    PinnedArchive,
    Nothing,
}

const WAYS: [Way; 5] = [
    Way::Directory(Trust::Pin),
    Way::Directory(Trust::Nothing),
    Way::Archive(Trust::Pin),
    Way::Archive(Trust::PinnedArchive),
    Way::Archive(Trust::Nothing),
];

/// Runs an attack in every way and under both policies, and panics with all that is wrong.
#[track_caller]
pub fn judge(attack: &ImageAttack) {
    let world = World::new();
    let (image, place) = (attack.image)(&world);
    let mut wrong = Vec::new();
    for (column, expected) in [(Column::Strict, attack.strict), (Column::Container, attack.container)] {
        for way in WAYS.into_iter().filter(|way| image.is_layout() || matches!(way, Way::Archive(_))) {
            for mode in [Mode::ROOTFS[0], Mode::ROOTFS[1], Mode::OVERLAY[0]] {
                world.clear();
                let what = format!("{} under {column:?}, {way:?}, {mode:?}", attack.name);
                let result = run(&world, &image, way, mode, column);
                world.assert_outside_untouched(&what);
                world.assert_nothing_taken(&what);
                if result.is_err() {
                    world.assert_not_exposed(&what);
                }
                wrong.extend(fault(expected, way, place, &result).map(|fault| format!("  {what}: {fault}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} ({}):\n{}", attack.name, attack.title.trim(), wrong.join("\n"));
}

fn run(world: &World, image: &Stored, way: Way, mode: Mode, column: Column) -> Result<(), Error> {
    let place = tempfile::tempdir().unwrap();
    let (layout, trust) = match way {
        Way::Directory(trust) => {
            image.write(place.path());
            (Layout::open(Root::open_ambient(place.path(), ambient_authority())?), trust)
        }
        Way::Archive(trust) => {
            let (mut file, bytes) = (tempfile::tempfile().unwrap(), image.archive().bytes());
            file.write_all(&bytes).unwrap();
            (open(file, &bytes, trust), trust)
        }
    };
    let choice = match trust {
        Trust::Pin => Choice::pinned(image.pin),
        Trust::PinnedArchive => Choice::pinned_archive(),
        Trust::Nothing => Choice::dangerous_unpinned(),
    };
    let image = layout?.image(&choice.platform(Platform::parse("linux/amd64")?))?;
    assert_eq!(image.anchor() == Anchor::Nothing, trust == Trust::Nothing);
    let unpacked = image.unpack(engine::unpacker(world.parent(), mode, column.policy())?)?;
    assert_eq!(unpacked.layers.len(), image.layers().len());
    assert!(fs::exists(world.dest_path()).unwrap());
    Ok(())
}

fn open(file: File, bytes: &[u8], trust: Trust) -> Result<Layout, Error> {
    match trust {
        Trust::PinnedArchive => Layout::open_pinned_archive(file, &sha256(bytes)),
        Trust::Pin | Trust::Nothing => Layout::open_archive(file),
    }
}

/// What is wrong with a result, if anything is.
fn fault(expected: Outcome, way: Way, place: &str, result: &Result<(), Error>) -> Option<String> {
    // A pinned digest is opened itself, and `index.json` not at all.
    let pinned = matches!(way, Way::Directory(Trust::Pin) | Way::Archive(Trust::Pin));
    let expected = match expected {
        Outcome::Reject(_) if pinned && place == "index.json" => Outcome::Accept,
        expected => expected,
    };
    let place = if pinned { place.replace("index.json → manifests[0]", "the pinned document") } else { place.to_owned() };
    match (expected, result) {
        (Outcome::Accept | Outcome::Contain, Ok(())) => None,
        (Outcome::Reject(kind), Err(error)) if error.kind() == kind => at(error, &place),
        (Outcome::Contain, Err(error)) if error.kind() != ErrorKind::Io => at(error, &place),
        _ => Some(format!("expected {expected:?}, got {:?}", result.as_ref().map_err(ToString::to_string))),
    }
}

fn at(error: &Error, place: &str) -> Option<String> {
    let found = error.descriptor_path().map(ToString::to_string).unwrap_or_default();
    (found != place).then(|| format!("the error is to name {place}: {error}"))
}
