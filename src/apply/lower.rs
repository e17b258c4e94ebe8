//! What lies below a layer that is unpacked in overlay form: what a name shows in the lower layers, read as overlayfs reads them.
//!
//! Those that the same unpacker makes may be at work still: whoever looks into one waits until it is complete.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::awaited::Awaited;
use super::beneath::{Beneath, LowerDirs, join};
use super::directories::{Final, Mode, NodeId, internal};
use super::{Applier, OverlayForm};
use crate::archive::Xattr;
use crate::blob::Share;
use crate::entry::{DEFAULT_ACL, Name, Owner};
use crate::error::{Error, ErrorKind};
use crate::root::{Attributes as _, Dir, Kind, OldFile, Root, Stat, Step, Unreadable, read_xattrs};

/// The layers below, as one layer sees them.
#[derive(Debug)]
pub(crate) struct Lowers {
    layers: Layers,
    /// The directories that were found in them, so that a way that is gone again costs no look at every layer.
    found: Mutex<Found>,
    /// The threads of the layer, one of which it lends while it waits for one below.
    share: Option<Arc<Share>>,
}

/// Top first.
#[derive(Clone, Debug)]
enum Layers {
    /// All of them; none below the first layer, or where all layers go into one tree.
    Known(Vec<Lower>),
    /// They are elsewhere.
    Unknown,
}

/// Directories by their paths, and the layers that are merged there: none where it is known that there is no directory.
#[derive(Debug, Default)]
struct Found {
    layers: HashMap<Vec<u8>, Arc<[usize]>>,
    /// The length of all paths.
    bytes: usize,
}

/// Most bytes of paths that are kept in mind. Then all are forgotten.
const FOUND_BYTES: usize = 4 << 20;

impl Found {
    fn keep(&mut self, path: &[u8], layers: &Arc<[usize]>) {
        if self.bytes.saturating_add(path.len()) > FOUND_BYTES {
            *self = Self::default();
        }
        self.bytes = self.bytes.saturating_add(path.len());
        self.layers.insert(path.to_vec(), Arc::clone(layers));
    }
}

/// One layer below.
#[derive(Clone, Debug)]
pub(crate) enum Lower {
    /// One of the same unpacker: its directories do not have their final attributes yet.
    Unpacked(Arc<Awaited>),
    /// A directory of the caller's.
    Given(Arc<Root>, OverlayForm),
}

/// A layer below that is complete.
#[derive(Clone, Copy)]
enum Complete<'l> {
    Unpacked(&'l Applier, &'l Awaited),
    Given(&'l Root, OverlayForm),
}

/// What a name shows in the lower layers.
#[derive(Debug)]
pub(super) enum Shown {
    Nothing,
    /// A directory, merged from these.
    Directory(Beneath),
    /// Something else.
    Object(LowerObject),
    Unknown,
}

/// Something of a lower layer that is no directory.
#[derive(Clone, Debug)]
pub(super) struct LowerObject {
    layer: usize,
    /// The directory that holds it.
    pub(super) dir: Dir,
    pub(super) stat: Stat,
}

/// What a directory of a lower layer hands on to the one that this layer makes over it.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) owner: Owner,
    pub(super) last: Final,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) default_acl: Option<Xattr>,
}

impl Clone for Lowers {
    /// For another layer, which finds its way itself.
    fn clone(&self) -> Self {
        Self::of(self.layers.clone())
    }
}

impl Lowers {
    pub(crate) fn known(top_first: Vec<Lower>) -> Self {
        Self::of(Layers::Known(top_first))
    }

    pub(crate) fn unknown() -> Self {
        Self::of(Layers::Unknown)
    }

    fn of(layers: Layers) -> Self {
        Self { layers, found: Mutex::default(), share: None }
    }

    /// Puts a layer on top.
    pub(crate) fn push(&mut self, layer: Arc<Awaited>) {
        match &mut self.layers {
            Layers::Known(lowers) => lowers.insert(0, Lower::Unpacked(layer)),
            Layers::Unknown => {}
        }
    }

    /// These, and on top of them layers that may be at work still, given bottom first.
    pub(crate) fn with(&self, layers: &[Arc<Awaited>]) -> Self {
        match &self.layers {
            Layers::Known(lowers) => Self::known(layers.iter().rev().cloned().map(Lower::Unpacked).chain(lowers.iter().cloned()).collect()),
            Layers::Unknown => Self::unknown(),
        }
    }

    /// Says which threads the layer that looks has; none once it is complete.
    pub(super) fn lend_of(&mut self, share: Option<Arc<Share>>) {
        self.share = share;
    }

    /// What the root of the layer is merged with, as far as an opaque root lets it show.
    pub(super) fn top(&self) -> Beneath {
        match &self.layers {
            Layers::Known(lowers) if lowers.is_empty() => Beneath::Nothing,
            Layers::Known(lowers) => Beneath::Directories(LowerDirs { path: Arc::default(), layers: (0..lowers.len()).collect() }),
            Layers::Unknown => Beneath::Unknown,
        }
    }

    pub(super) fn are_unknown(&self) -> bool {
        matches!(self.layers, Layers::Unknown)
    }

    /// Gives what `name` shows in directories that are merged. Layers below the one that decides it are not waited for.
    pub(super) fn show(&self, beneath: &Beneath, name: Name<'_>) -> Result<Shown, Error> {
        let dirs = match self.resolve(beneath)? {
            Beneath::Nothing | Beneath::At(_) => return Ok(Shown::Nothing),
            Beneath::Unknown => return Ok(Shown::Unknown),
            Beneath::Directories(dirs) => dirs,
        };
        let path = join(&dirs.path, name);
        if let Some(layers) = self.found_at(&path).filter(|layers| !layers.is_empty()) {
            return Ok(Shown::Directory(Beneath::Directories(LowerDirs { path: path.into(), layers })));
        }
        let mut merged = Vec::new();
        for layer in dirs.layers.iter().copied() {
            let lower = self.lower(layer)?;
            match lower.root().enter_below(&dirs.path, name)? {
                Step::Missing => {}
                Step::Directory(dir) => {
                    merged.push(layer);
                    if lower.is_opaque(&dir)? {
                        break;
                    }
                }
                Step::Symlink | Step::Other if merged.is_empty() => return lower.object((layer, &dirs.path), name),
                Step::Symlink | Step::Other | Step::Whiteout => break,
            }
            if dirs.path.is_empty() && lower.hides_all_below() {
                break;
            }
        }
        if merged.is_empty() {
            return Ok(Shown::Nothing);
        }
        let layers = merged.into();
        self.found().keep(&path, &layers);
        Ok(Shown::Directory(Beneath::Directories(LowerDirs { path: path.into(), layers })))
    }

    /// Gives the directories themselves, looked for by now.
    fn resolve(&self, beneath: &Beneath) -> Result<Beneath, Error> {
        let Beneath::At(unasked) = beneath else { return Ok(beneath.clone()) };
        if let Some(answer) = unasked.answer.get() {
            return Ok(answer.clone());
        }
        let answer = self.at(&unasked.path)?;
        Ok(unasked.answer.get_or_init(|| answer).clone())
    }

    /// Gives the directories at a path of joined names.
    fn at(&self, path: &[u8]) -> Result<Beneath, Error> {
        match self.found_at(path) {
            Some(layers) if layers.is_empty() => return Ok(Beneath::Nothing),
            Some(layers) => return Ok(Beneath::Directories(LowerDirs { path: path.into(), layers })),
            None => {}
        }
        let mut beneath = self.top();
        for raw in path.split(|byte| *byte == b'/').filter(|raw| !raw.is_empty()) {
            let name = Name::new(raw).ok_or_else(|| Error::new(ErrorKind::InvalidName, "a parent"))?;
            beneath = self.directories(&beneath, name)?;
        }
        if beneath.is_nothing() {
            self.found().keep(path, &Arc::default());
        }
        Ok(beneath)
    }

    /// Whether there is nothing of lower layers, by a look if need be.
    pub(super) fn show_nothing(&self, beneath: &Beneath) -> Result<bool, Error> {
        Ok(self.resolve(beneath)?.is_nothing())
    }

    /// As [`show_nothing`](Self::show_nothing), at a path of joined names.
    pub(super) fn show_nothing_at(&self, path: &[u8]) -> Result<bool, Error> {
        Ok(self.at(path)?.is_nothing())
    }

    fn found_at(&self, path: &[u8]) -> Option<Arc<[usize]>> {
        self.found().layers.get(path).cloned()
    }

    /// What was found stays true whatever became of the thread that found it.
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directories that `name` is merged with: none where it shows something else.
    pub(super) fn directories(&self, beneath: &Beneath, name: Name<'_>) -> Result<Beneath, Error> {
        Ok(match self.show(beneath, name)? {
            Shown::Directory(beneath) => beneath,
            Shown::Unknown => Beneath::Unknown,
            Shown::Nothing | Shown::Object(_) => Beneath::Nothing,
        })
    }

    /// Gives what the uppermost of merged directories hands on.
    pub(super) fn handed_by(&self, from: &LowerDirs, wanted: impl Fn(&[u8]) -> bool) -> Result<Handed, Error> {
        let layer = from.layers.first().copied().unwrap_or(usize::MAX);
        let lower = self.lower(layer)?;
        let dir = lower.root().directory_at(&from.path)?.readable()?;
        let stat = dir.stat()?;
        let (last, planned) = match lower {
            Complete::Unpacked(applier, _) => applier.planned(&dir)?,
            Complete::Given(..) => (Final { mode: Mode::Set(stat.mode), mtime: stat.mtime }, None),
        };
        let mut xattrs = read_xattrs(&dir, wanted)?;
        let on_disk = xattrs.extract_if(.., |xattr| xattr.name == DEFAULT_ACL).next();
        Ok(Handed { owner: Owner { uid: stat.uid, gid: stat.gid }, last, xattrs, default_acl: planned.or(on_disk) })
    }

    /// The root that `object` is reached through.
    pub(super) fn root_of(&self, object: &LowerObject) -> Result<&Root, Error> {
        self.lower(object.layer).map(Complete::root)
    }

    /// Opens `object`, a regular file with this name. Where its mode does not let the caller read it, it gives it for the moment, but
    /// what the caller gave is not touched.
    pub(super) fn open_file(&self, object: &LowerObject, name: Name<'_>, wanted: impl Fn(&[u8]) -> bool) -> Result<OldFile, Error> {
        let lower = self.lower(object.layer)?;
        let (unreadable, _held) = match &lower {
            Complete::Unpacked(_, awaited) => (Unreadable::Grant, Some(awaited.hold_modes())),
            Complete::Given(..) => (Unreadable::Refuse, None),
        };
        lower.root().open_file((&object.dir, name), &object.stat, unreadable, wanted)
    }

    /// Gives a layer of the list, and waits until it is complete.
    fn lower(&self, layer: usize) -> Result<Complete<'_>, Error> {
        let lower = match &self.layers {
            Layers::Known(lowers) => lowers.get(layer),
            Layers::Unknown => None,
        };
        match lower.ok_or_else(|| internal("a lower layer that is not in the list"))? {
            Lower::Unpacked(awaited) => Ok(Complete::Unpacked(awaited.wait(self.share.as_deref())?, awaited)),
            Lower::Given(root, form) => Ok(Complete::Given(root, *form)),
        }
    }
}

impl<'l> Complete<'l> {
    fn root(self) -> &'l Root {
        match self {
            Self::Unpacked(applier, _) => &applier.root,
            Self::Given(root, _) => root,
        }
    }

    /// Whether nothing below the layer shows in one of its directories.
    ///
    /// A directory of a layer that never looked whether there was something below is not known to be opaque: then one looks further,
    /// as overlayfs does, through the same layers, and what ended the layer's own look ends this one. So it finds what it would have.
    fn is_opaque(self, dir: &Dir) -> Result<bool, Error> {
        match self {
            Self::Unpacked(applier, _) => Ok(applier.directories.find(dir.id()).is_some_and(|node| applier.directories.is_cleared(node))),
            Self::Given(_, form) => Ok(dir.readable()?.xattr(form.opaque_xattr())?.as_deref() == Some(b"y")),
        }
    }

    /// Whether nothing below the layer shows at all.
    fn hides_all_below(self) -> bool {
        matches!(self, Self::Unpacked(applier, _) if applier.root_opaque)
    }

    /// Gives what is no directory and stands at `name`.
    fn object(self, (layer, path): (usize, &[u8]), name: Name<'_>) -> Result<Shown, Error> {
        let dir = self.root().directory_at(path)?;
        let _held = match self {
            Self::Unpacked(_, awaited) => Some(awaited.hold_modes()),
            Self::Given(..) => None,
        };
        Ok(dir.stat_of(name)?.map_or(Shown::Nothing, |stat| Shown::Object(LowerObject { layer, dir, stat })))
    }
}

impl Applier {
    /// What a directory of this layer is to have in the end.
    fn planned(&self, dir: &Dir) -> Result<(Final, Option<Xattr>), Error> {
        let node = self.directories.find(dir.id()).ok_or_else(|| internal("a directory that nobody made"))?;
        self.last_of(node).map(|(last, acl)| (last, acl.cloned()))
    }

    /// As [`planned`](Self::planned); the root may have it from the layers below.
    pub(super) fn last_of(&self, node: NodeId) -> Result<(Final, Option<&Xattr>), Error> {
        match self.root_handed.get() {
            Some(handed) if node == NodeId::TOP => Ok((handed.last, handed.default_acl.as_ref())),
            _ => Ok((self.directories.last(node)?, self.directories.default_acl(node))),
        }
    }
}

impl LowerObject {
    pub(super) fn kind(&self) -> Kind {
        self.stat.kind
    }
}
