//! The hot loop of a whole unpack: parse, hash, resolve, write, set attributes, rename into place.
//!
//! Each iteration unpacks an uncompressed layer into a fresh directory: below `/dev/shm` where that is there, so that the disk does not
//! count, else below the temporary directory. The archive is in memory, its blob digest is claimed and checked. Making and
//! removing the directory is not measured.

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

#[path = "../tests/common/builder.rs"]
mod builder;

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use builder::{Entry, Tar, tar};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use safe_layers::{Algorithm, Expect, Hasher, Policy, Root, Unpacker};
use tempfile::TempDir;

/// Files of 1 KiB, a hundred in a directory: 2,000 entries, an archive of 3.1 MB. What a layer of a scripting language looks like.
const SMALL_FILES: u64 = 2_000;
/// Length of each, in bytes.
const SMALL_LEN: u64 = 1 << 10;
/// Files of 16 MiB: an archive of 67 MB, that of a statically linked program with its data.
const LARGE_FILES: u64 = 4;
/// Length of each, in bytes.
const LARGE_LEN: u64 = 16 << 20;
/// Directories within each other, a file in each: 400 entries, 0.4 MB. The limit is 256.
const DEPTH: u64 = 200;
/// Names of one file: 1,000 entries, 0.5 MB.
const LINKS: u64 = 1_000;
/// Files whose parents are looked up each: 1,000 entries and two directories.
const SOUGHT: u64 = 1_000;

/// An archive and what of it is counted.
struct Layer {
    name: &'static str,
    archive: Tar,
    throughput: Throughput,
}

fn layers() -> [Layer; 6] {
    let small = tar().each(0..SMALL_FILES, |i| Entry::file(format!("usr/lib/d{}/f{i}", i / 100), vec![b'x'; SMALL_LEN as usize]));
    let large = tar().each(0..LARGE_FILES, |i| Entry::file(format!("f{i}"), "").body_run([b'x'], LARGE_LEN));
    let deep = tar().each(0..2 * DEPTH, |i| {
        let dir = "d/".repeat(1 + i as usize / 2);
        if i % 2 == 0 { Entry::dir(dir) } else { Entry::file(dir + "f", "x") }
    });
    let there = |i: u64| format!("{}{}/f{i}", "d/".repeat(8), i % 2);
    let turns = tar().each(0..SOUGHT, move |i| Entry::file(there(i), ""));
    let through = |i: u64| format!("l{}/f{i}", i % 2);
    let linked = tar().dir("a/b/c").dir("a/b/d").symlink("l0", "a/b/c").symlink("l1", "/a/b/d");
    let linked = linked.each(0..SOUGHT, move |i| Entry::file(through(i), ""));
    let links = tar().file("f", "x").each(1..LINKS, |i| Entry::hardlink(format!("l{i}"), "f"));
    [
        Layer { name: "small files", archive: small, throughput: Throughput::Elements(SMALL_FILES) },
        Layer { name: "large files", archive: large, throughput: Throughput::Bytes(LARGE_FILES * LARGE_LEN) },
        Layer { name: "deep tree", archive: deep, throughput: Throughput::Elements(2 * DEPTH) },
        Layer { name: "parents by turns", archive: turns, throughput: Throughput::Elements(SOUGHT) },
        Layer { name: "parents through links", archive: linked, throughput: Throughput::Elements(SOUGHT) },
        Layer { name: "hardlinks", archive: links, throughput: Throughput::Elements(LINKS) },
    ]
}

fn fresh_directory() -> TempDir {
    let dir = tempfile::Builder::new();
    dir.tempdir_in(Path::new("/dev/shm")).or_else(|_| dir.tempdir()).unwrap()
}

/// Unpacks once; gives the time from opening the parent to the committed tree.
fn unpack(blob: &[u8], expect: &Expect, threads: NonZeroUsize) -> Duration {
    let dir = fresh_directory();
    let parent = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
    let start = Instant::now();
    let mut unpacker = Unpacker::rootfs(Root::try_from(parent).unwrap(), "rootfs", Policy::rootless()).unwrap().threads(threads);
    unpacker.apply(expect, blob).unwrap();
    unpacker.commit().unwrap();
    start.elapsed()
}

fn extract(criterion: &mut Criterion) {
    for layer in layers() {
        let blob = layer.archive.bytes();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&blob);
        let expect = Expect::blob(hasher.finish());
        let mut group = criterion.benchmark_group(layer.name);
        group.throughput(layer.throughput).sample_size(20);
        for threads in [1, 2] {
            let threads = NonZeroUsize::new(threads).unwrap();
            group.bench_function(BenchmarkId::new("threads", threads), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| unpack(&blob, &expect, threads)).sum());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, extract);
criterion_main!(benches);
