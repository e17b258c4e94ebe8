//! Extended attributes of PAX records: two spellings of one thing, merged into one bounded list.

use std::collections::HashMap;

use crate::convert::len_u64;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;

/// One extended attribute, as the archive tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// The whole name, namespace included. Never empty, and without a NUL.
    pub name: Vec<u8>,
    /// The value; may be empty, which is a value too.
    pub value: Vec<u8>,
}

/// The attributes of one entry, in the order of their first records.
#[derive(Debug, Default)]
pub(super) struct Xattrs {
    list: Vec<Xattr>,
    places: HashMap<Vec<u8>, usize>,
    bytes: u64,
}

/// What [`Xattrs::insert`] found in the place of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    TheSame,
    Another,
}

impl Xattrs {
    /// Sets an attribute; the last value stays.
    ///
    /// # Errors
    /// `PaxMalformed` for a name that is empty or holds a NUL, `LimitExceeded` over `xattrs` or `xattr_bytes`.
    pub(super) fn insert(&mut self, name: Vec<u8>, value: Vec<u8>, limits: &Limits) -> Result<Before, Error> {
        if name.is_empty() || name.contains(&0) {
            return Err(malformed("the name of an extended attribute is empty or holds a NUL"));
        }
        let known = self.places.get(&name).and_then(|place| self.list.get_mut(*place));
        let Some(known) = known else {
            self.push(name, value, limits)?;
            return Ok(Before::Nothing);
        };
        if known.value == value {
            return Ok(Before::TheSame);
        }
        self.bytes = self.bytes.saturating_sub(len_u64(known.value.len()));
        known.value = value;
        let len = len_u64(known.value.len());
        self.charge(len, limits)?;
        Ok(Before::Another)
    }

    fn push(&mut self, name: Vec<u8>, value: Vec<u8>, limits: &Limits) -> Result<(), Error> {
        if len_u64(self.list.len()) >= limits.xattrs {
            return Err(Error::limit_exceeded("xattrs", limits.xattrs));
        }
        self.charge(len_u64(name.len()).saturating_add(len_u64(value.len())), limits)?;
        self.places.insert(name.clone(), self.list.len());
        self.list.push(Xattr { name, value });
        Ok(())
    }

    fn charge(&mut self, bytes: u64, limits: &Limits) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > limits.xattr_bytes { Err(Error::limit_exceeded("xattr_bytes", limits.xattr_bytes)) } else { Ok(()) }
    }

    pub(super) fn into_list(self) -> Vec<Xattr> {
        self.list
    }
}

/// Decodes `%HH`, as in the keys of `LIBARCHIVE.xattr.*`.
///
/// # Errors
/// `PaxMalformed` for a `%` without two hex digits.
pub(super) fn url_decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        match rest {
            [] => return Ok(decoded),
            [b'%', high, low, tail @ ..] => {
                decoded.push(hex(*high)? << 4 | hex(*low)?);
                rest = tail;
            }
            [b'%', ..] => return Err(malformed("a cut `%` in the name of an extended attribute")),
            [byte, tail @ ..] => {
                decoded.push(*byte);
                rest = tail;
            }
        }
    }
}

fn hex(digit: u8) -> Result<u8, Error> {
    match digit {
        b'0'..=b'9' => Ok(digit & 0xf),
        // The letters' low bits count from 1.
        b'a'..=b'f' | b'A'..=b'F' => Ok((digit & 0x7).wrapping_add(9)),
        _ => Err(malformed("a `%` without hex digits in the name of an extended attribute")),
    }
}

/// Decodes base64 with or without its padding, as in the values of `LIBARCHIVE.xattr.*`.
///
/// # Errors
/// `PaxMalformed` for another alphabet, a cut quantum, wrong padding, or bits after the last byte.
pub(super) fn base64_decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let bad = || malformed("the value of an extended attribute is not base64");
    let digits = match text {
        [head @ .., b'=', b'='] | [head @ .., b'='] if text.len().is_multiple_of(4) => head,
        _ => text,
    };
    let mut decoded = Vec::with_capacity(digits.len());
    for quantum in digits.chunks(4) {
        let bits = quantum.iter().try_fold(0_u32, |bits, digit| Some(bits << 6 | sextet(*digit)?)).ok_or_else(bad)?;
        // Left-aligned in 24 bits, and as many bytes as are whole.
        let (bits, whole) = match quantum.len() {
            4 => (bits, 3),
            3 => (bits << 6, 2),
            2 => (bits << 12, 1),
            _ => return Err(bad()),
        };
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (used, unused) = bytes.split_at_checked(whole).unwrap_or_default();
        if unused.iter().any(|byte| *byte != 0) {
            return Err(bad());
        }
        decoded.extend_from_slice(used);
    }
    Ok(decoded)
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit.wrapping_sub(b'A'),
        b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => digit.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

fn malformed(detail: &'static str) -> Error {
    Error::new(ErrorKind::PaxMalformed, detail)
}
