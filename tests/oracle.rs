//! What the other tests trust: the builder writes what other readers read, the snapshot misses nothing, the model keeps the rules.

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

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use common::builder::{BLOCK, Checksum, Chunks, Entry, Field, Gzip, LongNames, Skippable, Source, Split, Tar, Zstd, number, record, tar};
use common::model::{Model, Op, layer};
use common::snapshot::Tree;

/// Name, link target and content of an entry.
type Parts = (Vec<u8>, Option<Vec<u8>>, Vec<u8>);

/// The entries of an archive, as the `tar` crate reads them.
fn read(archive: &[u8]) -> Vec<Parts> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let (name, link) = (entry.path_bytes().into_owned(), entry.link_name_bytes().map(|link| link.into_owned()));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, link, content)
    });
    entries.collect()
}

#[test]
fn another_reader_reads_what_the_builder_writes() {
    let (name, target) = ("n/".repeat(80) + "f", "t".repeat(150));
    for how in [LongNames::Pax, LongNames::Gnu] {
        let archive = tar()
            .add(Entry::file(&name, "content").long_names(how))
            .add(Entry::symlink("s", &target).long_names(how))
            .add(Entry::file("last", "x".repeat(BLOCK)).base256(Field::Size));
        let expected = vec![
            (name.clone().into_bytes(), None, b"content".to_vec()),
            (b"s".to_vec(), Some(target.clone().into_bytes()), Vec::new()),
            (b"last".to_vec(), None, vec![b'x'; BLOCK]),
        ];
        assert_eq!(read(&archive.bytes()), expected);
    }
    let joined = tar().add(Entry::file("name", "x").prefix("pre/fix"));
    assert_eq!(read(&joined.bytes())[0].0, b"pre/fix/name");
}

#[test]
fn another_reader_finds_every_region_of_a_sparse_file() {
    // A hole at the end is an empty region, as GNU tar writes it.
    let regions = (0..30).map(|i| (i * 1024, BLOCK as u64)).chain([(30 * 1024, 0)]).collect::<Vec<_>>();
    let archive = tar().add(Entry::gnu_sparse("s", &regions, 30 * 1024, [b'd'; 30 * BLOCK])).file("last", "x");
    let entries = read(&archive.bytes());
    let region = [[b'd'; BLOCK], [0; BLOCK]].concat();
    assert_eq!(entries[0].2, region.repeat(30));
    assert_eq!(entries[1].0, b"last");
}

#[test]
fn only_a_right_checksum_is_accepted_by_another_reader() {
    let header = |checksum| Entry::file("f", "").checksum(checksum).header();
    let sum = |header: [u8; BLOCK]| tar::Header::from_byte_slice(&header).cksum().ok();
    let right = sum(header(Checksum::Right));
    assert!(right.is_some());
    for wrong in [Checksum::OffByOne, Checksum::Zeros, Checksum::Blank] {
        assert_ne!(sum(header(wrong)), right);
    }
    // Without a byte over 127 the two sums agree.
    assert_eq!(header(Checksum::Signed), header(Checksum::Right));
    assert_ne!(Entry::file(b"\xff", "").checksum(Checksum::Signed).header(), Entry::file(b"\xff", "").header());
}

#[test]
fn a_record_counts_its_own_length() {
    for len in 0..1200 {
        let record = record("k", "v".repeat(len));
        let declared = record.split(|byte| *byte == b' ').next().unwrap();
        assert_eq!(std::str::from_utf8(declared).unwrap().parse(), Ok(record.len()));
    }
}

#[test]
fn a_number_goes_to_base_256_where_octal_ends() {
    assert_eq!(number(0o777_7777, 8), b"7777777\0");
    assert_eq!(number(0o1000_0000, 8), [0x80, 0, 0, 0, 0, 0x20, 0, 0]);
    assert_eq!(number(-1, 8), [0xff; 8]);
    assert_eq!(number(i128::from(u64::MAX >> 1), 12), b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
}

/// An archive with every kind of piece.
fn pieces() -> Tar {
    tar()
        .file("a", "alpha")
        .times(5000, &Entry::file("b", "beta"))
        .each(0..3000, |i| Entry::file(format!("c{i}"), ""))
        .add(Entry::file("d", "").body_run([0], 3 << 20))
}

#[test]
fn other_decoders_decode_what_the_builder_compresses() {
    let plain = pieces().bytes();
    let small = tar().file("a", "x").bytes();
    let gunzip = |blob: Source| {
        let mut out = Vec::new();
        flate2::read::MultiGzDecoder::new(blob.open()).read_to_end(&mut out).map(|_| out)
    };
    let unzstd = |blob: Source| zstd::decode_all(blob.open());
    assert!(gunzip(pieces().gzip()).unwrap() == plain);
    assert!(unzstd(pieces().zstd()).unwrap() == plain);

    let small_source = tar().file("a", "x").source();
    for odd in [Gzip { split: Split::Into(7), file_name: "name", ..Gzip::OK }, Gzip { split: Split::At(700), empty_members: 3, ..Gzip::OK }]
    {
        assert_eq!(gunzip(odd.wrap(&small_source)).unwrap(), small);
    }
    for broken in [Gzip { bad_crc: true, ..Gzip::OK }, Gzip { no_trailer: true, ..Gzip::OK }] {
        assert!(gunzip(broken.wrap(&small_source)).is_err());
    }
    let skipped = Skippable { magic: 3, declared: 2, content: b"hi" };
    for odd in [
        Zstd { frames: 3, skippable_first: Some(skipped), skippable: Some(skipped), ..Zstd::OK },
        Zstd { single_segment: Some(small.len() as u64), ..Zstd::OK },
    ] {
        assert_eq!(unzstd(odd.wrap(&small_source)).unwrap(), small);
    }
    for broken in [Zstd { bad_checksum: true, ..Zstd::OK }, Zstd { dictionary: Some(7), ..Zstd::OK }, Zstd { window_log: 31, ..Zstd::OK }] {
        assert!(unzstd(broken.wrap(&small_source)).is_err());
    }
}

#[test]
fn the_size_of_a_read_does_not_show() {
    let whole = tar().file("a", "x").times(3, &Entry::dir("d")).source();
    let mut bytes = Vec::new();
    Chunks(whole.open(), 7).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, whole.bytes());
    assert_eq!(whole.bytes_up_to(bytes.len() as u64), Some(bytes.clone()));
    assert_eq!(whole.bytes_up_to(bytes.len() as u64 - 1), None);
}

#[test]
fn the_snapshot_notices_every_change() {
    let world = tempfile::tempdir().unwrap();
    let root = world.path();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/f"), "one").unwrap();
    fs::write(root.join("large"), [7; 10_000]).unwrap();
    symlink("d/f", root.join("s")).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH;
    let changes: [(&str, &dyn Fn()); 8] = [
        ("d/f", &|| fs::write(root.join("d/f"), "two").unwrap()),
        ("large", &|| fs::write(root.join("large"), [8; 10_000]).unwrap()),
        ("d", &|| fs::set_permissions(root.join("d"), Permissions::from_mode(0o710)).unwrap()),
        ("d/f", &|| fs::File::open(root.join("d/f")).unwrap().set_modified(time).unwrap()),
        ("d/g", &|| fs::hard_link(root.join("d/f"), root.join("d/g")).unwrap()),
        ("d/g", &|| fs::remove_file(root.join("d/g")).unwrap()),
        ("new", &|| fs::write(root.join("new"), "").unwrap()),
        ("s", &|| {
            fs::remove_file(root.join("s")).unwrap();
            symlink("large", root.join("s")).unwrap();
        }),
    ];
    for (path, change) in changes {
        let before = Tree::take(root, |_| false);
        change();
        let diff = before.diff(&Tree::take(root, |_| false));
        let named = |line: &str| line.starts_with(['+', '-', '~']) && line.get(2..).unwrap().starts_with(&format!("{path}:"));
        assert!(diff.lines().any(named), "{path}: {diff}");
    }
    assert!(!Tree::take(root, |name| name == b"new").paths().contains(&"new".to_owned()));
}

#[test]
fn the_snapshot_goes_deeper_than_a_path_can_name() {
    let world = tempfile::tempdir().unwrap();
    let mut dir = cap_std::fs::Dir::open_ambient_dir(world.path(), cap_std::ambient_authority()).unwrap();
    for _ in 0..30 {
        dir.create_dir("d".repeat(200)).unwrap();
        dir = dir.open_dir("d".repeat(200)).unwrap();
    }
    dir.write("f", "deep").unwrap();
    let tree = Tree::take(world.path(), |_| false);
    assert_eq!(tree.nodes.len(), 32);
    assert!(tree.nodes.keys().any(|path| path.len() > 6000));
}

fn file(path: &str, data: &str) -> Op {
    Op::File { path: path.into(), mode: 0o644, mtime: 7, data: data.into() }
}

fn dir(path: &str) -> Op {
    Op::Dir { path: path.into(), mode: 0o750, mtime: 9 }
}

fn whiteout(path: &str) -> Op {
    Op::Whiteout { path: path.into() }
}

fn opaque(path: &str) -> Op {
    Op::Opaque { path: path.into() }
}

/// The table of the rules for whiteouts: lower, layer, what is left.
#[test]
fn the_model_keeps_the_rules_for_whiteouts() {
    let d_x = || vec![file("d/x", "")];
    let d_x_sub_w = || vec![file("d/x", ""), file("d/sub/w", "")];
    let table: [(Vec<Op>, Vec<Op>, &[&str]); 10] = [
        (vec![file("f", "old")], vec![whiteout("f"), file("f", "new")], &["f"]),
        (vec![file("f", "old")], vec![file("f", "new"), whiteout("f")], &["f"]),
        (d_x(), vec![whiteout("d"), dir("d"), file("d/y", "")], &["d", "d/y"]),
        (d_x(), vec![whiteout("d"), file("d/y", "")], &["d", "d/y"]),
        (d_x(), vec![dir("d"), file("d/y", ""), whiteout("d")], &["d", "d/y"]),
        (d_x_sub_w(), vec![file("d/sub/z", ""), opaque("d")], &["d", "d/sub", "d/sub/z"]),
        (d_x_sub_w(), vec![dir("d"), file("d/y", ""), dir("d/sub"), file("d/sub/z", ""), opaque("d")], &["d", "d/sub", "d/sub/z", "d/y"]),
        (vec![file("f", ""), file("d/x", "")], vec![opaque(""), file("g", "")], &["g"]),
        (d_x(), vec![whiteout("d"), whiteout("d/x")], &[]),
        (vec![], vec![whiteout("no/such/f")], &[]),
    ];
    for (lower, upper, left) in table {
        let model = Model::of(&[lower.clone(), upper.clone()]).unwrap();
        assert_eq!(model.tree((0, 0)).paths(), left, "{lower:?} below {upper:?}");
    }
}

#[test]
fn the_model_shares_an_inode_until_one_name_is_replaced() {
    let link = |path: &str, target: &str| Op::Hardlink { path: path.into(), target: target.into() };
    let lower = vec![link("b", "a"), file("a", "old"), link("c", "a")];
    let tree = Model::of(std::slice::from_ref(&lower)).unwrap().tree((0, 0));
    assert_eq!(tree.get("c").unwrap().nlink, 3);
    assert_eq!(tree.get("c").unwrap().same_as.as_deref(), Some(&b"a"[..]));
    let tree = Model::of(&[lower, vec![file("b", "new")]]).unwrap().tree((0, 0));
    assert_eq!((tree.get("a").unwrap().nlink, tree.get("b").unwrap().nlink), (2, 1));
    assert!(Model::of(&[vec![link("a", "none")]]).is_none());
}

#[test]
fn a_layer_of_the_model_is_an_archive_of_its_entries() {
    let ops = [dir("d"), file("d/f", "x"), whiteout("d/g"), whiteout("h"), opaque("d")];
    let names = read(&layer(&ops).bytes()).into_iter().map(|(name, ..)| String::from_utf8(name).unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["d", "d/f", "d/.wh.g", ".wh.h", "d/.wh..wh..opq"]);
    assert!(Path::new(&names[0]).is_relative());
}
