//! An image on disk in the place of LAYERs: its options, how it is opened, and what is told of it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use safe_layers::image::{Anchor, Choice, CosignKey, Image, Layout, NoticeReason, Platform};
use safe_layers::{Digest, Root};
use serde_json::{Value, json};

use super::args::usage;
use super::claims::digest;
use super::failure::Failure;

/// What the command line says of an image.
#[derive(Debug, Default)]
pub(crate) struct ImageOptions {
    image: Option<String>,
    pin: Option<Digest>,
    platform: Option<Platform>,
    archive_digest: Option<Digest>,
    key: Option<PathBuf>,
}

/// Whether `--unverified` was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiver {
    Said,
    NotSaid,
}

/// The image that is to be unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ImageRequest {
    path: PathBuf,
    choice: Choice,
    archive_digest: Option<Digest>,
    key: Option<PathBuf>,
}

/// What is told of an image beside its layers.
pub(crate) struct Summary {
    manifest: Option<Digest>,
    config: Option<Digest>,
    chain_id: Option<Digest>,
    platform: Platform,
    anchor: Anchor,
    notices: Vec<(NoticeReason, String)>,
}

impl ImageOptions {
    /// Whether an option is one of these.
    pub(crate) fn have(name: &str) -> bool {
        matches!(name, "--image" | "--pin" | "--platform" | "--archive-digest" | "--key")
    }

    pub(crate) fn set(&mut self, name: &str, value: String) -> Result<(), Failure> {
        match name {
            "--image" => self.image = Some(value),
            "--pin" => self.pin = Some(digest(&value)?),
            "--key" => self.key = Some(value.into()),
            "--archive-digest" => self.archive_digest = Some(digest(&value)?),
            _ => self.platform = Some(Platform::parse(&value).or_else(|error| usage(error.to_string()))?),
        }
        Ok(())
    }

    /// Gives the image that is asked for, if one is. That nothing is pinned has to be said.
    pub(crate) fn request(self, waiver: Waiver) -> Result<Option<ImageRequest>, Failure> {
        let Some(image) = self.image else {
            return match (self.pin, self.platform, self.archive_digest, self.key) {
                (None, None, None, None) => Ok(None),
                _ => usage("--pin, --key, --platform and --archive-digest say which image: they need --image"),
            };
        };
        let mut choice = match (self.pin, self.archive_digest, waiver) {
            (Some(_), _, Waiver::Said) => return usage("--unverified says that nothing is pinned, but a digest is"),
            (_, _, Waiver::Said) if self.key.is_some() => return usage("--unverified says that nothing is checked, but a --key is given"),
            (Some(pin), _, Waiver::NotSaid) => Choice::pinned(pin),
            (None, Some(_), _) => Choice::pinned_archive(),
            (None, None, Waiver::Said) => Choice::dangerous_unpinned(),
            // With the key alone: `open` adds it.
            (None, None, Waiver::NotSaid) if self.key.is_some() => Choice::dangerous_unpinned(),
            (None, None, Waiver::NotSaid) => {
                return usage(
                    "nothing is pinned: give --pin (the digest of the manifest or of its index; in a docker-archive the image's id), \
                     --key or --archive-digest, or say --unverified to unpack whatever whoever wrote the image chose",
                );
            }
        };
        let (path, reference) = image.split_once(':').map_or((image.as_str(), None), |(path, name)| (path, Some(name)));
        if let Some(reference) = reference {
            choice = choice.reference(reference);
        }
        if let Some(platform) = self.platform {
            choice = choice.platform(platform);
        }
        Ok(Some(ImageRequest { path: path.into(), choice, archive_digest: self.archive_digest, key: self.key }))
    }
}

/// Opens the image and follows its chain; no layer is read.
pub(crate) fn open(request: &ImageRequest) -> Result<Image, Failure> {
    let failed = |error| Failure::Open { layer: None, file: request.path.clone().into(), error, partially_applied: false };
    let layout = match (std::fs::metadata(&request.path).map_err(failed)?.is_dir(), &request.archive_digest) {
        (true, None) => Layout::open(Root::open_ambient(&request.path, ambient_authority())?)?,
        (true, Some(_)) => return usage("--archive-digest is of an archive, and the image is a directory"),
        (false, None) => Layout::open_archive(File::open(&request.path).map_err(failed)?)?,
        (false, Some(pin)) => Layout::open_pinned_archive(File::open(&request.path).map_err(failed)?, pin)?,
    };
    let choice = match &request.key {
        None => request.choice.clone(),
        Some(key) => request.choice.clone().and_verified_by(read_key(key)?),
    };
    Ok(layout.image(&choice)?)
}

/// Most bytes of a file with a key: a public key over P-256 has some 180.
const MOST_KEY_BYTES: u64 = 64 << 10;

fn read_key(path: &Path) -> Result<CosignKey, Failure> {
    let mut pem = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_KEY_BYTES).read_to_string(&mut pem));
    read.map_err(|error| Failure::Open { layer: None, file: path.into(), error, partially_applied: false })?;
    CosignKey::from_pem(&pem).or_else(|error| usage(format!("--key: {}", error.detail())))
}

impl Summary {
    pub(crate) fn of(image: &Image) -> Self {
        Self {
            manifest: image.manifest().and_then(|manifest| manifest.digest()),
            config: image.config_document().digest(),
            chain_id: image.chain_id(),
            platform: image.config().platform().clone(),
            anchor: image.anchor(),
            notices: image.notices().map(|notice| (notice.reason, notice.path.to_string())).collect(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
        let notices = self.notices.iter().map(|(reason, path)| json!({ "reason": format!("{reason:?}"), "descriptor": path }));
        json!({
            "manifest_digest": text(self.manifest), "config_digest": text(self.config), "chain_id": text(self.chain_id),
            "platform": self.platform.to_string(), "pinned": text(self.pinned()), "signed": text(self.signed()), "notices": notices.collect::<Vec<_>>(),
        })
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("Image for {}, ", self.platform);
        text.push_str(&match self.anchor {
            Anchor::Digest(digest) => format!("pinned as {digest}\n"),
            Anchor::Archive(digest) => format!("in the archive {digest}\n"),
            Anchor::Verifier(_) => "signed by the key\n".to_owned(),
            _ => "not pinned: whoever wrote it chose what was unpacked\n".to_owned(),
        });
        for (name, digest) in [("manifest", self.manifest), ("config", self.config), ("chain_id", self.chain_id)] {
            if let Some(digest) = digest {
                text.push_str(&format!("  {name:8} {digest}\n"));
            }
        }
        for (reason, path) in &self.notices {
            text.push_str(&format!("  {reason:?} {path}\n"));
        }
        text
    }

    /// What the key's signature is the one anchor of; with a pin or the archive's digest, both hold.
    fn signed(&self) -> Option<Digest> {
        match self.anchor {
            Anchor::Verifier(digest) => Some(digest),
            _ => None,
        }
    }

    fn pinned(&self) -> Option<Digest> {
        match self.anchor {
            Anchor::Digest(digest) | Anchor::Archive(digest) => Some(digest),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn request(options: &[(&str, &str)], waiver: Waiver) -> Result<Option<ImageRequest>, Failure> {
        let mut all = ImageOptions::default();
        options.iter().try_for_each(|(name, value)| all.set(name, (*value).to_owned()))?;
        all.request(waiver)
    }

    #[track_caller]
    fn refused(options: &[(&str, &str)], waiver: Waiver, text: &str) {
        match request(options, waiver) {
            Err(Failure::Usage(message)) if message.contains(text) => (),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_comes_after_the_first_colon() {
        let pin = Digest::parse(DIGEST).unwrap();
        for (image, path, choice) in [
            ("a/b", "a/b", Choice::pinned(pin)),
            ("a/b:latest", "a/b", Choice::pinned(pin).reference("latest")),
            ("a.tar:host:5000/name:tag", "a.tar", Choice::pinned(pin).reference("host:5000/name:tag")),
        ] {
            let wanted = ImageRequest { path: path.into(), choice, archive_digest: None, key: None };
            assert_eq!(request(&[("--image", image), ("--pin", DIGEST)], Waiver::NotSaid).unwrap(), Some(wanted));
        }
    }

    #[test]
    fn pinning_nothing_has_to_be_said() {
        refused(&[("--image", "a")], Waiver::NotSaid, "nothing is pinned");
        refused(&[("--image", "a"), ("--pin", DIGEST)], Waiver::Said, "--unverified says that nothing is pinned");
        refused(&[("--image", "a"), ("--pin", "sha256:0")], Waiver::NotSaid, "BadDigest");
        refused(&[("--platform", "linux")], Waiver::Said, "os/architecture");
        refused(&[("--pin", DIGEST)], Waiver::NotSaid, "need --image");
        refused(&[("--key", "k.pem")], Waiver::NotSaid, "need --image");
        refused(&[("--image", "a"), ("--key", "k.pem")], Waiver::Said, "--unverified says that nothing is checked");
        for pin in [None, Some(("--pin", DIGEST)), Some(("--archive-digest", DIGEST))] {
            let options = [Some(("--image", "a")), Some(("--key", "k.pem")), pin].into_iter().flatten().collect::<Vec<_>>();
            assert_eq!(request(&options, Waiver::NotSaid).unwrap().unwrap().key, Some("k.pem".into()));
        }
        let choice = |options: &[(&str, &str)], waiver| request(options, waiver).unwrap().unwrap().choice;
        assert_eq!(choice(&[("--image", "a")], Waiver::Said), Choice::dangerous_unpinned());
        for waiver in [Waiver::Said, Waiver::NotSaid] {
            assert_eq!(choice(&[("--image", "a"), ("--archive-digest", DIGEST)], waiver), Choice::pinned_archive());
        }
        assert_eq!(request(&[], Waiver::NotSaid).unwrap(), None);
    }
}
