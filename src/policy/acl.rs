//! POSIX ACLs as extended attributes: Linux `struct posix_acl_xattr_header` and entries, version 2, little-endian
//! (`include/uapi/linux/posix_acl_xattr.h`).

use super::IdMap;
use super::knobs::NoMapping;

const VERSION: u32 = 2;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;

/// An ACL that is well formed: ascending by tag and id, no name twice, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl(Vec<AclEntry>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AclEntry {
    tag: u16,
    permissions: u16,
    /// Without a meaning but for a named user or group.
    id: u32,
}

impl AclEntry {
    fn is_named(self) -> bool {
        matches!(self.tag, USER | GROUP)
    }

    /// What the entries are sorted by.
    fn key(self) -> (u16, Option<u32>) {
        (self.tag, self.is_named().then_some(self.id))
    }
}

impl Acl {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (version, entries) = value.split_first_chunk::<4>()?;
        let (entries, rest) = entries.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
            return None;
        }
        let entries = entries.iter().map(|[t0, t1, p0, p1, id @ ..]| AclEntry {
            tag: u16::from_le_bytes([*t0, *t1]),
            permissions: u16::from_le_bytes([*p0, *p1]),
            id: u32::from_le_bytes(*id),
        });
        let acl = Self(entries.collect());
        acl.is_well_formed().then_some(acl)
    }

    fn is_well_formed(&self) -> bool {
        let known = |entry: &AclEntry| matches!(entry.tag, USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER) && entry.permissions <= 7;
        // 4294967295 is no id.
        let valid = |entry: &AclEntry| known(entry) && !(entry.is_named() && entry.id == u32::MAX);
        let seen = self.0.iter().fold(0, |seen, entry| seen | entry.tag);
        let required = USER_OBJ | GROUP_OBJ | OTHER | if self.has_names() { MASK } else { 0 };
        self.0.iter().all(valid) && self.0.is_sorted_by(|a, b| a.key() < b.key()) && seen & required == required
    }

    /// Whether it names users or groups.
    pub(super) fn has_names(&self) -> bool {
        self.0.iter().any(|entry| entry.is_named())
    }

    /// Maps the names and sorts them again, as the kernel wants it. None where two of them become one.
    pub(super) fn mapped(mut self, map: &IdMap) -> Result<Option<Vec<u8>>, NoMapping> {
        for entry in &mut self.0 {
            match entry.tag {
                USER => entry.id = map.user(entry.id)?,
                GROUP => entry.id = map.group(entry.id)?,
                _ => {}
            }
        }
        self.0.sort_by_key(|entry| entry.key());
        Ok(self.is_well_formed().then(|| self.to_bytes()))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend_from_slice(&entry.tag.to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::IdRange;

    fn acl(named: &[(u16, u32)]) -> Acl {
        let plain = [(USER_OBJ, 7), (GROUP_OBJ, 5), (MASK, 7), (OTHER, 0)];
        let plain = plain.into_iter().map(|(tag, permissions)| AclEntry { tag, permissions, id: u32::MAX });
        let named = named.iter().map(|(tag, id)| AclEntry { tag: *tag, permissions: 6, id: *id });
        let mut entries: Vec<_> = plain.chain(named).collect();
        entries.sort_by_key(|entry| entry.tag);
        Acl(entries)
    }

    fn map(ranges: &[(u32, u32, u32)]) -> IdMap {
        let ranges: Vec<_> =
            ranges.iter().map(|(container, host, count)| IdRange { container: *container, host: *host, count: *count }).collect();
        IdMap { uids: ranges.clone(), gids: ranges, ..IdMap::default() }
    }

    #[test]
    fn names_are_mapped_and_sorted_again() {
        let before = acl(&[(USER, 1), (USER, 10), (GROUP, 1), (GROUP, 10)]);
        let after = acl(&[(USER, 500), (USER, 900), (GROUP, 500), (GROUP, 900)]);
        let crossing = map(&[(1, 900, 1), (10, 500, 1)]);
        assert_eq!(before.mapped(&crossing), Ok(Some(after.to_bytes())));
    }

    #[test]
    fn a_name_without_a_mapping_is_told() {
        let found = acl(&[(USER, 1), (USER, 2)]).mapped(&map(&[(1, 900, 1)]));
        assert_eq!(found, Err(NoMapping { what: "uid", id: 2 }));
        let found = acl(&[(USER, 1), (GROUP, 3)]).mapped(&map(&[(1, 900, 1)]));
        assert_eq!(found, Err(NoMapping { what: "gid", id: 3 }));
    }

    #[test]
    fn two_names_that_become_one_make_none() {
        let folding = map(&[(1, 900, 1), (2, 900, 1)]);
        assert_eq!(acl(&[(USER, 1), (USER, 2)]).mapped(&folding), Ok(None));
        assert_eq!(acl(&[(USER, 1), (GROUP, 2)]).mapped(&folding), Ok(Some(acl(&[(USER, 900), (GROUP, 900)]).to_bytes())));
    }

    #[test]
    fn only_what_is_complete_and_in_order_is_an_acl() {
        let good = acl(&[(USER, 0x0a0a_0a0a)]);
        assert_eq!(Acl::parse(&good.to_bytes()), Some(good));
        let plain = |tags: &[u16]| Acl(tags.iter().map(|tag| AclEntry { tag: *tag, permissions: 7, id: 0 }).collect()).to_bytes();
        assert!(Acl::parse(&plain(&[1, 4, 32])).is_some());
        // One missing, no mask, twice, out of order, an unknown tag.
        for bad in [&[1, 4][..], &[1, 32], &[4, 32], &[32], &[1, 2, 4, 32], &[1, 4, 32, 32], &[4, 1, 32], &[1, 4, 32, 64]] {
            assert_eq!(Acl::parse(&plain(bad)), None, "{bad:?}");
        }
        assert_eq!(Acl::parse(&acl(&[(USER, 9), (USER, 9)]).to_bytes()), None);
        assert_eq!(Acl::parse(&acl(&[(USER, 9), (USER, 8)]).to_bytes()), None);
        assert_eq!(Acl::parse(&plain(&[1, 4, 32])[..27]), None);
        assert_eq!(Acl::parse(b"\x01\0\0\0"), None);
        let whole = plain(&[1, 4, 32]);
        assert_eq!(Acl::parse(&[&whole[..], b"x"].concat()), None);
        assert_eq!(Acl::parse(&[b"\x01", &whole[1..]].concat()), None);
    }
}
