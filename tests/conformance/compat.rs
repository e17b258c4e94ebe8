//! The compatibility corpus: what real images hold and a careful unpacker may not choke on. All of it is plain `container`.

use safe_layers::Reason;

use crate::check::*;
use crate::common::builder::{Field, Gzip, LongNames, Skippable, Split, Zstd, record};

#[test]
fn absolute_symlinks_and_what_is_written_through_them() {
    let lower = tar().dir("usr").dir("usr/lib").symlink("lib", "/usr/lib").symlink("etc", "/usr/etc").symlink("usr/lib64", "/lib");
    let upper = tar().file("lib/libc.so", "c").file("usr/lib64/libm.so", "m").dir("lib/sub").file("etc/passwd", "p");
    let want = tree().dir("usr").dir("usr/lib").symlink("lib", "/usr/lib").symlink("etc", "/usr/etc").symlink("usr/lib64", "/lib");
    let want = want.file("usr/lib/libc.so", "c").file("usr/lib/libm.so", "m").dir("usr/lib/sub").implicit("usr/etc");
    gives(&container(), &[lower, upper], want.file("usr/etc/passwd", "p"));
}

#[test]
fn absolute_targets_of_hardlinks() {
    let lower = tar().dir("usr").file("usr/perl", "x");
    let upper = tar().hardlink("usr/perl5.36", "/usr/perl").file("usr/gawk", "y").hardlink("awk", "//usr//gawk");
    let want =
        tree().dir("usr").file("usr/perl", "x").hardlink("usr/perl5.36", "usr/perl").file("usr/gawk", "y").hardlink("awk", "usr/gawk");
    gives(&container(), &[lower, upper], want).events(&[(Reason::AbsoluteNameStripped, 2)]);
}

#[test]
fn whiteouts_shipped_as_hardlinks() {
    let lower = tar().file("f", "old").dir("d").file("d/x", "old").file("d/y", "old");
    let upper = tar().hardlink(".wh.f", ".wh..wh.plnk/1.2").hardlink("d/.wh.x", "d/.wh.gone").hardlink("d/.wh..wh..opq", "/.wh..wh.x");
    gives(&container(), &[lower, upper], tree().dir("d")).events(&[(Reason::OddMarker, 3)]);
}

#[test]
fn hardlinks_that_come_before_their_target() {
    let layer = tar().hardlink("bin/bzcat", "bin/bzip2").hardlink("bin/bunzip2", "bin/bzcat").dir("bin").file("bin/bzip2", "x");
    let want = tree().dir("bin").file("bin/bzip2", "x").hardlink("bin/bzcat", "bin/bzip2").hardlink("bin/bunzip2", "bin/bzip2");
    gives(&container(), &[layer], want).events(&[]);
}

#[test]
fn empty_values_of_xattrs() {
    let entry = |entry: Entry| entry.pax("SCHILY.xattr.user.empty", "").pax("LIBARCHIVE.xattr.user.also", "");
    let layer = tar().add(entry(Entry::file("f", "x"))).add(entry(Entry::dir("d")));
    let want = tree().file("f", "x").xattr("user.empty", "").xattr("user.also", "");
    gives(&container(), &[layer], want.dir("d").xattr("user.empty", "").xattr("user.also", "")).events(&[]);
}

#[test]
fn capabilities_whose_bytes_are_newlines() {
    if needs_root("a capability") {
        // cap_dac_override,cap_fowner and four more: 0x0a0a in the permitted set.
        let value: Vec<u8> = [0x0200_0001_u32, 0x0a0a, 0x0a, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let layer = tar().add(Entry::file("ping", "x").mode(0o755).pax("SCHILY.xattr.security.capability", &value));
        let want = tree().file("ping", "x").mode(0o755).xattr("security.capability", &value);
        gives(&container(), &[layer], want).events(&[]);
    }
}

#[test]
fn times_before_1970_between_seconds_and_at_0() {
    let layer = tar()
        .add(Entry::file("before", "x").mtime(-86_400))
        .add(Entry::file("between", "x").pax("mtime", "1700000000.000000001"))
        .add(Entry::dir("both").pax("mtime", "-0.25"))
        .add(Entry::symlink("at", "0").mtime(0))
        .add(Entry::file("zero", "x").pax("mtime", "0.0"));
    let want = tree().file("before", "x").mtime(-86_400, 0).file("between", "x").mtime(1_700_000_000, 1);
    let want = want.dir("both").mtime(-1, 750_000_000).symlink("at", "0").mtime(0, 0).file("zero", "x").mtime(0, 0);
    gives(&container(), &[layer], want).events(&[]);
}

#[test]
fn names_and_targets_that_are_no_utf8() {
    let (name, target) = (&b"caf\xe9"[..], &b"\xff\xfe/\x80"[..]);
    let layer = tar().dir(b"\xe4").file([&b"\xe4/"[..], name].concat(), "x").symlink("s", target);
    let layer = layer.add(Entry::file("short", "y").pax("path", b"\x80\x81")).hardlink(b"\xe4/h", [&b"\xe4/"[..], name].concat());
    let want =
        tree().dir(b"\xe4").file(b"\xe4/caf\xe9", "x").symlink("s", target).file(b"\x80\x81", "y").hardlink(b"\xe4/h", b"\xe4/caf\xe9");
    gives(&container(), &[layer], want).events(&[]);
}

#[test]
fn targets_of_links_over_100_bytes() {
    let dir = "d".repeat(120);
    let file = format!("{dir}/{}", "f".repeat(90));
    for how in [LongNames::Gnu, LongNames::Pax] {
        let long = |entry: Entry| entry.long_names(how);
        let layer = tar().add(long(Entry::dir(format!("{dir}/")))).add(long(Entry::file(&file, "x")));
        let layer = layer.add(long(Entry::hardlink("h", &file))).add(long(Entry::symlink("s", format!("/{file}"))));
        let layer = layer.add(long(Entry::hardlink(format!("{file}2"), &file)));
        let want = tree().dir(&dir).file(&file, "x").hardlink("h", &file).symlink("s", format!("/{file}"));
        gives(&container(), &[layer], want.hardlink(format!("{file}2"), &file)).events(&[]);
    }
}

#[test]
fn names_that_start_with_a_dot_and_a_slash() {
    let lower = tar().add(Entry::dir("./").mode(0o555).mtime(7)).dir("./etc/").file("./etc/old", "x").file("./f", "y");
    let upper = tar().add(Entry::dir("./").mode(0o755).mtime(8)).file("./etc/.wh.old", "").hardlink("./h", "./f").file("./.wh.none", "");
    let want = tree().dir("").mode(0o755).mtime(8, 0).dir("etc").file("f", "y").hardlink("h", "f");
    gives(&container(), &[lower, upper], want).events(&[]);
}

#[test]
fn entries_that_come_twice() {
    let layer = tar().dir("d").file("d/f", "old").symlink("s", "old").dir("./d/").file("d/f", "new").symlink("s", "new").dir("d");
    let want = tree().dir("d").file("d/f", "new").symlink("s", "new");
    gives(&container(), &[layer], want).events(&[(Reason::DuplicateEntry, 4)]);
}

/// What the blobs below hold.
fn plain() -> (Tar, Want) {
    (tar().dir("d").file("d/f", vec![b'x'; 5000]).symlink("s", "d"), tree().dir("d").file("d/f", vec![b'x'; 5000]).symlink("s", "d"))
}

#[test]
fn gzip_of_many_members() {
    let (layer, want) = plain();
    for split in [Split::Into(2), Split::Into(40), Split::At(100)] {
        for empty_members in [0, 1] {
            let blob = Gzip { split, empty_members, file_name: "layer.tar", ..Gzip::OK }.wrap(&layer.source());
            gives_of_blobs(&container(), &[blob], want.clone()).events(&[]);
        }
    }
}

#[test]
fn zstd_of_many_frames_with_skippable_ones_between() {
    let (layer, want) = plain();
    let skippable = |magic| Some(Skippable { magic, declared: 5, content: b"extra" });
    for frames in [1, 2, 40] {
        for (skippable_first, skippable) in [(None, skippable(0)), (skippable(15), skippable(7)), (skippable(0), None)] {
            let blob = Zstd { frames, skippable_first, skippable, ..Zstd::OK }.wrap(&layer.source());
            gives_of_blobs(&container(), &[blob], want.clone()).events(&[]);
        }
    }
}

/// A gzip member for each entry, the table of contents as the last, and a footer that leads to it.
#[test]
fn a_blob_of_estargz() {
    const LANDMARK: &[u8] = &[0xf];
    let entries = [
        Entry::dir("bin/"),
        Entry::file("bin/sh", "shell"),
        Entry::file(".prefetch.landmark", LANDMARK),
        Entry::file("etc/conf", vec![b'c'; 3000]),
        Entry::symlink("bin/ash", "sh"),
    ];
    let mut blob = Source::default();
    for entry in &entries {
        blob.append(Gzip::OK.wrap(&entry.source()));
    }
    let toc_at = blob.bytes().len();
    let toc =
        br#"{"version":1,"entries":[{"name":"bin/","type":"dir","mode":16877},{"name":"bin/sh","type":"reg","size":5,"offset":105}]}"#;
    blob.append(Gzip::OK.wrap(&tar().file("stargz.index.json", toc).source()));
    // A member without content: what it says is in the extra field (RFC 1952, 2.3.1.1), which ends after 51 bytes.
    let fixed = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 26, 0, b'S', b'G', 22, 0];
    let footer = [&fixed[..], format!("{toc_at:016x}STARGZ").as_bytes(), &[1, 0, 0, 0xff, 0xff], &[0; 8]].concat();
    assert_eq!(footer.len(), 51);
    blob.push(footer);

    let want = tree().dir("bin").file("bin/sh", "shell").file(".prefetch.landmark", LANDMARK).symlink("bin/ash", "sh");
    let want = want.implicit("etc").file("etc/conf", vec![b'c'; 3000]).file("stargz.index.json", toc);
    gives_of_blobs(&container(), &[blob], want).events(&[]);
}

/// A skippable frame (RFC 8878, 3.1.2).
fn skippable(content: &[u8]) -> Vec<u8> {
    [&0x184d_2a50_u32.to_le_bytes(), &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

/// A frame for each entry and each part of a file, then as skippable frames a manifest, the tar's own bytes and a footer.
#[test]
fn a_blob_of_zstd_chunked() {
    let (header, data) = (Entry::file("bin/sh", vec![b's'; 4000]).source().bytes(), 512);
    let parts = [Entry::dir("bin/").source(), header[..data].to_vec().into(), header[data..].to_vec().into(), tar().source()];
    let mut blob = Source::default();
    for part in &parts {
        blob.append(Zstd::OK.wrap(part));
    }
    let manifest = Zstd::OK.wrap(&br#"{"version":1,"entries":[{"type":"reg","name":"bin/sh","size":4000}]}"#.to_vec().into()).bytes();
    let manifest_at = blob.bytes().len() as u64 + 8;
    blob.push(skippable(&manifest));
    let split_at = blob.bytes().len() as u64 + 8;
    blob.push(skippable(&Zstd::OK.wrap(&b"tar-split".to_vec().into()).bytes()));
    let numbers = [manifest_at, manifest.len() as u64, 68, 1, split_at, 9, 9];
    blob.push(skippable(&[&numbers.map(u64::to_le_bytes).concat()[..], b"GNUlInUx"].concat()));
    gives_of_blobs(&container(), &[blob], tree().dir("bin").file("bin/sh", vec![b's'; 4000])).events(&[]);
}

#[test]
fn the_empty_layer_of_1024_zeros() {
    let empty = tar();
    assert_eq!(empty.bytes(), [0; 1024]);
    gives(&container(), &[tar().file("f", "x"), empty.clone(), tar().file("g", "y")], tree().file("f", "x").file("g", "y")).events(&[]);
    for blob in [empty.gzip(), empty.zstd()] {
        gives_of_blobs(&container(), &[blob], tree()).events(&[]);
    }
}

#[test]
fn headers_that_old_writers_leave_half_empty() {
    // No device numbers but on devices, ids and times in base-256, and a global comment as `git archive` writes it.
    let commit = record("comment", "5f2a".repeat(10));
    let (uid, gid) = me();
    let file = Entry::file("f", "x").gnu().uid(uid.into()).gid(gid.into()).base256(Field::Uid).base256(Field::Gid).base256(Field::Mtime);
    let layer = tar().global_header(commit).add(file).add(Entry::of(0, "old/").v7().mode(0o755)).add(Entry::of(0, "old/f").v7().body("y"));
    gives(&container(), &[layer], tree().file("f", "x").dir("old").file("old/f", "y")).events(&[]);
}
