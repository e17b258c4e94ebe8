//! Every file of the fuzz corpus, through the body of its target, without libFuzzer; and how the first files were made.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
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
    let target = bodies::TARGETS.iter().find(|target| target.name == name).unwrap();
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
fn the_corpus_of_sparse_files_passes_and_reaches_every_format() {
    replay("sparse");
}

#[test]
fn the_corpus_of_wrapped_archives_passes_and_reaches_every_kind_of_entry() {
    replay("wrap");
}

#[test]
fn the_corpus_of_stacks_passes_and_reaches_every_kind_of_entry() {
    replay("layers");
}

#[test]
fn the_corpus_of_archives_for_other_readers_passes_and_reaches_every_kind_of_entry() {
    replay("differential");
}

#[test]
fn the_corpus_of_cut_reads_passes_and_reaches_every_kind_of_entry() {
    replay("chunking");
}

#[cfg(feature = "fault-injection")]
#[test]
fn the_corpus_of_faults_passes_and_reaches_every_kind_of_entry() {
    replay("fault");
}

#[cfg(feature = "image")]
#[test]
fn the_corpus_of_documents_passes_and_reaches_every_form() {
    replay("manifest");
}

#[test]
#[ignore = "writes fuzz/corpus: run when the form of an input changes"]
fn write_the_seeds() {
    for (name, input) in seeds() {
        let file = corpus().unwrap().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, input).unwrap();
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |target: &str, name: &str, input: Vec<u8>| seeds.push((format!("{target}/{name}"), input));
    for (name, flags, tar) in reader_seeds() {
        add("reader", name, [&[flags, 100], &tar.bytes()[..]].concat());
        add("chunking", name, [&[flags & 7, 0x13, 0, 100, 200], &tar.bytes()[..]].concat());
        if flags & 6 == 0 {
            add("differential", name, [&[1], &tar.bytes()[..]].concat());
        }
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
        // The faults of one name each: none, once, for ever, in overlay form.
        for (suffix, flags, call) in [("", 0, 0xff), ("-once", 8, 20), ("-for-ever", 2, 30), ("-overlay", 4, 40)] {
            add("fault", &format!("{name}{suffix}"), [&[flags | input[0] & 1, 0, call, 2], &input[1..]].concat());
        }
    }
    for (name, text) in MANIFEST_SEEDS {
        add("manifest", name, text.replace('@', "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").into());
    }
    for (target, list) in [("sparse", SPARSE_SEEDS), ("wrap", WRAP_SEEDS), ("layers", LAYERS_SEEDS)] {
        for (name, input) in list {
            add(target, name, input.to_vec());
        }
    }
    seeds
}

type Seeds = &'static [(&'static str, &'static [u8])];

/// See the body: flags, fault, segments.
const SPARSE_SEEDS: Seeds = &[
    ("old-gnu", &[0x30, 0, 6, 1, 1, 6, 2, 1]),
    ("old-gnu-goes-on", &[0, 0, 6, 1, 1, 6, 1, 1, 6, 1, 1, 6, 1, 1, 6, 1, 1, 0, 3, 5]),
    ("old-gnu-base-256", &[4, 7, 6, 1, 1]),
    ("old-gnu-empty-slot", &[0, 0, 6, 0, 1, 16, 0, 0]),
    ("pairs", &[0x11, 7, 6, 1, 1, 0, 7, 9]),
    ("list", &[0x1a, 0, 6, 1, 1, 0, 7, 9]),
    ("in-body", &[0x13, 0, 6, 1, 1, 0, 7, 9]),
    ("overlap", &[2, 0, 6, 1, 1, 1, 3, 9]),
    ("count-too-high", &[3, 1, 6, 1, 1]),
    ("count-too-low", &[3, 2, 6, 1, 1]),
    ("cut", &[1, 5, 6, 1, 1]),
    ("huge", &[1, 6, 6, 1, 1]),
    ("past-64-bits", &[2, 0, 8, 63, 1, 32, 0, 0]),
];

/// See the body: flags, pieces.
const WRAP_SEEDS: Seeds = &[
    ("gzip", &[0]),
    ("gzip-members", &[0x20, 0, 10, 1, 20, 0, 0, 2, 30, 0x23, 10]),
    ("gzip-header-checksum", &[0, 4, 10]),
    ("gzip-zeros", &[0, 0, 255, 0x4d, 0]),
    ("gzip-junk", &[0, 0, 255, 0x46, 0]),
    ("gzip-flipped", &[4, 0, 10, 0, 5, 3]),
    ("zstd", &[2]),
    ("zstd-frames", &[0x22, 0, 10, 1, 20, 2, 30, 4, 10, 0x3b, 10]),
    ("zstd-skippable", &[2, 0x2d, 0, 0, 255, 0x15, 0]),
    ("zstd-junk", &[2, 0, 255, 0x46, 0]),
    ("zstd-window", &[2, 0x83, 10]),
];

/// See the body: flags, operations.
const LAYERS_SEEDS: Seeds = &[
    ("file-hidden", &[0, 0, 6, 0, 0xc0, 29, 17, 6, 0, 0]),
    ("hardlink-to-a-lower-layer", &[1, 0, 6, 0, 0xc0, 29, 14, 6, 1, 0, 6, 0]),
    ("through-a-symlink", &[1, 5, 6, 1, 0, 10, 6, 0, 0, 1, 29, 0, 14, 8, 0xc0]),
    ("opaque", &[1, 0, 14, 4, 0xc0, 29, 24, 6, 0, 0, 0, 14, 8, 0x40]),
    ("attributes", &[0, 5, 6, 0, 0x30, 0, 4, 1, 0x50, 0, 0, 2, 0x70]),
];

/// `@` is a digest.
const MANIFEST_SEEDS: &[(&str, &str)] = &[
    ("index", r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@","size":1}]}"#),
    (
        "index-of-platforms",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@","size":1,"platform":{"os":"linux","architecture":"arm","variant":"v6"}},
{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@","size":2,"platform":{"os":"unknown","architecture":"unknown"},
"annotations":{"vnd.docker.reference.type":"attestation-manifest"}},
{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@","size":3,"annotations":{"org.opencontainers.image.ref.name":"a"}}]}"#,
    ),
    (
        "manifest-list",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[
{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"@","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}"#,
    ),
    (
        "manifest",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@","size":1},
"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"@","size":2,"urls":["https://x"],"data":"eA=="}]}"#,
    ),
    (
        "manifest-of-docker",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"@","size":1},
"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"@","size":2}]}"#,
    ),
    (
        "config",
        r#"{"os":"linux","architecture":"arm64","variant":"v8","rootfs":{"type":"layers","diff_ids":["@","@"]},
"history":[{"created_by":"x"},{"empty_layer":true}],"config":{"User":"0:0","Env":["PATH=/bin"],"Entrypoint":["/a"],"Cmd":["b"],
"WorkingDir":"/","StopSignal":"SIGTERM","Labels":{"a":"b"},"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}}}}"#,
    ),
    ("config-least", r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers"}}"#),
    ("docker-archive", r#"[{"Config":"a.json","RepoTags":["a:b"],"Layers":["1/layer.tar","2/layer.tar"]},{"Config":"b","Layers":null}]"#),
    ("docker-archive-dotdot", r#"[{"Config":"../a.json","RepoTags":null,"Layers":[]}]"#),
    ("two-forms", r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{"mediaType":"a/b","digest":"@","size":1}}"#),
    ("key-twice", r#"{"schemaVersion":2,"manifests":[],"x":{"a":1,"b":[{}],"\u0061":2}}"#),
    ("key-by-case", r#"{"schemaVersion":2,"manifests":[],"Layers":[]}"#),
    ("numbers", r#"{"schemaVersion":2,"manifests":[],"x":[-0,1.5,1e9,18446744073709551616]}"#),
];

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
