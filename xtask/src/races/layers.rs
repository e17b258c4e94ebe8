//! What the victims unpack: layers that come back to the contested names again and again.

use crate::common::builder::{Entry, tar};

/// A layer, and how many entries it has.
pub struct Layer {
    pub bytes: Vec<u8>,
    pub entries: u64,
}

impl Layer {
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let (mut whole, mut count) = (tar(), 0);
        for entry in entries {
            whole = whole.add(entry.mtime(1_000_000_000));
            count += 1;
        }
        Self { bytes: whole.bytes(), entries: count }
    }

    /// The entries that `make` gives for each directory in turn, so that no parent is that of the entry before.
    fn in_turn(dirs: &[&str], times: usize, make: impl Fn(&str, &str) -> Vec<Entry>) -> Self {
        let each: Vec<Vec<Entry>> = (0..dirs.len()).map(|at| make(dirs[at], dirs[(at + 1) % dirs.len()])).collect();
        let longest = each.iter().map(Vec::len).max().unwrap_or(0);
        let turn: Vec<Entry> = (0..longest).flat_map(|at| each.iter().filter_map(move |entries| entries.get(at).cloned())).collect();
        Self::of((0..times).flat_map(|_| turn.clone()))
    }
}

fn loud(entry: Entry) -> Entry {
    entry.mode(0o4751).uid(1234).gid(4321).pax("SCHILY.xattr.user.k", "v")
}

/// Everything that a layer can make in these directories; then a layer that hides and replaces it.
pub fn mixed(dirs: &[&str]) -> Vec<Layer> {
    let make = Layer::in_turn(dirs, 12, |dir, other| {
        vec![
            loud(Entry::file(format!("{dir}/f"), "x".repeat(700))),
            Entry::symlink(format!("{dir}/l"), "f").uid(1234),
            Entry::hardlink(format!("{dir}/h"), format!("{other}/f")),
            Entry::fifo(format!("{dir}/p")).mode(0o622).uid(1234),
            loud(Entry::dir(format!("{dir}/s"))),
            Entry::file(format!("{dir}/s/f"), "pwn"),
            Entry::char(format!("{dir}/c"), 1, 3).mode(0o666),
            Entry::dir(format!("{dir}/r")),
            Entry::file(format!("{dir}/r/f"), "pwn"),
            Entry::file(format!("{dir}/r"), "pwn"),
        ]
    });
    let hide = Layer::in_turn(dirs, 1, |dir, _| {
        let marker = |name: &str| Entry::file(format!("{dir}/.wh.{name}"), "");
        vec![
            marker("f"),
            marker("s"),
            marker("r"),
            loud(Entry::file(format!("{dir}/f"), "pwn")),
            Entry::file(format!("{dir}/s/f"), "pwn"),
            Entry::hardlink(format!("{dir}/r"), format!("{dir}/f")),
            marker(".wh..opq"),
        ]
    });
    vec![make, hide]
}

/// The same few entries in turn, in one layer.
pub fn again(dirs: &[&str], make: impl Fn(&str, &str) -> Vec<Entry>) -> Vec<Layer> {
    vec![Layer::in_turn(dirs, 60, make)]
}

pub fn files(dirs: &[&str]) -> Vec<Layer> {
    again(dirs, |dir, _| vec![loud(Entry::file(format!("{dir}/t"), "x".repeat(700)))])
}

pub fn directories(dirs: &[&str]) -> Vec<Layer> {
    again(dirs, |dir, _| vec![loud(Entry::dir(format!("{dir}/t")))])
}

/// Links, FIFOs and devices: objects that take their attributes by name.
pub fn nameless(dirs: &[&str]) -> Vec<Layer> {
    again(dirs, |dir, _| {
        vec![
            Entry::symlink(format!("{dir}/t"), "f").uid(1234).gid(4321),
            Entry::fifo(format!("{dir}/t")).mode(0o622).uid(1234).gid(4321),
            Entry::char(format!("{dir}/t"), 1, 3).mode(0o666).uid(1234),
        ]
    })
}

pub fn hardlinks(dirs: &[&str]) -> Vec<Layer> {
    again(dirs, |dir, other| {
        vec![
            loud(Entry::file(format!("{dir}/t"), "x")),
            Entry::hardlink(format!("{dir}/h"), format!("{dir}/t")),
            Entry::hardlink(format!("{dir}/g"), format!("{other}/t")),
            Entry::hardlink(format!("{dir}/late"), format!("{dir}/later")),
            Entry::file(format!("{dir}/later"), "x"),
        ]
    })
}

/// Trees, and a layer that hides them by name.
pub fn whiteouts(dirs: &[&str]) -> Vec<Layer> {
    vec![trees(dirs), Layer::in_turn(dirs, 1, |dir, _| vec![Entry::file(format!("{dir}/.wh.t"), "")])]
}

/// Trees, and a layer that hides them with all else in their directory.
pub fn opaque(dirs: &[&str]) -> Vec<Layer> {
    vec![trees(dirs), Layer::in_turn(dirs, 1, |dir, _| vec![Entry::file(format!("{dir}/.wh..wh..opq"), "")])]
}

fn trees(dirs: &[&str]) -> Layer {
    Layer::in_turn(dirs, 1, |dir, _| {
        let mut tree = vec![Entry::dir(format!("{dir}/t")), Entry::dir(format!("{dir}/t/x")), Entry::dir(format!("{dir}/t/y"))];
        tree.extend(["f", "x/f", "x/g", "y/f", "y/g", "x/z/f"].map(|name| Entry::file(format!("{dir}/t/{name}"), "x")));
        tree
    })
}

/// A directory with a directory, replaced by a file, and the file by a directory.
pub fn replaced(dirs: &[&str]) -> Vec<Layer> {
    again(dirs, |dir, _| {
        vec![
            Entry::dir(format!("{dir}/t")),
            Entry::file(format!("{dir}/t/x/f"), "x"),
            Entry::file(format!("{dir}/t/y/f"), "x"),
            Entry::file(format!("{dir}/t"), "x"),
        ]
    })
}

/// Many directories, whose attributes come at the end.
pub fn late_attributes(dirs: &[&str]) -> Vec<Layer> {
    let entries = dirs.iter().flat_map(|dir| {
        let acl = [[2, 0, 0, 0], [1, 0, 7, 0], [255; 4], [4, 0, 5, 0], [255; 4], [32, 0, 5, 0], [255; 4]].concat();
        let top = loud(Entry::dir(dir)).mode(0o2751).pax("SCHILY.xattr.system.posix_acl_default", acl);
        [top, loud(Entry::dir(format!("{dir}/s"))).mode(0o1711)]
    });
    vec![Layer::of(entries)]
}

/// Files, and a layer that links them: in overlay form they are copied.
pub fn copied(dirs: &[&str]) -> Vec<Layer> {
    let lower = Layer::in_turn(dirs, 1, |dir, _| vec![loud(Entry::file(format!("{dir}/t"), "x".repeat(700)))]);
    let upper = Layer::in_turn(dirs, 1, |dir, _| vec![Entry::hardlink(format!("{dir}/copy"), format!("{dir}/t"))]);
    vec![lower, upper]
}
