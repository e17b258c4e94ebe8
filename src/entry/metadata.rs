//! What an entry says of its object beside name and body: [`Metadata`], with every number in its range.

use crate::archive::{RawEntry, Timestamp, Xattr};
use crate::error::{Error, ErrorKind};
use crate::observe::{Notes, Reason};

/// Permission, setuid, setgid and sticky bits.
const MODE_BITS: u32 = 0o7777;
/// Room for file type bits (`S_IFMT`), which some writers leave in the field.
const TYPE_BITS: u32 = 0o170_000;

/// Mode, owner, time and extended attributes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Permission, setuid, setgid and sticky bits: `0o7777` at most.
    pub mode: u32,
    /// User id; never 4294967295.
    pub uid: u32,
    /// Group id; never 4294967295.
    pub gid: u32,
    /// Time of the last change of the body.
    pub mtime: Timestamp,
    /// Extended attributes, in the order of the archive.
    pub xattrs: Vec<Xattr>,
}

/// The extended attribute that holds a file's capabilities.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";
/// The extended attribute that holds the POSIX ACL of an object.
pub(crate) const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
/// The extended attribute that holds the POSIX ACL which is inherited by what is made in a directory.
pub(crate) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// User and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Metadata {
    /// Checks the ranges (`semantics`: mode = header & 07777; ids of 32 bits, 4294967295 means "no change" to the kernel).
    pub(crate) fn parse(raw: &mut RawEntry, notes: &mut Notes) -> Result<Self, Error> {
        if raw.mode & !(MODE_BITS | TYPE_BITS) != 0 {
            return Err(Error::new(ErrorKind::BadMode, format!("mode {:o}", raw.mode)));
        }
        if raw.mode & TYPE_BITS != 0 {
            notes.odd(Reason::ModeTypeBits, ErrorKind::BadMode, raw.header_offset, format!("mode {:o}", raw.mode))?;
        }
        Ok(Self {
            mode: raw.mode & MODE_BITS,
            uid: id("uid", raw.uid)?,
            gid: id("gid", raw.gid)?,
            mtime: raw.mtime,
            xattrs: std::mem::take(&mut raw.xattrs),
        })
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { uid: self.uid, gid: self.gid }
    }
}

fn id(what: &str, value: u64) -> Result<u32, Error> {
    match u32::try_from(value) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::new(ErrorKind::NumberOutOfRange, format!("{what} {value}"))),
    }
}
