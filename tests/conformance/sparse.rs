//! §9, where the tree matters: sparse files of all four forms have their holes and the right content.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

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
            assert_eq!((error.kind(), limit), (safe_layers::ErrorKind::LimitExceeded, Some(("file_bytes", SIZE - 1))), "{form}");
        }
    }
}
