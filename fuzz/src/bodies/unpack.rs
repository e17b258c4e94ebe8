//! Entries over a small alphabet of names, unpacked beside a canary.
//!
//! ```text
//! input: flags, then operations of a few bytes each (see [`Program`])
//! flags: 1 strict · 2 four threads
//! ```

use safe_layers::{Ownership, Policy, Resolver};

use super::Accepted;
use super::pass::limited;
use super::tar::{Header, acl, end, push, push_with_records, record};
use super::world::World;

const NAMES: [&str; 16] =
    ["a", "b", "c", "d", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh..wh.plnk", ".wh.", "A", "canary", "\n", "dest"];
const MODES: [u32; 8] = [0o644, 0o755, 0, 0o700, 0o4755, 0o1777, 0o2770, 0o400];
const MTIMES: [u32; 4] = [0, 1, 1_700_000_000, u32::MAX];
const OWNERS: [&[u8]; 4] = [b"0", b"7", b"1000", b"70000"];
const MAX_ENTRIES: usize = 64;

pub fn unpack(input: &[u8]) -> Accepted {
    let [flags, program @ ..] = input else { return Accepted::default() };
    let world = World::new();
    let program = Program::read(program, &world.canary());
    let mut policy = limited(if flags & 1 != 0 { Policy::strict() } else { Policy::container() });
    policy.ownership = Ownership::SquashToCaller;
    let threads = if flags & 2 != 0 { 4 } else { 1 };

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
///            8 the next layer · 9 file with a body · 10 contiguous file · 11 an unknown type · 12 directory with an attribute
///            13 file of another owner · 14 the root with an attribute · 15 file with a long name as GNU tar has it
/// path:      a byte (3 how many names, less one · 4 starts with / · 8 ends with / · 16 the path of the canary before it · 32 a name
///            that is too long after it · 64 a deep path before it), then a byte for each
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
            let kind = kind % 16;
            if kind == 8 {
                end(&mut layer);
                layers.push(std::mem::take(&mut layer));
                if layers.len() == 3 {
                    break;
                }
                continue;
            }
            let name = if kind == 14 { Some(b"./".to_vec()) } else { path(&mut next, canary) };
            let Some(name) = name else { break };
            let typeflag = b"05216340007Z5050"[usize::from(kind)];
            let link = if matches!(kind, 2 | 3) { path(&mut next, canary).unwrap_or_default() } else { Vec::new() };
            let mode = MODES[usize::from(attributes & 7)];
            let mtime = MTIMES[usize::from(attributes >> 3 & 3)];
            let device = [(0, 0), (1, 3), (4096, 0), (8, 1)][usize::from(attributes >> 5 & 3)];
            let list = if matches!(kind, 7 | 12 | 14) { attribute(attributes >> 5) } else { Vec::new() };
            xattrs += u64::from(kind == 7 && attributes >> 5 > 1);
            let mut records = list.iter().flat_map(|(name, value)| record(&[b"SCHILY.xattr.", *name].concat(), value)).collect::<Vec<_>>();
            if kind == 13 {
                let id = OWNERS[usize::from(attributes >> 5 & 3)];
                records.extend([record(b"uid", id), record(b"gid", id), record(b"mtime", b"-1.5")].concat());
            }
            if kind == 15 {
                push(&mut layer, Header::of(b'L', b"././@LongLink"), &[&name[..], b"\0"].concat());
            }
            let body: &[u8] = if kind == 9 { b"body" } else { b"" };
            push_with_records(&mut layer, Header { link: &link, mode, mtime, device, ..Header::of(typeflag, &name) }, records, body);
        }
        if layers.is_empty() || !layer.is_empty() {
            end(&mut layer);
            layers.push(layer);
        }
        Self { layers, xattrs }
    }
}

/// One that is malformed, one that overlayfs would obey, and such as may be set.
fn attribute(choice: u8) -> Vec<(&'static [u8], Vec<u8>)> {
    const CAPABILITY: &[u8] = b"security.capability";
    match choice & 7 {
        0 => vec![(CAPABILITY, b"no capability".to_vec())],
        1 => vec![(b"user.overlay.opaque", b"y".to_vec())],
        2 => vec![(b"system.posix_acl_access", acl())],
        4 => vec![(b"system.posix_acl_default", acl())],
        // Revision 3, effective: CAP_NET_RAW, of the root with the id 7.
        5 => vec![(CAPABILITY, [&[1, 0, 0, 3, 0, 0x20, 0, 0][..], &[0; 12], &[7, 0, 0, 0]].concat())],
        6 => vec![(b"user.x", b"value".to_vec()), (b"system.posix_acl_access", named_acl())],
        _ => vec![(b"user.x", b"value".to_vec())],
    }
}

/// As [`acl`], and one more user, with the mask that this asks for.
fn named_acl() -> Vec<u8> {
    let plain = acl();
    let (owner, rest) = plain.split_at(12);
    let (group, others) = rest.split_at(8);
    let user = [2, 0, 5, 0, 7, 0, 0, 0];
    let mask = [16, 0, 5, 0, 0xff, 0xff, 0xff, 0xff];
    [owner, &user, group, &mask, others].concat()
}

fn path(next: &mut impl FnMut() -> Option<u8>, canary: &[u8]) -> Option<Vec<u8>> {
    let shape = next()?;
    let mut path = if shape & 16 != 0 { canary.to_vec() } else { Vec::new() };
    if shape & 64 != 0 {
        path.extend(b"a/".repeat(40));
    }
    for i in 0..=shape & 3 {
        if i > 0 || shape & 4 != 0 || shape & 16 != 0 {
            path.push(b'/');
        }
        path.extend(NAMES[usize::from(next()? % 16)].as_bytes());
    }
    if shape & 32 != 0 {
        path.push(b'/');
        path.extend([b'n'; 256]);
    }
    if shape & 8 != 0 {
        path.push(b'/');
    }
    Some(path)
}
