//! What lies below a layer that is unpacked in overlay form: what a name shows in the lower layers, read as overlayfs reads them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::directories::{Final, Mode};
use super::{Applier, OverlayForm};
use crate::archive::Xattr;
use crate::entry::{DEFAULT_ACL, Name, Owner};
use crate::error::Error;
use crate::root::{Attributes as _, Dir, Kind, Root, Stat, Step, Unreadable, read_xattrs};

/// The layers below, as one layer sees them.
#[derive(Debug)]
pub(crate) struct Lowers {
    layers: Layers,
    /// The directories that were found in them, so that a way that is gone again costs no look at every layer.
    found: Mutex<Found>,
}

/// Top first, as far as an opaque root lets them show.
#[derive(Clone, Debug)]
enum Layers {
    /// All of them; none below the first layer, or where all layers go into one tree.
    Known(Vec<Lower>),
    /// They are elsewhere.
    Unknown,
}

/// Directories by their paths, and the layers that are merged there.
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
    /// Unpacked before, by the same unpacker: its directories do not have their final attributes yet.
    Unpacked(Arc<Applier>),
    /// A directory of the caller's.
    Given(Arc<Root>, OverlayForm),
}

/// The directories of lower layers that a directory of this layer is merged with.
#[derive(Clone, Debug, Default)]
pub(super) enum Beneath {
    /// None, or they are hidden.
    #[default]
    Nothing,
    Directories(LowerDirs),
    /// It is not known.
    Unknown,
}

/// The directories at one path in some of the lower layers. By name, not by handle: there may be very many.
#[derive(Clone, Debug)]
pub(super) struct LowerDirs {
    /// Joined names, none of them a symlink in any of the layers.
    path: Arc<[u8]>,
    /// Top first; never empty.
    layers: Arc<[usize]>,
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

impl LowerDirs {
    fn path_of(&self, name: Name<'_>) -> Vec<u8> {
        let separator: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
        [&self.path, separator, name.as_bytes()].concat()
    }
}

impl Beneath {
    /// The path in the lower layers.
    pub(super) fn path(&self) -> Option<&[u8]> {
        match self {
            Self::Directories(dirs) => Some(&dirs.path),
            Self::Nothing | Self::Unknown => None,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
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
        Self { layers, found: Mutex::default() }
    }

    /// Puts a layer on top; an opaque one hides the others.
    pub(crate) fn push(&mut self, layer: Arc<Applier>) {
        match &mut self.layers {
            Layers::Known(lowers) => {
                if layer.root_opaque {
                    lowers.clear();
                }
                lowers.insert(0, Lower::Unpacked(layer));
            }
            Layers::Unknown => {}
        }
    }

    /// What the root of the layer is merged with.
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

    /// Gives what `name` shows in directories that are merged.
    pub(super) fn show(&self, beneath: &Beneath, name: Name<'_>) -> Result<Shown, Error> {
        let dirs = match beneath {
            Beneath::Nothing => return Ok(Shown::Nothing),
            Beneath::Unknown => return Ok(Shown::Unknown),
            Beneath::Directories(dirs) => dirs,
        };
        let path = dirs.path_of(name);
        if let Some(layers) = self.found().layers.get(&path).cloned() {
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
                Step::Symlink | Step::Other if merged.is_empty() => {
                    let dir = lower.root().directory_at(&dirs.path)?;
                    let stat = dir.stat_of(name)?;
                    return Ok(stat.map_or(Shown::Nothing, |stat| Shown::Object(LowerObject { layer, dir, stat })));
                }
                Step::Symlink | Step::Other | Step::Whiteout => break,
            }
        }
        if merged.is_empty() {
            return Ok(Shown::Nothing);
        }
        let layers = merged.into();
        self.found().keep(&path, &layers);
        Ok(Shown::Directory(Beneath::Directories(LowerDirs { path: path.into(), layers })))
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
            Lower::Unpacked(applier) => applier.planned(&dir)?,
            Lower::Given(..) => (Final { mode: Mode::Set(stat.mode), mtime: stat.mtime }, None),
        };
        let mut xattrs = read_xattrs(&dir, wanted)?;
        let on_disk = xattrs.extract_if(.., |xattr| xattr.name == DEFAULT_ACL).next();
        Ok(Handed { owner: Owner { uid: stat.uid, gid: stat.gid }, last, xattrs, default_acl: planned.or(on_disk) })
    }

    /// The root that `object` is reached through.
    pub(super) fn root_of(&self, object: &LowerObject) -> Result<&Root, Error> {
        self.lower(object.layer).map(Lower::root)
    }

    /// What becomes of `object` where its mode does not let the caller read it: what the caller gave is not touched.
    pub(super) fn unreadable(&self, object: &LowerObject) -> Unreadable {
        match self.lower(object.layer) {
            Ok(Lower::Unpacked(_)) => Unreadable::Grant,
            Ok(Lower::Given(..)) | Err(_) => Unreadable::Refuse,
        }
    }

    fn lower(&self, layer: usize) -> Result<&Lower, Error> {
        let lower = match &self.layers {
            Layers::Known(lowers) => lowers.get(layer),
            Layers::Unknown => None,
        };
        lower.ok_or_else(|| super::directories::internal("a lower layer that is not in the list"))
    }
}

impl Lower {
    fn root(&self) -> &Root {
        match self {
            Self::Unpacked(applier) => &applier.root,
            Self::Given(root, _) => root,
        }
    }

    /// Whether nothing below the layer shows in one of its directories.
    fn is_opaque(&self, dir: &Dir) -> Result<bool, Error> {
        match self {
            Self::Unpacked(applier) => Ok(applier.directories.find(dir.id()).is_some_and(|node| applier.directories.is_cleared(node))),
            Self::Given(_, form) => Ok(dir.readable()?.xattr(form.opaque_xattr())?.as_deref() == Some(b"y")),
        }
    }
}

impl Applier {
    /// What a directory of this layer is to have in the end.
    fn planned(&self, dir: &Dir) -> Result<(Final, Option<Xattr>), Error> {
        let node = self.directories.find(dir.id()).ok_or_else(|| super::directories::internal("a directory that nobody made"))?;
        Ok((self.directories.last(node)?, self.directories.default_acl(node).cloned()))
    }
}

impl LowerObject {
    pub(super) fn kind(&self) -> Kind {
        self.stat.kind
    }
}
