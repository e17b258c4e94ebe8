//! [`Value`] → the fields of an object that a document of a known form has, with their place in the error.
//!
//! Two keys of one object that differ only in case are two keys here and one key for Go's `encoding/json`, which most tools of
//! this field are built on. So a key that is not exactly a known one, but becomes one where case is folded as Go folds it, is
//! refused: [`ErrorKind::AmbiguousManifest`]. The keys of maps (annotations, labels, ports, volumes) are exact for both.

use std::collections::BTreeMap;

use super::json::Value;
use super::shown;
use crate::convert::len_u64;
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error, ErrorKind};

/// An object whose known keys have one reading, and its place.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    members: &'a BTreeMap<String, Value>,
    at: &'a DescriptorPath,
    /// What the object is, for errors.
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// Takes `value` as an object with the keys `known`; others are left alone.
    pub(super) fn of(value: &'a Value, what: &'static str, known: &[&str], at: &'a DescriptorPath) -> Result<Self, Error> {
        let Value::Object(members) = value else {
            return Err(Error::new(ErrorKind::ManifestMalformed, format!("{what} is not an object")).at_descriptor(at));
        };
        for key in members.keys().filter(|key| !known.contains(&key.as_str())) {
            if let Some(known) = known.iter().find(|known| folded(known).eq(folded(key))) {
                let detail = format!("{what} has \"{}\": for readers that ignore case, \"{known}\"", shown(key));
                return Err(Error::new(ErrorKind::AmbiguousManifest, detail).at_descriptor(at));
            }
        }
        Ok(Self { members, at, what })
    }

    pub(super) fn at(&self) -> &'a DescriptorPath {
        self.at
    }

    /// Whether the key stands there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.members.contains_key(key)
    }

    /// The first member that is not among `known`, for objects that may have no others.
    pub(super) fn unknown(&self, known: &[&str]) -> Option<&'a str> {
        self.members.keys().map(String::as_str).find(|key| !known.contains(key))
    }

    /// The value, `null` being none (OCI image-spec `config.md`, *Properties*: "equivalent to being absent").
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.members.get(key).filter(|value| **value != Value::Null)
    }

    pub(super) fn required(&self, key: &str) -> Result<&'a Value, Error> {
        self.get(key).ok_or_else(|| self.malformed(key, "is missing"))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.malformed(key, "is not a string")),
        }
    }

    /// A string that is there and not empty.
    pub(super) fn required_string(&self, key: &str) -> Result<&'a str, Error> {
        match self.string(key)? {
            None => Err(self.malformed(key, "is missing")),
            Some("") => Err(self.malformed(key, "is empty")),
            Some(text) => Ok(text),
        }
    }

    /// A string without control characters; an empty one is none.
    pub(super) fn line(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.string(key)? {
            Some(text) if text.contains(char::is_control) => Err(self.malformed(key, "holds a control character")),
            text => Ok(text.filter(|text| !text.is_empty())),
        }
    }

    /// A string without control characters that is there and not empty.
    pub(super) fn required_line(&self, key: &str) -> Result<&'a str, Error> {
        self.required_string(key).and_then(|text| self.line(key).map(|_| text))
    }

    /// A string that a process or the kernel takes: without NUL. An empty one is none.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        let text = self.string(key)?.filter(|text| !text.is_empty());
        text.map(|text| self.without_nul(key, text)).transpose()
    }

    /// A media type (RFC 6838, 4.2).
    pub(super) fn media_type(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.string(key)? {
            Some(text) if !is_media_type(text) => Err(self.malformed(key, &format!("\"{}\" is not a media type", shown(text)))),
            text => Ok(text),
        }
    }

    pub(super) fn digest(&self, key: &str) -> Result<Digest, Error> {
        let text = self.string(key)?.ok_or_else(|| self.malformed(key, "is missing"))?;
        Digest::parse(text).map_err(|error| error.at_descriptor(self.at))
    }

    /// A size in bytes (OCI image-spec `descriptor.md`, `size`: int64, not negative).
    pub(super) fn size(&self, key: &str) -> Result<u64, Error> {
        match self.required(key)? {
            Value::Integer(size) if i64::try_from(*size).is_ok() => Ok(*size),
            _ => Err(self.malformed(key, "is not a whole number from 0 to 2^63 - 1, written in digits")),
        }
    }

    /// A list; none and `null` are the empty one, as Go writes and reads it.
    pub(super) fn list(&self, key: &str) -> Result<&'a [Value], Error> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.malformed(key, "is not a list")),
        }
    }

    pub(super) fn strings(&self, key: &str) -> Result<Vec<&'a str>, Error> {
        let strings = self.list(key)?.iter().map(|item| match item {
            Value::String(text) => Ok(text.as_str()),
            _ => Err(self.malformed(key, "holds something that is not a string")),
        });
        strings.collect()
    }

    /// Strings that a process takes: without NUL.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        self.strings(key)?.into_iter().map(|text| self.without_nul(key, text)).collect()
    }

    /// A map of strings to strings: annotations, labels.
    pub(super) fn map(&self, key: &str) -> Result<BTreeMap<&'a str, &'a str>, Error> {
        let members = self.object(key)?.into_iter().flatten();
        let pairs = members.map(|(name, value)| match value {
            Value::String(value) => Ok((name.as_str(), value.as_str())),
            _ => Err(self.malformed(key, "holds something that is not a string")),
        });
        pairs.collect()
    }

    /// A set, written as Go writes a `map[string]struct{}`: an object of empty objects.
    pub(super) fn set(&self, key: &str) -> Result<Vec<String>, Error> {
        let members = self.object(key)?.into_iter().flatten();
        let names = members.map(|(name, value)| match value {
            Value::Null => self.without_nul(key, name),
            Value::Object(inner) if inner.is_empty() => self.without_nul(key, name),
            _ => Err(self.malformed(key, "holds something that is not an empty object")),
        });
        names.collect()
    }

    fn object(&self, key: &str) -> Result<Option<&'a BTreeMap<String, Value>>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(self.malformed(key, "is not an object")),
        }
    }

    fn without_nul(&self, key: &str, text: &str) -> Result<String, Error> {
        if text.contains('\0') { Err(self.malformed(key, "holds a NUL")) } else { Ok(text.to_owned()) }
    }

    pub(super) fn malformed(&self, key: &str, fault: &str) -> Error {
        self.error(ErrorKind::ManifestMalformed, format!("{}: `{key}` {fault}", self.what))
    }

    pub(super) fn error(&self, kind: ErrorKind, detail: String) -> Error {
        Error::new(kind, detail).at_descriptor(self.at)
    }
}

/// The items of a list with their place.
pub(super) fn numbered(items: &[Value]) -> impl Iterator<Item = (u64, &Value)> {
    items.iter().enumerate().map(|(i, item)| (len_u64(i), item))
}

/// As Go's `encoding/json` compares keys (`foldName`): ASCII letters without case, and the two letters beyond ASCII that fold to one.
fn folded(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    })
}

/// RFC 6838, 4.2: `type "/" subtype`, each a letter or digit and up to 126 of letters, digits and `!#$&-^_.+`.
fn is_media_type(text: &str) -> bool {
    let name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.len() <= 127 && name.bytes().all(plain)
    };
    text.split_once('/').is_some_and(|(main, sub)| name(main) && name(sub))
}
