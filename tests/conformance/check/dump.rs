//! Writes accepted cases where other programs find them: `SAFE_LAYERS_DUMP=DIR cargo test --test conformance`.
//!
//! A case is `DIR/<test>-<n>/`: the layers as `0.tar`, `1.tar`, … bottom first, and `expected.txt`, a line for each path of the tree
//! they give: path, type as `find -printf %y` has it, mode, uid, gid, size or link target or device numbers, mtime, with tabs between.
//! In paths and targets every byte but printable ASCII, and `\` and the space too, is `\xHH`; the root is `.`.

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
        let path = if path.is_empty() { ".".into() } else { escape(path) };
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
        Kind::Symlink(target) => ('l', escape(target)),
        Kind::Fifo => ('p', "-".into()),
        Kind::Socket => ('s', "-".into()),
        Kind::Char(rdev) => ('c', device(*rdev)),
        Kind::Block(rdev) => ('b', device(*rdev)),
    }
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\x5c"),
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
    }
    text
}

#[test]
fn a_dumped_tree_has_a_line_for_each_path() {
    let want = super::tree().file("f", "xyz").mode(0o4711).owner(7, 8).mtime(-2, 5).symlink("s", b"a b\\\xff").owner(0, 0).mtime(3, 0);
    let text = expected(&want.implicit("d").owner(0, 0).tree());
    let root = format!(".\td\t0755\t{}\t{}\t-\t0.000000000\n", super::me().0, super::me().1);
    let rest = "d\td\t0755\t0\t0\t-\t0.000000000\nf\tf\t4711\t7\t8\t3\t-2.000000005\n";
    assert_eq!(text, format!("{root}{rest}s\tl\t0777\t0\t0\ta\\x20b\\x5c\\xff\t3.000000000\n"));
}
