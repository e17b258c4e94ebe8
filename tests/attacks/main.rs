//! The attacks on unpackers that are known, as data, each run in every mode and under both policies: those by layers in `corpus`, those
//! by images on disk in `image_level`.
//!
//! Beside the outcome, each run is held to this: nothing outside the root changes; no inode and no byte of the outside is below the
//! root; a refused layer leaves nothing exposed; the result depends neither on the sizes of the reads nor on the mode.

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

#[path = "../common/mod.rs"]
mod common;
#[path = "corpus.rs"]
mod corpus;
mod harness;
mod image_level;
mod images;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::canary::World;
use corpus::{CLASSES, DISAGREEMENTS};
use harness::Attack;

#[test]
fn the_corpus_is_complete_and_no_case_stands_twice() {
    let ids = CLASSES.iter().copied().flatten().map(Attack::id).collect::<BTreeSet<_>>();
    assert_eq!(CLASSES.iter().copied().flatten().count(), 224);
    assert_eq!(ids.len(), 224);
    let images = image_level::ATTACKS.iter().map(|attack| attack.name).collect::<BTreeSet<_>>();
    assert_eq!((image_level::ATTACKS.len(), images.len()), (22, 22));
    for entry in DISAGREEMENTS {
        assert!(ids.contains(entry.id), "{} is not in the corpus: {}", entry.id, entry.why);
    }
}

/// The table of published holes names the tests that hold them; with `SAFE_LAYERS_UPDATE` set it is written anew.
#[test]
fn the_table_of_published_holes_is_that_of_the_tests() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/KNOWN-HOLES.md");
    let table = published_holes();
    if std::env::var_os("SAFE_LAYERS_UPDATE").is_some() {
        fs::write(&file, &table).unwrap();
    }
    assert!(fs::read_to_string(&file).unwrap() == table, "docs/KNOWN-HOLES.md is not current: run with SAFE_LAYERS_UPDATE=1");
}

const PREFACE: &str = "\
# Published holes of unpackers, and the test that holds each

Written by `tests/attacks` from its own cases, and checked by it: `SAFE_LAYERS_UPDATE=1 cargo test --test attacks`.
An identifier stands for software that unpacks archives or images and once fell to the attack; none of them is of this crate. Each
test runs the attack under `strict` and `container`, as one tree, in place and in overlay form, with both ways to resolve parents; one
by an image (`img_…`) as a layout and as an archive, with and without a pin.

| identifier | attack | tests (`cargo test --test attacks NAME`) |
|---|---|---|
";

fn published_holes() -> String {
    let of_layers = CLASSES.iter().copied().flatten().map(|attack| (attack.name, attack.title, attack.ids));
    let of_images = image_level::ATTACKS.iter().map(|attack| (attack.name, attack.title, attack.ids));
    let mut holes = BTreeMap::<&str, Vec<(&str, &str)>>::new();
    for (name, title, ids) in of_layers.chain(of_images) {
        for id in ids.split([' ', ',']).filter(|id| !id.is_empty()) {
            assert!(["CVE-", "GHSA-", "RUSTSEC-"].iter().any(|known| id.starts_with(known)), "{name}: {id}");
            holes.entry(id).or_default().push((name, title));
        }
    }
    let rows = holes.iter().map(|(id, attacks)| {
        let titles = attacks.iter().map(|(_, title)| title.trim().trim_end_matches('.').replace('|', "\\|")).collect::<Vec<_>>().join("; ");
        let tests = attacks.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        format!("| {id} | {titles} | {tests} |\n")
    });
    format!("{PREFACE}{}", rows.collect::<String>())
}

/// The oracle can fail: an unpacker that joins names to the root trips it.
#[test]
fn a_naive_unpacker_is_caught() {
    let world = World::new();
    let case = find("name-dotdot");
    fs::create_dir(world.dest_path()).unwrap();
    naive_unpack(&case.layer_bytes(&world), &world.dest_path());
    let caught = catch_unwind(AssertUnwindSafe(|| world.assert_outside_untouched("naive"))).unwrap_err();
    let message = caught.downcast_ref::<String>().unwrap();
    assert!(message.contains("+ canary/pwn"), "{message}");
}

/// The other half of the oracle: what is taken from the outside is found below the root.
#[test]
fn a_naive_hardlink_is_caught() {
    let world = World::new();
    fs::create_dir(world.dest_path()).unwrap();
    world.assert_nothing_taken("empty");
    fs::hard_link(world.canary("/file"), world.dest("/h")).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| world.assert_nothing_taken("naive"))).is_err());
    fs::remove_file(world.dest("/h")).unwrap();
    fs::copy(world.canary("/file"), world.dest("/h")).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| world.assert_nothing_taken("naive"))).is_err());
}

fn find(id: &str) -> &'static Attack {
    CLASSES.iter().copied().flatten().find(|attack| attack.id() == id).unwrap()
}

/// What an unpacker must not be: regular files of plain ustar, at the names that the archive gives.
fn naive_unpack(mut archive: &[u8], root: &Path) {
    while let Some((header, rest)) = archive.split_first_chunk::<512>().filter(|(header, _)| header[0] != 0) {
        let name = header[..100].split(|byte| *byte == 0).next().unwrap();
        let path = root.join(std::str::from_utf8(name).unwrap());
        let len = usize::from_str_radix(std::str::from_utf8(&header[124..135]).unwrap(), 8).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &rest[..len]).unwrap();
        archive = &rest[len.next_multiple_of(512)..];
    }
}
