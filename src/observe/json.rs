//! The JSON form of events and errors.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Event, Location};
use crate::error::{Error, escape_path};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn location<S: SerializeStruct>(out: &mut S, place: &Location) -> Result<(), S::Error> {
    out.serialize_field("entry", &place.entry)?;
    out.serialize_field("offset", &place.offset)?;
    out.serialize_field("path", &place.path.as_deref().map(escape_path))?;
    out.serialize_field("path_hex", &place.path.as_deref().map(hex))
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Event", 6)?;
        out.serialize_field("reason", &self.reason)?;
        location(&mut out, &self.location)?;
        out.serialize_field("detail", &self.detail)?;
        out.end()
    }
}

/// `class kind message descriptor layer entry offset path path_hex limit errno partially_applied`.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Error", 12)?;
        out.serialize_field("class", &self.class())?;
        out.serialize_field("kind", &self.kind())?;
        out.serialize_field("message", self.detail())?;
        out.serialize_field("descriptor", &self.descriptor_path())?;
        out.serialize_field("layer", &self.layer())?;
        location(&mut out, self.location())?;
        out.serialize_field("limit", &self.limit())?;
        out.serialize_field("errno", &self.errno())?;
        out.serialize_field("partially_applied", &self.partially_applied())?;
        out.end()
    }
}
