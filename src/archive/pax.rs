//! PAX records, read by length on raw bytes: a value may hold newlines and NULs. The only file that knows the keys.

use std::collections::HashSet;

use super::number::{self, Timestamp};
use super::sparse;
use super::xattr::{self, Before, Xattrs};
use crate::convert::len_u64;
use crate::error::{Error, ErrorKind, escape_path};
use crate::limits::Limits;
use crate::observe::{Notes, Reason};

/// What the PAX header of one entry says.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: sparse::Keys,
}

impl Pax {
    /// Reads the payload of an `x` header, which starts at `offset`.
    ///
    /// # Errors
    /// Each with the offset of its record: `PaxMalformed`, `NumberOutOfRange`, `InvalidName`, `InvalidLinkTarget`, `SparseMalformed`,
    /// `UnsupportedType`, `LimitExceeded`; `PaxConflict`, `PaxMalformed` and `ForbiddenXattr` where oddities are refused.
    pub(super) fn parse(payload: &[u8], offset: u64, limits: &Limits, notes: &mut Notes) -> Result<Self, Error> {
        let mut pax = Self::default();
        let mut seen = HashSet::new();
        let mut records = Records { rest: payload, offset };
        while let Some(record) = records.next()? {
            let mut reader = Reader { pax: &mut pax, limits, notes: &mut *notes, record };
            reader.read(&mut seen).map_err(|error| error.at_offset(record.offset))?;
        }
        Ok(pax)
    }
}

/// Reads the payload of a `g` header, which starts at `offset`: nothing of it is ever applied.
///
/// # Errors
/// Each with the offset of its record: `PaxMalformed`; `PaxGlobal` for what would rename or resize entries, and for every key but
/// `comment` where oddities are refused.
pub(super) fn check_global(payload: &[u8], offset: u64, notes: &mut Notes) -> Result<(), Error> {
    let mut records = Records { rest: payload, offset };
    while let Some(record) = records.next()? {
        match record.key {
            b"comment" => {}
            b"path" | b"linkpath" | b"size" => return Err(global(record)),
            key if key.starts_with(b"GNU.sparse.") => return Err(global(record)),
            key => notes.odd(Reason::GlobalPaxIgnored, ErrorKind::PaxGlobal, record.offset, shown(key))?,
        }
    }
    Ok(())
}

fn global(record: Record<'_>) -> Error {
    Error::new(ErrorKind::PaxGlobal, format!("a global {}", shown(record.key))).at_offset(record.offset)
}

/// One record and its offset in the stream.
#[derive(Clone, Copy)]
struct Record<'p> {
    key: &'p [u8],
    value: &'p [u8],
    offset: u64,
}

/// Cuts a payload into records: `[1-9][0-9]*`, a space, a key, `=`, a value, a newline; the number is the length of it all.
struct Records<'p> {
    rest: &'p [u8],
    offset: u64,
}

impl<'p> Records<'p> {
    fn next(&mut self) -> Result<Option<Record<'p>>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let (record, len) = self.cut().map_err(|detail| Error::new(ErrorKind::PaxMalformed, detail).at_offset(offset))?;
        self.offset = offset.saturating_add(len_u64(len));
        Ok(Some(record))
    }

    fn cut(&mut self) -> Result<(Record<'p>, usize), &'static str> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = self.rest.get(..digits).unwrap_or_default();
        if text.first().is_none_or(|digit| *digit == b'0') {
            return Err("a record does not start with its length");
        }
        let len = text.iter().try_fold(0, |number, digit| number::push_digit(number, *digit)).and_then(|len| usize::try_from(len).ok());
        let split = len.and_then(|len| self.rest.split_at_checked(len));
        let Some((whole, rest)) = split else { return Err("a record runs past the end of its header") };
        let Some([b' ', body @ .., b'\n']) = whole.get(digits..) else { return Err("a record's length does not lead to its newline") };
        let Some(equals) = body.iter().position(|byte| *byte == b'=') else { return Err("a record without `=`") };
        let (key, value) = body.split_at_checked(equals).unwrap_or_default();
        if key.is_empty() {
            return Err("a record without a key");
        }
        self.rest = rest;
        Ok((Record { key, value: value.get(1..).unwrap_or_default(), offset: self.offset }, whole.len()))
    }
}

/// Reads one record into the [`Pax`] of its entry.
struct Reader<'r, 'p> {
    pax: &'r mut Pax,
    limits: &'r Limits,
    notes: &'r mut Notes,
    record: Record<'p>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    First,
    Repeated,
}

impl<'p> Reader<'_, 'p> {
    fn read(&mut self, seen: &mut HashSet<&'p [u8]>) -> Result<(), Error> {
        let standing = self.standing(seen)?;
        let Record { key, value, .. } = self.record;
        match key {
            b"path" => self.pax.path = self.unless_empty(|value| text(value, ErrorKind::InvalidName))?,
            b"linkpath" => self.pax.linkpath = self.unless_empty(|value| text(value, ErrorKind::InvalidLinkTarget))?,
            b"size" => self.pax.size = self.unless_empty(|value| number::pax_integer("size", value))?,
            b"uid" => self.pax.uid = self.unless_empty(|value| number::pax_integer("uid", value))?,
            b"gid" => self.pax.gid = self.unless_empty(|value| number::pax_integer("gid", value))?,
            b"mtime" => self.pax.mtime = self.unless_empty(|value| number::pax_time("mtime", value))?,
            b"atime" | b"ctime" | b"uname" | b"gname" | b"comment" | b"charset" | b"hdrcharset" => {}
            b"SCHILY.dev" | b"SCHILY.ino" | b"SCHILY.nlink" | b"LIBARCHIVE.creationtime" => {}
            b"SCHILY.fflags" | b"RHT.security.selinux" => self.drop_key()?,
            b"SCHILY.realsize" => return Err(Error::new(ErrorKind::SparseMalformed, "SCHILY.realsize: star's sparse files are not read")),
            b"SCHILY.filetype" => return Err(Error::new(ErrorKind::UnsupportedType, "SCHILY.filetype: a type hidden in a record")),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(name.to_vec(), value.to_vec(), standing)?;
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    self.xattr(xattr::url_decode(name)?, xattr::base64_decode(value)?, standing)?;
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.pax.sparse.read(name, value, self.limits)?;
                } else if key.starts_with(b"SCHILY.acl.") {
                    self.drop_key()?;
                } else if !key.starts_with(b"APK-TOOLS.") {
                    self.notes.note(Reason::UnknownPaxKey, self.record.offset, shown(key));
                }
            }
        }
        Ok(())
    }

    fn standing(&mut self, seen: &mut HashSet<&'p [u8]>) -> Result<Standing, Error> {
        let key = self.record.key;
        // The pairs of sparse format 0.0 are the one thing that repeats by design.
        if matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes") || seen.insert(key) {
            return Ok(Standing::First);
        }
        self.notes.odd(Reason::PaxKeyRepeated, ErrorKind::PaxConflict, self.record.offset, shown(key))?;
        Ok(Standing::Repeated)
    }

    /// Reads the value of a standard key; an empty one unsets the key.
    fn unless_empty<T>(&mut self, read: impl FnOnce(&[u8]) -> Result<T, Error>) -> Result<Option<T>, Error> {
        if !self.record.value.is_empty() {
            return read(self.record.value).map(Some);
        }
        self.notes.odd(Reason::EmptyPaxValue, ErrorKind::PaxMalformed, self.record.offset, shown(self.record.key))?;
        Ok(None)
    }

    fn xattr(&mut self, name: Vec<u8>, value: Vec<u8>, standing: Standing) -> Result<(), Error> {
        let before = self.pax.xattrs.insert(name, value, self.limits)?;
        // Two spellings of one attribute that disagree; one spelling twice has its event already.
        if before == Before::Another && standing == Standing::First {
            self.notes.odd(Reason::PaxKeyRepeated, ErrorKind::PaxConflict, self.record.offset, shown(self.record.key))?;
        }
        Ok(())
    }

    fn drop_key(&mut self) -> Result<(), Error> {
        self.notes.odd(Reason::PaxKeyDropped, ErrorKind::ForbiddenXattr, self.record.offset, shown(self.record.key))
    }
}

fn text(value: &[u8], kind: ErrorKind) -> Result<Vec<u8>, Error> {
    if value.contains(&0) { Err(Error::new(kind, "a NUL in a PAX name")) } else { Ok(value.to_vec()) }
}

/// The key for people, cut: a header may be one key of a megabyte.
fn shown(key: &[u8]) -> String {
    escape_path(key.get(..MOST_OF_A_KEY).unwrap_or(key))
}

/// Most of a key that a message shows, in bytes. 64: every known key is shorter.
const MOST_OF_A_KEY: usize = 64;
