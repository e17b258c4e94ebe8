//! The merged tree as a stream: its order, what is handed out and when, what of it an error leaves. That the tree is the right one is
//! shown by every case of `tests/conformance`, which flattens it too.

use std::io;
use std::path::{Path, PathBuf};

use safe_layers::image::{FlatEntry, FlatKind, TreeSink};
use safe_layers::{Limits, Reason};

use super::*;
use common::builder::Tar;
use common::flat::{self, Recorder, told, unpack};

fn of(layers: &[Tar]) -> Image {
    flat::image(layers.iter().map(Tar::bytes).collect())
}

fn container() -> Policy {
    engine::container_for_caller()
}

/// Flattens and compares with the tree of an unpack and its reports; gives the stream.
#[track_caller]
fn same_as_unpacked(image: &Image, policy: &Policy) -> (Vec<String>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = image.unpack(engine::unpacker(dir.path(), Mode::ROOTFS[0], policy.clone()).unwrap()).unwrap();
    let (flattened, recorder) = flat::flatten(image, policy).unwrap();
    let reports = |reports: &[_]| reports.iter().map(told).collect::<Vec<_>>();
    assert_eq!(reports(&unpacked.layers), reports(&flattened.layers));
    let verified = |reports: &[safe_layers::LayerReport]| reports.iter().map(|report| report.verified).collect::<Vec<_>>();
    assert_eq!(verified(&unpacked.layers), verified(&flattened.layers));
    assert_eq!(flattened.handed_out.total, recorder.entries.len() as u64);
    let (shown, body_bytes) = (recorder.shown(), recorder.body_bytes);
    assert_same(&Tree::take(&dir.path().join("dest"), |_| false), &unpack(&recorder.tar(), policy, dir.path()), "unpacked and flattened");
    (shown, body_bytes)
}

#[test]
fn directories_come_first_then_what_the_layers_bring_then_further_names() {
    let layers = [
        tar().file("z", "z").dir("d").file("d/b", "b").hardlink("a", "z").symlink("d/s", "b").dir("d/gone"),
        tar().file("d/c/f", "f").hardlink("d/y", "d/b").file("d/.wh.gone", "").add(Entry::fifo("p")).dir("d.x"),
    ];
    let (shown, _) = same_as_unpacked(&of(&layers), &container());
    let pipe = format!("{:?} p", FlatKind::Fifo);
    let expected = ["d ", "d d", "d d/c", "d d.x", "f a", "f d/b", "s d/s", "f d/c/f", &pipe, "h d/y = d/b", "h z = a"];
    assert_eq!(shown, expected);
}

#[test]
fn every_form_of_an_image_gives_the_same_stream() {
    let (oci, docker) = (two().oci(), two().docker());
    let (_dir, in_directory) = directory(&oci);
    let layouts = [(in_directory.unwrap(), oci.pin), (archive(&oci).unwrap(), oci.pin), (archive(&docker).unwrap(), docker.pin)];
    let streams = layouts.map(|(layout, pin)| {
        let image = layout.image(&pinned(pin)).unwrap();
        same_as_unpacked(&image, &container());
        flat::flatten(&image, &container()).unwrap().1.tar()
    });
    assert!(streams[0] == streams[1] && streams[1] == streams[2]);
}

#[test]
fn a_name_keeps_the_file_of_a_lower_layer_that_an_upper_one_replaces_under_another() {
    let layers = [tar().file("a", "old").hardlink("b", "a").hardlink("c", "a"), tar().file("a", "new"), tar().file(".wh.b", "")];
    let (_, recorder) = flat::flatten(&of(&layers), &container()).unwrap();
    assert_eq!((recorder.shown().join(", "), recorder.body_bytes), ("d , f c, f a".to_owned(), 6));
    assert_eq!(same_as_unpacked(&of(&layers[..2]), &container()).0, ["d ", "f b", "f a", "h c = b"]);
}

#[test]
fn each_body_that_is_left_is_handed_over_once() {
    let body = |byte: u8| vec![byte; 1 << 20];
    let layers = [
        tar().file("a", body(b'1')).file("b", body(b'2')).file("d/c", body(b'3')).file("d/e", body(b'4')),
        tar().file("a", body(b'5')).hardlink("h", "b").file("d/.wh.c", "").file("f", body(b'6')),
        tar().file("f", body(b'7')).file("f2", body(b'8')).hardlink("h2", "f2").file("d/.wh..wh..opq", ""),
    ];
    let (shown, body_bytes) = same_as_unpacked(&of(&layers), &container());
    assert_eq!(shown, ["d ", "d d", "f b", "f a", "f f", "f f2", "h h = b", "h h2 = f2"]);
    assert_eq!(body_bytes, 4 << 20);
}

#[test]
fn holes_of_a_sparse_file_are_left_out_and_the_stream_says_its_size() {
    let sparse = Entry::gnu_sparse("s", &[(512, 512), (1 << 20, 0)], 1 << 20, [b'x'; 512]);
    let image = of(&[tar().add(sparse)]);
    let (_, recorder) = flat::flatten(&image, &container()).unwrap();
    assert_eq!((recorder.entries[1].kind(), recorder.body_bytes), (&FlatKind::File { len: 1 << 20 }, 512));
    same_as_unpacked(&image, &container());
}

#[test]
fn what_is_given_to_the_caller_is_the_roots_in_a_stream() {
    let image = of(&[tar().add(Entry::file("f", "x").uid(7).gid(8))]);
    for (policy, owner) in [(Policy::container(), (7, 8)), (Policy::rootless(), (0, 0)), (Policy::strict(), (0, 0))] {
        let (_, recorder) = flat::flatten(&image, &policy).unwrap();
        let metadata = recorder.entries[1].metadata();
        assert_eq!((metadata.uid, metadata.gid), owner);
    }
}

#[test]
fn of_a_layer_that_is_not_what_was_claimed_nothing_is_handed_out_nor_of_those_below() {
    for layer in [0, 1] {
        let stored = two().oci();
        let name = stored.layers[layer].clone();
        let stored = stored.patch(&name, |blob| *blob.last_mut().unwrap() ^= 1);
        let image = archive(&stored).unwrap().image(&unpinned()).unwrap();
        refused(flat::flatten(&image, &container()), ErrorKind::DigestMismatch, &format!("index.json → manifests[0] → layers[{layer}]"));
    }
    let wrong = |config: &mut Value| config["rootfs"]["diff_ids"][1] = json!(sha256(b"another").to_string());
    let image = archive(&two().config(wrong).oci()).unwrap().image(&unpinned()).unwrap();
    refused(flat::flatten(&image, &container()), ErrorKind::DiffIdMismatch, "index.json → manifests[0] → layers[1]");
}

#[test]
fn a_missing_blob_and_urls_under_strict_are_told_before_anything_is_read() {
    let mut stored = two().oci();
    stored.remove(&stored.layers[1].clone());
    let image = archive(&stored).unwrap().image(&unpinned()).unwrap();
    refused(flat::flatten(&image, &container()), ErrorKind::BlobMissing, "index.json → manifests[0] → layers[1]");
    let urls = |manifest: &mut Value| manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:9/"]);
    let image = archive(&small().manifest(urls).oci()).unwrap().image(&unpinned()).unwrap();
    refused(flat::flatten(&image, &Policy::strict()), ErrorKind::UnsupportedMediaType, "index.json → manifests[0] → layers[0]");
    assert!(flat::flatten(&image, &container()).is_ok());
}

/// Does something once, when it has got so many entries, to whom the stream comes from.
struct Meddler<'a> {
    recorder: Recorder,
    after: usize,
    act: &'a mut dyn FnMut() -> io::Result<()>,
}

impl TreeSink for Meddler<'_> {
    fn entry(&mut self, entry: &FlatEntry) -> io::Result<()> {
        self.recorder.entry(entry)?;
        if self.recorder.entries.len() == self.after { (self.act)() } else { Ok(()) }
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.recorder.data(offset, bytes)
    }

    fn entry_end(&mut self) -> io::Result<()> {
        self.recorder.entry_end()
    }

    fn abort(&mut self, error: &Error) {
        self.recorder.abort(error);
    }
}

/// Flattens while `act` acts after so many entries; the error, which `abort` must have heard, and the stream so far.
#[track_caller]
fn disturbed(image: &Image, after: usize, act: &mut dyn FnMut() -> io::Result<()>) -> (Error, Vec<String>) {
    let mut meddler = Meddler { recorder: Recorder::new(), after, act };
    let error = image.flatten(&container(), &mut meddler).unwrap_err();
    assert_eq!(meddler.recorder.aborted.as_ref(), Some(&error));
    (error, meddler.recorder.shown())
}

/// Layers in a directory, stored as they are, of which one becomes another file of the same length after the first entry came.
#[track_caller]
fn exchanged(layers: &[Tar], which: usize, other: Option<Vec<u8>>) -> (Error, Vec<String>) {
    let plain = |manifest: &mut Value| {
        manifest["layers"].as_array_mut().unwrap().iter_mut().for_each(|layer| layer["mediaType"] = json!(common::images::OCI_TAR));
    };
    let stored = common::images::image_of(layers.iter().map(Tar::bytes).collect()).manifest(plain).oci();
    let (dir, layout) = directory(&stored);
    let image = layout.unwrap().image(&unpinned()).unwrap();
    let path: PathBuf = dir.path().join(Path::new(&stored.layers[which]));
    disturbed(&image, 1, &mut || match &other {
        Some(other) => {
            assert_eq!(fs::metadata(&path)?.len(), other.len() as u64);
            fs::write(&path, other)
        }
        None => fs::remove_file(&path),
    })
}

#[test]
fn a_blob_that_changes_after_it_was_verified_is_an_error_and_the_sink_hears_it() {
    let layers = [tar().file("a", "lower").file("b", "b"), tar().file("a", "upper")];
    // Other bytes of a body that wins, of one that does not, and of the padding.
    for (which, place) in [(1, 512), (0, 512), (0, 600)] {
        let mut other = layers[which].bytes();
        other[place] ^= 1;
        let (error, shown) = exchanged(&layers, which, Some(other));
        assert_eq!((error.kind(), error.layer()), (ErrorKind::DigestMismatch, Some(which as u64)));
        assert_eq!(shown[0], "d ");
    }
    // Another entry in the place of the one that was merged: it does not come out.
    let other = tar().symlink("a", "/etc").bytes().into_iter().chain([0; 512]).collect();
    let (error, shown) = exchanged(&layers, 1, Some(other));
    assert_eq!((error.kind(), error.layer(), shown.join(", ")), (ErrorKind::DigestMismatch, Some(1), "d , f b".to_owned()));
    // Fewer entries, and none at all.
    let (error, _) = exchanged(&layers, 1, Some(vec![0; 2048]));
    assert_eq!((error.kind(), error.layer()), (ErrorKind::DigestMismatch, Some(1)));
    let (error, _) = exchanged(&layers, 0, None);
    assert_eq!((error.kind(), error.layer()), (ErrorKind::BlobMissing, Some(0)));
    assert_eq!(error.descriptor_path().unwrap().to_string(), "index.json → manifests[0] → layers[0]");
}

#[test]
fn what_the_sink_refuses_ends_the_stream_with_its_error_and_the_path() {
    let image = of(&[tar().dir("d").file("d/f", "x").hardlink("g", "d/f").file("last", "")]);
    for (after, path) in [(1, ""), (2, "d"), (3, "d/f"), (4, "last"), (5, "g")] {
        let (error, shown) = disturbed(&image, after, &mut || Err(io::Error::other("full")));
        assert_eq!((error.kind(), shown.len()), (ErrorKind::Io, after));
        assert_eq!(error.location().path.as_deref(), Some(path.as_bytes()), "{error}");
        assert!(error.detail().contains("full"), "{error}");
    }
}

#[test]
fn the_memory_of_the_tree_is_bounded_and_what_is_replaced_is_free_again() {
    let bounded = |tree_bytes| {
        let mut policy = container();
        policy.limits = Limits::default();
        policy.limits.tree_bytes = tree_bytes;
        policy
    };
    let limit = |layers: &[Tar], tree_bytes| match flat::flatten(&of(layers), &bounded(tree_bytes)) {
        Ok(_) => None,
        Err(error) => Some(error.limit().map(|limit| (limit.name, limit.value))),
    };
    let over = |tree_bytes| Some(Some(("tree_bytes", tree_bytes)));
    let files = |name: &str| (0..40).fold(tar(), |tar, number| tar.file(format!("{name}{number:02}"), ""));
    assert_eq!(limit(&[files("f")], 11_000), None);
    assert_eq!(limit(&[files("f")], 10_000), over(10_000));
    assert_eq!(limit(&[files("f"), files("g")], 11_000), over(11_000));
    assert_eq!(limit(&[files("f"), files("f"), files("f")], 11_000), None);
    assert_eq!(limit(&[files("d/f"), tar().file(".wh.d", ""), files("g")], 12_000), None);
    // Targets, attributes and markers count too.
    assert_eq!(limit(&[tar().symlink("s", "t".repeat(4000))], 4000), over(4000));
    let attribute = Entry::dir("d").pax("SCHILY.xattr.user.k", "v".repeat(4000));
    assert_eq!(limit(&[tar().add(attribute.clone())], 4000), over(4000));
    assert_eq!(limit(&[tar().add(attribute.clone()), tar().dir("d"), tar().add(attribute)], 5500), None);
    let markers = (0..400).fold(tar(), |tar, number| tar.file(format!(".wh.{number}"), ""));
    assert_eq!(limit(std::slice::from_ref(&markers), 15_000), over(15_000));
    assert_eq!(limit(&[markers.clone(), markers], 17_000), None);
}

#[test]
fn a_path_that_links_make_longer_than_any_name_may_be_is_refused() {
    let long = "n".repeat(200);
    let parts = |count: usize| vec![long.as_str(); count].join("/");
    let layer = tar().symlink("s", parts(15)).file(format!("s/{}/f", parts(10)), "x");
    let image = of(&[layer]);
    assert!(tree(&image, Mode::ROOTFS[0]).is_ok());
    let Err(error) = flat::flatten(&image, &container()) else { panic!("accepted") };
    assert_eq!((error.kind(), error.limit().map(|limit| limit.name)), (ErrorKind::NameTooLong, Some("path_bytes")));
}

#[test]
fn an_image_without_a_layer_has_no_tree() {
    let Err(error) = flat::flatten(&of(&[]), &container()) else { panic!("accepted") };
    assert_eq!(error.kind(), ErrorKind::LayerCountMismatch);
    let Err(error) = tree(&of(&[]), Mode::ROOTFS[0]) else { panic!("accepted") };
    assert_eq!(error.kind(), ErrorKind::LayerCountMismatch);
}

#[test]
fn nothing_is_silent() {
    let layers = [tar().file("/f", "x").file("f", "y"), tar().add(Entry::block("dev", 7, 1)).file("f/g", "z")];
    let (flattened, _) = flat::flatten(&of(&layers), &container()).unwrap();
    let counts = flattened.layers.iter().map(|layer| layer.events.counts().clone().into_iter().collect::<Vec<_>>()).collect::<Vec<_>>();
    assert_eq!(counts[0], [(Reason::AbsoluteNameStripped, 1), (Reason::DuplicateEntry, 1)]);
    assert_eq!(counts[1], [(Reason::NonDirectoryReplaced, 1), (Reason::DeviceSkipped, 1)]);
    assert_eq!(flattened.layers[1].events.first()[0].location.path.as_deref(), Some(&b"dev"[..]));
}
