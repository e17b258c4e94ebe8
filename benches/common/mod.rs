//! Archives of many entries of one shape, and the reading of them without a filesystem.

#[path = "../../tests/common/builder.rs"]
pub mod builder;

use std::hint::black_box;

use builder::{Entry, LongNames, Tar, tar};
use safe_layers::{Expect, LayerReader, Policy};

/// What an entry of each archive is like. The files are empty: a header block alone is 512 bytes, one with a PAX header (its block
/// and one of records) or a GNU long name three times as much.
pub const SHAPES: [&str; 5] = ["ustar", "path to clean", "pax time", "pax attributes", "gnu long name"];

/// An archive of so many entries.
pub fn archive(shape: &str, entries: u64) -> Tar {
    let name = |i: u64| format!("usr/share/doc/package-{}/file-{i}", i / 20);
    let shape = shape.to_owned();
    tar().each(0..entries, move |i| match shape.as_str() {
        "ustar" => Entry::file(name(i), ""),
        "path to clean" => Entry::file(format!("./usr//share/./doc/package-{}/./a/b/c/d//file-{i}", i / 20), ""),
        "pax time" => Entry::file(name(i), "").pax("mtime", format!("1700000000.{i:09}")),
        "pax attributes" => {
            let owned = Entry::file(name(i), "").pax("uid", "3000000").pax("gid", "3000000").pax("uname", "somebody");
            owned.pax("mtime", "1700000000.5").pax("SCHILY.xattr.user.a", "value").pax("SCHILY.xattr.user.b", "value")
        }
        "gnu long name" => Entry::file(format!("{}{}", "long/".repeat(20), name(i)), "").long_names(LongNames::Gnu),
        _ => panic!("no such shape: {shape}"),
    })
}

/// Reads every entry; gives how many there were.
pub fn read(blob: &[u8]) -> u64 {
    let mut layer = LayerReader::new(blob, &Expect::dangerous_unverified(), Policy::container());
    let mut entries = 0;
    while let Some(entry) = layer.next_entry().unwrap() {
        black_box(&entry);
        entries += 1;
    }
    layer.finish().unwrap();
    entries
}
