//! Which image of a layout is meant, and by what it is trusted: [`Choice`].

use super::Platform;
use super::trust::{Verifier, Verifiers};
use crate::digest::Digest;

/// Which image is meant, and what the chain of digests hangs from. That nothing is pinned has to be said.
///
/// ```
/// use safe_layers::Digest;
/// use safe_layers::image::{Choice, Platform};
/// let digest = Digest::parse("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")?;
/// let choice = Choice::pinned(digest).reference("latest").platform(Platform::parse("linux/arm64")?);
/// # drop(choice);
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub(super) wanted: Wanted,
    pub(super) reference: Option<String>,
    pub(super) platform: Option<Platform>,
    pub(super) verifiers: Verifiers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Digest(Digest),
    Archive,
    Nothing,
}

/// What the chain of digests of an image hangs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// A digest that the caller pinned: of a manifest, of an index above it, or of a configuration.
    Digest(Digest),
    /// The digest of the whole archive, which the caller pinned.
    Archive(Digest),
    /// The manifest of this digest, which the caller's verifier accepted, and nothing is pinned. What says which of the images that it
    /// accepts this one is, is not trusted.
    Verifier(Digest),
    /// Nothing: whoever wrote the image decides what is unpacked.
    Nothing,
}

impl Choice {
    /// Pins a digest: of the manifest, or of an index that leads to it; in a docker-archive without a layout, which has neither, of
    /// the configuration (the image's id). That one will do for a newer docker-archive too, without a reference.
    ///
    /// Without a [`reference`](Self::reference) nothing that the digest does not cover is read: not `index.json` either.
    #[must_use]
    pub fn pinned(digest: Digest) -> Self {
        Self::new(Wanted::Digest(digest))
    }

    /// Relies on the digest of the whole archive, which was pinned when it was
    /// [opened](super::Layout::open_pinned_archive): what the archive calls the image is then as good as the pin.
    #[must_use]
    pub fn pinned_archive() -> Self {
        Self::new(Wanted::Archive)
    }

    /// Pins nothing and has `verifier` say whether the image that was found is to be trusted, by its manifest: a signature, as a rule.
    ///
    /// What it accepts becomes the [anchor](Anchor::Verifier). Who wrote `index.json` still says which of the images that it
    /// accepts is meant by a [reference](Self::reference): an older one that was signed too, another one by the same signer. The
    /// [platform](Self::platform) is checked again in the configuration, which hangs from the manifest. A docker-archive without a
    /// layout has no manifest and is refused.
    #[must_use]
    pub fn verified_by(verifier: impl Verifier + 'static) -> Self {
        Self::dangerous_unpinned().and_verified_by(verifier)
    }

    /// Has `verifier` asked too: it must accept the image, whatever is pinned, and so must each that was named before.
    ///
    /// To find what is attached to the image, `index.json` is then read, also where a pin makes that needless for the image itself.
    #[must_use]
    pub fn and_verified_by(self, verifier: impl Verifier + 'static) -> Self {
        Self { verifiers: self.verifiers.and(verifier), ..self }
    }

    /// Pins nothing. Every digest is still checked, but whoever wrote `index.json` or `manifest.json` chose them all.
    #[must_use]
    pub fn dangerous_unpinned() -> Self {
        Self::new(Wanted::Nothing)
    }

    /// Asks for the image that the layout calls `name`: by `org.opencontainers.image.ref.name` or `io.containerd.image.name`, in a
    /// docker-archive by one of its `RepoTags`; exactly.
    #[must_use]
    pub fn reference(self, name: impl Into<String>) -> Self {
        Self { reference: Some(name.into()), ..self }
    }

    /// Asks for an image that runs on `platform`. Default: what this program was compiled for
    /// ([`Platform::compiled_for`]); but a manifest or a configuration that is pinned by its own digest is then taken whatever it is for.
    #[must_use]
    pub fn platform(self, platform: Platform) -> Self {
        Self { platform: Some(platform), ..self }
    }

    fn new(wanted: Wanted) -> Self {
        Self { wanted, reference: None, platform: None, verifiers: Verifiers::default() }
    }
}
