//! File capabilities: Linux `struct vfs_cap_data`, revision 2 and 3 (`include/uapi/linux/capability.h`), little-endian.

const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
/// The one flag: the permitted set is effective at once.
const EFFECTIVE: u32 = 1;

/// A value of `security.capability` that is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capability {
    flags: u32,
    sets: [u8; 16],
    root: u32,
}

impl Capability {
    /// Reads revision 2 (20 bytes) or 3 (24, with a root id), with no flag but "effective".
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (magic, rest) = value.split_first_chunk()?;
        let (sets, rest) = rest.split_first_chunk()?;
        let magic = u32::from_le_bytes(*magic);
        let root = match (magic & !EFFECTIVE, rest) {
            (REVISION_2, []) => 0,
            (REVISION_3, [a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => return None,
        };
        if root == u32::MAX {
            return None;
        }
        Some(Self { flags: magic & EFFECTIVE, sets: *sets, root })
    }

    /// The user whose namespaces it counts in: the id of their root. Revision 2 counts where 0 is root.
    pub(super) fn root(self) -> u32 {
        self.root
    }

    /// The same for the namespaces whose root is `root`: revision 3, or 2 where that is 0.
    pub(super) fn with_root(self, root: u32) -> Vec<u8> {
        let (revision, root) = if root == 0 { (REVISION_2, None) } else { (REVISION_3, Some(root.to_le_bytes())) };
        let magic = (revision | self.flags).to_le_bytes();
        [&magic[..], &self.sets, root.as_ref().map_or(&[], |root| root)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line feeds in the sets, as in a capability with bits 1 and 3.
    const SETS: [u8; 16] = [0x0a, 0x20, 0, 0, 0x0a, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0x0a];

    fn value(magic: u32, root: &[u8]) -> Vec<u8> {
        [&magic.to_le_bytes()[..], &SETS, root].concat()
    }

    #[test]
    fn a_root_id_makes_revision_3_and_none_revision_2() {
        let plain = Capability::parse(&value(0x0200_0001, &[])).unwrap();
        assert_eq!(plain.root(), 0);
        assert_eq!(plain.with_root(10), value(0x0300_0001, &[0x0a, 0, 0, 0]));
        assert_eq!(plain.with_root(0x0a0a_0a0a), value(0x0300_0001, &[0x0a; 4]));
        assert_eq!(plain.with_root(0), value(0x0200_0001, &[]));
        let rooted = Capability::parse(&value(0x0300_0000, &[0x0a, 0, 0, 0x0a])).unwrap();
        assert_eq!(rooted.root(), 0x0a00_000a);
        assert_eq!(rooted.with_root(100_000), value(0x0300_0000, &100_000_u32.to_le_bytes()));
        assert_eq!(rooted.with_root(0), value(0x0200_0000, &[]));
    }

    #[test]
    fn what_is_neither_revision_is_none() {
        for (magic, root) in
            [(0x0200_0000, &[0; 4][..]), (0x0300_0000, &[]), (0x0300_0000, &[0; 5]), (0x0100_0000, &[]), (0x0200_0002, &[])]
        {
            assert_eq!(Capability::parse(&value(magic, root)), None, "{magic:x} {root:?}");
        }
        assert_eq!(Capability::parse(&value(0x0200_0000, &[])[..19]), None);
        assert_eq!(Capability::parse(&[]), None);
        // The id that is none.
        assert_eq!(Capability::parse(&value(0x0300_0000, &[0xff; 4])), None);
        assert!(Capability::parse(&value(0x0300_0000, &[0xfe, 0xff, 0xff, 0xff])).is_some());
    }
}
