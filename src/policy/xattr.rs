//! The allow-list of extended attributes, and what becomes of the ids inside them.

use super::IdMap;
use super::acl::Acl;
use super::capability::Capability;
use super::knobs::Unmapped;
use crate::archive::Xattr;
use crate::entry::{ACCESS_ACL, CAPABILITY, DEFAULT_ACL, EntryKind};
use crate::error::{Error, escape_path};

/// `user.*` names that mean something to overlayfs or to other unpackers: forged, they change what is seen.
///
/// overlayfs with `userxattr`; fuse-overlayfs (`src/xattr.rs`), which reads owners, modes and whole attributes of the
/// `security` namespace from them; rootlesscontainers.
const RESERVED_USER: [&[u8]; 4] = [b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.override_", b"user.rootlesscontainers"];

/// What becomes of the ids of the archive inside attributes of an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ids<'a> {
    /// They stay.
    Kept,
    /// They are mapped.
    Mapped(&'a IdMap),
    /// None of them means anything on disk. `root`: the id of the container's root, where there is one.
    Gone { root: Option<u32> },
}

/// What the allow-list says of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is set, with this value.
    Keep(Vec<u8>),
    /// Allowed, but the object is a symlink, FIFO or device.
    OnSpecial,
    /// Not in the list, or not for this kind of object.
    Other,
    /// In the list and not well formed.
    Malformed,
    /// It holds an id that none on disk stands for.
    Unmapped,
}

/// Whether an attribute is in the allow-list: a layer may set it, and takes it away where it replaces a directory.
pub(super) fn allowed(name: &[u8]) -> bool {
    [CAPABILITY, ACCESS_ACL, DEFAULT_ACL].contains(&name) || is_user(name)
}

fn is_user(name: &[u8]) -> bool {
    name.strip_prefix(b"user.").is_some_and(|rest| !rest.is_empty()) && !RESERVED_USER.iter().any(|reserved| name.starts_with(reserved))
}

/// Judges one attribute of an object of `kind`.
pub(super) fn judge(kind: &EntryKind, xattr: &Xattr, ids: Ids<'_>) -> Result<Judgement, Error> {
    let name = xattr.name.as_slice();
    Ok(match kind {
        _ if !allowed(name) => Judgement::Other,
        EntryKind::Directory if name == CAPABILITY => Judgement::Other,
        EntryKind::File { .. } if name == DEFAULT_ACL => Judgement::Other,
        EntryKind::Directory | EntryKind::File { .. } if is_user(name) => Judgement::Keep(xattr.value.clone()),
        EntryKind::File { .. } if name == CAPABILITY => judge_capability(xattr, ids),
        EntryKind::Directory | EntryKind::File { .. } => judge_acl(xattr, ids)?,
        _ => Judgement::OnSpecial,
    })
}

/// A capability counts in the namespaces of one root: it follows that of the container.
fn judge_capability(xattr: &Xattr, ids: Ids<'_>) -> Judgement {
    let Some(capability) = Capability::parse(&xattr.value) else { return Judgement::Malformed };
    let root = match ids {
        Ids::Kept => return Judgement::Keep(xattr.value.clone()),
        Ids::Mapped(map) => map.user(capability.root()).ok(),
        Ids::Gone { root } => root,
    };
    root.map_or(Judgement::Unmapped, |root| Judgement::Keep(capability.with_root(root)))
}

fn judge_acl(xattr: &Xattr, ids: Ids<'_>) -> Result<Judgement, Error> {
    let Some(acl) = Acl::parse(&xattr.value) else { return Ok(Judgement::Malformed) };
    let map = match ids {
        _ if !acl.has_names() => return Ok(Judgement::Keep(xattr.value.clone())),
        Ids::Kept => return Ok(Judgement::Keep(xattr.value.clone())),
        Ids::Gone { .. } => return Ok(Judgement::Unmapped),
        Ids::Mapped(map) => map,
    };
    match (acl.mapped(map), map.unmapped) {
        (Ok(value), _) => Ok(value.map_or(Judgement::Unmapped, Judgement::Keep)),
        (Err(id), Unmapped::Error) => Err(id.error(&format!(" in {}", escape_path(&xattr.name)))),
        (Err(_), Unmapped::Squash { .. } | Unmapped::Record) => Ok(Judgement::Unmapped),
    }
}
