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
fn the_corpus_of_policies_passes_and_reaches_every_kind_of_entry() {
    replay("policies");
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

#[cfg(feature = "image")]
#[test]
fn the_corpus_of_images_passes_and_reaches_every_document() {
    replay("image");
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
    let records: [(&str, u8, &str); 22] = [
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
        ("twice", 1, "mtime=1\x1emtime=+2.5\x1epath=a\x1epath=b"),
        ("time-before-the-first", 1, "mtime=-9223372036854775808"),
        ("time-after-the-last", 1, "mtime=9223372036854775808.5"),
        ("xattr-twice-the-same", 1, "SCHILY.xattr.user.a=1\x1eLIBARCHIVE.xattr.user.a=MQ"),
        ("xattr-twice", 1, "SCHILY.xattr.user.a=1\x1eLIBARCHIVE.xattr.user.a=+/8"),
        (
            "xattrs-too-many",
            1,
            "SCHILY.xattr.user.a=\x1eSCHILY.xattr.user.b=\x1eSCHILY.xattr.user.c=\x1eSCHILY.xattr.user.d=\x1eSCHILY.xattr.user.e=\x1e\
             SCHILY.xattr.user.f=\x1eSCHILY.xattr.user.g=\x1eSCHILY.xattr.user.h=\x1eSCHILY.xattr.user.i=",
        ),
        ("target-with-nul", 1 + 2, "linkpath=a\0b"),
        ("sparse-offset-twice", 1, "GNU.sparse.size=9\x1eGNU.sparse.numblocks=2\x1eGNU.sparse.offset=1\x1eGNU.sparse.offset=2"),
        ("sparse-offset-alone", 1, "GNU.sparse.size=9\x1eGNU.sparse.numblocks=1\x1eGNU.sparse.offset=1"),
        ("sparse-too-many", 1, "GNU.sparse.size=9\x1eGNU.sparse.numblocks=65\x1eGNU.sparse.map=1,1"),
        ("sparse-symlink", 1 + 2, "GNU.sparse.size=9\x1eGNU.sparse.numblocks=1\x1eGNU.sparse.map=1,1"),
        ("raw", 0, "12 path=a/b\n"),
    ];
    for (name, flags, text) in records {
        add("pax", name, [&[flags], text.as_bytes()].concat());
    }
    for (name, input) in unpack_seeds() {
        add("unpack", name, input.to_vec());
        // In each form; and with a fault: once, for ever.
        for (form, number) in [("rootfs", 0), ("in-place", 1), ("overlay", 2), ("trusted", 3), ("given", 4), ("unknown", 5)] {
            let strict = (input[0] & 1) << 3;
            let setting = [number | strict, 0, 0, 0, 0, 64];
            add("policies", &format!("{name}-{form}"), [&setting, &input[1..]].concat());
            for (suffix, flags, call) in [("once", 0, 20), ("for-ever", 1, 30)] {
                if number == 2 {
                    add("fault", &format!("{name}-{form}-{suffix}"), [&[flags, 0, call, 2], &setting[..], &input[1..]].concat());
                }
            }
        }
    }
    for (name, setting, text) in POLICY_SEEDS {
        add("policies", name, [&setting[..], &program(text)].concat());
    }
    // Every call of some unpacks in turn, once or for ever; and those that a kernel, a filesystem or a sandbox lacks.
    for (name, setting, text) in FAULT_SEEDS {
        let program = program(text);
        for (resolver, walk, errnos) in [("openat2", 0, [2, 3]), ("walk", 32, [6, 11])] {
            let setting = [&[setting[0] ^ walk], &setting[1..]].concat();
            // EIO and EAGAIN, EEXIST and EXDEV.
            for errno in errnos {
                for (how, first) in [(5, 64), (4, 0_u16), (4, 64), (4, 128), (4, 192)] {
                    let [high, low] = first.to_be_bytes();
                    let input = [&[how, high, low, errno][..], &setting, &program].concat();
                    add("fault", &format!("{name}-{resolver}-{errno}-{how}-{first}"), input);
                }
            }
            for number in 0..NAMED_FAULTS {
                add("fault", &format!("{name}-{resolver}-named-{number}"), [&[2, 0, number, 0], &setting[..], &program].concat());
            }
        }
    }
    for (name, text) in MANIFEST_SEEDS {
        add("manifest", name, text.replace('@', "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").into());
    }
    for (name, changes) in IMAGE_SEEDS {
        add("image", name, changes.to_vec());
    }
    for (target, list) in [("sparse", SPARSE_SEEDS), ("wrap", WRAP_SEEDS), ("layers", LAYERS_SEEDS)] {
        for (name, input) in list {
            add(target, name, input.to_vec());
        }
    }
    seeds
}

/// How many names the target `fault` has.
const NAMED_FAULTS: u8 = 12;

/// Spells a program of the target `unpack`: entries apart by `;`, each a word and its paths; `+` ends one with a name that is too long.
fn program(text: &str) -> Vec<u8> {
    let path = |path: &str| {
        let (path, long) = path.strip_suffix('+').map_or((path, 0), |path| (path, 32));
        let absolute = path.strip_prefix('/');
        let numbers = absolute.unwrap_or(path).split('/').map(|name| match name {
            ".." => 4,
            ".wh.a" => 7,
            ".wh.b" => 8,
            ".wh..wh..opq" => 9,
            "A" => 12,
            "" => 6,
            name => "abcd".find(name).map_or_else(|| panic!("no name {name}"), |at| at as u8),
        });
        let numbers = numbers.collect::<Vec<_>>();
        let shape = numbers.len() as u8 - 1 + if absolute.is_some() { 4 } else { 0 } + long;
        [&[shape], &numbers[..]].concat()
    };
    let entry = |entry: &str| {
        let mut words = entry.split(' ').filter(|word| !word.is_empty());
        let (kind, attributes) = match words.next().unwrap() {
            "file" => (9, 0),
            "closed-file" => (9, 2),
            "dir" => (1, 1),
            "closed-dir" => (1, 2),
            "symlink" => (2, 0),
            "hardlink" => (3, 0),
            "fifo" => (4, 0),
            "char" => (5, 0x20),
            "block" => (6, 0x60),
            "no-device" => (5, 0x40),
            "zero-device" => (5, 0),
            "next" => (8, 0),
            "unknown" => (11, 0),
            "file-with-attribute" => (7, 0x60),
            "file-with-acl" => (7, 0xc0),
            "file-with-capability" => (7, 0xa0),
            "setgid-dir" => (1, 6),
            "dir-with-attribute" => (12, 0x61),
            "dir-with-acl" => (12, 0x41),
            "dir-with-default-acl" => (12, 0x81),
            "file-of-another" => (13, 0x20),
            "file-of-nobody" => (13, 0x60),
            "root" => (14, 0x61),
            word => panic!("no entry {word}"),
        };
        [vec![kind, attributes], words.flat_map(path).collect()].concat()
    };
    text.split(';').flat_map(entry).collect()
}

/// Settings, of the target `policies`: forms and bits of the byte for links.
const ROOTFS: [u8; 6] = [0; 6];
const IN_PLACE: [u8; 6] = [1 + 16, 0, 3, 1, 0, 8 + 16 + 64];
const CLOSED: [u8; 6] = [1, 0, 3, 0, 0, 8 + 32 + 64];
const OVERLAY: [u8; 6] = [2, 0, 3, 0, 0, 0];
const GIVEN: [u8; 6] = [4, 0, 3, 0, 0, 0];
const UNKNOWN: [u8; 6] = [5, 0, 3, 0, 0, 0];
const NO_LINKED_PARENTS: u8 = 1;
const NO_OTHER_PARENTS: u8 = 2;
const IN_LAYER: u8 = 4;

const fn links(mut setting: [u8; 6], bits: u8) -> [u8; 6] {
    setting[1] |= bits;
    setting
}

const fn kinds(mut setting: [u8; 6], bits: u8) -> [u8; 6] {
    setting[2] = bits;
    setting
}

const fn owners(mut setting: [u8; 6], bits: u8) -> [u8; 6] {
    setting[3] = bits;
    setting
}

const fn limits(mut setting: [u8; 6], bits: u8) -> [u8; 6] {
    setting[4] = bits;
    setting
}

type PolicySeeds = &'static [(&'static str, [u8; 6], &'static str)];

const POLICY_SEEDS: PolicySeeds = &[
    ("directory-copied-up", OVERLAY, "dir-with-attribute a; next; file a/b"),
    ("directory-copied-up-from-given", GIVEN, "dir-with-attribute a; dir-with-default-acl b; next; file a/b; file b/c"),
    ("directory-over-hidden-one", OVERLAY, "file a/b; next; file a; dir a"),
    ("specials-copied-up", OVERLAY, "symlink b a; fifo c; char d; next; hardlink A b; hardlink a c; hardlink a/b d"),
    ("specials-copied-up-from-given", GIVEN, "symlink b a; fifo c; block d; next; hardlink A b; hardlink a c; hardlink a/b d"),
    ("names-of-one-file-copied-up", OVERLAY, "file a; hardlink b a; next; hardlink c a; hardlink d b"),
    ("file-with-attributes-copied-up", GIVEN, "file-with-attribute a; file-with-acl b; next; hardlink c a; hardlink d b"),
    ("target-skipped", ROOTFS, "char a; hardlink b a; file a; hardlink c a"),
    ("target-skipped-later", ROOTFS, "hardlink b a; char a"),
    ("target-skipped-later-hides-again", kinds(OVERLAY, 0), "file b; next; hardlink b a; hardlink c a; char a"),
    ("too-deep-through-a-link", limits(ROOTFS, 1), "dir a/b; symlink c a/b; dir c/d"),
    ("links-that-wait-for-links", ROOTFS, "hardlink b a; hardlink c b; hardlink d/c c; file a"),
    ("link-that-waits-for-a-later-one", ROOTFS, "hardlink c b; hardlink b a; file a"),
    ("link-that-waits-in-a-lower-directory", OVERLAY, "dir d; next; hardlink d/b a; file a"),
    ("link-to-itself", ROOTFS, "file a; hardlink a a"),
    ("link-to-itself-strict", [8, 0, 0, 0, 0, 0], "file a; hardlink a a"),
    ("link-to-itself-by-another-way", ROOTFS, "file d/a; symlink c d; hardlink c/a d/a"),
    ("link-to-itself-below", OVERLAY, "file d/a; symlink c d; next; hardlink c/a d/a"),
    ("too-many-links", limits(ROOTFS, 4), "file a; hardlink b a; hardlink c a; hardlink d a"),
    ("link-over-its-targets-parent", ROOTFS, "file d/a; hardlink d d/a"),
    ("link-twice", ROOTFS, "file a; hardlink b a; hardlink b a"),
    ("too-many-waiting", limits(ROOTFS, 8), "hardlink b a; hardlink c a; file a"),
    ("too-much-in-mind", limits(ROOTFS, 16), "hardlink b a; hardlink c a; file a"),
    ("too-many-entries", limits(ROOTFS, 2), "dir a/b; dir a/c; dir a/d; dir b; dir c"),
    ("waits-in-a-directory-that-goes", ROOTFS, "hardlink d/b a; file d; file a"),
    ("target-below-in-the-end", OVERLAY, "file b/a; next; symlink c d; hardlink A c/a; symlink c b"),
    ("root-opaque", OVERLAY, "file a; next; file .wh..wh..opq; file b; next; file .wh..wh..opq; file .wh..wh..opq; file c"),
    ("directory-over-file-of-three", OVERLAY, "file a; next; dir a; next; file a/b; dir a"),
    ("directory-over-file-of-given-ones", GIVEN, "file a; next; dir a; next; file a/b; dir a"),
    ("over-a-link-below-that-is-reached-by-another", OVERLAY, "dir a; symlink b a; symlink a/c d; next; file b/a; file b/c"),
    ("openat2-or-nothing", [128, 0, 0, 0, 0, 0], "file a/b"),
    ("devices", kinds(ROOTFS, 3), "char a; block b; char a; fifo c; fifo c; hardlink d a; hardlink A c"),
    ("no-such-device", kinds(ROOTFS, 3), "no-device a"),
    ("device-that-is-a-whiteout", kinds(ROOTFS, 3), "zero-device a"),
    ("devices-refused", kinds(ROOTFS, 1), "char a"),
    ("unknown-skipped", kinds(ROOTFS, 8), "unknown a; hardlink b a"),
    ("marker-with-a-body", ROOTFS, "file a; next; file .wh.a"),
    ("root-twice", ROOTFS, "root; root; dir a; dir a"),
    ("root-of-a-layer", OVERLAY, "root; file a; next; root; next; file b"),
    ("acls", ROOTFS, "dir-with-acl a; dir-with-default-acl b; file-with-acl a/b; file b/c"),
    ("directory-again-without-attributes", ROOTFS, "dir-with-attribute a; dir-with-default-acl b; next; dir a; dir b"),
    ("into-what-is-closed", CLOSED, "file a/c; file d; hardlink A a/b; dir a/d"),
    ("over-what-a-lower-layer-closed", CLOSED, "closed-dir d; closed-dir c; next; dir d; file c/a"),
    ("over-what-is-closed", CLOSED, "file .wh.a; file d"),
    ("closed-file-copied-up", OVERLAY, "closed-file a; closed-dir b; closed-file b/c; next; hardlink c a; hardlink d b/c; file b/a"),
    ("closed-file-of-a-given-layer", GIVEN, "closed-file a; closed-dir b; next; file b/c; hardlink c a"),
    ("closed-directory-removed", ROOTFS, "closed-dir a; file a/b; closed-dir a/c; closed-dir a/c/d; next; file a"),
    ("into-what-is-there", IN_PLACE, "file a/c; dir a/d; fifo a/A; symlink a/a b; char c; file d; dir a"),
    ("into-what-is-there-for-nobody", owners(IN_PLACE, 2), "file a/c; dir a/d; fifo a/A; symlink a/a b; dir d"),
    ("over-what-is-there", IN_PLACE, "file b/c; file c/d; hardlink d a/b; file .wh.a"),
    ("links-to-what-is-there", IN_PLACE, "hardlink A b; hardlink d c"),
    ("link-to-a-link-that-is-there", kinds(IN_PLACE, 0x30), "hardlink A b"),
    ("capability", owners(ROOTFS, 1), "file-with-capability a; file-of-another b; file-of-nobody c"),
    ("owners-mapped", owners(ROOTFS, 5), "file-with-acl a; file-of-another b"),
    ("owners-not-mapped", owners(ROOTFS, 5), "file-of-nobody b"),
    ("owners-mapped-or-one", owners(ROOTFS, 6), "file-with-acl a; file-of-another b; file-of-nobody c; fifo d"),
    ("owners-mapped-or-recorded", owners(ROOTFS, 7), "file-with-capability a; file-of-another b/b; file-of-nobody c; dir d"),
    ("owners-recorded", owners(OVERLAY, 4), "file-of-another b/b; file-of-nobody c; dir d; fifo a; next; file d/a; hardlink d/b c"),
    ("one-owner", owners(OVERLAY, 3), "dir-with-attribute a; file b; symlink c a; next; file a/c; hardlink d b; hardlink A c; file c/d"),
    ("one-owner-and-whiteouts", owners(UNKNOWN, 3), "file .wh.a; dir b; file b/.wh.a; file b/.wh..wh..opq; file c"),
    ("times-fixed", owners(ROOTFS, 1 << 4), "file-of-another b; dir d"),
    ("times-clamped", owners(ROOTFS, 8 + (2 << 4)), "file-of-another b; setgid-dir d; file a"),
    ("attributes-that-must-be-held", owners(ROOTFS, 1 << 6), "dir-with-attribute a; file-with-acl b"),
    ("file-over-directory", ROOTFS, "dir a; file a; dir-with-attribute b; symlink b a"),
    ("through-a-link-below-and-over-it", OVERLAY, "dir d; symlink c d; file d/a; next; file c/b; file c; file c/d"),
    ("whiteout-then-below-it", OVERLAY, "file a/b; next; file .wh.a; file a/c"),
    ("whiteout-then-below-it-unknown", UNKNOWN, "file .wh.a; file a/.wh.b; file a/c; file b/.wh.a; file c/.wh..wh..opq; file c/.wh.b"),
    ("parents-unknown", UNKNOWN, "file a/b; hardlink c d/a; hardlink d a/b"),
    ("link-unknown", UNKNOWN, "hardlink b a"),
    ("through-a-link-unknown", UNKNOWN, "symlink a b/c; file a/.wh.b; file a/d; dir b; file .wh..wh..opq"),
    ("file-below-is-a-parent", OVERLAY, "file a; next; file a/b"),
    ("file-below-is-a-parent-refused", links(OVERLAY, NO_OTHER_PARENTS), "file a; next; file a/b"),
    ("file-is-a-parent-refused", links(ROOTFS, NO_OTHER_PARENTS), "file a; file a/b"),
    ("parent-that-is-nowhere-below", OVERLAY, "dir a; next; file a/c/d"),
    ("linked-parent-refused", links(ROOTFS, NO_LINKED_PARENTS), "symlink a b; file a/c"),
    ("linked-parent-leads-out", links(ROOTFS, NO_LINKED_PARENTS), "symlink a /; file a/c"),
    ("linked-parent-loops", links(ROOTFS, NO_LINKED_PARENTS), "symlink a b; symlink b a; file a/c"),
    ("linked-parent-below-refused", links(OVERLAY, NO_LINKED_PARENTS), "symlink a b; file b/c; next; file a/d"),
    ("linked-parent-of-a-target-refused", links(OVERLAY, NO_LINKED_PARENTS), "symlink a b; file b/c; next; hardlink d a/c"),
    ("straight-targets", links(OVERLAY, NO_LINKED_PARENTS), "file a/b/c; file c; next; hardlink d a/b/c; file a/b/.wh.a; file a/d/.wh.a"),
    ("straight-target-below-a-file", links(OVERLAY, NO_LINKED_PARENTS), "file c; next; hardlink d c/a; file c/.wh.a"),
    ("straight-target-below-a-file-refused", links(OVERLAY, NO_LINKED_PARENTS + NO_OTHER_PARENTS), "file c; next; hardlink d c/a"),
    ("straight-target-hidden", links(OVERLAY, NO_LINKED_PARENTS), "file a/c; next; file .wh.a; hardlink d a/c"),
    ("through-a-link-to-a-file", ROOTFS, "symlink a b/c; file b; file a/d"),
    ("through-a-link-to-a-file-refused", links(ROOTFS, NO_OTHER_PARENTS), "symlink a b/c; file b; file a/d"),
    ("through-a-link-to-a-file-below", OVERLAY, "symlink a b/c; file b; next; file a/d; file c/.wh.a"),
    ("through-a-link-to-what-is-hidden", OVERLAY, "file a/b; next; file .wh.a; symlink c a/b; file c/d"),
    ("through-a-link-to-a-whiteout", ROOTFS, "symlink a .wh.b; file a/c"),
    ("through-a-link-up-from-nowhere", ROOTFS, "symlink a b/../c; file a/c"),
    ("parents-refused", links(ROOTFS, 0x30), "file a/b"),
    ("parents-told", links(ROOTFS, 0x20), "file a/b"),
    ("hardlinks-refused", links(ROOTFS, 0x0c), "file a; hardlink b a"),
    ("whiteouts-refused", links(ROOTFS, 0x80), "file .wh.a"),
    ("target-hidden", OVERLAY, "file a; next; file .wh.a; hardlink b a"),
    ("target-is-a-directory-below", OVERLAY, "dir a; next; hardlink b a"),
    ("in-layer-to-a-symlink", links(ROOTFS, IN_LAYER), "symlink a b; hardlink c a"),
    ("in-layer-to-a-fifo", links(ROOTFS, IN_LAYER), "fifo a; hardlink b a"),
    ("in-layer-through-a-link", links(ROOTFS, IN_LAYER), "symlink c d; file d/a; hardlink b c/a"),
    ("in-layer-through-a-refused-link", links(ROOTFS, IN_LAYER + NO_LINKED_PARENTS), "symlink c d; file d/a; hardlink b c/a"),
    ("in-layer-below", links(OVERLAY, IN_LAYER), "file a; next; hardlink b a"),
    ("in-layer-of-a-lower-layer", links(ROOTFS, IN_LAYER), "file a; next; hardlink b a"),
    ("marker-below-a-file", OVERLAY, "file a; next; file a/.wh.b; file b; file b/.wh.a"),
    ("marker-below-a-file-refused", links(OVERLAY, NO_OTHER_PARENTS), "file a; next; file a/.wh.b"),
    ("markers-that-hide-nothing", OVERLAY, "dir a; next; file a/.wh.b; file .wh.b; file a/.wh..wh..opq; file a/.wh.a; file b/.wh..wh..opq"),
    ("whiteout-twice", OVERLAY, "file a; next; file .wh.a; file .wh.a"),
    ("whiteout-of-a-used-directory", OVERLAY, "file a/b; next; file a/c; file .wh.a; file a/d"),
    ("whiteout-of-a-used-directory-merged", ROOTFS, "file a/b; next; file a/c; file .wh.a; file a/d"),
    ("whiteout-of-a-used-directory-twice", OVERLAY, "file a/b; next; file a/c; file .wh.a; file .wh.a"),
    ("nobodys-directory-twice", owners(ROOTFS, 2), "dir a; dir a"),
    ("through-a-link-with-too-long-a-name", ROOTFS, "symlink a b+; file a/c"),
    ("through-a-link-with-too-long-a-name-below", OVERLAY, "symlink a b+; next; file a/c"),
    ("through-a-link-to-nowhere-with-too-long-a-name", ROOTFS, "symlink a b/c+; file a/c"),
    ("through-a-link-with-too-long-a-name-that-is-looked-up", ROOTFS, "dir b; symlink a b+; file a/c"),
    ("name-too-long", ROOTFS, "file b+"),
    ("whiteout-of-an-entered-directory", ROOTFS, "file a/b; next; dir a; file .wh.a"),
    ("whiteout-of-a-copied-directory", OVERLAY, "file a/b; next; file a/.wh.b; file .wh.a"),
    ("whiteout-of-a-written-file", OVERLAY, "file a; next; file a; file .wh.a"),
    ("whiteout-of-a-copied-file", OVERLAY, "file a; next; hardlink b a; file .wh.a"),
    ("opaque-removes-directories", ROOTFS, "dir a/b; dir a/c/d; file a/c/d/a; next; file a/b/c; file a/.wh..wh..opq"),
    ("removed-whole", ROOTFS, "file a/b/c/d; file a/b/d; dir a/c; next; file .wh.a; file a"),
    ("escaping-symlinks-refused", kinds(ROOTFS, 0x20), "symlink a b; symlink c ../a"),
    ("symlinks-refused", kinds(ROOTFS, 0x30), "symlink a b"),
    ("fifos-refused", kinds(ROOTFS, 4), "fifo a"),
    ("names-too-long", limits(ROOTFS, 64), "file a/b; symlink c a; file c/a/b/c; symlink d a/b/c/d; file a/b/c/d; symlink d a+"),
    ("files-too-long", limits(ROOTFS, 128), "file a"),
];

/// Unpacks that need every kind of call, and that succeed without a fault where the superuser asks for them.
const FAULT_SEEDS: PolicySeeds = &[
    (
        "merged",
        [16, 0, 3, 0, 0, 0],
        "root; dir-with-attribute a; file-with-acl a/b; setgid-dir d; hardlink d/c a/c; file a/c; fifo c; symlink A a/../d; file b/a/b/c; \
         dir b/a/b/d; next; file d/b; file d/.wh.b; char d/d; file a; dir c/d/d; file c/d/d/d; next; file .wh.b; dir a; file d/.wh..wh..opq",
    ),
    ("into-what-is-there", IN_PLACE, "file a/c; dir a/d; fifo a/A; char a/a; symlink d b; file d; hardlink A a/b; file .wh.b; dir a"),
    (
        "layers",
        [2 + 16, 0, 3, 0, 0, 0],
        "dir-with-attribute a; dir-with-default-acl b; file-with-attribute a/b; hardlink c a/b; fifo d; symlink A a; file b/a/b; file a/c; \
         next; hardlink b/c a/b; hardlink b/d c; hardlink a/d d; hardlink a/A A; hardlink a/a a/c; file A/c; file b/.wh.a; file a/.wh..wh..opq",
    ),
    (
        "on-given",
        GIVEN,
        "dir-with-attribute a; file-with-attribute a/b; file c; file d; next; hardlink b a/b; hardlink a/d d; file a/c; file c/d; file .wh.a",
    ),
    ("names-alone", IN_PLACE, "symlink A b; hardlink d a/b; hardlink a/c c"),
    ("recorded", owners(OVERLAY, 4 + 64), "dir-with-attribute a; file-with-acl a/b; file-of-nobody c/d; next; file a/c"),
    ("openat2-or-nothing", [128, 0, 0, 0, 0, 0], "file a/b; symlink b a; file b/c"),
];

#[test]
fn the_unpacks_that_faults_are_put_into_succeed_without_one() {
    let target = bodies::TARGETS.iter().find(|target| target.name == "policies").unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (name, setting, text) in FAULT_SEEDS {
        let accepted = (target.body)(&[&setting[..], &program(text)].concat());
        assert!(accepted.files + accepted.symlinks > 0, "{name}");
    }
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

/// Files of the image: 0 oci-layout, 1 index.json, 2 and 3 layers, 4 configuration, 5 manifest, 6 payload, 7 manifest of signatures.
const IMAGE_SEEDS: Seeds = &[
    ("whole", &[]),
    ("no-marker", &[0, 1, 0]),
    ("marker-of-another-version", &[0, 8, 200]),
    ("no-index", &[1, 1, 0]),
    ("index-is-a-symlink", &[1, 2, 5]),
    ("index-is-the-manifest", &[1, 5, 5]),
    ("index-cut", &[1, 7, 128]),
    ("manifest-is-a-fifo", &[5, 3, 0]),
    ("manifest-is-a-directory", &[5, 4, 0]),
    ("manifest-longer", &[5, 6, 0]),
    ("manifest-with-a-bit-changed", &[5, 18, 100]),
    ("config-missing", &[4, 1, 0]),
    ("config-is-a-layer", &[4, 5, 2]),
    ("layers-swapped", &[2, 5, 3]),
    ("layer-cut", &[3, 7, 200]),
    ("layer-is-a-symlink", &[2, 2, 3]),
    ("layer-with-a-bit-changed", &[2, 28, 128]),
    ("signatures-missing", &[7, 1, 0]),
    ("signatures-are-a-symlink", &[7, 2, 5]),
    ("signatures-are-the-manifest", &[7, 5, 5]),
    ("payload-is-a-fifo", &[6, 3, 0]),
    ("payload-cut", &[6, 7, 128]),
    ("payload-is-the-configuration", &[6, 5, 4]),
    ("blobs-gone", &[0, 9, 0]),
    ("blobs-behind-a-symlink", &[0, 9, 1]),
    ("blobs-behind-a-fifo", &[0, 9, 2]),
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
    (
        "payload",
        r#"{"critical":{"identity":{"docker-reference":"registry.test/a"},"image":{"docker-manifest-digest":"@"},
"type":"cosign container image signature"},"optional":{"creator":"x","timestamp":1}}"#,
    ),
    (
        "payload-key-twice",
        r#"{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"@","docker-manifest-digest":"@"},
"type":"cosign container image signature"}}"#,
    ),
    (
        "payload-with-more",
        r#"{"critical":{"identity":{"docker-reference":"","x":1},"image":{"docker-manifest-digest":"@"},
"type":"cosign container image signature"},"optional":null}"#,
    ),
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
        ("gnu-long-link", 1, tar().add(Entry::symlink("s", "n/".repeat(60)).long_names(LongNames::Gnu))),
        ("long-names-twice", 1, tar().add(Entry::gnu_long_name("a/b")).add(Entry::gnu_long_name("a/c")).file("f", "x")),
        ("long-names-that-differ", 1, tar().add(Entry::gnu_long_name("a/b")).add(Entry::file("f", "x").pax("path", "a/c"))),
        ("symlink-to-nothing", 1, tar().symlink("s", "")),
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
