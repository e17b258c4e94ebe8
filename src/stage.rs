//! A tree that nobody sees until it is whole: [`StagedTree`]. It is removed when it is dropped; [`recover`] removes what a
//! killed process left.

use crate::apply::TreeComplete;
use crate::archive::EndOfArchive;
use crate::blob::LayerProof;
use crate::entry::Name;
use crate::error::{Error, ErrorKind};
use crate::root::{PrivateDir, Root};

/// What stands between the final name and the random digits in the name of a staging directory.
const INFIX: &[u8] = b".safe-layers-";
/// Random hexadecimal digits at the end of the name.
const DIGITS: usize = 16;

/// What of a tree survives a loss of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing is promised: after a loss of power the final name may stand for a tree with empty or missing files.
    #[default]
    None,
    /// After `Ok` the tree is there, whole; before it is absent or whole. Everything that the filesystem has in memory, others'
    /// writes too, is brought to the disk (`syncfs`) before the tree gets its name, and the name after (`fsync`).
    Tree,
}

/// Proves that a layer was applied to its end and that every claim about it matched. A commit takes one for each layer.
#[must_use]
#[derive(Debug)]
pub(crate) struct LayerVerified {
    _blob: LayerProof,
    _end: EndOfArchive,
}

impl LayerVerified {
    pub(crate) fn new(blob: LayerProof, end: EndOfArchive) -> Self {
        Self { _blob: blob, _end: end }
    }
}

/// A private directory beside the final name; removed on drop.
#[derive(Debug)]
pub(crate) struct StagedTree {
    parent: Root,
    name: Vec<u8>,
    private: Option<PrivateDir>,
}

impl StagedTree {
    /// Makes the private directory `.NAME.safe-layers-` and 16 random hex digits in `parent`.
    pub(crate) fn new(parent: Root, name: &str) -> Result<Self, Error> {
        let name = checked(name.as_bytes())?;
        if parent.top().stat_of(name)?.is_some() {
            return Err(exists(name));
        }
        let prefix = [b".", name.as_bytes(), INFIX].concat();
        let name = name.as_bytes().to_vec();
        let private = parent.make_private_dir(&prefix)?;
        Ok(Self { parent, name, private: Some(private) })
    }

    /// The capability for the staged tree.
    pub(crate) fn root(&self) -> Result<Root, Error> {
        match &self.private {
            Some(private) => private.root.try_clone(),
            None => Err(Error::new(ErrorKind::Io, "the staged tree is gone")),
        }
    }

    /// Makes the directory of a layer, counted from 0, in the staged tree.
    pub(crate) fn layer_root(&self, layer: usize) -> Result<Root, Error> {
        self.root()?.make_root(checked(layer_name(layer).as_bytes())?)
    }

    /// Moves the tree to its final name, if nothing stands there.
    pub(crate) fn commit(mut self, layers: &[LayerVerified], _complete: Vec<TreeComplete>, durability: Durability) -> Result<(), Error> {
        if layers.is_empty() {
            return Err(Error::new(ErrorKind::LayerCountMismatch, "no layer was applied"));
        }
        let name = checked(&self.name)?;
        if let Some(private) = &self.private {
            if durability == Durability::Tree {
                private.root.sync_filesystem()?;
            }
            self.parent.publish(private, name)?;
        }
        self.private = None;
        match durability {
            Durability::Tree => self.parent.sync_names(),
            Durability::None => Ok(()),
        }
    }
}

impl Drop for StagedTree {
    fn drop(&mut self) {
        if let Some(private) = self.private.take() {
            // Nobody is left to tell; what cannot be removed is found by `recover`.
            let _unheard = self.parent.remove_private_dir(&private.name);
        }
    }
}

/// Removes the staging directories in `parent` that killed processes left, and gives their names.
///
/// Only those that no living process holds are touched.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let parent = safe_layers::Root::open_ambient(dir.path(), safe_layers::ambient_authority())?;
/// assert!(safe_layers::recover(&parent)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Io`] where one cannot be listed or removed; `Ok` means that all are gone.
pub fn recover(parent: &Root) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for leftover in parent.unlocked_dirs(is_staging_name)? {
        parent.remove_private_dir(&leftover.name)?;
        names.push(String::from_utf8_lossy(&leftover.name).into_owned());
    }
    Ok(names)
}

/// The name of a layer's directory, where each has one.
pub(crate) fn layer_name(layer: usize) -> String {
    layer.to_string()
}

fn is_staging_name(name: &[u8]) -> bool {
    let Some((head, digits)) = name.len().checked_sub(DIGITS).and_then(|at| name.split_at_checked(at)) else { return false };
    let hex = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    hex && head.strip_suffix(INFIX).is_some_and(|head| head.len() > 1 && head.starts_with(b"."))
}

fn checked(name: &[u8]) -> Result<Name<'_>, Error> {
    Name::new(name).ok_or_else(|| Error::new(ErrorKind::InvalidName, "the final name must be one component"))
}

fn exists(name: Name<'_>) -> Error {
    Error::io(&format!("the final name {name:?}"), &std::io::Error::from_raw_os_error(17))
}
