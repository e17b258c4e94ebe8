//! What can go wrong, who is at fault and where: [`Error`], [`ErrorKind`], [`Class`], [`Location`], [`DescriptorPath`].
//!
//! The lowest module of the crate: it imports nothing of it.

mod descriptor_path;
mod kind;

pub use descriptor_path::DescriptorPath;
pub use kind::{Class, ErrorKind};

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Why an unpack was refused or failed, with the place in the layer.
///
/// Match on [`kind`](Error::kind) or [`class`](Error::class), never on the text.
/// An error can be cloned and compared, so that a test can compare the whole value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    detail: Cow<'static, str>,
    location: Location,
    layer: Option<u64>,
    descriptor: Option<DescriptorPath>,
    limit: Option<LimitHit>,
    errno: Option<i32>,
    partially_applied: PartiallyApplied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartiallyApplied {
    No,
    Yes,
}

impl Error {
    /// Makes an error of `kind`; `detail` says what was found, not where.
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            location: Location::default(),
            layer: None,
            descriptor: None,
            limit: None,
            errno: None,
            partially_applied: PartiallyApplied::No,
        }))
    }

    /// Makes the error of a limit that was reached; `limit` is its name in [`Limits`](crate::Limits), `value` its setting.
    pub(crate) fn limit_exceeded(limit: &'static str, value: u64) -> Self {
        Self::over(ErrorKind::LimitExceeded, limit, value)
    }

    /// Makes an error of `kind` that also names the limit which was reached.
    pub(crate) fn over(kind: ErrorKind, limit: &'static str, value: u64) -> Self {
        let mut error = Self::new(kind, format!("over the limit {limit} = {value}"));
        error.0.limit = Some(LimitHit { name: limit, value });
        error
    }

    /// Makes the error of a verifier that refuses an image ([`image::Verifier`](crate::image::Verifier)): an
    /// [`ErrorKind::SignatureInvalid`]. `detail` says what was found; where is added.
    ///
    /// ```
    /// use safe_layers::{Error, ErrorKind};
    /// assert_eq!(Error::signature_invalid("the manifest is revoked").kind(), ErrorKind::SignatureInvalid);
    /// ```
    #[cfg(feature = "image")]
    #[must_use]
    pub fn signature_invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::SignatureInvalid, detail)
    }

    /// Makes an [`ErrorKind::Io`] from an error of the operating system or of the caller's reader.
    pub(crate) fn io(doing: &str, source: &std::io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, format!("{doing}: {source}"));
        error.0.errno = source.raw_os_error();
        error
    }

    /// Adds the offset in the uncompressed stream, in bytes, unless one is known already.
    #[must_use]
    pub(crate) fn at_offset(mut self, offset: u64) -> Self {
        self.0.location.offset.get_or_insert(offset);
        self
    }

    /// Adds the entry's index, counted from 0, unless one is known already.
    #[must_use]
    pub(crate) fn in_entry(mut self, entry: u64) -> Self {
        self.0.location.entry.get_or_insert(entry);
        self
    }

    /// Adds the entry's path, unless one is known already.
    #[must_use]
    pub(crate) fn with_path(mut self, path: &[u8]) -> Self {
        self.0.location.path.get_or_insert_with(|| path.to_vec());
        self
    }

    /// Adds every part of `location` that is not known yet.
    #[must_use]
    pub(crate) fn located(mut self, location: &Location) -> Self {
        self.0.location.fill_from(location);
        self
    }

    /// Adds the layer's index, counted from 0, unless one is known already.
    #[must_use]
    pub(crate) fn in_layer(mut self, layer: u64) -> Self {
        self.0.layer.get_or_insert(layer);
        self
    }

    /// Adds the document, or the descriptor in it, unless one is known already.
    #[cfg(feature = "image")]
    #[must_use]
    pub(crate) fn at_descriptor(mut self, path: &DescriptorPath) -> Self {
        self.0.descriptor.get_or_insert_with(|| path.clone());
        self
    }

    /// Says that entries before the failing one stay on disk: in-place use.
    #[must_use]
    pub(crate) fn after_partial_apply(mut self) -> Self {
        self.0.partially_applied = PartiallyApplied::Yes;
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Who is at fault.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.kind.class()
    }

    /// Where in the layer.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// The index of the layer, counted from 0 in the order of the calls to apply.
    #[must_use]
    pub fn layer(&self) -> Option<u64> {
        self.0.layer
    }

    /// Which link of the chain of documents is at fault, for errors of [`image`](crate#features).
    #[must_use]
    pub fn descriptor_path(&self) -> Option<&DescriptorPath> {
        self.0.descriptor.as_ref()
    }

    /// The limit that was reached, for [`Class::Limit`].
    #[must_use]
    pub fn limit(&self) -> Option<LimitHit> {
        self.0.limit
    }

    /// The operating system's error number, for [`ErrorKind::Io`].
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// Whether the process or the system has no handle left (EMFILE, ENFILE).
    pub(crate) fn is_out_of_handles(&self) -> bool {
        matches!(self.0.errno, Some(23 | 24))
    }

    /// Whether entries before the failing one stay on disk: only after in-place use, which cannot be undone.
    #[must_use]
    pub fn partially_applied(&self) -> bool {
        self.0.partially_applied == PartiallyApplied::Yes
    }

    /// What was found, without kind and place.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)?;
        if let Some(descriptor) = &self.descriptor {
            write!(f, " in {descriptor}")?;
        }
        if let Some(layer) = self.layer {
            write!(f, " (layer {layer})")?;
        }
        if let Some(entry) = self.location.entry {
            write!(f, " in entry {entry}")?;
        }
        if let Some(path) = &self.location.path {
            write!(f, " \"{}\"", escape_path(path))?;
        }
        if let Some(offset) = self.location.offset {
            write!(f, " at offset {offset}")?;
        }
        if self.partially_applied == PartiallyApplied::Yes {
            f.write_str("; the destination is partially applied")?;
        }
        Ok(())
    }
}

/// A limit that was reached: its name in [`Limits`](crate::Limits) and its setting, or one of the fixed limits of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LimitHit {
    /// The field of [`Limits`](crate::Limits), or one of an image's: `document_bytes`, `document_values`, `index_depth`,
    /// `archive_members`, `archive_name_bytes`, `image_layers`, `attached_manifests`, `attached_layers`.
    pub name: &'static str,
    /// The value it was set to, in the field's unit.
    pub value: u64,
}

/// A place in a layer: whatever of it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The index of the entry, counted from 0; extension headers belong to the entry after them.
    pub entry: Option<u64>,
    /// The offset in the uncompressed stream, in bytes.
    pub offset: Option<u64>,
    /// The entry's path, cleaned where it could be, else the bytes found.
    pub path: Option<Vec<u8>>,
}

impl Location {
    /// Takes every part of `other` that is not known yet.
    pub(crate) fn fill_from(&mut self, other: &Self) {
        self.entry = self.entry.or(other.entry);
        self.offset = self.offset.or(other.offset);
        if self.path.is_none() {
            self.path.clone_from(&other.path);
        }
    }
}

/// Escapes a path for a message or for JSON: bytes that are not UTF-8 and control characters become `\xHH`.
///
/// A backslash stays one, so the result is for people; the exact bytes go beside it (`path_hex`).
#[must_use]
pub fn escape_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                let mut utf8 = [0; 4];
                c.encode_utf8(&mut utf8).bytes().for_each(|byte| push_hex_escape(&mut text, byte));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| push_hex_escape(&mut text, *byte));
    }
    text
}

fn push_hex_escape(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    write!(text, "\\x{byte:02x}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_for_people_and_never_ambiguous_about_control_bytes() {
        assert_eq!(escape_path(b"plain/\xc3\xa9"), "plain/\u{e9}");
        assert_eq!(escape_path(b"a\nb\x1b[2J\xff\x7f"), "a\\x0ab\\x1b[2J\\xff\\x7f");
        assert_eq!(escape_path("\u{85}".as_bytes()), "\\xc2\\x85");
    }

    #[test]
    fn a_known_place_is_not_overwritten() {
        let error = Error::new(ErrorKind::BadNumber, "size").at_offset(512).at_offset(0).in_entry(1).with_path(b"a");
        let whole = Location { entry: Some(9), offset: Some(9), path: Some(b"z".to_vec()) };
        assert_eq!(error.clone().located(&whole), error);
        assert_eq!(error.to_string(), "BadNumber: size in entry 1 \"a\" at offset 512");
    }

    #[test]
    fn an_error_tells_people_that_something_was_applied() {
        let error = Error::new(ErrorKind::BadNumber, "size").after_partial_apply();
        assert!(error.partially_applied());
        assert_eq!(error.to_string(), "BadNumber: size; the destination is partially applied");
    }

    #[test]
    fn a_limit_names_itself_and_its_value() {
        let error = Error::limit_exceeded("entries", 7);
        assert_eq!(error.limit(), Some(LimitHit { name: "entries", value: 7 }));
        assert_eq!(error.class(), Class::Limit);
        assert_eq!(error.to_string(), "LimitExceeded: over the limit entries = 7");
    }
}
