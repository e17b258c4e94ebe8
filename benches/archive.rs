//! The parser: headers to vetted entries, through `LayerReader`, from an uncompressed archive in memory and without a filesystem.
//!
//! Every byte is also hashed, twice: as the blob and as the decoded stream. The files are empty, so that a hash of no more than the
//! headers is in the figures; compare with the bytes of each archive.

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

use std::hint::black_box;

use builder::{Entry, LongNames, Tar, tar};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use safe_layers::{Expect, LayerReader, Policy};

/// Entries of each archive: 5 MB with a header block alone, 15 MB with a PAX header (its block and one of records) or a GNU long name.
const ENTRIES: u64 = 10_000;

fn archives() -> [(&'static str, Tar); 3] {
    let name = |i: u64| format!("usr/share/doc/package-{}/file-{i}", i / 20);
    [
        ("ustar", tar().each(0..ENTRIES, move |i| Entry::file(name(i), ""))),
        ("pax", tar().each(0..ENTRIES, move |i| Entry::file(name(i), "").pax("mtime", format!("1700000000.{i:09}")))),
        (
            "gnu long name",
            tar().each(0..ENTRIES, move |i| Entry::file(format!("{}{}", "long/".repeat(20), name(i)), "").long_names(LongNames::Gnu)),
        ),
    ]
}

/// Reads every entry; gives how many there were.
fn read(blob: &[u8]) -> u64 {
    let mut layer = LayerReader::new(blob, &Expect::dangerous_unverified(), Policy::container());
    let mut entries = 0;
    while let Some(entry) = layer.next_entry().unwrap() {
        black_box(&entry);
        entries += 1;
    }
    layer.finish().unwrap();
    entries
}

fn archive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("archive");
    for (name, archive) in archives() {
        let blob = archive.bytes();
        assert_eq!(read(&blob), ENTRIES);
        group.throughput(Throughput::Elements(ENTRIES));
        group.bench_function(name, |bencher| bencher.iter(|| read(black_box(&blob))));
    }
    group.finish();
}

criterion_group!(benches, archive);
criterion_main!(benches);
