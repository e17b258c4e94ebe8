//! Targets of links: [`SymlinkTarget`], kept byte for byte, and the lexical question whether one escapes.

use crate::convert::len_u64;
use crate::entry::path::EntryPath;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;

/// The target of a symlink, byte for byte: not empty, without NUL, within `link_bytes`.
///
/// Absolute targets, `..` and dangling ones are allowed: only the resolution of parents ever looks at a target, and
/// that happens inside the root.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SymlinkTarget(Vec<u8>);

impl SymlinkTarget {
    /// Takes `raw` as a target.
    pub(crate) fn parse(raw: Vec<u8>, limits: &Limits) -> Result<Self, Error> {
        if raw.is_empty() {
            return Err(Error::new(ErrorKind::InvalidLinkTarget, "the target is empty"));
        }
        if raw.contains(&0) {
            return Err(Error::new(ErrorKind::InvalidLinkTarget, "a NUL in the target"));
        }
        if len_u64(raw.len()) > limits.link_bytes {
            return Err(Error::limit_exceeded("link_bytes", limits.link_bytes));
        }
        Ok(Self(raw))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the target is absolute or, read from the place of the link, climbs above the root: by its text alone.
    #[must_use]
    pub fn escapes_from(&self, link: &EntryPath) -> bool {
        if self.0.first() == Some(&b'/') {
            return true;
        }
        let mut level = link.names().count().saturating_sub(1);
        for component in self.0.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => match level.checked_sub(1) {
                    Some(up) => level = up,
                    None => return true,
                },
                _ => level = level.saturating_add(1),
            }
        }
        false
    }
}

impl std::fmt::Debug for SymlinkTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", crate::error::escape_path(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::path::AbsoluteNames;

    fn target(raw: &[u8]) -> Result<SymlinkTarget, ErrorKind> {
        SymlinkTarget::parse(raw.to_vec(), &Limits { link_bytes: 20, ..Limits::default() }).map_err(|e| e.kind())
    }

    #[test]
    fn a_target_is_kept_byte_for_byte() {
        for raw in [&b"/abs"[..], b"../..//x/.", b"\xff", b"dangling"] {
            assert_eq!(target(raw).unwrap().as_bytes(), raw);
        }
    }

    #[test]
    fn an_empty_target_one_with_nul_and_one_over_the_limit_are_refused() {
        assert_eq!(target(b""), Err(ErrorKind::InvalidLinkTarget));
        assert_eq!(target(b"a\0b"), Err(ErrorKind::InvalidLinkTarget));
        assert!(target(&[b'x'; 20]).is_ok());
        assert_eq!(target(&[b'x'; 21]), Err(ErrorKind::LimitExceeded));
    }

    #[test]
    fn only_absolute_and_climbing_targets_escape() {
        let link = EntryPath::parse(b"a/b/link", AbsoluteNames::Strip, &Limits::default()).unwrap();
        for inside in [&b"x"[..], b"../x", b"../..", b"../../x/../y", b"./../.."] {
            assert!(!target(inside).unwrap().escapes_from(&link), "{inside:?}");
        }
        for outside in [&b"/x"[..], b"../../..", b"x/../../../..", b"../../../a/b/x"] {
            assert!(target(outside).unwrap().escapes_from(&link), "{outside:?}");
        }
    }
}
