//! Layers that were once applied wrongly, too slowly or not at all, each as small as it can be.
//!
//! Those about permissions say something only as an ordinary user: root is never refused.
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

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use common::builder::{Entry, Tar, record, tar};
use common::engine::{self, Form, Mode};
use safe_layers::{Error, ErrorKind, Expect, LayerReader, LayerReport, Policy, Reason, Resolver};

const ROOTFS: Mode = Mode { form: Form::Rootfs, resolver: Resolver::Auto, threads: 2, chunk: usize::MAX };
const IN_PLACE: Mode = Mode { form: Form::InPlace, ..ROOTFS };

fn unpack(dir: &Path, mode: Mode, policy: Policy, layers: &[Tar]) -> Result<Vec<LayerReport>, Error> {
    let blobs: Vec<_> = layers.iter().map(Tar::source).collect();
    engine::unpack(dir, mode, policy, &blobs)
}

/// Unpacks for real images and gives the reports and the paths of the tree.
#[track_caller]
fn unpacked(layers: &[Tar]) -> (Vec<LayerReport>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let reports = unpack(dir.path(), ROOTFS, engine::container_for_caller(), layers).unwrap();
    (reports, paths(&dir.path().join("dest")))
}

fn refused(policy: Policy, layers: &[Tar]) -> ErrorKind {
    let dir = tempfile::tempdir().unwrap();
    let error = unpack(dir.path(), ROOTFS, policy, layers).unwrap_err();
    assert!(paths(dir.path()).is_empty(), "something was left");
    error.kind()
}

fn paths(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![top.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                todo.push(path);
            }
        }
    }
    found.sort();
    found
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn directories_with_the_names_that_a_removal_uses_are_removed_too() {
    let names = 1..40;
    let lower = names.clone().fold(tar().dir("d"), |tar, n| tar.dir(format!("d/.removed-{n:x}")));
    let lower = names.fold(lower, |tar, n| tar.dir(format!("d/sub{n}")).dir(format!("d/sub{n}/x")));
    let (_, paths) = unpacked(&[lower, tar().file(".wh.d", "")]);
    assert!(paths.is_empty());
}

#[test]
fn a_directory_without_permission_to_write_is_removed_with_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("dest");
    fs::create_dir_all(dest.join("d/e/g")).unwrap();
    fs::write(dest.join("d/e/f"), "").unwrap();
    ["d/e/g", "d/e", "d"].iter().for_each(|path| set_mode(&dest.join(path), 0o555));
    unpack(dir.path(), IN_PLACE, engine::container_for_caller(), &[tar().file(".wh.d", "")]).unwrap();
    assert!(paths(&dest).is_empty());
}

#[test]
fn a_commit_that_fails_leaves_no_directory_without_permission_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut unpacker = engine::unpacker(dir.path(), ROOTFS, engine::container_for_caller()).unwrap();
    let layer = tar().add(Entry::dir("d").mode(0o555)).file("d/f", "");
    engine::apply(&mut unpacker, ROOTFS, &layer.source(), None).unwrap();
    fs::create_dir(dir.path().join("dest")).unwrap();
    assert_eq!(unpacker.commit().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(paths(dir.path()), ["dest"]);
}

#[test]
fn a_second_layer_goes_into_a_root_without_permission_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("dest");
    fs::create_dir(&dest).unwrap();
    let layers = [tar().add(Entry::dir("./").mode(0o555)).file("a", ""), tar().file("b", "")];
    unpack(dir.path(), IN_PLACE, engine::container_for_caller(), &layers).unwrap();
    assert_eq!((paths(&dest), mode(&dest)), (vec!["a".into(), "b".into()], 0o555));
}

#[test]
fn repeated_opaque_markers_cost_no_more_than_one() {
    let dir = tempfile::tempdir().unwrap();
    let layer = tar().each(0..10_000, |n| Entry::file(format!("d/{n}"), "")).times(10_000, &Entry::file("d/.wh..wh..opq", ""));
    let mut policy = engine::container_for_caller();
    // Minutes, were the directory read for each of them.
    policy.limits.deadline = Some(Duration::from_secs(60));
    let reports = unpack(dir.path(), ROOTFS, policy, &[layer]).unwrap();
    assert_eq!(reports[0].entries.whiteouts, 10_000);
    assert_eq!(paths(&dir.path().join("dest/d")).len(), 10_000);
}

#[test]
fn a_marker_after_another_one_still_takes_the_lower_attributes() {
    let lower = tar().add(Entry::dir("d").mode(0o700)).add(Entry::dir("d/e").mode(0o700)).file("d/e/x", "");
    let upper = tar().file("d/e/y", "").file("d/e/.wh..wh..opq", "").file("d/.wh..wh..opq", "").file(".wh.d", "");
    let dir = tempfile::tempdir().unwrap();
    unpack(dir.path(), ROOTFS, engine::container_for_caller(), &[lower, upper]).unwrap();
    let dest = dir.path().join("dest");
    assert_eq!(paths(&dest), ["d", "d/e", "d/e/y"]);
    assert_eq!((mode(&dest.join("d")), mode(&dest.join("d/e"))), (0o755, 0o755));
}

#[test]
fn a_later_entry_below_a_hardlink_that_waits_takes_its_place() {
    for lower in [tar(), tar().file("h/y", ""), tar().file("h", "")] {
        let upper = tar().hardlink("h", "t").file("h/x", "").file("t", "");
        let (reports, paths) = unpacked(&[lower, upper]);
        assert_eq!(paths, ["h", "h/x", "t"]);
        assert_eq!(reports[1].events.count(Reason::HardlinkSuperseded), 1);
    }
    assert_eq!(refused(Policy::strict(), &[tar().hardlink("h", "t").file("h/x", "").file("t", "")]), ErrorKind::NotADirectory);
}

#[test]
fn a_later_directory_in_the_place_of_a_hardlink_that_waits_is_a_new_one() {
    let (_, paths) = unpacked(&[tar().file("h/y", ""), tar().hardlink("h", "t").dir("h").file("t", "")]);
    assert_eq!(paths, ["h", "t"]);
}

#[test]
fn a_second_entry_in_the_place_of_a_hardlink_that_waits_is_a_duplicate() {
    for second in [Entry::file("h", ""), Entry::dir("h"), Entry::hardlink("h", "t")] {
        let layer = tar().hardlink("h", "t").add(second).file("t", "");
        assert_eq!(refused(Policy::strict(), &[layer]), ErrorKind::DuplicateEntry);
    }
}

#[test]
fn a_hardlink_in_the_place_of_its_targets_parent_has_no_target() {
    assert_eq!(
        refused(engine::container_for_caller(), &[tar().file("d/t", ""), tar().hardlink("d", "d/t")]),
        ErrorKind::HardlinkTargetMissing
    );
}

#[test]
fn a_hardlink_whose_target_is_the_directory_made_for_it_is_refused_though_a_file_takes_its_place() {
    let layer = tar().hardlink("a/a/a", "a").file("a", "");
    assert_eq!(refused(engine::container_for_caller(), &[layer]), ErrorKind::HardlinkToSpecial);
}

#[test]
fn hardlinks_that_waited_in_one_layer_do_not_count_in_the_next() {
    let layer = |n: u32| tar().each(0..1000, move |m| Entry::hardlink(format!("h{n}-{m}"), format!("t{n}"))).file(format!("t{n}"), "");
    let mut policy = engine::container_for_caller();
    policy.limits.deferred_bytes = 400_000;
    let dir = tempfile::tempdir().unwrap();
    unpack(dir.path(), ROOTFS, policy, &[layer(0), layer(1), layer(2)]).unwrap();
}

#[test]
fn a_links_target_makes_no_directory_with_the_name_of_a_whiteout() {
    for target in [".wh.passwd", "x/.wh.y", ".wh..wh.aufs/x"] {
        let layer = tar().symlink("l", target).file("l/x", "");
        assert_eq!(refused(engine::container_for_caller(), &[layer]), ErrorKind::InvalidWhiteout, "{target}");
    }
}

#[test]
fn what_the_commit_brings_is_told_with_the_last_layer() {
    let dir = tempfile::tempdir().unwrap();
    let mut unpacker = engine::unpacker(dir.path(), ROOTFS, engine::container_for_caller()).unwrap();
    // Beyond what ext4 holds; other filesystems hold both.
    let layer = tar().add(Entry::dir("d").mtime(1 << 36)).add(Entry::file("f", "").mtime(1 << 36));
    let report = engine::apply(&mut unpacker, ROOTFS, &layer.source(), None).unwrap();
    let of_files = report.events.count(Reason::TimeClamped);
    assert_eq!(unpacker.commit().unwrap().layers[0].events.count(Reason::TimeClamped), 2 * of_files);
}

#[test]
fn a_reader_of_entries_keeps_as_many_events_as_the_limit_says() {
    let records = record("k", "").repeat(20_000);
    let layer = tar().add(Entry::file("f", "").pax_raw(&records)).bytes();
    let mut policy = Policy::container();
    policy.limits.events = 10;
    let mut reader = LayerReader::new(layer.as_slice(), &Expect::dangerous_unverified(), policy);
    reader.next_entry().unwrap().unwrap();
    let events = reader.take_events();
    assert_eq!((events.first().len(), events.count(Reason::UnknownPaxKey)), (10, 20_000));
}

#[test]
fn a_reader_of_entries_tells_what_the_blob_had_at_its_end() {
    let blob = [tar().gzip().bytes(), vec![0; 7]].concat();
    let mut reader = LayerReader::new(blob.as_slice(), &Expect::dangerous_unverified(), Policy::container());
    assert_eq!(reader.next_entry(), Ok(None));
    assert_eq!(reader.take_events().count(Reason::TrailingZeros), 1);
}

/// Says that it read more than it was asked for.
struct Liar;

impl std::io::Read for Liar {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(buffer.len() + 1)
    }
}

#[test]
fn a_reader_of_entries_does_not_believe_a_read_that_lies() {
    let mut reader = LayerReader::new(Liar, &Expect::dangerous_unverified(), Policy::container());
    assert_eq!(reader.next_entry().unwrap_err().kind(), ErrorKind::Io);
}
