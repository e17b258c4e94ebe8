//! Any tree, written by the independent builder and unpacked, is the same tree: however it was compressed, cut, and threaded.

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

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::Path;

use common::builder::{Chunks, Entry, Gzip, LongNames, Source, Split, Tar, Zstd, tar};
use common::canary::World;
use common::snapshot::{Data, Kind, Node, Tree, assert_same};
use proptest::collection::vec;
use proptest::prelude::*;
use safe_layers::{Expect, LayerReport, Policy, Root, Unpacker};

/// Length of one segment of a sparse file, in bytes: a page, so that holes can be holes.
const SEGMENT: u64 = 4096;

/// An object of the tree that is written.
#[derive(Clone, Debug)]
struct Item {
    /// Which of the directories before it holds it, modulo their number.
    parent: usize,
    /// The last component, to which the item's number is added.
    name: Vec<u8>,
    what: What,
    mode: u32,
    mtime: (i64, u32),
    xattrs: BTreeMap<String, Vec<u8>>,
    long_names: Long,
}

#[derive(Clone, Debug)]
enum What {
    Dir,
    File(Vec<u8>),
    /// Which of the segments hold data, and how it is written.
    Sparse(Vec<bool>, SparseForm),
    Symlink(Vec<u8>),
    /// Which of the files before it, modulo their number.
    Hardlink(usize),
    Fifo,
}

#[derive(Clone, Copy, Debug)]
enum Long {
    Pax,
    Gnu,
}

#[derive(Clone, Copy, Debug)]
enum SparseForm {
    Gnu,
    Pax01,
    Pax10,
}

fn what() -> impl Strategy<Value = What> {
    let forms = prop_oneof![Just(SparseForm::Gnu), Just(SparseForm::Pax01), Just(SparseForm::Pax10)];
    let file = prop_oneof![vec(any::<u8>(), 0..40), (any::<u8>(), 500_usize..20_000).prop_map(|(byte, len)| vec![byte; len])];
    let byte = any::<u8>().prop_filter("no NUL", |byte| *byte != 0);
    prop_oneof![
        3 => Just(What::Dir),
        3 => file.prop_map(What::File),
        1 => (vec(any::<bool>(), 1..12), forms).prop_map(|(segments, form)| What::Sparse(segments, form)),
        2 => prop_oneof![vec(byte, 1..300), Just(b"../../etc/passwd".to_vec()), Just(b"/abs".to_vec())].prop_map(What::Symlink),
        2 => any::<usize>().prop_map(What::Hardlink),
        1 => Just(What::Fifo),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let byte = any::<u8>().prop_filter("no NUL, no slash", |byte| !matches!(*byte, 0 | b'/'));
    let name = prop_oneof![3 => "[a-z]{1,8}".prop_map(String::into_bytes), 2 => vec(byte, 1..12), 1 => vec(b'l'..b'p', 90..150)];
    let secs = prop_oneof![3 => 0_i64..4_000_000_000, 1 => -2_000_000_000_i64..0];
    let nanos = prop_oneof![Just(0), 1_u32..1_000_000_000];
    let xattrs = proptest::collection::btree_map("user\\.[a-z]{1,6}", vec(any::<u8>(), 0..60), 0..3);
    let long_names = prop_oneof![Just(Long::Pax), Just(Long::Gnu)];
    (any::<usize>(), name, what(), 0_u32..0o2000, (secs, nanos), xattrs, long_names)
        .prop_map(|(parent, name, what, mode, mtime, xattrs, long_names)| Item { parent, name, what, mode, mtime, xattrs, long_names })
}

/// The archive of the items, and the tree that it is.
struct Written {
    archive: Tar,
    nodes: BTreeMap<Vec<u8>, Node>,
    /// The directories and the files so far, by path.
    dirs: Vec<Vec<u8>>,
    files: Vec<Vec<u8>>,
}

impl Written {
    fn of(items: &[Item]) -> Self {
        let mut written = Self { archive: tar(), nodes: BTreeMap::new(), dirs: vec![Vec::new()], files: Vec::new() };
        written.nodes.insert(Vec::new(), node(Kind::Dir, 0o755, (5, 0)));
        written.archive = written.archive.add(Entry::dir("./").mtime(5));
        for (i, item) in items.iter().enumerate() {
            let parent = &written.dirs[item.parent % written.dirs.len()];
            let name = [&item.name[..], format!("-{i}").as_bytes()].concat();
            // A file named like a marker would be one.
            let name = if name.starts_with(b".wh.") { [b"x", &name[..]].concat() } else { name };
            let path = if parent.is_empty() { name } else { [&parent[..], b"/", &name].concat() };
            written.put(item, path);
        }
        written.count_links();
        written
    }

    fn put(&mut self, item: &Item, path: Vec<u8>) {
        if let (What::Hardlink(which), false) = (&item.what, self.files.is_empty()) {
            let target = self.files[which % self.files.len()].clone();
            self.add(item, Entry::hardlink(&path, &target));
            let mut node = self.nodes[&target].clone();
            node.same_as.get_or_insert(target);
            self.nodes.insert(path, node);
            return;
        }
        let xattrs = matches!(item.what, What::Dir | What::File(_) | What::Sparse(..) | What::Hardlink(_));
        let (entry, kind) = match &item.what {
            What::Dir => (Entry::dir(&path), Kind::Dir),
            What::File(data) => (Entry::file(&path, data), Kind::File(Data::of(data))),
            What::Hardlink(_) => (Entry::file(&path, ""), Kind::File(Data::of(b""))),
            What::Sparse(segments, form) => sparse(&path, segments, *form),
            What::Symlink(target) => (Entry::symlink(&path, target), Kind::Symlink(target.clone())),
            What::Fifo => (Entry::fifo(&path), Kind::Fifo),
        };
        let entry =
            item.xattrs.iter().filter(|_| xattrs).fold(entry, |entry, (name, value)| entry.pax(format!("SCHILY.xattr.{name}"), value));
        self.add(item, entry);
        match kind {
            Kind::Dir => self.dirs.push(path.clone()),
            Kind::File(_) => self.files.push(path.clone()),
            _ => {}
        }
        let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { item.mode };
        let mut node = node(kind, mode, item.mtime);
        node.xattrs = item.xattrs.iter().filter(|_| xattrs).map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect();
        self.nodes.insert(path, node);
    }

    fn add(&mut self, item: &Item, entry: Entry) {
        let (secs, nanos) = item.mtime;
        let entry = entry.mode(i128::from(item.mode)).mtime(i128::from(secs));
        let entry = if nanos == 0 { entry } else { entry.pax("mtime", decimal(secs, nanos)) };
        let how = match item.long_names {
            Long::Pax => LongNames::Pax,
            Long::Gnu => LongNames::Gnu,
        };
        self.archive = self.archive.clone().add(entry.long_names(how));
    }

    fn count_links(&mut self) {
        let mut names = BTreeMap::<Vec<u8>, Vec<Vec<u8>>>::new();
        for (path, node) in &self.nodes {
            if node.kind != Kind::Dir {
                names.entry(node.same_as.clone().unwrap_or_else(|| path.clone())).or_default().push(path.clone());
            }
        }
        for group in names.values() {
            for path in group {
                let node = self.nodes.get_mut(path).unwrap();
                node.nlink = group.len() as u64;
                node.same_as = (group.len() > 1).then(|| group[0].clone());
            }
        }
    }
}

/// An object that belongs to whoever runs the test.
fn node(kind: Kind, mode: u32, mtime: (i64, u32)) -> Node {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Node { kind, mode, uid, gid, mtime, xattrs: BTreeMap::new(), nlink: 0, same_as: None }
}

fn sparse(path: &[u8], segments: &[bool], form: SparseForm) -> (Entry, Kind) {
    let len = segments.len() as u64 * SEGMENT;
    let mut content = vec![0; len as usize];
    let mut regions = Vec::new();
    for (i, _) in segments.iter().enumerate().filter(|(_, data)| **data) {
        let offset = i as u64 * SEGMENT;
        content[offset as usize..][..SEGMENT as usize].fill(b'A' + i as u8);
        regions.push((offset, SEGMENT));
    }
    // Where the file ends in a hole, GNU tar marks it by an empty region; where it is but a hole, so it is here too.
    regions.extend((segments.last() == Some(&false)).then_some((len, 0)));
    let stored = regions.iter().flat_map(|(offset, len)| &content[*offset as usize..][..*len as usize]).copied().collect::<Vec<_>>();
    let entry = match form {
        SparseForm::Gnu => Entry::gnu_sparse(path, &regions, len, stored),
        SparseForm::Pax01 => {
            let map = regions.iter().map(|(offset, len)| format!("{offset},{len}")).collect::<Vec<_>>().join(",");
            Entry::file(path, stored)
                .pax("GNU.sparse.size", len.to_string())
                .pax("GNU.sparse.numblocks", regions.len().to_string())
                .pax("GNU.sparse.map", map)
        }
        SparseForm::Pax10 => {
            let numbers = regions.iter().map(|(offset, len)| format!("{offset}\n{len}\n")).collect::<String>();
            let mut body = format!("{}\n{numbers}", regions.len()).into_bytes();
            body.resize(body.len().next_multiple_of(512), 0);
            body.extend(stored);
            Entry::file(path, body).pax("GNU.sparse.major", "1").pax("GNU.sparse.minor", "0").pax("GNU.sparse.realsize", len.to_string())
        }
    };
    (entry, Kind::File(Data::of(&content)))
}

/// A time as PAX writes it: the sign counts for the fraction too.
fn decimal(secs: i64, nanos: u32) -> String {
    if secs >= 0 { format!("{secs}.{nanos:09}") } else { format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos) }
}

fn policy() -> Policy {
    let mut policy = Policy::rootless();
    policy.unsupported_xattrs = safe_layers::UnsupportedXattrs::Error;
    policy
}

#[track_caller]
fn unpack(world: &World, blob: &Source, chunk: usize, threads: usize) -> LayerReport {
    let parent = Root::try_from(OwnedFd::from(std::fs::File::open(world.parent()).unwrap())).unwrap();
    let threads = NonZeroUsize::new(threads).unwrap();
    let mut unpacker = Unpacker::rootfs(parent, "dest", policy()).unwrap().threads(threads);
    let blob = std::io::Cursor::new(blob.bytes());
    let report = unpacker.apply(&Expect::dangerous_unverified(), Chunks(blob, chunk)).unwrap();
    unpacker.commit().unwrap();
    report
}

/// Unpacks the archive in every form and way; gives the report of the plain one.
#[track_caller]
fn check(written: &Written, chunk: usize) -> LayerReport {
    let world = World::new();
    let expected = Tree::from_nodes(written.nodes.clone());
    let plain = written.archive.source();
    let blobs = [plain.clone(), Gzip { split: Split::Into(3), ..Gzip::OK }.wrap(&plain), Zstd { frames: 2, ..Zstd::OK }.wrap(&plain)];
    let mut first = None;
    for blob in &blobs {
        let ways = [(usize::MAX, 1), (chunk, 1), (chunk, 2)];
        let reports = ways.map(|(chunk, threads)| {
            let report = unpack(&world, blob, chunk, threads);
            assert_same(&expected, &world.tree().unwrap(), &format!("{:?}, reads of {chunk}, {threads} threads", report.compression));
            world.clear();
            report
        });
        assert_eq!(reports[0], reports[1], "the report depends on the reads");
        assert_eq!(reports[0], reports[2], "the report depends on the threads");
        let [report, ..] = reports;
        let before = first.get_or_insert_with(|| report.clone());
        assert_eq!((report.diff_id, report.decoded_bytes), (before.diff_id, before.decoded_bytes));
        assert_eq!((report.entries, &report.events), (before.entries, &before.events), "the entries depend on the compression");
    }
    world.assert_outside_untouched("a round trip");
    first.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back_the_same_from_any_compression_reads_and_threads(items in vec(item(), 0..20), chunk in 1_usize..3000) {
        check(&Written::of(&items), chunk);
    }
}

fn plain_item(parent: usize, name: &[u8], what: What) -> Item {
    Item { parent, name: name.to_vec(), what, mode: 0o640, mtime: (1, 0), xattrs: BTreeMap::new(), long_names: Long::Pax }
}

#[test]
fn a_read_of_one_byte_at_a_time_gives_the_same_tree() {
    let items = [
        plain_item(0, b"d", What::Dir),
        plain_item(1, b"\xff\xfe\n", What::File(b"x".repeat(600))),
        plain_item(1, &[b'n'; 140], What::Symlink(vec![b't'; 200])),
        plain_item(0, b"s", What::Sparse(vec![false, true, false], SparseForm::Gnu)),
        plain_item(0, b"h", What::Hardlink(1)),
    ];
    let report = check(&Written::of(&items), 1);
    let entries = report.entries;
    assert_eq!((entries.total, entries.files, entries.directories, entries.symlinks, entries.hardlinks), (6, 2, 2, 1, 1));
}

#[test]
fn a_time_before_1970_with_a_fraction_comes_back_to_the_nanosecond() {
    for (secs, nanos, text) in [(-1, 500_000_000, "-0.500000000"), (-2, 1, "-1.999999999"), (7, 1, "7.000000001")] {
        assert_eq!(decimal(secs, nanos), text);
        check(&Written::of(&[Item { mtime: (secs, nanos), ..plain_item(0, b"f", What::File(Vec::new())) }]), 512);
    }
}

/// As an ordinary user: to the kernel a `user.*` attribute is data, which takes the permission to write.
#[test]
fn a_file_that_its_owner_may_not_write_keeps_its_attributes() {
    for mode in [0o444, 0o555, 0] {
        for what in [What::File(b"x".to_vec()), What::Dir] {
            let xattrs = [("user.a".to_owned(), b"v".to_vec())].into();
            check(&Written::of(&[Item { mode, xattrs, ..plain_item(0, b"f", what) }]), 512);
        }
    }
}

#[test]
fn a_hole_stays_a_hole() {
    use std::os::unix::fs::MetadataExt as _;
    let world = World::new();
    for form in [SparseForm::Gnu, SparseForm::Pax01, SparseForm::Pax10] {
        let segments = [true].into_iter().chain([false; 200]).collect();
        let written = Written::of(&[plain_item(0, b"s", What::Sparse(segments, form))]);
        unpack(&world, &written.archive.source(), 512, 1);
        let stat = world.dest_path().join(Path::new("s-0")).symlink_metadata().unwrap();
        assert_eq!(stat.len(), 201 * SEGMENT);
        assert!(stat.blocks() * 512 < 20 * SEGMENT, "{form:?}: {} blocks", stat.blocks());
        world.clear();
    }
}
