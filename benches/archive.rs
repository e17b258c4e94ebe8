//! The parser: headers to vetted entries, through `LayerReader`, from an uncompressed archive in memory and without a filesystem.
//!
//! Every byte is also hashed, once, as the archive is the blob. The files are empty, so that a hash of no more than the headers is in
//! the figures; compare with the bytes of each archive.

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

use std::hint::black_box;

use common::{SHAPES, archive, read};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Entries of each archive: 5 MB, or 15 MB.
const ENTRIES: u64 = 10_000;

fn archives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("archive");
    for shape in SHAPES {
        let blob = archive(shape, ENTRIES).bytes();
        assert_eq!(read(&blob), ENTRIES);
        group.throughput(Throughput::Elements(ENTRIES));
        group.bench_function(shape, |bencher| bencher.iter(|| read(black_box(&blob))));
    }
    group.finish();
}

criterion_group!(benches, archives);
criterion_main!(benches);
