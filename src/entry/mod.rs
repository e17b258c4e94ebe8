//! Raw header → [`Entry`]: the last place where a raw name exists. No I/O, no policy beyond how names are read.

mod link;
mod metadata;
mod path;

pub use link::SymlinkTarget;
pub use metadata::Metadata;
pub(crate) use metadata::{ACCESS_ACL, CAPABILITY, DEFAULT_ACL, Owner};
pub use path::{AbsoluteNames, EntryPath, Name};

use crate::archive::RawEntry;
use crate::error::{Error, ErrorKind, Location};
use crate::limits::Limits;
use crate::observe::{Event, Notes, Oddities, Reason};
use path::{MARKER, Slashes};

/// One entry of a layer: kind, path and metadata agree with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    index: u64,
    offset: u64,
    path: EntryPath,
    kind: EntryKind,
    metadata: Metadata,
}

/// What an entry asks for. A whiteout is a kind: decided here, once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its logical size, in bytes: holes count.
        len: u64,
    },
    /// A symlink.
    Symlink(SymlinkTarget),
    /// A further name of the object at a path below the root.
    Hardlink(EntryPath),
    /// A FIFO.
    Fifo,
    /// A character or block device.
    Device(Device),
    /// A marker that hides something of the layers below.
    Whiteout(Whiteout),
    /// Metadata that AUFS left in an image (`.wh..wh.plnk` and the like): never applied.
    AufsMetadata,
    /// A typeflag that is not known.
    Unknown(u8),
}

/// A device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Character or block.
    pub kind: DeviceKind,
    /// Major number, as in the header: the policy judges the range.
    pub major: u64,
    /// Minor number, as in the header.
    pub minor: u64,
}

/// The two kinds of device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DeviceKind {
    Character,
    Block,
}

/// What a whiteout hides (OCI image-spec `layer.md`, *Whiteouts*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// `.wh.NAME`: the object NAME of the layers below, in the same directory.
    Hides(HiddenName),
    /// `.wh..wh..opq`: all that the layers below put in the same directory.
    Opaque,
}

/// The name that a whiteout hides.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenName(Vec<u8>);

impl HiddenName {
    /// The name. None never occurs: it was checked when the marker was read.
    pub(crate) fn name(&self) -> Option<Name<'_>> {
        Name::new(&self.0)
    }
}

impl std::fmt::Debug for HiddenName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", crate::error::escape_path(&self.0))
    }
}

/// How names are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameRules<'a> {
    pub(crate) absolute: AbsoluteNames,
    pub(crate) odd_markers: Oddities,
    pub(crate) oddities: Oddities,
    pub(crate) limits: &'a Limits,
}

/// An entry, with what is to be judged only after the policy saw it.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) entry: Entry,
    pub(crate) shape: Shape,
    /// With their offsets alone: a hostile header makes very many.
    pub(crate) events: Vec<Event>,
}

/// What the header declares beside kind and name: whether it fits them is judged last, so that the graver fault is named first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    typeflag: u8,
    /// Bytes that follow as body.
    pub(crate) body_len: u64,
    slashes: Slashes,
    header_offset: u64,
}

impl Entry {
    /// Checks a raw entry and gives the typed one.
    pub(crate) fn parse(mut raw: RawEntry, rules: NameRules<'_>) -> Result<Parsed, Error> {
        let mut notes = Notes::new(rules.oddities);
        let location = Location { entry: Some(raw.index), offset: Some(raw.offset), path: Some(raw.path.clone()) };
        let parse = |raw: &mut RawEntry, notes: &mut Notes| {
            let (path, slashes) = EntryPath::clean(&raw.path, rules.limits)?;
            let shape = Shape { typeflag: raw.typeflag, body_len: raw.size, slashes, header_offset: raw.header_offset };
            check_root(&path, raw, shape)?;
            if slashes.leading && !path.is_root() {
                absolute_name(rules, notes, raw.header_offset)?;
            }
            let kind = kind(raw, &path, shape, rules, notes)?;
            let metadata = Metadata::parse(raw, notes)?;
            Ok((Self { index: raw.index, offset: raw.offset, path, kind, metadata }, shape))
        };
        let (entry, shape) = parse(&mut raw, &mut notes).map_err(|e: Error| e.located(&location))?;
        let mut events = raw.events;
        events.append(&mut notes.take());
        Ok(Parsed { entry, shape, events })
    }

    /// Where it belongs.
    #[must_use]
    pub fn path(&self) -> &EntryPath {
        &self.path
    }

    /// What it asks for.
    #[must_use]
    pub fn kind(&self) -> &EntryKind {
        &self.kind
    }

    /// Mode, owner, time, extended attributes.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Gives the metadata alone.
    pub(crate) fn into_metadata(self) -> Metadata {
        self.metadata
    }

    /// The entry's index in the layer, counted from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The place, for errors and events.
    #[must_use]
    pub fn location(&self) -> Location {
        Location { entry: Some(self.index), offset: Some(self.offset), path: Some(self.path.as_bytes().to_vec()) }
    }

    /// As the policy changed it.
    pub(crate) fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }
}

impl Shape {
    /// Judges whether size and trailing slash fit the kind; the last check of an entry.
    pub(crate) fn check(self, entry: &Entry, rules: NameRules<'_>) -> Result<Vec<Event>, Error> {
        let mut notes = Notes::new(rules.oddities);
        let conflict = |what| Err(Error::new(ErrorKind::TypeConflict, what));
        match (self.typeflag, self.slashes.trailing) {
            (b'0' | b'7' | b'S', true) => return conflict("a regular file whose name ends in /"),
            (0, true) if self.body_len > 0 => return conflict("an old-style directory (name ends in /) with a body"),
            (b'1'..=b'4' | b'6', true) => {
                notes.odd(Reason::TrailingSlashStripped, ErrorKind::TypeConflict, self.header_offset, "the name ends in /")?;
            }
            _ => {}
        }
        let has_body = matches!(self.typeflag, 0 | b'0' | b'7' | b'S') && !matches!(entry.kind, EntryKind::Directory);
        let body_allowed = has_body || matches!(entry.kind, EntryKind::AufsMetadata | EntryKind::Unknown(_));
        if self.body_len > 0 && !body_allowed {
            return Err(Error::new(
                ErrorKind::SizeOnNonRegular,
                format!("type {:?} declares {} bytes", char::from(self.typeflag), self.body_len),
            ));
        }
        Ok(notes.take())
    }
}

fn check_root(path: &EntryPath, raw: &RawEntry, shape: Shape) -> Result<(), Error> {
    let directory = raw.typeflag == b'5' || (raw.typeflag == 0 && shape.slashes.trailing);
    if !path.is_root() || directory {
        return Ok(());
    }
    if raw.path.is_empty() {
        return Err(Error::new(ErrorKind::InvalidName, "the name is empty"));
    }
    Err(Error::new(ErrorKind::RootReplaced, "the root entry is not a directory"))
}

fn absolute_name(rules: NameRules<'_>, notes: &mut Notes, offset: u64) -> Result<(), Error> {
    match rules.absolute {
        AbsoluteNames::Reject => Err(Error::new(ErrorKind::AbsolutePath, "the name starts with /")),
        AbsoluteNames::Strip => {
            notes.note(Reason::AbsoluteNameStripped, offset, "");
            Ok(())
        }
    }
}

/// Gives the kind: the marker names first, then the typeflag (POSIX pax, *ustar Interchange Format*, `typeflag`).
fn kind(raw: &mut RawEntry, path: &EntryPath, shape: Shape, rules: NameRules<'_>, notes: &mut Notes) -> Result<EntryKind, Error> {
    let device = device(raw);
    if let Some(marker) = marker(path)? {
        // A ready-made overlay whiteout stays what it is, whatever it is called.
        if let Some(device) = device.filter(|device| device.kind == DeviceKind::Character && device.major == 0 && device.minor == 0) {
            return Ok(EntryKind::Device(device));
        }
        if matches!(marker, EntryKind::Whiteout(_)) && (!matches!(raw.typeflag, 0 | b'0') || raw.real_size > 0 || shape.slashes.trailing) {
            notes.odd_by(rules.odd_markers, (Reason::OddMarker, ErrorKind::InvalidWhiteout), raw.header_offset, ODD_MARKER)?;
        }
        return Ok(marker);
    }
    Ok(match raw.typeflag {
        0 if shape.slashes.trailing => EntryKind::Directory,
        0 | b'0' | b'7' | b'S' => EntryKind::File { len: raw.real_size },
        b'1' => EntryKind::Hardlink(hardlink_target(&raw.link, rules, notes, raw.header_offset)?),
        b'2' => EntryKind::Symlink(SymlinkTarget::parse(std::mem::take(&mut raw.link), rules.limits)?),
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => device.map_or(EntryKind::Unknown(other), EntryKind::Device),
    })
}

fn device(raw: &RawEntry) -> Option<Device> {
    let kind = match raw.typeflag {
        b'3' => DeviceKind::Character,
        b'4' => DeviceKind::Block,
        _ => return None,
    };
    let (major, minor) = raw.device?;
    Some(Device { kind, major, minor })
}

const ODD_MARKER: &str = "a whiteout that is not an empty regular file";

/// The only place that knows how a whiteout is spelt (OCI image-spec `layer.md`, *Whiteouts*; AUFS `.wh..wh.`).
fn marker(path: &EntryPath) -> Result<Option<EntryKind>, Error> {
    const AUFS: &[u8] = b".wh..wh.";
    const OPAQUE: &[u8] = b".wh..wh..opq";
    let Some((parent, last)) = path.parent_bytes() else { return Ok(None) };
    let parents = || parent.split(|byte| *byte == b'/');
    if parents().any(|name| name.starts_with(AUFS)) || (last.as_bytes().starts_with(AUFS) && last.as_bytes() != OPAQUE) {
        return Ok(Some(EntryKind::AufsMetadata));
    }
    if parents().any(|name| name.starts_with(MARKER)) {
        return Err(Error::new(ErrorKind::InvalidWhiteout, "a directory has the name of a whiteout"));
    }
    if last.as_bytes() == OPAQUE {
        return Ok(Some(EntryKind::Whiteout(Whiteout::Opaque)));
    }
    let Some(hidden) = last.as_bytes().strip_prefix(MARKER) else { return Ok(None) };
    match Name::new(hidden) {
        Some(name) => Ok(Some(EntryKind::Whiteout(Whiteout::Hides(HiddenName(name.as_bytes().to_vec()))))),
        None => Err(Error::new(ErrorKind::InvalidWhiteout, "the whiteout hides no name")),
    }
}

fn hardlink_target(raw: &[u8], rules: NameRules<'_>, notes: &mut Notes, offset: u64) -> Result<EntryPath, Error> {
    if raw.is_empty() || raw.contains(&0) {
        return Err(Error::new(ErrorKind::InvalidLinkTarget, "the target is empty or holds a NUL"));
    }
    let (target, slashes) = EntryPath::clean(raw, rules.limits).map_err(|error| match error.kind() {
        ErrorKind::PathTraversal => Error::new(ErrorKind::HardlinkEscape, "a `..` component in the target"),
        _ => error,
    })?;
    if slashes.leading {
        match rules.absolute {
            AbsoluteNames::Reject => return Err(Error::new(ErrorKind::HardlinkEscape, "the target starts with /")),
            AbsoluteNames::Strip => notes.note(Reason::AbsoluteNameStripped, offset, "of the hardlink's target"),
        }
    }
    if target.is_root() {
        return Err(Error::new(ErrorKind::HardlinkToSpecial, "the target is the root"));
    }
    match marker(&target) {
        Ok(None) => Ok(target),
        _ => Err(Error::new(ErrorKind::InvalidWhiteout, "the target has the name of a whiteout")),
    }
}
