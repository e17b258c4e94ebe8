//! An image on disk: a layout in a directory, or in an archive as `docker save`, skopeo and the like write it ([`Layout`]).

use std::fs::File;
use std::sync::Arc;

use super::archive::Archive;
use super::choice::Choice;
use super::fields::Fields;
use super::store::Store;
use super::{Document, Image, chain, json, shown};
use crate::digest::Digest;
use crate::error::{DescriptorPath, Error, ErrorKind};
use crate::root::Root;

/// OCI image-spec `image-layout.md`, *oci-layout file*.
const MARKER: &str = "oci-layout";
const KEYS: &[&str] = &["imageLayoutVersion"];
const VERSION: &str = "1.0.0";
/// Docker's image specification 1.2, *Combined Image JSON + Filesystem Changeset Format*.
pub(super) const DOCKER_LIST: &str = "manifest.json";

/// An image, or several, on disk: an OCI layout (OCI image-spec `image-layout.md`) as a directory or a tar archive, or a
/// docker-archive. Content tells which. Nothing is fetched, and an archive is not unpacked.
///
/// ```
/// use safe_layers::image::{Choice, Layout, Platform};
/// use safe_layers::{Digest, Policy, Root, Unpacker, ambient_authority};
/// # fn unpack() -> Result<(), Box<dyn std::error::Error>> {
/// let layout = Layout::open(Root::open_ambient("layout", ambient_authority())?)?;
/// let pin = Digest::parse("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")?;
/// let image = layout.image(&Choice::pinned(pin).platform(Platform::parse("linux/amd64")?))?;
/// let parent = Root::open_ambient("/var/lib/images", ambient_authority())?;
/// image.unpack(Unpacker::rootfs(parent, "rootfs", Policy::container())?)?;
/// # Ok(())
/// # }
/// # let _ = unpack;
/// ```
#[derive(Debug)]
pub struct Layout {
    store: Arc<Store>,
    form: LayoutForm,
}

/// How an image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayoutForm {
    /// A directory with `oci-layout`.
    Directory,
    /// An archive with `oci-layout`; that it also has the list of a docker-archive, as newer ones do, does not matter.
    Archive,
    /// An archive with `manifest.json` alone.
    DockerArchive,
}

impl Layout {
    /// Takes a directory that holds an OCI layout. Its files are opened when they are needed; no link is followed and no mount crossed.
    ///
    /// # Errors
    /// [`ErrorKind::BlobMissing`] where there is no `oci-layout`, [`ErrorKind::UnsupportedMediaType`] on a version that is not 1.0.0,
    /// [`ErrorKind::LayoutSymlink`] where it is no regular file, and as [`Index::parse`](super::Index::parse).
    pub fn open(dir: Root) -> Result<Self, Error> {
        Self::of(Store::Directory(dir), LayoutForm::Directory)
    }

    /// Takes a tar archive, not compressed, that holds an OCI layout or is a docker-archive. It is read once for the places of its
    /// members, without their content, and then by position: a pipe will not do. Its dialect and its names are read as strictly as
    /// [`Policy::strict`](crate::Policy::strict) reads those of a layer; owners and modes do not matter.
    ///
    /// Whoever can write to the file may change it at any time: what a digest covers is checked whenever it is read, and a change is
    /// an error. `index.json`, and `manifest.json` of a docker-archive, are covered by nothing but a [pin](Self::open_pinned_archive).
    ///
    /// # Errors
    /// As [`open`](Self::open), where it is no regular file itself too; whatever is wrong with the archive, a second member of one name ([`ErrorKind::DuplicateEntry`]) among it;
    /// [`ErrorKind::LimitExceeded`] over [`MAX_ARCHIVE_MEMBERS`](super::MAX_ARCHIVE_MEMBERS) or
    /// [`MAX_ARCHIVE_NAME_BYTES`](super::MAX_ARCHIVE_NAME_BYTES).
    pub fn open_archive(file: File) -> Result<Self, Error> {
        Self::of_archive(Archive::open(file))
    }

    /// As [`open_archive`](Self::open_archive), of a file that must have the digest `pin`, which is checked before anything in it
    /// is parsed.
    ///
    /// The file is read twice through the one handle, and both readings must match. From the second are the places of the members
    /// and the digests of all small ones, against which each document is checked when it is read; every layer is checked against
    /// the digest that they claim. So `Ok`, here and later, speaks of the bytes that have the pinned digest, whatever somebody else
    /// writes to the file in the meantime; who does so causes an error, no more.
    ///
    /// # Errors
    /// As [`open_archive`](Self::open_archive), and [`ErrorKind::DigestMismatch`].
    pub fn open_pinned_archive(file: File, pin: &Digest) -> Result<Self, Error> {
        Self::of_archive(Archive::open_pinned(file, pin))
    }

    fn of_archive(archive: Result<Archive, Error>) -> Result<Self, Error> {
        let at = DescriptorPath::document("the archive");
        Self::of(Store::Archive(archive.map_err(|error| error.at_descriptor(&at))?), LayoutForm::Archive)
    }

    fn of(store: Store, form: LayoutForm) -> Result<Self, Error> {
        let form = match (store.unclaimed(MARKER)?, form) {
            (Some(marker), form) => {
                check_version(&marker.document())?;
                form
            }
            (None, LayoutForm::Archive) if store.unclaimed(DOCKER_LIST)?.is_some() => LayoutForm::DockerArchive,
            (None, form) => {
                let detail = match form {
                    LayoutForm::Directory => "no image layout: it is not there",
                    _ => "no image: neither it nor `manifest.json` is there",
                };
                return Err(Error::new(ErrorKind::BlobMissing, detail).at_descriptor(&DescriptorPath::document(MARKER)));
            }
        };
        Ok(Self { store: Arc::new(store), form })
    }

    /// How the image is stored.
    #[must_use]
    pub fn form(&self) -> LayoutForm {
        self.form
    }

    /// Follows the chain to the image that is meant: index, manifest, configuration, each checked against what claims it before
    /// it is parsed. No layer is read.
    ///
    /// # Errors
    /// Those of [`Index`](super::Index), [`Manifest`](super::Manifest), [`ImageConfig`](super::ImageConfig) and
    /// [`DockerArchive`](super::DockerArchive); [`ErrorKind::BlobMissing`]; [`ErrorKind::LayoutSymlink`] where a blob is no regular
    /// file; [`ErrorKind::SizeMismatch`] and [`ErrorKind::DigestMismatch`] where one is not what is claimed or pinned;
    /// [`ErrorKind::ImageMissing`] where no image has the name or the platform; [`ErrorKind::LayerCountMismatch`];
    /// [`ErrorKind::LimitExceeded`] over [`MAX_LAYERS`](super::MAX_LAYERS) and the like; whatever a
    /// [verifier](Choice::verified_by) says, [`ErrorKind::SignatureInvalid`] as a rule, and that also where there is no manifest to
    /// show to one. All name the link
    /// of the chain ([`Error::descriptor_path`]). `Ok` means that every byte of the documents hangs from the
    /// [anchor](Image::anchor) by digests, that every verifier accepted the manifest, and that there is one claim for each layer.
    pub fn image(&self, choice: &Choice) -> Result<Image, Error> {
        chain::follow(&self.store, self.form, choice)
    }
}

fn check_version(marker: &Document<'_>) -> Result<(), Error> {
    let at = marker.path();
    let value = json::parse(marker.bytes()).map_err(|error| error.at_descriptor(at))?;
    let fields = Fields::of(&value, "the layout", KEYS, at)?;
    match fields.required_string("imageLayoutVersion")? {
        VERSION => Ok(()),
        other => {
            let detail = format!("a layout of the version \"{}\", not {VERSION}", shown(other));
            Err(fields.error(ErrorKind::UnsupportedMediaType, detail))
        }
    }
}
