//! The allow-list of extended attributes, and what makes a capability or an ACL well formed.

use crate::archive::Xattr;
use crate::entry::{ACCESS_ACL, CAPABILITY, DEFAULT_ACL, EntryKind};

/// `user.*` names that mean something to overlayfs or to other unpackers: forged, they change what is seen.
const RESERVED_USER: [&[u8]; 3] = [b"user.overlay.", b"user.containers.override_stat", b"user.rootlesscontainers"];

/// What the allow-list says of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Keep,
    /// Allowed, but the object is a symlink, FIFO or device.
    OnSpecial,
    /// Not in the list, or not for this kind of object.
    Other,
    /// In the list and not well formed.
    Malformed,
    /// Names ids or a privilege that the squashed owners do not have.
    Unmapped,
}

/// Whether a layer may set an attribute of this name: what it replaces loses those, and takes no others over.
pub(crate) fn is_settable(name: &[u8]) -> bool {
    let user = name.strip_prefix(b"user.").is_some_and(|rest| !rest.is_empty()) && !RESERVED_USER.iter().any(|r| name.starts_with(r));
    user || [CAPABILITY, ACCESS_ACL, DEFAULT_ACL].contains(&name)
}

/// Judges one attribute of an object of `kind`; `squashed`: the ids of the archive are not the ids on disk.
pub(super) fn judge(kind: &EntryKind, xattr: &Xattr, squashed: bool) -> Judgement {
    let name = xattr.name.as_slice();
    let user = name.starts_with(b"user.");
    if !is_settable(name) {
        return Judgement::Other;
    }
    match kind {
        EntryKind::Directory if name == CAPABILITY => Judgement::Other,
        EntryKind::File { .. } if name == DEFAULT_ACL => Judgement::Other,
        EntryKind::Directory | EntryKind::File { .. } if user => Judgement::Keep,
        EntryKind::File { .. } if name == CAPABILITY => match capability_is_well_formed(&xattr.value) {
            false => Judgement::Malformed,
            true if squashed => Judgement::Unmapped,
            true => Judgement::Keep,
        },
        EntryKind::Directory | EntryKind::File { .. } => match named_ids_of_acl(&xattr.value) {
            None => Judgement::Malformed,
            Some(named) if named > 0 && squashed => Judgement::Unmapped,
            Some(_) => Judgement::Keep,
        },
        _ => Judgement::OnSpecial,
    }
}

/// Linux `struct vfs_cap_data` revision 2 (20 bytes) or 3 (24, with a root id), only the "effective" flag set.
fn capability_is_well_formed(value: &[u8]) -> bool {
    const REVISION_2: u32 = 0x0200_0000;
    const REVISION_3: u32 = 0x0300_0000;
    const EFFECTIVE: u32 = 1;
    let Some(magic) = value.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else { return false };
    matches!((magic & !EFFECTIVE, value.len()), (REVISION_2, 20) | (REVISION_3, 24))
}

/// Parses an ACL (Linux `posix_acl_xattr`, version 2: tag, permissions, id; ascending by tag) and counts its named entries.
fn named_ids_of_acl(value: &[u8]) -> Option<usize> {
    const USER_OBJ: u16 = 1;
    const USER: u16 = 2;
    const GROUP_OBJ: u16 = 4;
    const GROUP: u16 = 8;
    const MASK: u16 = 16;
    const OTHER: u16 = 32;
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != 2 || !rest.is_empty() {
        return None;
    }
    let (mut named, mut seen, mut last) = (0_usize, 0_u16, (0_u16, None));
    for [t0, t1, p0, p1, id @ ..] in entries {
        let (tag, permissions) = (u16::from_le_bytes([*t0, *t1]), u16::from_le_bytes([*p0, *p1]));
        let is_named = matches!(tag, USER | GROUP);
        let key = (tag, is_named.then_some(u32::from_le_bytes(*id)));
        if !matches!(tag, USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER) || permissions > 7 || key <= last {
            return None;
        }
        (last, seen) = (key, seen | tag);
        named = named.checked_add(usize::from(is_named))?;
    }
    let required = USER_OBJ | GROUP_OBJ | OTHER | if named > 0 { MASK } else { 0 };
    (seen & required == required).then_some(named)
}
