//! What only an archive can be: pinned as a whole, changed under the reader, a docker-archive, more than is good.

use super::*;

#[test]
fn an_archive_of_a_layout_may_have_directories_dots_and_hardlinks_but_no_name_twice() {
    let stored = small().oci();
    let dotted = |twice: Option<Entry>| {
        let mut archive = tar().dir("./").dir("./blobs/").dir("./blobs/sha256/").dir("./blobs");
        for (name, node) in &stored.files {
            let Node::File(bytes) = node else { panic!() };
            archive = archive.file(format!("first/{name}"), bytes).hardlink(format!("./{name}"), format!("first/{name}"));
        }
        if let Some(twice) = twice {
            archive = archive.add(twice);
        }
        Layout::open_archive(file(&archive.bytes()))
    };
    assert!(dotted(None).unwrap().image(&pinned(stored.pin)).is_ok());
    refused(dotted(Some(Entry::file("index.json", "{}"))), ErrorKind::DuplicateEntry, "the archive");
    refused(dotted(Some(Entry::dir("blobs/../index.json"))), ErrorKind::PathTraversal, "the archive");
    refused(dotted(Some(Entry::file("/etc/passwd", "x"))), ErrorKind::AbsolutePath, "the archive");
}

#[test]
fn an_archive_is_read_to_its_end_and_within_limits() {
    let bytes = small().oci().archive().bytes();
    refused(Layout::open_archive(file(&bytes[..bytes.len() - 1024])), ErrorKind::Truncated, "the archive");
    let body = tar().file("oci-layout", "x".repeat(4096)).bytes();
    refused(Layout::open_archive(file(&body[..2048])), ErrorKind::Truncated, "the archive");
    let many = |count: u64| Layout::open_archive(file(&tar().each(0..count, |i| Entry::dir(format!("d{i}"))).bytes()));
    refused(many(MAX_ARCHIVE_MEMBERS), ErrorKind::BlobMissing, "oci-layout");
    let error = many(MAX_ARCHIVE_MEMBERS + 1).unwrap_err();
    assert_eq!(error.limit().map(|limit| limit.name), Some("archive_members"));
}

#[test]
fn the_digest_of_an_archive_is_checked_before_its_content() {
    let bytes = small().oci().archive().bytes();
    let layout = Layout::open_pinned_archive(file(&bytes), &sha256(&bytes)).unwrap();
    let image = layout.image(&Choice::pinned_archive().platform(amd64())).unwrap();
    assert_eq!(image.anchor(), Anchor::Archive(sha256(&bytes)));
    assert!(tree(&image, Mode::ROOTFS[0]).is_ok());
    // Not even that it is no archive is found out first.
    for other in [&bytes[..bytes.len() - 512], b"no archive", b""] {
        refused(Layout::open_pinned_archive(file(other), &sha256(&bytes)), ErrorKind::DigestMismatch, "the archive");
    }
    let unpinned = Layout::open_archive(file(&bytes)).unwrap();
    refused(unpinned.image(&Choice::pinned_archive()), ErrorKind::DigestMismatch, "the archive");
}

#[test]
fn an_archive_that_changes_after_its_digest_was_checked_is_an_error() {
    for (stored, name) in [(small().oci(), "index.json"), (small().docker(), "manifest.json")] {
        let names = [
            (name.to_owned(), ErrorKind::DigestMismatch),
            (stored.config.clone(), ErrorKind::DigestMismatch),
            (stored.layers[0].clone(), if name == "index.json" { ErrorKind::DigestMismatch } else { ErrorKind::DiffIdMismatch }),
        ];
        for (name, kind) in names {
            let bytes = stored.archive().bytes();
            let file = file(&bytes);
            let other = file.try_clone().unwrap();
            let layout = Layout::open_pinned_archive(file, &sha256(&bytes)).unwrap();
            // The last byte of the body that is no padding: of a layer, in the file's content or its trailer.
            let body = stored.bytes(&name);
            let at = bytes.windows(body.len()).position(|window| window == body).unwrap() as u64;
            let flipped = if kind == ErrorKind::DiffIdMismatch { 1024 } else { body.len() as u64 - 1 };
            other.write_all_at(&[body[flipped as usize] ^ 1], at + flipped).unwrap();
            let result = layout.image(&Choice::pinned_archive().platform(amd64())).and_then(|image| tree(&image, Mode::ROOTFS[0]));
            assert_eq!(result.map(drop).map_err(|error| error.kind()), Err(kind), "{name}");
        }
    }
}

#[test]
fn reading_by_position_leaves_the_position_of_the_file_alone() {
    let bytes = small().oci().archive().bytes();
    let mut mine = file(&bytes);
    mine.rewind().unwrap();
    let layout = Layout::open_archive(mine.try_clone().unwrap()).unwrap();
    layout.image(&unpinned()).unwrap();
    let mut read = Vec::new();
    mine.read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes);
}

#[test]
fn a_docker_archive_shares_layers_by_links_within_it() {
    let stored = small().docker();
    let layer = stored.layers[0].clone();
    let with_link = |target: &str, entries: &[(&str, &str)]| {
        let list = json!([{"Config": stored.config, "RepoTags": null, "Layers": ["x/layer.tar"]}]).to_string().into_bytes();
        let mut stored = stored.clone().with("manifest.json", Node::File(list));
        stored.put("x/layer.tar", Node::Symlink(target.to_owned()));
        entries.iter().for_each(|(name, target)| stored.put(name, Node::Symlink((*target).to_owned())));
        archive(&stored).unwrap().image(&pinned(stored.pin)).and_then(|image| tree(&image, Mode::ROOTFS[0]))
    };
    let place = "manifest.json → [0] → Layers[0]";
    assert!(with_link(&format!("../{layer}"), &[]).is_ok());
    assert!(with_link("y", &[("x/y", &format!("..//./{layer}"))]).is_ok());
    refused(with_link(&format!("../../{layer}"), &[]), ErrorKind::SymlinkEscape, place);
    refused(with_link("layer.tar", &[]), ErrorKind::SymlinkLoop, place);
    refused(with_link("../z/layer.tar", &[("z", &hex(sha256(b"z")))]), ErrorKind::SymlinkInPath, place);
    refused(with_link("nothing", &[]), ErrorKind::BlobMissing, place);
}

#[test]
fn of_several_images_in_a_docker_archive_one_is_named_or_pinned() {
    let (one, two) = (small().docker(), two().docker());
    let mut stored = one.clone();
    two.files.iter().for_each(|(name, node)| stored.put(name, node.clone()));
    let list = json!([
        {"Config": one.config, "RepoTags": ["one:1"], "Layers": one.layers},
        {"Config": two.config, "RepoTags": ["two:2", "two:latest"], "Layers": two.layers},
    ]);
    stored.put("manifest.json", Node::File(list.to_string().into_bytes()));
    let layout = archive(&stored).unwrap();
    let layers = |choice: &Choice| layout.image(choice).map(|image| image.layers().len());
    assert_eq!(layers(&unpinned().reference("one:1")), Ok(1));
    assert_eq!(layers(&unpinned().reference("two:latest")), Ok(2));
    assert_eq!(layers(&pinned(two.pin)), Ok(2));
    assert_eq!(layers(&pinned(two.pin).reference("two:2")), Ok(2));
    refused(layers(&unpinned()), ErrorKind::AmbiguousManifest, "manifest.json");
    refused(layers(&unpinned().reference("two")), ErrorKind::ImageMissing, "manifest.json");
    refused(layers(&pinned(two.pin).reference("one:1")), ErrorKind::DigestMismatch, "manifest.json → [0] → Config");
    refused(layers(&pinned(sha256(b"three"))), ErrorKind::ImageMissing, "manifest.json");
}

#[test]
fn a_newer_docker_archive_is_a_layout_and_is_pinned_by_its_manifest_or_by_the_images_id() {
    let oci = small().oci();
    let list = json!([{"Config": oci.config, "RepoTags": ["small:latest"], "Layers": oci.layers}]).to_string().into_bytes();
    let layout = archive(&oci.clone().with("manifest.json", Node::File(list))).unwrap();
    assert_eq!(layout.form(), LayoutForm::Archive);
    assert!(layout.image(&pinned(oci.pin)).unwrap().manifest().is_some());
    let by_id = layout.image(&pinned(oci.config_digest)).unwrap();
    assert!(by_id.manifest().is_none() && tree(&by_id, Mode::ROOTFS[0]).is_ok());
    // Without the list nothing tells where the layers of a configuration are.
    refused(archive(&oci).unwrap().image(&pinned(oci.config_digest)), ErrorKind::BlobMissing, "manifest.json");
}

#[test]
fn what_may_have_no_end_is_no_archive() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[0; 1024]).unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(reader));
    for endless in [pipe, File::open("/dev/zero").unwrap()] {
        refused(Layout::open_archive(endless.try_clone().unwrap()), ErrorKind::LayoutSymlink, "the archive");
        refused(Layout::open_pinned_archive(endless, &sha256(b"")), ErrorKind::LayoutSymlink, "the archive");
    }
}

#[test]
fn what_metadata_the_members_have_does_not_matter() {
    // skopeo has the type bits in the mode, and who knows whose owners.
    let stored = small().oci();
    let archive = stored.files.iter().fold(tar(), |archive, (name, node)| {
        let Node::File(bytes) = node else { panic!() };
        archive.add(Entry::file(name, bytes).mode(0o100_644).uid(2_000_000).pax("SCHILY.xattr.trusted.overlay.opaque", "y"))
    });
    assert!(Layout::open_archive(file(&archive.bytes())).unwrap().image(&pinned(stored.pin)).is_ok());
}

#[test]
fn whatever_byte_of_a_pinned_image_changes_the_tree_is_the_same_or_none() {
    for stored in [small().oci(), small().docker()] {
        let bytes = stored.archive().bytes();
        let unpacked = |bytes: &[u8]| {
            let layout = Layout::open_archive(file(bytes))?;
            tree(&layout.image(&pinned(stored.pin))?, Mode::ROOTFS[0])
        };
        let whole = unpacked(&bytes).unwrap();
        let mut refused = 0;
        for at in (0..bytes.len()).step_by(5) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            match unpacked(&changed) {
                Ok(tree) => assert_same(&whole, &tree, &format!("byte {at}")),
                Err(_) => refused += 1,
            }
        }
        for len in (0..bytes.len()).step_by(171) {
            assert!(unpacked(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert!(refused > 100, "{refused}");
    }
}
