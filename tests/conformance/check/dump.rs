//! Writes accepted cases where other programs find them: `SAFE_LAYERS_DUMP=DIR cargo test --test conformance`.
//!
//! A case is `DIR/<test>-<n>/`: the layers as `0.tar`, `1.tar`, … bottom first, and `expected.txt`, a line for each path of the tree
//! they give: path, type as `find -printf %y` has it, mode, uid, gid, size or link target or device numbers, mtime, with tabs between.
//! Paths and targets are escaped as `\xHH`; the root is `.`.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::panic::Location;
use std::path::PathBuf;

use safe_layers::Policy;

use super::{Data, Kind, Node, Tar, Tree};

thread_local!(static CASES: Cell<u32> = const { Cell::new(0) });

/// Writes the case if it is one of container's that any applier has to get right and the variable is set.
#[track_caller]
pub fn dump(policy: &Policy, layers: &[Tar], tree: &Tree) {
    let Some(dir) = std::env::var_os("SAFE_LAYERS_DUMP").map(PathBuf::from) else { return };
    if *policy != Policy::container() {
        return;
    }
    let number = CASES.replace(CASES.get() + 1);
    let case = dir.join(format!("{}-{number}", test()));
    fs::create_dir_all(&case).unwrap();
    for (layer, tar) in layers.iter().enumerate() {
        fs::write(case.join(format!("{layer}.tar")), tar.bytes()).unwrap();
    }
    fs::write(case.join("expected.txt"), expected(tree)).unwrap();
}

/// The name of the test that runs, which is that of its thread; with one thread for all, the place of the case.
#[track_caller]
fn test() -> String {
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.replace("::", "."),
        _ => Location::caller().to_string().replace(['/', ':'], "."),
    }
}

fn expected(tree: &Tree) -> String {
    let mut text = String::new();
    for (path, node) in &tree.nodes {
        let path = if path.is_empty() { ".".into() } else { path.escape_ascii().to_string() };
        let (kind, what) = kind(node);
        let (Node { mode, uid, gid, .. }, (seconds, nanos)) = (node, node.mtime);
        writeln!(text, "{path}\t{kind}\t{mode:04o}\t{uid}\t{gid}\t{what}\t{seconds}.{nanos:09}").unwrap();
    }
    text
}

fn kind(node: &Node) -> (char, String) {
    let device = |device: u64| format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    match &node.kind {
        Kind::Dir => ('d', "-".into()),
        Kind::File(Data::Small(bytes)) => ('f', bytes.len().to_string()),
        Kind::File(Data::Large { len, .. }) => ('f', len.to_string()),
        Kind::Symlink(target) => ('l', target.escape_ascii().to_string()),
        Kind::Fifo => ('p', "-".into()),
        Kind::Socket => ('s', "-".into()),
        Kind::Char(rdev) => ('c', device(*rdev)),
        Kind::Block(rdev) => ('b', device(*rdev)),
    }
}
