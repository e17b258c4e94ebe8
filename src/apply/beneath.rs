//! What of lower layers a directory is merged with: [`Beneath`]. It is looked for when it is needed, for a lower layer may be at work
//! still, and most of what a layer does depends on none.

use std::sync::{Arc, OnceLock};

use crate::entry::Name;

/// The directories of lower layers that a directory of this layer is merged with.
#[derive(Clone, Debug, Default)]
pub(super) enum Beneath {
    /// None, or they are hidden.
    #[default]
    Nothing,
    Directories(LowerDirs),
    /// Those at this path, if any: nobody looked yet, or only who shares this.
    At(Arc<Unasked>),
    /// It is not known.
    Unknown,
}

/// The directories at one path in some of the lower layers. By name, not by handle: there may be very many.
#[derive(Clone, Debug)]
pub(super) struct LowerDirs {
    /// Joined names, none of them a symlink in any of the layers.
    pub(super) path: Arc<[u8]>,
    /// Top first; never empty.
    pub(super) layers: Arc<[usize]>,
}

/// A path of joined names, and what is there, once somebody wanted to know.
#[derive(Debug)]
pub(super) struct Unasked {
    pub(super) path: Vec<u8>,
    pub(super) answer: OnceLock<Beneath>,
}

impl Beneath {
    /// What a directory `name` is merged with that is made in one that is merged with this, and hides nothing.
    pub(super) fn below(&self, name: Name<'_>) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Unknown => Self::Unknown,
            Self::At(unasked) if unasked.answer.get().is_some_and(Self::is_nothing) => Self::Nothing,
            Self::At(unasked) => Self::at(join(&unasked.path, name)),
            Self::Directories(dirs) => Self::at(join(&dirs.path, name)),
        }
    }

    fn at(path: Vec<u8>) -> Self {
        Self::At(Arc::new(Unasked { path, answer: OnceLock::new() }))
    }

    /// The path in the lower layers.
    pub(super) fn path(&self) -> Option<&[u8]> {
        match self {
            Self::Directories(dirs) => Some(&dirs.path),
            Self::At(unasked) => Some(&unasked.path),
            Self::Nothing | Self::Unknown => None,
        }
    }

    /// Whether it is known, without a look, that there is nothing.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// The path of `name` in the directory at `path`.
pub(super) fn join(path: &[u8], name: Name<'_>) -> Vec<u8> {
    let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
    [path, separator, name.as_bytes()].concat()
}
