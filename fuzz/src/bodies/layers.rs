//! Stacks of layers whose names collide a lot: every form and resolver gives the same, and the model where it knows.
//!
//! ```text
//! input:      flags, operations: kind, place, names, attributes, for links a target
//! flags:      1 the last layer once more, on top of the others as given ones
//! kind:       see [`KINDS`]
//! place:      7 beside the path before (0 to 3), in it (4), beside its parent (5), anywhere · 24 how deep, less one
//! names:      two bits for each component
//! attributes: 15 mode · 48 attribute · 192 how much content
//! target:     of a symlink one of [`TARGETS`], of a hardlink place and names
//! ```

mod check;

use super::Accepted;
use super::tar::{Header, acl, end, push_with_pax};
use crate::common::model::Op;

/// d directory, f file, s symlink, h hardlink, w whiteout, o opaque, p FIFO, r the root, n the next layer.
const KINDS: &[u8; 32] = b"fffffdddddsssshhhhhwwwwwoopfrnnn";
const NAMES: [&str; 4] = ["a", "b", "c", "a"];
const MODES: [u32; 16] = [0o755, 0o644, 0o700, 0o600, 0o4755, 0o2775, 0o1777, 0, 0o111, 0o555, 0o6711, 0o755, 0o644, 0o755, 0o644, 0o755];
const TARGETS: [&str; 23] = [
    "a", "b", "c", ".", "..", "/", "/a", "/b", "../a", "../b", "a/b", "/a/b", "/b/c", "../../c", "/a/../b", "./", "a/..", "b/a", "nope",
    "/nope/x", "c/a/b", "../..", "/c",
];
const MOST_LAYERS: usize = 5;
const MOST_ENTRIES: usize = 40;
/// How often what is refused is left out, so that the rest is applied.
const REPAIRS: usize = 6;

pub fn layers(input: &[u8]) -> Accepted {
    let [flags, program @ ..] = input else { return Accepted::default() };
    let mut layers = read(program);
    for _ in 0..REPAIRS {
        match check::in_every_form(&layers, flags & 1 != 0) {
            Ok(accepted) => return accepted,
            Err(error) => {
                let place = error.layer().zip(error.location().entry);
                let Some((layer, entry)) = place.map(|(layer, entry)| (layer as usize, entry as usize)) else { break };
                layers[layer].remove(entry);
            }
        }
    }
    Accepted::default()
}

/// One entry.
#[derive(Clone, Debug)]
struct Item {
    kind: u8,
    path: String,
    target: String,
    mode: u32,
    mtime: u32,
    xattr: Option<(&'static [u8], Vec<u8>)>,
    data: Vec<u8>,
}

fn read(mut bytes: &[u8]) -> Vec<Vec<Item>> {
    let mut next = || {
        let (first, rest) = bytes.split_first()?;
        bytes = rest;
        Some(*first)
    };
    let (mut layers, mut before) = (vec![Vec::new()], String::new());
    for number in 0..MOST_ENTRIES as u32 {
        let Some(kind) = next().map(|byte| KINDS[usize::from(byte % 32)]) else { break };
        if kind == b'n' {
            layers.push(Vec::new());
            if layers.len() > MOST_LAYERS {
                layers.pop();
                break;
            }
            continue;
        }
        let Some(item) = Item::read(&mut next, kind, number, &mut before) else { break };
        layers.last_mut().unwrap().push(item);
    }
    layers
}

/// Reads a path, near the one before more often than not: that is where layers meet.
fn path(next: &mut impl FnMut() -> Option<u8>, before: &mut String) -> Option<String> {
    let (place, names) = (next()?, next()?);
    let name = |i: u32| NAMES[usize::from(names >> (2 * i) & 3)];
    let parent = |path: &str| path.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned());
    let below = |dir: String| if dir.is_empty() { name(0).to_owned() } else { format!("{dir}/{}", name(0)) };
    let path = match place & 7 {
        0..=3 if !before.is_empty() => below(parent(before)),
        4 if before.matches('/').count() < 4 => below(before.clone()),
        5 => below(parent(&parent(before))),
        _ => (0..=u32::from(place >> 3 & 3)).map(name).collect::<Vec<_>>().join("/"),
    };
    before.clone_from(&path);
    Some(path)
}

impl Item {
    fn read(next: &mut impl FnMut() -> Option<u8>, kind: u8, number: u32, before: &mut String) -> Option<Self> {
        let path = path(next, before)?;
        let attributes = next()?;
        let target = match kind {
            b's' => TARGETS[usize::from(next()?) % TARGETS.len()].to_owned(),
            b'h' => self::path(next, before)?,
            _ => String::new(),
        };
        let value = format!("v{number}").into_bytes();
        let xattr: Option<(&[u8], _)> = match (attributes >> 4 & 3, kind) {
            (0, _) | (_, b's' | b'h' | b'w' | b'o' | b'p') => None,
            (1, _) => Some((b"user.k0", value)),
            (2, _) => Some((b"user.k1", value)),
            (_, b'd' | b'r') => Some((b"system.posix_acl_default", acl())),
            _ => Some((b"system.posix_acl_access", acl())),
        };
        let data = format!("#{number}").repeat(usize::from(attributes >> 6)).into_bytes();
        // The model has these fixed.
        let mode = match kind {
            b's' => 0o777,
            b'p' => 0o644,
            _ => MODES[usize::from(attributes & 15)],
        };
        Some(Self { kind, path, target, mode, mtime: 1_000_000_000 + number, xattr, data })
    }

    fn name(&self) -> String {
        match self.kind {
            b'w' => {
                let (parent, name) = self.path.split_at(self.path.rfind('/').map_or(0, |slash| slash + 1));
                format!("{parent}.wh.{name}")
            }
            b'o' => format!("{}/.wh..wh..opq", self.path),
            b'r' => "./".to_owned(),
            _ => self.path.clone(),
        }
    }

    fn push(&self, archive: &mut Vec<u8>) {
        let typeflag = match self.kind {
            b'd' | b'r' => b'5',
            b's' => b'2',
            b'h' => b'1',
            b'p' => b'6',
            _ => b'0',
        };
        let name = self.name();
        let Self { mode, mtime, .. } = *self;
        let header = Header { link: self.target.as_bytes(), mode, mtime, ..Header::of(typeflag, name.as_bytes()) };
        let xattrs = self.xattr.iter().map(|(name, value)| (*name, &value[..])).collect::<Vec<_>>();
        push_with_pax(archive, header, &xattrs, if self.kind == b'f' { &self.data } else { b"" });
    }

    /// As the model wants it; `None` where the model leaves it out.
    fn op(&self) -> Option<Op> {
        let Self { path, mode, .. } = self.clone();
        // What belongs to another owner than in the archive gives nobody that owner's rights.
        let mode = if rustix::process::geteuid().is_root() { mode } else { mode & !0o6000 };
        let mtime = i64::from(self.mtime);
        if self.xattr.is_some() {
            return None;
        }
        Some(match self.kind {
            b'd' => Op::Dir { path, mode, mtime },
            b'f' => Op::File { path, mode, mtime, data: self.data.clone() },
            b's' => Op::Symlink { path, mtime, target: self.target.clone().into_bytes() },
            b'p' => Op::Fifo { path, mtime },
            b'h' if self.path != self.target => Op::Hardlink { path, target: self.target.clone() },
            b'w' => Op::Whiteout { path },
            b'o' => Op::Opaque { path },
            _ => return None,
        })
    }
}

fn archive(items: &[Item]) -> Vec<u8> {
    let mut archive = Vec::new();
    items.iter().for_each(|item| item.push(&mut archive));
    end(&mut archive);
    archive
}
