//! Every file of the fuzz corpus, through the body of its target, without libFuzzer; and how the first files were made.

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

#[path = "../fuzz/src/bodies/mod.rs"]
mod bodies;
mod common;

use std::path::{Path, PathBuf};

use common::builder::{Entry, LongNames, Tar, tar};

/// Neither the corpus nor this test is in the published package.
fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    corpus.is_dir().then_some(corpus)
}

fn replay(name: &str) {
    let target = bodies::TARGETS.into_iter().find(|target| target.0 == name).unwrap();
    if let Some(corpus) = corpus() {
        bodies::replay(target, &corpus);
    }
}

#[test]
fn the_corpus_of_the_reader_passes_and_reaches_every_kind_of_entry() {
    replay("reader");
}

#[test]
fn the_corpus_of_paths_passes_and_reaches_every_kind_of_entry() {
    replay("path");
}

#[test]
fn the_corpus_of_pax_headers_passes_and_reaches_every_kind_of_entry() {
    replay("pax");
}

#[test]
fn the_corpus_of_unpacks_passes_and_reaches_every_kind_of_entry() {
    replay("unpack");
}

#[test]
#[ignore = "writes fuzz/corpus: run when the form of an input changes"]
fn write_the_seeds() {
    for (name, input) in seeds() {
        std::fs::write(corpus().unwrap().join(name), input).unwrap();
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |target: &str, name: &str, input: Vec<u8>| seeds.push((format!("{target}/{name}"), input));
    for (name, flags, tar) in reader_seeds() {
        add("reader", name, [&[flags, 100], &tar.bytes()[..]].concat());
    }
    let paths: [(&str, u8, &str); 9] = [
        ("symlink", 0, "a/b\0../c"),
        ("symlink-escape", 1, "a/b\0../../c"),
        ("symlink-absolute", 0, "a\0/etc/passwd"),
        ("hardlink", 4, "a/b\0c"),
        ("hardlink-escape", 5, "/a\0../c"),
        ("file", 8, "./a//b/./c"),
        ("whiteout", 8, "d/.wh.f"),
        ("opaque", 8, "d/.wh..wh..opq"),
        ("dotdot", 11, "/a/../../b/"),
    ];
    for (name, flags, text) in paths {
        add("path", name, [&[flags], text.as_bytes()].concat());
    }
    let records: [(&str, u8, &str); 11] = [
        ("path", 1, "path=a/b\x1emtime=-1.5\x1euid=7"),
        ("symlink", 1 + 2, "linkpath=../x"),
        ("hardlink", 1 + 4, "linkpath=d/y"),
        ("directory", 1 + 6, "SCHILY.xattr.user.d=1"),
        ("whiteout", 1 + 8, "comment=c"),
        ("xattr", 1, "SCHILY.xattr.user.a=\n\0=v\x1eSCHILY.xattr.user.b="),
        ("xattr-libarchive", 1, "LIBARCHIVE.xattr.user.%61=dmFsdWU"),
        ("sparse-0-1", 1, "GNU.sparse.size=4096\x1eGNU.sparse.numblocks=1\x1eGNU.sparse.map=1024,1024"),
        ("sparse-1-0", 1, "GNU.sparse.major=1\x1eGNU.sparse.minor=0\x1eGNU.sparse.realsize=512"),
        ("global", 1 + 16, "comment=c"),
        ("raw", 0, "12 path=a/b\n"),
    ];
    for (name, flags, text) in records {
        add("pax", name, [&[flags], text.as_bytes()].concat());
    }
    for (name, input) in unpack_seeds() {
        add("unpack", name, input.to_vec());
    }
    seeds
}

fn reader_seeds() -> Vec<(&'static str, u8, Tar)> {
    vec![
        ("file", 1, tar().file("d/f", "content")),
        ("symlink", 1, tar().symlink("d/s", "../f")),
        ("hardlink", 1, tar().file("f", "x").hardlink("h", "f")),
        ("whiteout", 1, tar().file("d/.wh.f", "")),
        ("xattr", 1, tar().add(Entry::file("f", "x").pax("SCHILY.xattr.user.a", "v"))),
        ("gnu-long-name", 1, tar().add(Entry::file("n/".repeat(60) + "f", "x").long_names(LongNames::Gnu))),
        ("gnu-sparse", 1, tar().add(Entry::gnu_sparse("s", &[(512, 512), (2048, 512)], 4096, [b'd'; 1024]))),
        ("gzip", 1 + 2 + 16, tar().file("f", "content")),
        ("zstd", 1 + 4 + 24, tar().file("f", "content")),
        ("two-members", 1 + 6, tar().file("f", "content")),
        ("no-end", 1, tar().file("f", "content").end_blocks(0)),
    ]
}

/// See `Program` in the body: kind, attributes, shape, names.
fn unpack_seeds() -> [(&'static str, &'static [u8]); 9] {
    [
        ("file", &[0, 9, 0, 1, 0, 0]),
        ("symlink-then-through-it", &[0, 2, 0, 0, 0, 0x10, 1, 9, 0, 1, 0, 1]),
        ("symlink-up", &[0, 2, 0, 0, 0, 2, 4, 4, 13, 9, 0, 1, 0, 1]),
        ("hardlink", &[0, 9, 0, 0, 0, 3, 0, 0, 1, 0, 0]),
        ("hardlink-first", &[0, 3, 0, 0, 1, 0, 0, 9, 0, 0, 0]),
        ("hardlink-through-a-symlink", &[0, 2, 0, 0, 0, 0x10, 6, 3, 0, 0, 2, 1, 0, 1]),
        ("whiteout", &[0, 9, 0, 0, 0, 1, 1, 0, 1, 8, 0, 0, 0, 0, 7, 0, 0, 1, 1, 9]),
        ("xattr", &[0, 7, 0x60, 0, 0, 4, 0, 0, 1]),
        ("closed-directory-and-dotdot", &[2, 1, 2, 0, 0, 9, 2, 1, 0, 1, 0, 0, 1, 4, 1]),
    ]
}
