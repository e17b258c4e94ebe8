//! The bytes of one blob: a stretch of a file, read by position ([`Blob`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::convert::{len_u64, min_usize};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind};

/// Where the bytes of a blob stand. Read by position, so that readers of one file do not disturb each other.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    file: Arc<File>,
    offset: u64,
    len: u64,
    /// What the bytes had when the whole archive was checked.
    digest: Option<Digest>,
}

impl Stretch {
    pub(super) fn new(file: Arc<File>, offset: u64, len: u64, digest: Option<Digest>) -> Self {
        Self { file, offset, len, digest }
    }

    /// The length, in bytes, as it was found.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What the bytes had when the whole archive was checked.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Where in its file it starts.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Starts to read it.
    pub(super) fn reader(&self) -> Blob {
        Blob { file: Arc::clone(&self.file), at: self.offset, left: self.len }
    }

    /// Reads it into memory, which has to be allowed by the caller.
    pub(super) fn read(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.reader().read_to_end(&mut bytes).map_err(|error| Error::io("reading a document", &error))?;
        if len_u64(bytes.len()) != self.len {
            let detail = format!("{} bytes, and there were {}", bytes.len(), self.len);
            return Err(Error::new(ErrorKind::SizeMismatch, detail));
        }
        if let Some(digest) = self.digest {
            let mut hasher = Hasher::new(digest.algorithm());
            hasher.update(&bytes);
            if hasher.finish() != digest {
                return Err(Error::new(ErrorKind::DigestMismatch, "the archive was changed since its digest was checked"));
            }
        }
        Ok(bytes)
    }
}

/// Reads a blob of an image as it is stored: hostile bytes, which whoever takes them has to check against the claim
/// ([`ImageLayer::claim`](super::ImageLayer::claim)).
///
/// ```no_run
/// use safe_layers::image::{Choice, Layout};
/// use safe_layers::{LayerReader, Policy, Root, ambient_authority};
/// let layout = Layout::open(Root::open_ambient("layout", ambient_authority())?)?;
/// let image = layout.image(&Choice::dangerous_unpinned())?;
/// for layer in image.layers() {
///     let mut entries = LayerReader::new(layer.open()?, layer.claim(), Policy::container());
///     while let Some(entry) = entries.next_entry()? {
///         println!("{:?}", entry.path());
///     }
///     entries.finish()?;
/// }
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Debug)]
pub struct Blob {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = min_usize(self.left, buffer.len());
        let count = self.file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(len_u64(count));
        self.left = self.left.saturating_sub(len_u64(count));
        Ok(count)
    }
}
