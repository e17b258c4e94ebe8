//! Images on disk: how they are found, chosen and trusted, and that their trees are those of their layers. The attacks by images
//! are in `tests/attacks`.
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

mod archives;
mod attached;
#[path = "../common/mod.rs"]
mod common;
mod flatten;
mod signatures;
mod signing;
mod verifiers;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;

use common::builder::{Entry, tar};
use common::engine::{self, Mode, sha256};
use common::images::{Node, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Recipe, Stored, descriptor, hex, image, small};
use common::snapshot::{Tree, assert_same};
use safe_layers::image::{Anchor, Choice, Image, Layout, LayoutForm, MAX_ARCHIVE_MEMBERS, NoticeReason, Platform};
use safe_layers::{Digest, Error, ErrorKind, LayerReader, Policy, Root, ambient_authority, chain_id};
use serde_json::{Value, json};

fn amd64() -> Platform {
    Platform::parse("linux/amd64").unwrap()
}

fn unpinned() -> Choice {
    Choice::dangerous_unpinned().platform(amd64())
}

fn pinned(digest: Digest) -> Choice {
    Choice::pinned(digest).platform(amd64())
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn directory(stored: &Stored) -> (tempfile::TempDir, Result<Layout, Error>) {
    let dir = tempfile::tempdir().unwrap();
    stored.write(dir.path());
    let layout = Root::open_ambient(dir.path(), ambient_authority()).and_then(Layout::open);
    (dir, layout)
}

fn archive(stored: &Stored) -> Result<Layout, Error> {
    Layout::open_archive(file(&stored.archive().bytes()))
}

/// An image of two layers, of which the upper one hides, replaces and adds.
fn two() -> Recipe {
    image([
        tar().dir("etc").file("etc/gone", "lower").file("etc/kept", "lower").symlink("bin", "usr/bin").dir("usr").dir("usr/bin"),
        tar().file("etc/.wh.gone", "").file("bin/new", "upper").file("etc/kept", "upper"),
    ])
}

fn tree(image: &Image, mode: Mode) -> Result<Tree, Error> {
    let dir = tempfile::tempdir().unwrap();
    image.unpack(engine::unpacker(dir.path(), mode, engine::container_for_caller())?)?;
    Ok(Tree::take(&dir.path().join("dest"), |_| false))
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, kind: ErrorKind, place: &str) {
    let Err(error) = result else { panic!("{kind:?} was expected") };
    let found = error.descriptor_path().map(ToString::to_string).unwrap_or_default();
    assert_eq!((error.kind(), found.as_str()), (kind, place), "{error}");
}

#[test]
fn a_directory_an_archive_and_a_docker_archive_give_the_tree_of_the_layers() {
    let (oci, docker) = (two().oci(), two().docker());
    let (_dir, in_directory) = directory(&oci);
    let layouts = [
        (in_directory.unwrap(), LayoutForm::Directory, oci.pin),
        (archive(&oci).unwrap(), LayoutForm::Archive, oci.pin),
        (archive(&docker).unwrap(), LayoutForm::DockerArchive, docker.pin),
    ];
    let mut first: Option<Tree> = None;
    for (layout, form, pin) in &layouts {
        assert_eq!(layout.form(), *form);
        for choice in
            [unpinned(), pinned(*pin), unpinned().reference(if *form == LayoutForm::DockerArchive { "small:latest" } else { "latest" })]
        {
            let image = layout.image(&choice).unwrap();
            for mode in [Mode::ROOTFS[0], Mode::ROOTFS[1]] {
                let tree = tree(&image, mode).unwrap();
                assert!(tree.get("usr/bin/new").is_some() && tree.get("etc/gone").is_none());
                assert_same(first.get_or_insert_with(|| tree.clone()), &tree, &format!("{form:?}"));
            }
        }
    }
}

#[test]
fn an_image_gives_its_documents_byte_for_byte_with_what_they_were_checked_against() {
    let oci = two().oci();
    let image = archive(&oci).unwrap().image(&pinned(oci.pin)).unwrap();
    let manifest = image.manifest().unwrap();
    assert_eq!((manifest.bytes(), manifest.digest()), (oci.bytes(&oci.manifest), Some(oci.pin)));
    assert_eq!((image.config_document().bytes(), image.config_document().digest()), (oci.bytes(&oci.config), Some(oci.config_digest)));
    assert_eq!(image.chain_id(), chain_id(image.config().diff_ids()));
    assert_eq!(image.anchor(), Anchor::Digest(oci.pin));
    assert_eq!(
        image.layers().iter().map(|layer| layer.path().to_string()).collect::<Vec<_>>(),
        ["the pinned document → layers[0]", "the pinned document → layers[1]"]
    );

    let docker = two().docker();
    let layout = archive(&docker).unwrap();
    let image = layout.image(&pinned(docker.pin)).unwrap();
    assert!(image.manifest().is_none());
    assert_eq!(image.config_document().digest(), Some(docker.pin));
    let image = layout.image(&unpinned()).unwrap();
    assert_eq!((image.anchor(), image.config_document().digest()), (Anchor::Nothing, None));
}

#[test]
fn layers_are_read_without_a_filesystem() {
    let oci = two().oci();
    let image = archive(&oci).unwrap().image(&unpinned()).unwrap();
    let mut paths = Vec::new();
    for layer in image.layers() {
        let mut entries = LayerReader::new(layer.open().unwrap(), layer.claim(), Policy::container());
        while let Some(entry) = entries.next_entry().unwrap() {
            paths.push(String::from_utf8(entry.path().as_bytes().to_vec()).unwrap());
        }
        assert!(entries.finish().unwrap().verified.diff_id.is_some());
    }
    assert_eq!(paths, ["etc", "etc/gone", "etc/kept", "bin", "usr", "usr/bin", "etc/.wh.gone", "bin/new", "etc/kept"]);
}

#[test]
fn a_pin_leads_past_the_index_and_with_a_name_the_way_must_pass_it() {
    // An index.json that leads elsewhere does not matter to who pins the manifest.
    let (mine, other) = (small().oci(), two().oci());
    let mut stored = mine.clone();
    other
        .files
        .iter()
        .filter(|(name, _)| name.starts_with("blobs/") || name == "index.json")
        .for_each(|(name, node)| stored.put(name, node.clone()));
    let layout = archive(&stored).unwrap();
    assert_eq!(layout.image(&pinned(mine.pin)).unwrap().layers().len(), 1);
    assert_eq!(layout.image(&unpinned()).unwrap().layers().len(), 2);
    assert_eq!(layout.image(&pinned(other.pin).reference("latest")).unwrap().layers().len(), 2);
    refused(layout.image(&pinned(mine.pin).reference("latest")), ErrorKind::DigestMismatch, "index.json → manifests[0]");
    refused(layout.image(&pinned(mine.pin).reference("none")), ErrorKind::ImageMissing, "index.json");
    refused(layout.image(&pinned(sha256(b"none"))), ErrorKind::BlobMissing, "the pinned document");
}

#[test]
fn a_name_with_a_pin_does_not_make_a_manifest_of_the_index() {
    // Whoever writes index.json puts a manifest there: it would pass for the pinned one.
    let (mine, other) = (small().oci(), two().oci());
    let mut stored = other.clone();
    stored.put("index.json", Node::File(other.bytes(&other.manifest).to_vec()));
    for choice in [pinned(mine.pin).reference("latest"), pinned(other.pin).reference("latest"), unpinned()] {
        refused(archive(&stored).unwrap().image(&choice), ErrorKind::MediaTypeMismatch, "index.json");
    }
}

/// An index of the images for two platforms, in a layout of which `index.json` names it alone.
fn nested() -> (Stored, Digest) {
    let (amd64, arm64) = (small().oci(), two().config(|config| config["architecture"] = json!("arm64")).oci());
    let mut stored = amd64.clone();
    arm64.files.iter().filter(|(name, _)| name.starts_with("blobs/")).for_each(|(name, node)| stored.put(name, node.clone()));
    let entry = |image: &Stored, architecture: &str| {
        let mut entry = descriptor(OCI_MANIFEST, image.bytes(&image.manifest));
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let attestation = json!({"mediaType": OCI_MANIFEST, "size": 2, "digest": sha256(b"{}").to_string(),
        "platform": {"os": "unknown", "architecture": "unknown"}});
    let manifests = json!([entry(&amd64, "amd64"), attestation, entry(&arm64, "arm64")]);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string().into_bytes();
    stored.add_blob(&index);
    let mut named = descriptor(OCI_INDEX, &index);
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "multi"});
    let top = json!({"schemaVersion": 2, "manifests": [named]}).to_string().into_bytes();
    stored.put("index.json", Node::File(top));
    (stored, sha256(&index))
}

#[test]
fn an_index_leads_to_the_platform_and_may_itself_be_pinned() {
    let (stored, index) = nested();
    let layout = archive(&stored).unwrap();
    let arm64 = Platform::parse("linux/arm64").unwrap();
    for choice in [unpinned(), unpinned().reference("multi"), pinned(index), pinned(index).reference("multi")] {
        assert_eq!(layout.image(&choice).unwrap().layers().len(), 1);
        let image = layout.image(&choice.platform(arm64.clone())).unwrap();
        assert_eq!(image.layers().len(), 2);
        assert!(image.notices().any(|notice| notice.reason == NoticeReason::Attestation));
    }
    refused(layout.image(&pinned(index).platform(Platform::parse("linux/s390x").unwrap())), ErrorKind::ImageMissing, "the pinned document");
}

#[test]
fn the_configuration_says_what_the_image_is_for_but_what_is_pinned_is_taken() {
    let silent = |index: &mut Value| drop(index["manifests"][0].as_object_mut().unwrap().remove("platform"));
    let stored = small().config(|config| config["architecture"] = json!("s390x")).index(silent).oci();
    let layout = archive(&stored).unwrap();
    refused(layout.image(&unpinned()), ErrorKind::ImageMissing, "index.json → manifests[0] → config");
    refused(layout.image(&pinned(stored.pin)), ErrorKind::ImageMissing, "the pinned document → config");
    assert!(layout.image(&Choice::pinned(stored.pin)).is_ok());
    assert!(layout.image(&Choice::pinned(stored.pin).platform(Platform::parse("linux/s390x").unwrap())).is_ok());
}

#[test]
fn indexes_that_lead_deeper_and_deeper_are_refused() {
    let mut stored = small().oci();
    let mut below = stored.bytes("index.json").to_vec();
    for _ in 0..6 {
        stored.add_blob(&below);
        below = json!({"schemaVersion": 2, "manifests": [descriptor(OCI_INDEX, &below)]}).to_string().into_bytes();
    }
    stored.put("index.json", Node::File(below));
    let place = format!("index.json{}", " → manifests[0]".repeat(5));
    refused(archive(&stored).unwrap().image(&unpinned()), ErrorKind::LimitExceeded, &place);
}

#[test]
fn a_document_that_is_too_large_is_not_read() {
    let huge = 5 << 20;
    let stored = small().index(move |index| index["manifests"][0]["size"] = json!(huge)).oci();
    let name = stored.manifest.clone();
    let stored = stored.patch(&name, |bytes| bytes.resize(huge, b' '));
    refused(archive(&stored).unwrap().image(&unpinned()), ErrorKind::LimitExceeded, "index.json → manifests[0]");
    refused(archive(&stored).unwrap().image(&pinned(stored.pin)), ErrorKind::LimitExceeded, "the pinned document");
    let stored = small().oci().patch("index.json", |bytes| bytes.resize(huge, b' '));
    refused(archive(&stored).unwrap().image(&unpinned()), ErrorKind::LimitExceeded, "index.json");
    let (_dir, layout) = directory(&stored);
    refused(layout.unwrap().image(&unpinned()), ErrorKind::LimitExceeded, "index.json");
}

#[test]
fn documents_and_layers_of_another_length_are_told_by_their_size() {
    let stored = small().oci();
    for (name, place) in [
        (&stored.manifest, "index.json → manifests[0]"),
        (&stored.config, "index.json → manifests[0] → config"),
        (&stored.layers[0], "index.json → manifests[0] → layers[0]"),
    ] {
        for longer in [true, false] {
            let changed = stored.clone().patch(name, |bytes| bytes.resize(if longer { bytes.len() + 1 } else { bytes.len() - 1 }, b' '));
            let (_dir, in_directory) = directory(&changed);
            for layout in [in_directory.unwrap(), archive(&changed).unwrap()] {
                refused(layout.image(&unpinned()).and_then(|image| tree(&image, Mode::ROOTFS[0])), ErrorKind::SizeMismatch, place);
            }
        }
    }
}

#[test]
fn an_image_has_no_more_layers_than_anybody_can_mount() {
    let layers = |count: usize| {
        let many = move |list: &mut Value| {
            let layer = list[0].clone();
            *list = Value::Array(vec![layer; count]);
        };
        let recipe = small().config(move |config| many(&mut config["rootfs"]["diff_ids"]));
        archive(&recipe.manifest(move |manifest| many(&mut manifest["layers"])).oci()).unwrap().image(&unpinned())
    };
    assert_eq!(layers(1024).unwrap().layers().len(), 1024);
    refused(layers(1025), ErrorKind::LimitExceeded, "index.json → manifests[0]");
}

#[test]
fn urls_of_what_is_not_the_image_do_not_matter_to_strict() {
    let urls = |index: &mut Value| {
        let mut other = index["manifests"][0].clone();
        other["urls"] = json!(["http://127.0.0.1:9/"]);
        other["platform"]["architecture"] = json!("arm64");
        index["manifests"].as_array_mut().unwrap().push(other);
    };
    let image = archive(&small().index(urls).oci()).unwrap().image(&unpinned()).unwrap();
    assert_eq!(image.notices().count(), 1);
    let dir = tempfile::tempdir().unwrap();
    assert!(image.unpack(engine::unpacker(dir.path(), Mode::ROOTFS[0], Policy::strict()).unwrap()).is_ok());
}

#[test]
fn a_missing_blob_is_told_before_anything_is_written() {
    let mut stored = two().oci();
    stored.remove(&stored.layers[1].clone());
    let (_dir, layout) = directory(&stored);
    let image = layout.unwrap().image(&unpinned()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let unpacker = engine::unpacker(dir.path(), Mode::ROOTFS[0], engine::container_for_caller()).unwrap();
    let error = image.unpack(unpacker).unwrap_err();
    assert_eq!((error.kind(), error.layer()), (ErrorKind::BlobMissing, Some(1)));
    assert_eq!(error.location().path.as_deref(), Some(stored.layers[1].as_bytes()));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn layers_side_by_side_give_what_they_give_one_after_the_other() {
    let layers = || {
        [
            tar().dir("etc").file("etc/gone", "1").file("etc/kept", "1").symlink("bin", "usr/bin").dir("usr").dir("usr/bin"),
            tar().file("etc/.wh.gone", "").file("bin/new", "2").file("etc/kept", "2").file("etc/kept", "2"),
            tar().dir("opt").file("opt/own", "3"),
            tar().hardlink("opt/link", "etc/kept").file("usr/.wh..wh..opq", ""),
        ]
    };
    let unpack = |stored: &Stored, threads| {
        let (_dir, layout) = directory(stored);
        let dir = tempfile::tempdir().unwrap();
        let unpacker = engine::unpacker(dir.path(), Mode { threads, ..Mode::OVERLAY[0] }, engine::container_for_caller())?;
        let unpacked = layout?.image(&unpinned())?.unpack(unpacker)?;
        Ok((unpacked, (0..4).map(|layer| Tree::take(&dir.path().join(format!("dest/{layer}")), |_| false)).collect::<Vec<_>>()))
    };
    let stored = image(layers()).oci();
    let (unpacked, trees) = unpack(&stored, 1).unwrap();
    let damaged = |name: &str, stored: Stored| stored.patch(name, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let damaged = damaged(&stored.layers[3], damaged(&stored.layers[1], stored.clone()));
    let error: Error = unpack(&damaged, 1).unwrap_err();
    refused::<()>(Err(error.clone()), ErrorKind::DigestMismatch, "index.json → manifests[0] → layers[1]");
    for threads in [2, 4, 8] {
        let (found, found_trees) = unpack(&stored, threads).unwrap();
        assert_eq!(found, unpacked, "{threads} threads");
        for (wanted, found) in trees.iter().zip(&found_trees) {
            assert_same(wanted, found, &format!("{threads} threads"));
        }
        assert_eq!(unpack(&damaged, threads).unwrap_err(), error, "{threads} threads");
    }
}

#[test]
fn what_is_no_image_is_told_as_such() {
    let empty = tempfile::tempdir().unwrap();
    let layout = Layout::open(Root::open_ambient(empty.path(), ambient_authority()).unwrap());
    refused(layout, ErrorKind::BlobMissing, "oci-layout");
    refused(Layout::open_archive(file(&tar().file("a", "a").bytes())), ErrorKind::BlobMissing, "oci-layout");
    refused(Layout::open_archive(file(&tar().gzip().bytes())), ErrorKind::BadHeader, "the archive");
    let version = small().oci().with("oci-layout", Node::File(br#"{"imageLayoutVersion": "2.0.0"}"#.to_vec()));
    refused(archive(&version), ErrorKind::UnsupportedMediaType, "oci-layout");
    let (_dir, layout) = directory(&small().oci().with("oci-layout", Node::Fifo));
    refused(layout.map(drop), ErrorKind::LayoutSymlink, "oci-layout");
    let (_dir, layout) = directory(&small().docker());
    refused(layout.map(drop), ErrorKind::BlobMissing, "oci-layout");
}

#[test]
fn a_directory_of_blobs_that_is_a_symlink_is_not_followed() {
    let (stored, elsewhere) = (small().oci(), tempfile::tempdir().unwrap());
    stored.write(elsewhere.path());
    let (dir, _) = directory(&stored);
    fs::remove_dir_all(dir.path().join("blobs")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("blobs"), dir.path().join("blobs")).unwrap();
    let layout = Layout::open(Root::open_ambient(dir.path(), ambient_authority()).unwrap()).unwrap();
    refused(layout.image(&unpinned()), ErrorKind::LayoutSymlink, "index.json → manifests[0]");
}

#[test]
fn urls_are_never_fetched_and_are_told() {
    let stored = small().manifest(|manifest| manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:9/"])).oci();
    let image = archive(&stored).unwrap().image(&unpinned()).unwrap();
    let told: Vec<_> = image.notices().map(|notice| (notice.reason, notice.path.to_string())).collect();
    assert_eq!(told, [(NoticeReason::HasUrls, "index.json → manifests[0] → layers[0]".to_owned())]);
    assert!(tree(&image, Mode::ROOTFS[0]).is_ok());
    let mut missing = stored.clone();
    missing.remove(&stored.layers[0]);
    let image = archive(&missing).unwrap().image(&unpinned()).unwrap();
    refused(tree(&image, Mode::ROOTFS[0]), ErrorKind::BlobMissing, "index.json → manifests[0] → layers[0]");
}
