//! The only file that turns raw bytes into names: [`Name`] and [`EntryPath`].

use crate::convert::len_u64;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;

/// Longest component, in bytes: Linux `NAME_MAX`.
const NAME_MAX: usize = 255;
/// How whiteouts start (OCI image-spec `layer.md`, *Whiteouts*).
pub(super) const MARKER: &[u8] = b".wh.";

/// One component of a path: not empty, not `.` or `..`, without `/` and NUL, 255 bytes at most. Not always UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Takes `bytes` as a name if they are one.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let whole = !matches!(bytes, b"" | b"." | b"..") && bytes.len() <= NAME_MAX;
        (whole && !bytes.contains(&b'/') && !bytes.contains(&0)).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether it is the name of a whiteout, or of AUFS metadata.
    pub(crate) fn is_marker(self) -> bool {
        self.0.starts_with(MARKER)
    }
}

impl std::fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", crate::error::escape_path(self.0))
    }
}

/// What becomes of a name that starts with `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbsoluteNames {
    /// Refuse it: [`ErrorKind::AbsolutePath`].
    Reject,
    /// Take it as relative to the root, with an event.
    Strip,
}

/// The place of an entry below the root: a list of [`Name`]s. The root itself is the empty list.
///
/// Once you hold one, it has no `..`, no `.`, no empty component, no NUL and no leading `/`, and it is within
/// the limits `path_bytes` and `depth`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath {
    /// The names, joined by single slashes.
    joined: Vec<u8>,
}

/// What stood around the names of a raw path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slashes {
    pub(crate) leading: bool,
    pub(crate) trailing: bool,
}

impl EntryPath {
    /// The root.
    pub const ROOT: Self = Self { joined: Vec::new() };

    /// Cleans a raw name: splits at `/`, drops empty and `.` components.
    ///
    /// ```
    /// use safe_layers::{AbsoluteNames, EntryPath, Limits};
    /// let path = EntryPath::parse(b"./usr//lib/x", AbsoluteNames::Reject, &Limits::default())?;
    /// assert_eq!(path.as_bytes(), b"usr/lib/x");
    /// assert!(EntryPath::parse(b"usr/../../etc", AbsoluteNames::Strip, &Limits::default()).is_err());
    /// # Ok::<(), safe_layers::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] on a NUL, [`ErrorKind::PathTraversal`] on `..` anywhere, [`ErrorKind::LimitExceeded`] on more
    /// components than `depth`, [`ErrorKind::NameTooLong`] on a component over 255 bytes or a path over `path_bytes`,
    /// [`ErrorKind::AbsolutePath`] on a leading `/` unless it is to be stripped or nothing but the root is named.
    pub fn parse(raw: &[u8], absolute: AbsoluteNames, limits: &Limits) -> Result<Self, Error> {
        let (path, slashes) = Self::clean(raw, limits)?;
        if slashes.leading && absolute == AbsoluteNames::Reject && !path.is_root() {
            return Err(Error::new(ErrorKind::AbsolutePath, "the name starts with /"));
        }
        Ok(path)
    }

    /// Cleans a raw name and says which slashes were dropped at its ends.
    pub(crate) fn clean(raw: &[u8], limits: &Limits) -> Result<(Self, Slashes), Error> {
        if raw.contains(&0) {
            return Err(Error::new(ErrorKind::InvalidName, "a NUL in the name"));
        }
        let components = || raw.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b"."));
        if components().any(|component| component == b"..") {
            return Err(Error::new(ErrorKind::PathTraversal, "a `..` component in the name"));
        }
        if len_u64(components().count()) > limits.depth {
            return Err(Error::limit_exceeded("depth", limits.depth));
        }
        let mut joined = Vec::with_capacity(raw.len().min(1024));
        for component in components() {
            if component.len() > NAME_MAX {
                return Err(Error::new(ErrorKind::NameTooLong, format!("a component of {} bytes, over {NAME_MAX}", component.len())));
            }
            if !joined.is_empty() {
                joined.push(b'/');
            }
            joined.extend_from_slice(component);
        }
        if len_u64(joined.len()) > limits.path_bytes {
            return Err(Error::over(ErrorKind::NameTooLong, "path_bytes", limits.path_bytes));
        }
        let slashes = Slashes { leading: raw.first() == Some(&b'/'), trailing: raw.last() == Some(&b'/') };
        Ok((Self { joined }, slashes))
    }

    /// The names joined by `/`; empty for the root.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.joined
    }

    /// Whether this is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.joined.is_empty()
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = Name<'_>> {
        self.joined.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(Name)
    }

    /// The path of the directory that holds it, and its name there; none for the root.
    #[must_use]
    pub fn split_last(&self) -> Option<(Self, Name<'_>)> {
        let (parent, name) = self.parent_bytes()?;
        Some((Self { joined: parent.to_vec() }, name))
    }

    /// As [`split_last`](Self::split_last), the parent as joined names.
    pub(crate) fn parent_bytes(&self) -> Option<(&[u8], Name<'_>)> {
        if self.is_root() {
            return None;
        }
        match self.joined.iter().rposition(|byte| *byte == b'/') {
            None => Some((&[], Name(&self.joined))),
            Some(slash) => {
                let (parent, rest) = self.joined.split_at_checked(slash)?;
                Some((parent, Name(rest.strip_prefix(b"/")?)))
            }
        }
    }
}

impl std::fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", crate::error::escape_path(&self.joined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        EntryPath::parse(raw, AbsoluteNames::Strip, &Limits::default()).map(|path| path.as_bytes().to_vec()).map_err(|e| e.kind())
    }

    #[track_caller]
    fn check(raw: &[u8], cleaned: &[u8]) {
        assert_eq!(parse(raw), Ok(cleaned.to_vec()));
    }

    #[test]
    fn empty_and_dot_components_are_dropped() {
        check(b"a", b"a");
        check(b"./a//b/./c/", b"a/b/c");
        check(b"..a/.../a..b", b"..a/.../a..b");
        check(b"", b"");
        check(b"././", b"");
        check(b"\xff\xfe/\n", b"\xff\xfe/\n");
    }

    #[test]
    fn dotdot_anywhere_is_refused_before_anything_else() {
        for raw in [&b".."[..], b"../a", b"a/..", b"a/../b", b"/../a", b"./.././a", b"////..//"] {
            assert_eq!(parse(raw), Err(ErrorKind::PathTraversal));
            let strict = EntryPath::parse(raw, AbsoluteNames::Reject, &Limits::default());
            assert_eq!(strict.map_err(|e| e.kind()), Err(ErrorKind::PathTraversal));
        }
    }

    #[test]
    fn a_nul_is_refused() {
        assert_eq!(parse(b"a\0b"), Err(ErrorKind::InvalidName));
    }

    #[test]
    fn an_absolute_name_is_stripped_or_refused_by_choice() {
        check(b"///etc/passwd", b"etc/passwd");
        let strict = |raw| EntryPath::parse(raw, AbsoluteNames::Reject, &Limits::default()).map_err(|e| e.kind());
        assert_eq!(strict(b"/etc"), Err(ErrorKind::AbsolutePath));
        assert_eq!(strict(b"/"), Ok(EntryPath::ROOT));
    }

    #[test]
    fn a_component_of_255_bytes_passes_and_one_of_256_does_not() {
        check(&[b'x'; 255], &[b'x'; 255]);
        assert_eq!(parse(&[b'x'; 256]), Err(ErrorKind::NameTooLong));
    }

    #[test]
    fn a_path_at_the_limit_passes_and_one_over_it_does_not() {
        let limits = Limits { path_bytes: 5, depth: 2, ..Limits::default() };
        let kind =
            |raw: &[u8]| EntryPath::parse(raw, AbsoluteNames::Strip, &limits).map(drop).map_err(|e| (e.kind(), e.limit().map(|l| l.name)));
        assert_eq!(kind(b"//aa//aa/"), Ok(()));
        assert_eq!(kind(b"aa/aaa"), Err((ErrorKind::NameTooLong, Some("path_bytes"))));
        assert_eq!(kind(b"a/b/c"), Err((ErrorKind::LimitExceeded, Some("depth"))));
    }

    #[test]
    fn a_path_splits_into_its_parent_and_its_name() {
        let path = EntryPath::parse(b"a/b/c", AbsoluteNames::Strip, &Limits::default()).unwrap();
        let (parent, name) = path.split_last().unwrap();
        assert_eq!((parent.as_bytes(), name.as_bytes()), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(path.names().map(Name::as_bytes).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(EntryPath::ROOT.split_last(), None);
        assert_eq!(EntryPath::ROOT.names().count(), 0);
    }

    #[test]
    fn a_name_is_one_component() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0", &[b'x'; 256]] {
            assert_eq!(Name::new(bad), None);
        }
        assert_eq!(Name::new(b"...").map(Name::as_bytes), Some(&b"..."[..]));
    }
    #[test]
    fn slashes_at_the_ends_are_told_apart() {
        for (raw, leading, trailing) in [(&b"a"[..], false, false), (b"/a", true, false), (b"a/", false, true), (b"/", true, true)] {
            let (_, slashes) = EntryPath::clean(raw, &Limits::default()).unwrap();
            assert_eq!(slashes, Slashes { leading, trailing }, "{raw:?}");
        }
    }

    #[test]
    fn a_marker_is_what_starts_as_whiteouts_do() {
        for (raw, marker) in [(&b".wh.x"[..], true), (b".wh.", true), (b".wh", false), (b"x.wh.x", false), (b"x", false)] {
            assert_eq!(Name::new(raw).unwrap().is_marker(), marker, "{raw:?}");
        }
    }

    #[test]
    fn names_and_paths_are_shown_quoted_and_without_control_characters() {
        let name = Name::new(b"a\n\xff").unwrap();
        let path = EntryPath::parse(b"d/a\n", AbsoluteNames::Reject, &Limits::default()).unwrap();
        assert_eq!((format!("{name:?}"), format!("{path:?}")), (r#""a\x0a\xff""#.into(), r#""d/a\x0a""#.into()));
    }
}
