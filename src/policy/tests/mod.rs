//! What a policy says of an entry, by its knobs alone: no tree, no layer.

mod attributes;
mod decisions;
mod owners;

use super::*;
use crate::archive::RawEntry;

/// Who unpacks, in these tests.
const CALLER: Owner = Owner { uid: 1000, gid: 2000 };

fn raw(typeflag: u8, path: &str) -> RawEntry {
    RawEntry {
        index: 3,
        offset: 512,
        header_offset: 512,
        typeflag,
        path: path.into(),
        link: Vec::new(),
        mode: 0o644,
        uid: 7,
        gid: 8,
        mtime: Timestamp::default(),
        size: 0,
        real_size: 0,
        sparse: false,
        device: None,
        xattrs: Vec::new(),
        events: Vec::new(),
    }
}

fn entry(raw: RawEntry) -> Entry {
    Entry::parse(raw, Policy::container().name_rules()).unwrap().entry
}

fn link(typeflag: u8, path: &str, target: &str) -> Entry {
    entry(RawEntry { link: target.into(), ..raw(typeflag, path) })
}

fn device(typeflag: u8, major: u64, minor: u64) -> Entry {
    entry(RawEntry { device: Some((major, minor)), ..raw(typeflag, "dev") })
}

/// One of each kind that is made: directory, file, symlink, FIFO, device.
fn objects() -> [Entry; 5] {
    [entry(raw(b'5', "d")), entry(raw(b'0', "f")), link(b'2', "s", "t"), entry(raw(b'6', "p")), device(b'3', 1, 3)]
}

fn reasons(judged: &Judged) -> Vec<Reason> {
    judged.events.iter().map(|event| event.reason).collect()
}
