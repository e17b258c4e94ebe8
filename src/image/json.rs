//! Text → [`Value`]: the only file that names `serde_json`. One document has one reading here, or none.
//!
//! Refused: more bytes than [`MAX_DOCUMENT_BYTES`], a byte order mark, bytes that are not UTF-8, a key that stands twice in any
//! object (RFC 7493, 2.3), bytes after the value, more than 127 levels (the recursion limit of `serde_json`, kept), more values
//! than [`MAX_DOCUMENT_VALUES`]. Numbers that are not whole, or written with a fraction or an exponent, are no integers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::shown;
use crate::convert::len_u64;
use crate::error::{Error, ErrorKind};

/// Largest document, in bytes: 4 MiB.
///
/// What containers/image reads (`iolimits.MaxManifestBodySize`, `MaxConfigBodySize`; after CVE-2020-1702) and the distribution
/// registry takes; the OCI distribution-spec asks for "at least 4 megabytes". Over it: [`ErrorKind::LimitExceeded`], before parsing.
pub const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

/// Most values (members, items, the document itself) of one document: 131,072, which bounds its memory to some tens of MiB.
///
/// Own choice: a manifest of [`MAX_DOCUMENT_BYTES`] that is all descriptors holds some 80,000. Over it: [`ErrorKind::LimitExceeded`].
pub const MAX_DOCUMENT_VALUES: u64 = 1 << 17;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Digits alone, within 64 bits.
    Integer(u64),
    /// Any other number.
    Number,
    String(String),
    Array(Vec<Value>),
    Object(BTreeMap<String, Value>),
    /// The text of a number, as `serde_json` hands it over where another crate turned its `arbitrary_precision` on.
    Digits(String),
}

/// Parses a document.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`], [`ErrorKind::AmbiguousManifest`] on a key that stands twice, else [`ErrorKind::ManifestMalformed`].
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    if len_u64(bytes.len()) > MAX_DOCUMENT_BYTES {
        return Err(Error::limit_exceeded("document_bytes", MAX_DOCUMENT_BYTES));
    }
    let malformed = |detail: String| Error::new(ErrorKind::ManifestMalformed, detail);
    let text = std::str::from_utf8(bytes).map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    if text.starts_with('\u{feff}') {
        return Err(malformed("starts with a byte order mark".into()));
    }
    let parse = Parse::default();
    let mut input = serde_json::Deserializer::from_str(text);
    let value = One(&parse).deserialize(&mut input).and_then(|value| input.end().map(|()| value));
    value.map_err(|error| match parse.fault.get() {
        Some(Fault::Values) => Error::limit_exceeded("document_values", MAX_DOCUMENT_VALUES),
        Some(Fault::KeyTwice) => Error::new(ErrorKind::AmbiguousManifest, error.to_string()),
        None => malformed(error.to_string()),
    })
}

/// What is counted over the whole document, and what stopped it.
#[derive(Default)]
struct Parse {
    values: Cell<u64>,
    fault: Cell<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    KeyTwice,
    Values,
}

impl Parse {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get().saturating_add(1));
        if self.values.get() > MAX_DOCUMENT_VALUES {
            self.fault.set(Some(Fault::Values));
            return Err(E::custom("too many values"));
        }
        Ok(())
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
struct One<'p>(&'p Parse);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        self.0.count()?;
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    // A string of the document is always borrowed from it or from the parser's buffer.
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Digits(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(key) = members.next_key::<String>()? {
            match object.entry(key) {
                Entry::Vacant(place) => match members.next_value_seed(self)? {
                    Value::Digits(text) => return number(&text).ok_or_else(|| A::Error::custom("number out of range")),
                    value => {
                        place.insert(value);
                    }
                },
                Entry::Occupied(first) => {
                    self.0.fault.set(Some(Fault::KeyTwice));
                    return Err(A::Error::custom(format_args!("the key \"{}\" stands twice", shown(first.key()))));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

/// As the parser itself tells numbers apart.
fn number(text: &str) -> Option<Value> {
    if !text.parse::<f64>().is_ok_and(f64::is_finite) {
        return None;
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    Some(text.parse().ok().filter(|_| digits).map_or(Value::Number, Value::Integer))
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error as ValueError, MapDeserializer};

    use super::*;

    #[test]
    fn numbers_are_read_the_same_where_another_crate_asks_for_arbitrary_precision() {
        for (text, value) in [
            ("0", Value::Integer(0)),
            ("18446744073709551615", Value::Integer(u64::MAX)),
            ("18446744073709551616", Value::Number),
            ("-1", Value::Number),
            ("-0", Value::Number),
            ("1.0", Value::Number),
            ("1e2", Value::Number),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(value.clone()), "{text}");
            let handed_over = MapDeserializer::<_, ValueError>::new([("$serde_json::private::Number", text.to_owned())].into_iter());
            assert_eq!(One(&Parse::default()).deserialize(handed_over), Ok(value), "{text}");
        }
        let out_of_range = MapDeserializer::<_, ValueError>::new([("$serde_json::private::Number", "1e999".to_owned())].into_iter());
        assert!(parse(b"1e999").is_err() && One(&Parse::default()).deserialize(out_of_range).is_err());
    }

    #[test]
    fn an_object_that_looks_like_a_number_of_arbitrary_precision_is_an_object() {
        let literal = parse(br#"{"$serde_json::private::Number": "5"}"#).unwrap();
        assert!(matches!(literal, Value::Object(members) if members.len() == 1));
    }
}
