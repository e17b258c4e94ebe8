//! Entries over a small alphabet of names, unpacked beside a canary.
//!
//! ```text
//! input: flags, then operations of a few bytes each (see [`Program`])
//! flags: 1 strict · 2 two threads
//! ```

use safe_layers::{Ownership, Policy, Resolver};

use super::Accepted;
use super::pass::limited;
use super::tar::{Header, end, push_with_pax};
use super::world::World;

const NAMES: [&str; 16] =
    ["a", "b", "c", "d", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh..wh.plnk", ".wh.", "A", "canary", "\n", "dest"];
const MODES: [u32; 8] = [0o644, 0o755, 0, 0o700, 0o4755, 0o1777, 0o2770, 0o400];
const MTIMES: [u32; 4] = [0, 1, 1_700_000_000, u32::MAX];
const MAX_ENTRIES: usize = 64;

pub fn unpack(input: &[u8]) -> Accepted {
    let [flags, program @ ..] = input else { return Accepted::default() };
    let world = World::new();
    let program = Program::read(program, &world.canary());
    let mut policy = limited(if flags & 1 != 0 { Policy::strict() } else { Policy::container() });
    policy.ownership = Ownership::SquashToCaller;
    let threads = if flags & 2 != 0 { 2 } else { 1 };

    let outcomes = [(Resolver::Auto, 1), (Resolver::Walk, threads)].map(|(resolver, threads)| {
        policy.resolver = resolver;
        let result = world.run(&program.layers, &policy, threads);
        let tree = world.check(&result);
        world.clear();
        (result, tree)
    });
    assert_eq!(outcomes[0], outcomes[1], "openat2 and the walk differ");

    match &outcomes[0] {
        (Ok(unpacked), _) => Accepted { xattrs: program.xattrs, ..Accepted::of(&unpacked.layers) },
        (Err(_), _) => Accepted::default(),
    }
}

/// The layers that an input spells.
///
/// ```text
/// operation: kind, attributes, path, and for links a target
/// kind:      0 file · 1 directory · 2 symlink · 3 hardlink · 4 FIFO · 5 and 6 devices · 7 file with an attribute
///            8 the next layer · 9 file with a body · 10 contiguous file · 11 an unknown type
/// path:      a byte (3 how many names, less one · 4 starts with / · 8 ends with / · 16 the path of the canary before it), then a byte for each
/// ```
pub struct Program {
    pub layers: Vec<Vec<u8>>,
    pub xattrs: u64,
}

impl Program {
    pub fn read(mut bytes: &[u8], canary: &[u8]) -> Self {
        let (mut layers, mut layer, mut xattrs) = (Vec::new(), Vec::new(), 0);
        let mut next = || {
            let (first, rest) = bytes.split_first()?;
            bytes = rest;
            Some(*first)
        };
        for _ in 0..MAX_ENTRIES {
            let (Some(kind), Some(attributes)) = (next(), next()) else { break };
            let kind = kind % 12;
            if kind == 8 {
                end(&mut layer);
                layers.push(std::mem::take(&mut layer));
                if layers.len() == 3 {
                    break;
                }
                continue;
            }
            let Some(name) = path(&mut next, canary) else { break };
            let typeflag = [b'0', b'5', b'2', b'1', b'6', b'3', b'4', b'0', 0, b'0', b'7', b'Z'][usize::from(kind)];
            let link = if matches!(kind, 2 | 3) { path(&mut next, canary).unwrap_or_default() } else { Vec::new() };
            let mode = MODES[usize::from(attributes & 7)];
            let mtime = MTIMES[usize::from(attributes >> 3 & 3)];
            let device = [(0, 0), (1, 3), (4096, 0), (8, 1)][usize::from(attributes >> 5 & 3)];
            let xattr: &[(&[u8], &[u8])] = match (kind, attributes >> 5) {
                (7, 0) => &[(b"security.capability", b"no capability")],
                (7, 1) => &[(b"user.overlay.opaque", b"y")],
                (7, _) => &[(b"user.x", b"value")],
                _ => &[],
            };
            xattrs += u64::from(kind == 7 && attributes >> 5 > 1);
            let body: &[u8] = if kind == 9 { b"body" } else { b"" };
            push_with_pax(&mut layer, Header { link: &link, mode, mtime, device, ..Header::of(typeflag, &name) }, xattr, body);
        }
        if layers.is_empty() || !layer.is_empty() {
            end(&mut layer);
            layers.push(layer);
        }
        Self { layers, xattrs }
    }
}

fn path(next: &mut impl FnMut() -> Option<u8>, canary: &[u8]) -> Option<Vec<u8>> {
    let shape = next()?;
    let mut path = if shape & 16 != 0 { canary.to_vec() } else { Vec::new() };
    for i in 0..=shape & 3 {
        if i > 0 || shape & 4 != 0 || shape & 16 != 0 {
            path.push(b'/');
        }
        path.extend(NAMES[usize::from(next()? % 16)].as_bytes());
    }
    if shape & 8 != 0 {
        path.push(b'/');
    }
    Some(path)
}
