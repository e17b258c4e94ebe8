//! What a caller claims about one blob: [`Expect`]. A claim proves nothing; the reader does.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::observe::Compression;

/// What is claimed about the blob of one layer, and will be verified.
///
/// At least one digest must be claimed, or the waiver said aloud: [`dangerous_unverified`](Self::dangerous_unverified).
/// A manifest's descriptor gives the blob's digest, size and media type; the image's configuration gives the diff_id.
///
/// ```
/// use safe_layers::{Digest, Expect};
/// let blob = Digest::parse("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")?;
/// let expect = Expect::blob(blob).size(0).media_type("application/vnd.oci.image.layer.v1.tar+gzip")?;
/// assert_eq!(expect.claimed_size(), Some(0));
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    blob: Option<Digest>,
    size: Option<u64>,
    diff_id: Option<Digest>,
    media: MediaClaim,
}

/// What is claimed about the form of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaClaim {
    /// Nothing: the magic decides.
    Undeclared,
    /// A type that says nothing about the compression: the magic decides.
    Sniff,
    /// This one: the magic must agree.
    Exactly(Compression),
}

impl Expect {
    /// Claims the digest of the blob as stored (OCI image-spec `descriptor.md`, `digest`).
    #[must_use]
    pub fn blob(digest: Digest) -> Self {
        Self { blob: Some(digest), ..Self::dangerous_unverified() }
    }

    /// Claims the digest of the uncompressed bytes (OCI image-spec `config.md`, `rootfs.diff_ids`).
    #[must_use]
    pub fn diff_id(digest: Digest) -> Self {
        Self::dangerous_unverified().and_diff_id(digest)
    }

    /// Claims nothing: whatever the bytes are, they are accepted as that layer.
    ///
    /// Nothing but the archive's own rules then stands between a forged blob and the tree.
    #[must_use]
    pub fn dangerous_unverified() -> Self {
        Self { blob: None, size: None, diff_id: None, media: MediaClaim::Undeclared }
    }

    /// Claims the size of the blob as stored, in bytes (OCI image-spec `descriptor.md`, `size`).
    #[must_use]
    pub fn size(self, bytes: u64) -> Self {
        Self { size: Some(bytes), ..self }
    }

    /// Claims the digest of the uncompressed bytes beside what is claimed already.
    #[must_use]
    pub fn and_diff_id(self, digest: Digest) -> Self {
        Self { diff_id: Some(digest), ..self }
    }

    /// Claims the media type: the blob's first bytes must be those of its compression, or of none.
    ///
    /// Accepted: `application/vnd.oci.image.layer.v1.tar{,+gzip,+zstd}`, `….layer.nondistributable.v1.tar{,+gzip,+zstd}`,
    /// `application/vnd.docker.image.rootfs.diff.tar{,.gzip,.zstd}`, `….rootfs.foreign.diff.tar{,.gzip}`. Docker's
    /// `….rootfs.diff.tar` alone claims no compression: blobs of that type often are gzip.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedMediaType`] on any other text, encrypted layers among them; `Ok` means that the claim is taken, not that it is true.
    pub fn media_type(self, media_type: &str) -> Result<Self, Error> {
        Ok(Self { media: parse(media_type)?, ..self })
    }

    /// Claims the compression alone, where there is no media type: a file's extension, say.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self { media: MediaClaim::Exactly(compression), ..self }
    }

    /// The digest claimed of the blob as stored.
    #[must_use]
    pub fn claimed_blob(&self) -> Option<Digest> {
        self.blob
    }

    /// The size claimed of the blob as stored, in bytes.
    #[must_use]
    pub fn claimed_size(&self) -> Option<u64> {
        self.size
    }

    /// The digest claimed of the uncompressed bytes.
    #[must_use]
    pub fn claimed_diff_id(&self) -> Option<Digest> {
        self.diff_id
    }

    pub(super) fn media(&self) -> MediaClaim {
        self.media
    }
}

/// Reads a media type (OCI image-spec `layer.md` and `media-types.md`; Docker's `manifest-v2-2`). Exact: no parameters, no other case.
fn parse(media_type: &str) -> Result<MediaClaim, Error> {
    const OCI: &str = "application/vnd.oci.image.layer.";
    const DOCKER: &str = "application/vnd.docker.image.rootfs.";
    if let Some(layer) = media_type.strip_prefix(OCI) {
        match layer.strip_prefix("nondistributable.").unwrap_or(layer) {
            "v1.tar" => return Ok(MediaClaim::Exactly(Compression::None)),
            "v1.tar+gzip" => return Ok(MediaClaim::Exactly(Compression::Gzip)),
            "v1.tar+zstd" => return Ok(MediaClaim::Exactly(Compression::Zstd)),
            _ => {}
        }
    }
    match media_type.strip_prefix(DOCKER) {
        Some("diff.tar") => return Ok(MediaClaim::Sniff),
        Some("foreign.diff.tar") => return Ok(MediaClaim::Exactly(Compression::None)),
        Some("diff.tar.gzip" | "foreign.diff.tar.gzip") => return Ok(MediaClaim::Exactly(Compression::Gzip)),
        Some("diff.tar.zstd") => return Ok(MediaClaim::Exactly(Compression::Zstd)),
        _ => {}
    }
    let shown: String = media_type.chars().take(160).flat_map(char::escape_default).collect();
    Err(Error::new(
        ErrorKind::UnsupportedMediaType,
        if media_type.ends_with("+encrypted") {
            format!("\"{shown}\" is encrypted: decrypt the blob first")
        } else {
            format!("\"{shown}\" is not the media type of a layer")
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(text: &str) -> Result<MediaClaim, ErrorKind> {
        Expect::dangerous_unverified().media_type(text).map(|expect| expect.media()).map_err(|error| error.kind())
    }

    #[test]
    fn every_media_type_of_a_layer_is_known_and_claims_its_compression() {
        use Compression::{Gzip, None, Zstd};
        for (text, claim) in [
            ("application/vnd.oci.image.layer.v1.tar", MediaClaim::Exactly(None)),
            ("application/vnd.oci.image.layer.v1.tar+gzip", MediaClaim::Exactly(Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", MediaClaim::Exactly(Zstd)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", MediaClaim::Exactly(None)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MediaClaim::Exactly(Gzip)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", MediaClaim::Exactly(Zstd)),
            ("application/vnd.docker.image.rootfs.diff.tar", MediaClaim::Sniff),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", MediaClaim::Exactly(Gzip)),
            ("application/vnd.docker.image.rootfs.diff.tar.zstd", MediaClaim::Exactly(Zstd)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar", MediaClaim::Exactly(None)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MediaClaim::Exactly(Gzip)),
        ] {
            assert_eq!(media(text), Ok(claim), "{text}");
        }
    }

    #[test]
    fn a_media_type_that_differs_in_a_byte_is_refused() {
        for text in [
            "",
            "application/vnd.oci.image.layer.v1.tar+gzip ",
            "application/vnd.oci.image.layer.v1.tar+GZIP",
            "application/vnd.oci.image.layer.v1.tar.gzip",
            "application/vnd.oci.image.layer.v2.tar",
            "application/vnd.oci.image.layer.nondistributable.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+bzip2",
            "application/vnd.docker.image.rootfs.diff.tar+gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd",
            "application/vnd.docker.image.rootfs.nondistributable.diff.tar",
            "application/vnd.oci.image.config.v1+json",
            "\u{1b}[2J",
        ] {
            assert_eq!(media(text), Err(ErrorKind::UnsupportedMediaType), "{text:?}");
        }
    }

    #[test]
    fn an_encrypted_layer_is_named_as_such() {
        let error = Expect::dangerous_unverified().media_type("application/vnd.oci.image.layer.v1.tar+gzip+encrypted").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedMediaType);
        assert!(error.detail().contains("encrypted: decrypt"), "{error}");
    }

    #[test]
    fn a_refused_media_type_cannot_write_to_a_terminal_or_flood_it() {
        let error = Expect::dangerous_unverified().media_type(&"\u{1b}[2J".repeat(1000)).unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
        assert!(error.to_string().len() < 2000);
    }

    #[test]
    fn claims_add_up_and_the_waiver_claims_nothing() {
        let digest = |byte: char| Digest::parse(format!("sha256:{}", byte.to_string().repeat(64))).unwrap();
        let all = Expect::blob(digest('a')).and_diff_id(digest('b')).size(7).compression(Compression::Zstd);
        assert_eq!((all.claimed_blob(), all.claimed_diff_id(), all.claimed_size()), (Some(digest('a')), Some(digest('b')), Some(7)));
        assert_eq!(all.media(), MediaClaim::Exactly(Compression::Zstd));
        assert_eq!(Expect::diff_id(digest('b')).claimed_diff_id(), Some(digest('b')));
        let none = Expect::dangerous_unverified();
        assert_eq!((none.claimed_blob(), none.claimed_diff_id(), none.claimed_size()), (None, None, None));
        assert_eq!(none.media(), MediaClaim::Undeclared);
    }
}
