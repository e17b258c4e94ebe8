//! Instructions that the real program takes for n, 2n and 4n of what may be many: in proportion, not more.

use std::path::Path;
use std::process::Command;

use crate::common::builder::{Entry, Source, tar};
use crate::evidence::Counts;
use crate::run::{Settings, unpack_program};
use crate::sweep::Place;

/// What 4n may cost, in hundredths of what 2n does.
const MOST: u64 = 210;

/// Something that may be many, a number of it that is few, and a layer with so many.
type Dimension = (&'static str, u64, fn(u64) -> Source);

const DIMENSIONS: [Dimension; 9] = [
    ("entries", 500, |n| tar().each(0..n, |i| Entry::file(format!("d{}/f{i}", i % 10), "x")).source()),
    ("directories", 500, |n| tar().each(0..n, |i| Entry::dir(format!("d{i}"))).source()),
    ("bytes of a name", 900, |n| tar().each(0..100, move |i| Entry::file(long_name(i, n), "x")).source()),
    ("depth", 60, |n| tar().each(0..100, move |i| Entry::file(format!("{}f{i}", "d/".repeat(n as usize)), "x")).source()),
    ("links", 500, |n| tar().file("f", "x").each(0..n, |i| Entry::hardlink(format!("l{i}"), "f")).source()),
    ("links before their target", 500, |n| tar().each(0..n, |i| Entry::hardlink(format!("l{i}"), "f")).file("f", "x").source()),
    ("attributes", 60, |n| {
        let many = (0..n).fold(Entry::file("f", ""), |entry, i| entry.pax(format!("SCHILY.xattr.user.{i}"), "v"));
        tar().each(0..20, move |i| many.clone().pax("path", format!("f{i}"))).source()
    }),
    ("PAX records", 5000, |n| tar().add((0..n).fold(Entry::file("f", "x"), |entry, i| entry.pax(format!("KEY.{i}"), "v"))).source()),
    ("sparse segments", 1000, |n| {
        let regions = (0..n).map(|i| (i * 1024, 512)).collect::<Vec<_>>();
        tar().add(Entry::gnu_sparse("f", &regions, n * 1024, vec![1; n as usize * 512])).source()
    }),
];

/// A path of `len` bytes in components of 200, another for each `number`.
fn long_name(number: u64, len: u64) -> String {
    let long = format!("{}/", "n".repeat(199)).repeat((len as usize).div_ceil(200));
    format!("{}{number:010}", &long[..len as usize - 10])
}

pub fn run(settings: &Settings, counts: &mut Counts) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        counts.note("Instructions were not counted: no valgrind.");
        return;
    }
    let (mut over, mut figures) = (0, Vec::new());
    let dimensions = DIMENSIONS.into_iter().step_by(settings.pick(4, 1) as usize);
    for (what, few, layer) in dimensions.clone() {
        let [one, two, four] = [1, 2, 4].map(|times| instructions(&layer(few * times), &[]));
        over += u64::from(ratio(two, four) > MOST);
        figures.push(format!("{what} (n = {few}) {one}, {two}, {four}: {:.2}", ratio(two, four) as f64 / 100.0));
    }
    counts.row("instructions for 4n at most 2.1 times those for 2n", dimensions.len() as u64, over);
    counts.note(format!("Instructions for n, 2n, 4n and the ratio of the last two: {}.", figures.join("; ")));
    // Without the extension headers' limit in the way, names of n directories, each in the last: n²/2.
    let quadratic = |n: u64| tar().each(0..n, |i| Entry::dir("d/".repeat(i as usize + 1))).source();
    let [two, four] = [200, 400].map(|n| instructions(&quadratic(n), &["--limit=depth=1000"]));
    counts.control("a layer whose names grow with the square of n", 1, u64::from(ratio(two, four) > MOST));
}

fn ratio(two: u64, four: u64) -> u64 {
    four * 100 / two.max(1)
}

/// Instructions of one run, on one thread.
fn instructions(layer: &Source, options: &[&str]) -> u64 {
    let place = Place::new();
    let file = place.scratch().join("layer.tar");
    std::fs::write(&file, layer.bytes()).expect("a layer");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(unpack_program());
    command.args(["--unverified", "--threads=1"]).args(options).arg(file).arg(place.dir().join("dest"));
    let output = command.output().expect("valgrind");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && Path::new(&place.dir().join("dest")).is_dir(), "{command:?}: {said}");
    let count = said.lines().find_map(|line| line.split_once("Collected : ").and_then(|(_, count)| count.trim().parse().ok()));
    count.unwrap_or_else(|| panic!("callgrind says no count: {said}"))
}
