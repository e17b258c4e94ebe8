//! An image in a tar archive: read once for where each member stands, by the strict parser of layers, then by position. Nothing is
//! unpacked.
//!
//! Refused: whatever [`Policy::strict`](crate::Policy::strict) refuses in the dialect and the names of a layer, and a second member
//! of one name (directories apart), as another reader may take the other one. What the members' metadata is does not matter, and a
//! member that nothing of the image names is not looked at.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::json::MAX_DOCUMENT_BYTES;
use super::stretch::Stretch;
use crate::archive::{Options, Parser, Piece, RawEntry, TrailingData};
use crate::convert::{len_u64, min_usize};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::entry::{AbsoluteNames, Entry, EntryKind, EntryPath, NameRules};
use crate::error::{Error, ErrorKind, Location};
use crate::limits::Limits;
use crate::observe::Oddities;

/// Most members of an archive that holds an image: 65,536. Over it: [`ErrorKind::LimitExceeded`].
///
/// Own choice: an image has at most some hundred layers, and a member or three for each.
pub const MAX_ARCHIVE_MEMBERS: u64 = 1 << 16;

/// Most bytes of the names and link targets of an archive that holds an image: 16 MiB, which bounds the memory of the list.
///
/// Own choice: 256 bytes for each of [`MAX_ARCHIVE_MEMBERS`]. Over it: [`ErrorKind::LimitExceeded`].
pub const MAX_ARCHIVE_NAME_BYTES: u64 = 16 << 20;

/// Links from one name to the next in an archive. `docker save` makes one. Over it: [`ErrorKind::SymlinkLoop`].
const MAX_LINKS: usize = 8;
/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// The members of an archive, by name.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    members: BTreeMap<EntryPath, Member>,
    name_bytes: u64,
    count: u64,
    pin: Option<Digest>,
}

#[derive(Debug)]
enum Member {
    File(Region),
    Symlink(Vec<u8>),
    Hardlink(EntryPath),
    Directory,
    /// Nothing that can be read: a device, a sparse file.
    Other(&'static str),
}

/// Where in the archive a body stands.
#[derive(Clone, Copy, Debug)]
struct Region {
    offset: u64,
    len: u64,
    /// Of a small body, where the archive is pinned: what was hashed with the archive.
    digest: Option<Digest>,
}

/// What becomes of links between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symlinks {
    Refuse,
    /// Within the archive, as `docker save` made them for layers of several images.
    Follow,
}

/// What a name in an archive leads to.
pub(super) enum Found {
    File(Stretch),
    Irregular(&'static str),
    Missing,
}

/// Hashes all bytes of a pinned archive while it is listed, and those of each small body also by themselves.
struct Hashing {
    whole: Hasher,
    body: Option<(EntryPath, Hasher)>,
}

impl Archive {
    /// Lists the members.
    pub(super) fn open(file: File) -> Result<Self, Error> {
        Self::list(file, None)
    }

    /// As [`open`](Self::open), of a file with the digest `pin`: hashed before anything in it is parsed, and again while it is.
    pub(super) fn open_pinned(file: File, pin: &Digest) -> Result<Self, Error> {
        let mut hasher = Hasher::new(pin.algorithm());
        let (mut buffer, mut at, len) = (vec![0; PIECE], 0, len_of(&file)?);
        loop {
            let read = read_at(&file, &mut buffer, at, len)?;
            if read.is_empty() {
                break;
            }
            hasher.update(read);
            at = at.saturating_add(len_u64(read.len()));
        }
        matches(hasher, pin)?;
        let mut hashing = Hashing { whole: Hasher::new(pin.algorithm()), body: None };
        let archive = Self::list(file, Some(&mut hashing))?;
        matches(hashing.whole, pin)?;
        Ok(Self { pin: Some(*pin), ..archive })
    }

    /// The digest that the whole archive had.
    pub(super) fn pin(&self) -> Option<Digest> {
        self.pin
    }

    /// Without `hashing` the bodies are passed over.
    /// What is appended to the file meanwhile is not looked at.
    fn list(file: File, mut hashing: Option<&mut Hashing>) -> Result<Self, Error> {
        let limits = Limits::default();
        let options = Options { oddities: Oddities::Refuse, trailing_data: TrailingData::Reject, limits: limits.clone() };
        let len = len_of(&file)?;
        let mut archive = Self { file: Arc::new(file), members: BTreeMap::new(), name_bytes: 0, count: 0, pin: None };
        let (file, mut parser, mut buffer) = (Arc::clone(&archive.file), Parser::new(options), vec![0; PIECE]);
        loop {
            let at = parser.position();
            let read = read_at(&file, &mut buffer, at, len)?;
            if read.is_empty() {
                break;
            }
            if let Some(hashing) = &mut hashing {
                hashing.whole.update(read);
            }
            archive.take(&mut parser, (read, at), hashing.as_deref_mut(), &limits)?;
        }
        // A body that was passed over may reach beyond the end of the file.
        if parser.position() > len {
            return Err(Error::new(ErrorKind::Truncated, "the archive ends inside a body").at_offset(len));
        }
        let (_end, _events) = parser.finish()?;
        Ok(archive)
    }

    /// Takes what stands in `bytes`, which are those of the archive from `at`.
    fn take(
        &mut self,
        parser: &mut Parser,
        (mut bytes, at): (&[u8], u64),
        mut hashing: Option<&mut Hashing>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let all = bytes.len();
        loop {
            match parser.next(&mut bytes)? {
                Piece::More => return Ok(()),
                Piece::Entry(raw) => {
                    let offset = at.saturating_add(len_u64(all.saturating_sub(bytes.len())));
                    let document = self.enter(*raw, offset, limits)?;
                    match &mut hashing {
                        None => {
                            let passed = min_usize(parser.pass_over_body(), bytes.len());
                            bytes = bytes.get(passed..).unwrap_or_default();
                        }
                        Some(hashing) => hashing.body = document.map(|path| (path, Hasher::new(Algorithm::Sha256))),
                    }
                }
                Piece::Data { bytes, .. } => {
                    if let Some((_, hasher)) = hashing.as_mut().and_then(|hashing| hashing.body.as_mut()) {
                        hasher.update(bytes);
                    }
                }
                Piece::EntryEnd => {
                    let hashed = hashing.as_mut().and_then(|hashing| hashing.body.take());
                    if let Some((path, hasher)) = hashed
                        && let Some(Member::File(region)) = self.members.get_mut(&path)
                    {
                        region.digest = Some(hasher.finish());
                    }
                }
            }
        }
    }

    /// Adds a member whose body starts at `offset`; gives its name if the body is that of a document.
    fn enter(&mut self, raw: RawEntry, offset: u64, limits: &Limits) -> Result<Option<EntryPath>, Error> {
        let place = Location { entry: Some(raw.index), offset: Some(raw.offset), path: Some(raw.path.clone()) };
        self.add(raw, offset, limits).map_err(|error| error.located(&place))
    }

    fn add(&mut self, raw: RawEntry, offset: u64, limits: &Limits) -> Result<Option<EntryPath>, Error> {
        self.count = self.count.saturating_add(1);
        if self.count > MAX_ARCHIVE_MEMBERS {
            return Err(Error::limit_exceeded("archive_members", MAX_ARCHIVE_MEMBERS));
        }
        self.name_bytes = self.name_bytes.saturating_add(len_u64(raw.path.len())).saturating_add(len_u64(raw.link.len()));
        if self.name_bytes > MAX_ARCHIVE_NAME_BYTES {
            return Err(Error::limit_exceeded("archive_name_bytes", MAX_ARCHIVE_NAME_BYTES));
        }
        let (len, sparse) = (raw.size, raw.sparse);
        // Modes, owners and times of members say nothing of an image, and skopeo writes odd ones (type bits in the mode).
        let rules = NameRules { absolute: AbsoluteNames::Reject, odd_markers: Oddities::Tolerate, oddities: Oddities::Tolerate, limits };
        let parsed = Entry::parse(raw, rules)?;
        parsed.shape.check(&parsed.entry, rules)?;
        let path = parsed.entry.path().clone();
        let member = match parsed.entry.kind() {
            EntryKind::File { .. } if sparse => Member::Other("a sparse file"),
            EntryKind::File { .. } => Member::File(Region { offset, len, digest: None }),
            EntryKind::Symlink(target) => Member::Symlink(target.as_bytes().to_vec()),
            EntryKind::Hardlink(target) => Member::Hardlink(target.clone()),
            EntryKind::Directory => Member::Directory,
            _ => Member::Other("no regular file"),
        };
        let document = (matches!(member, Member::File(_)) && len <= MAX_DOCUMENT_BYTES).then(|| path.clone());
        match self.members.entry(path) {
            Slot::Vacant(place) => drop(place.insert(member)),
            Slot::Occupied(first) if matches!((first.get(), &member), (Member::Directory, Member::Directory)) => {}
            Slot::Occupied(_) => return Err(Error::new(ErrorKind::DuplicateEntry, "a second member of this name")),
        }
        Ok(document)
    }

    /// Finds what the name `path` leads to.
    ///
    /// # Errors
    /// [`ErrorKind::SymlinkEscape`], [`ErrorKind::SymlinkLoop`], [`ErrorKind::SymlinkInPath`], each with the name.
    pub(super) fn find(&self, path: &EntryPath, symlinks: Symlinks) -> Result<Found, Error> {
        self.follow(path, symlinks).map_err(|error| error.with_path(path.as_bytes()))
    }

    fn follow(&self, path: &EntryPath, symlinks: Symlinks) -> Result<Found, Error> {
        let mut path = path.clone();
        for _ in 0..=MAX_LINKS {
            self.check_parents(&path)?;
            path = match self.members.get(&path) {
                None => return Ok(Found::Missing),
                Some(Member::File(Region { offset, len, digest })) => {
                    return Ok(Found::File(Stretch::new(Arc::clone(&self.file), *offset, *len, *digest)));
                }
                Some(Member::Directory) => return Ok(Found::Irregular("a directory")),
                Some(Member::Other(what)) => return Ok(Found::Irregular(what)),
                Some(Member::Symlink(_)) if symlinks == Symlinks::Refuse => return Ok(Found::Irregular("a symlink")),
                Some(Member::Symlink(target)) => target_of(&path, target)?,
                Some(Member::Hardlink(target)) => target.clone(),
            };
        }
        Err(Error::new(ErrorKind::SymlinkLoop, format!("over {MAX_LINKS} links in the archive")))
    }

    /// A name below a link would be another one to whoever unpacks the archive.
    fn check_parents(&self, path: &EntryPath) -> Result<(), Error> {
        let mut path = path.clone();
        while let Some((parent, _)) = path.split_last() {
            match self.members.get(&parent) {
                None | Some(Member::Directory) => path = parent,
                Some(_) => return Err(Error::new(ErrorKind::SymlinkInPath, "a parent of the member is no directory")),
            }
        }
        Ok(())
    }
}

/// Where a symlink at `path` leads, within the archive. Its parents are no links, so that names alone tell.
fn target_of(path: &EntryPath, target: &[u8]) -> Result<EntryPath, Error> {
    let escape = |what: &str| Error::new(ErrorKind::SymlinkEscape, format!("a link in the archive {what}"));
    if target.first() == Some(&b'/') {
        return Err(escape("is absolute"));
    }
    let parent = path.split_last().map_or(EntryPath::ROOT, |(parent, _)| parent);
    let mut names: Vec<&[u8]> = parent.names().map(|name| name.as_bytes()).collect();
    for component in target.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")) {
        match component {
            b".." => drop(names.pop().ok_or_else(|| escape("climbs out of it"))?),
            name => names.push(name),
        }
    }
    EntryPath::parse(&names.join(&b'/'), AbsoluteNames::Reject, &Limits::default())
}

fn matches(hasher: Hasher, pin: &Digest) -> Result<(), Error> {
    match hasher.finish() {
        found if found == *pin => Ok(()),
        found => Err(Error::new(ErrorKind::DigestMismatch, format!("the archive has the digest {found}, claimed was {pin}"))),
    }
}

/// Gives the length of a regular file. Anything else may have no end.
fn len_of(file: &File) -> Result<u64, Error> {
    let found = file.metadata().map_err(|error| failed(&error))?;
    if !found.is_file() {
        return Err(Error::new(ErrorKind::LayoutSymlink, "the archive is not a regular file"));
    }
    Ok(found.len())
}

/// Reads from `at`, of a file that counts as `len` bytes long.
fn read_at<'b>(file: &File, buffer: &'b mut [u8], at: u64, len: u64) -> Result<&'b [u8], Error> {
    let wanted = min_usize(len.saturating_sub(at), buffer.len());
    let count = loop {
        match file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), at) {
            Ok(count) => break count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(&error)),
        }
    };
    Ok(buffer.get(..count).unwrap_or_default())
}

fn failed(error: &std::io::Error) -> Error {
    Error::io("reading the archive", error)
}
