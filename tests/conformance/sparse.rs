//! §9, where the tree matters: sparse files of all four forms have their holes and the right content.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use safe_layers::ErrorKind;

use crate::check::*;
use crate::common::builder::record;

/// 8 MiB with two regions: 4 KiB at 1 MiB, 3 bytes at 5 MiB.
const SIZE: u64 = 8 << 20;
const REGIONS: [(u64, u64); 2] = [(1 << 20, 4096), (5 << 20, 3)];

fn data() -> Vec<u8> {
    [vec![b'a'; 4096], b"end".to_vec()].concat()
}

fn content() -> Vec<u8> {
    let mut content = vec![0; SIZE as usize];
    content[1 << 20..][..4096].fill(b'a');
    content[5 << 20..][..3].copy_from_slice(b"end");
    content
}

/// A PAX sparse file: keys, then the stored bytes.
fn pax(keys: &[(&str, String)], body: Vec<u8>) -> Tar {
    let entry = Entry::file("GNUSparseFile.1/f", body);
    tar().add(keys.iter().fold(entry, |entry, (key, value)| entry.pax_raw(record(key, value))))
}

fn forms() -> Vec<(&'static str, Tar)> {
    let list = REGIONS.map(|(offset, len)| format!("{offset},{len}")).join(",");
    let pairs =
        REGIONS.iter().flat_map(|(offset, len)| [("GNU.sparse.offset", offset.to_string()), ("GNU.sparse.numbytes", len.to_string())]);
    let size = ("GNU.sparse.size", SIZE.to_string());
    let count = ("GNU.sparse.numblocks", "2".to_owned());
    let name = ("GNU.sparse.name", "f".to_owned());
    let named = Entry::file("f", data());
    let zero = [size.clone(), count.clone()].into_iter().chain(pairs).fold(named, |entry, (key, value)| entry.pax(key, value));
    let map = format!("2\n{}\n", REGIONS.map(|(offset, len)| format!("{offset}\n{len}")).join("\n"));
    let mut body = map.into_bytes();
    body.resize(512, 0);
    body.extend(data());
    let major = [("GNU.sparse.major", "1".to_owned()), ("GNU.sparse.minor", "0".to_owned()), name.clone()];
    let one = [&major[..], &[("GNU.sparse.realsize", SIZE.to_string())]].concat();
    // GNU tar ends the old map with an empty region where the file ends with a hole.
    let old = [REGIONS[0], REGIONS[1], (SIZE, 0)];
    vec![
        ("old GNU", tar().add(Entry::gnu_sparse("f", &old, SIZE, data()))),
        ("PAX 0.0", tar().add(zero)),
        ("PAX 0.1", pax(&[size, count, ("GNU.sparse.map", list), name], data())),
        ("PAX 1.0", pax(&one, body)),
    ]
}

#[test]
fn a_sparse_file_of_every_form_has_its_content() {
    for policy in both() {
        for (form, layer) in forms() {
            eprintln!("{form}");
            let applied = gives(&policy, &[layer], tree().file("f", content()));
            assert_eq!((applied.reports[0].file_bytes, applied.reports[0].entries.files), (SIZE, 1));
        }
    }
}

#[test]
fn a_sparse_file_of_every_form_has_its_holes() {
    for (form, layer) in forms() {
        for way in ways() {
            let world = way.world();
            run(&world, &strict(), std::slice::from_ref(&layer), way).unwrap();
            let file = File::open(world.dest_path().join("f")).unwrap();
            let meta = file.metadata().unwrap();
            assert_eq!(meta.len(), SIZE, "{form}");
            assert!(meta.blocks() * 512 < 256 << 10, "{form}: {} bytes are stored", meta.blocks() * 512);
            for hole in [0, 2 << 20, 6 << 20] {
                let next = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(hole));
                let expected = match hole {
                    0 => Ok(1 << 20),
                    0x20_0000 => Ok(5 << 20),
                    _ => Err(rustix::io::Errno::NXIO),
                };
                assert_eq!(next, expected, "{form}: the data after {hole}");
            }
            let mut end = [0; 4];
            file.read_exact_at(&mut end, 5 << 20).unwrap();
            assert_eq!(&end, b"end\0", "{form}");
        }
    }
}

#[test]
fn a_sparse_file_that_is_one_hole_has_no_data() {
    for way in ways() {
        let world = way.world();
        let layer = tar().add(Entry::gnu_sparse("f", &[(SIZE, 0)], SIZE, ""));
        run(&world, &strict(), &[layer], way).unwrap();
        let meta = world.dest_path().join("f").metadata().unwrap();
        assert_eq!((meta.len(), meta.blocks()), (SIZE, 0));
    }
}

#[test]
fn holes_count_against_the_limit_of_a_file() {
    for policy in both() {
        let policy = with(policy, |policy| policy.limits.file_bytes = SIZE - 1);
        for (form, layer) in forms() {
            let error = apply(&policy, &[layer]).unwrap_err();
            let limit = error.limit().map(|limit| (limit.name, limit.value));
            assert_eq!((error.kind(), limit), (ErrorKind::LimitExceeded, Some(("file_bytes", SIZE - 1))), "{form}");
        }
    }
}

/// The regions of a map must ascend, be disjoint, end within the real size, and their sum be what is stored.
#[test]
fn a_map_that_does_not_fit_is_an_error_in_every_form() {
    let bad: [(&[(u64, u64)], u64); 5] = [
        (&[(512, 512), (0, 512)], 2048),
        (&[(0, 512), (511, 512)], 2048),
        (&[(0, 512), (512, 512)], 1023),
        (&[(0, 512), (512, 511)], 2048),
        (&[(0, 512), (512, 513)], 2048),
    ];
    for (regions, size) in bad {
        let body = vec![b'x'; 1024];
        bad_map(&tar().add(Entry::gnu_sparse("f", regions, size, &body)));
        let list = regions.iter().map(|(offset, len)| format!("{offset},{len}")).collect::<Vec<_>>().join(",");
        let keys = [("GNU.sparse.size", size.to_string()), ("GNU.sparse.numblocks", "2".into()), ("GNU.sparse.map", list)];
        bad_map(&pax(&keys, body.clone()));
        let mut stored =
            format!("2\n{}", regions.iter().map(|(offset, len)| format!("{offset}\n{len}\n")).collect::<String>()).into_bytes();
        stored.resize(512, 0);
        stored.extend(body);
        let keys = [("GNU.sparse.major", "1".into()), ("GNU.sparse.minor", "0".into()), ("GNU.sparse.realsize", size.to_string())];
        bad_map(&pax(&keys, stored));
    }
    let fits = tar().add(Entry::gnu_sparse("f", &[(0, 512), (512, 512)], 1024, vec![b'x'; 1024]));
    gives(&strict(), &[fits], tree().file("f", vec![b'x'; 1024])).events(&[]);
}

#[test]
fn a_key_of_a_sparse_file_without_a_complete_map_is_an_error() {
    for key in ["name", "major", "realsize", "size", "numblocks", "map"] {
        let value = if key == "map" { "0,1" } else { "1" };
        bad_map(&tar().add(Entry::file("f", "x").pax(format!("GNU.sparse.{key}"), value)));
    }
    bad_map(&tar().add(Entry::file("f", "x").pax("GNU.sparse.other", "1")));
}

/// Every policy refuses it. How much is known of the place differs with the form.
#[track_caller]
fn bad_map(layer: &Tar) {
    for policy in both() {
        let error = apply(&policy, std::slice::from_ref(layer)).unwrap_err();
        assert_eq!((error.kind(), error.location().entry), (ErrorKind::SparseMalformed, Some(0)), "{error}");
    }
}
