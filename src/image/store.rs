//! Where the documents and blobs of an image are: a directory, or an archive ([`Store`]). The only file that gives their bytes.

use std::sync::Arc;

use super::Document;
use super::archive::{self, Archive, Symlinks};
use super::descriptor::Descriptor;
use super::document::{Kept, within_limit};
use super::stretch::Stretch;
use crate::digest::Digest;
use crate::entry::{AbsoluteNames, EntryPath};
use crate::error::{DescriptorPath, Error, ErrorKind};
use crate::limits::Limits;
use crate::root::{Found as OnDisk, Root};

#[derive(Debug)]
pub(super) enum Store {
    Directory(Root),
    Archive(Archive),
}

impl Store {
    /// The digest that the whole archive had when it was opened.
    pub(super) fn pin(&self) -> Option<Digest> {
        match self {
            Self::Directory(_) => None,
            Self::Archive(archive) => archive.pin(),
        }
    }

    /// Reads a document that no descriptor claims, by its name: none where it is not there. In a pinned archive its bytes are
    /// those that were hashed with the archive.
    pub(super) fn unclaimed(&self, name: &'static str) -> Result<Option<Kept>, Error> {
        let at = DescriptorPath::document(name);
        let found = self.find(&fixed(name)?, Symlinks::Refuse, &at)?;
        found.map(|stretch| read(&stretch, &at).map(|bytes| Kept::unclaimed(bytes, stretch.digest(), at.clone()))).transpose()
    }

    /// Reads the document that the caller pinned: its name comes from the digest, and its bytes must have it.
    pub(super) fn pinned(&self, digest: &Digest) -> Result<Kept, Error> {
        const NAME: &str = "the pinned document";
        let at = DescriptorPath::document(NAME);
        let bytes = read(&self.blob(digest, &at)?, &at)?;
        Document::pinned(NAME, digest, &bytes).map(|document| document.keep())
    }

    /// Reads the document that `descriptor` claims, and checks it: size, then digest.
    pub(super) fn document(&self, descriptor: &Descriptor) -> Result<Kept, Error> {
        descriptor.document_len()?;
        let stretch = self.claimed(descriptor)?;
        let bytes = read(&stretch, descriptor.path())?;
        descriptor.verify(&bytes).map(|document| document.keep())
    }

    /// Finds the blob that `descriptor` claims; of its content the size alone is checked.
    pub(super) fn claimed(&self, descriptor: &Descriptor) -> Result<Stretch, Error> {
        let at = descriptor.path();
        let stretch = self.blob(&descriptor.digest(), at)?;
        if stretch.len() != descriptor.size() {
            let detail = format!("the blob has {} bytes, claimed were {}", stretch.len(), descriptor.size());
            return Err(Error::new(ErrorKind::SizeMismatch, detail).at_descriptor(at));
        }
        Ok(stretch)
    }

    /// Finds a member of a docker-archive; links within the archive are followed.
    pub(super) fn member(&self, path: &EntryPath, at: &DescriptorPath) -> Result<Stretch, Error> {
        self.find(path, Symlinks::Follow, at)?.ok_or_else(|| missing(path, at))
    }

    /// OCI image-spec `image-layout.md`, *Blobs*. The name is made from the digest, never from text.
    fn blob(&self, digest: &Digest, at: &DescriptorPath) -> Result<Stretch, Error> {
        let path = fixed(&format!("blobs/{}", digest.to_string().replacen(':', "/", 1)))?;
        self.find(&path, Symlinks::Refuse, at)?.ok_or_else(|| missing(&path, at))
    }

    fn find(&self, path: &EntryPath, symlinks: Symlinks, at: &DescriptorPath) -> Result<Option<Stretch>, Error> {
        let found = match self {
            Self::Directory(root) => root.find_file(path).map(|found| match found {
                OnDisk::File(file, len) => archive::Found::File(Stretch::new(Arc::new(file), 0, len, None)),
                OnDisk::Irregular(what) => archive::Found::Irregular(what),
                OnDisk::Missing => archive::Found::Missing,
            }),
            Self::Archive(archive) => archive.find(path, symlinks),
        };
        match found.map_err(|error| error.with_path(path.as_bytes()).at_descriptor(at))? {
            archive::Found::File(stretch) => Ok(Some(stretch)),
            archive::Found::Missing => Ok(None),
            archive::Found::Irregular(what) => {
                let detail = format!("not a regular file but {what}");
                Err(Error::new(ErrorKind::LayoutSymlink, detail).with_path(path.as_bytes()).at_descriptor(at))
            }
        }
    }
}

/// Reads a document into memory, if it is not too long for one.
pub(super) fn read(stretch: &Stretch, at: &DescriptorPath) -> Result<Vec<u8>, Error> {
    within_limit(stretch.len(), at)?;
    stretch.read().map_err(|error| error.at_descriptor(at))
}

fn missing(path: &EntryPath, at: &DescriptorPath) -> Error {
    Error::new(ErrorKind::BlobMissing, "it is not in the image").with_path(path.as_bytes()).at_descriptor(at)
}

/// A name that this crate made.
fn fixed(name: &str) -> Result<EntryPath, Error> {
    EntryPath::parse(name.as_bytes(), AbsoluteNames::Reject, &Limits::default())
}
