//! The paved path: [`Unpacker`] takes layers, bottom first, and commits a tree that was verified to the last byte.

mod job;
mod side_by_side;
mod target;

pub(crate) use job::{Job, Whole};
pub use target::LowerLayers;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::Arc;

use crate::apply::OverlayForm;
use crate::blob::{Deadline, Expect, Share, Stop};
use crate::entry::Owner;
use crate::error::{Error, ErrorKind};
use crate::observe::{CancelToken, LayerReport, Log, Observer};
use crate::policy::Policy;
use crate::root::{Root, caller};
use crate::stage::{Durability, LayerVerified, layer_name};
use target::Target;

/// Threads that write unless the caller says otherwise.
const DEFAULT_THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Unpacks the layers of one tree, bottom first.
///
/// ```
/// use safe_layers::{Expect, Policy, Root, Unpacker};
/// # let dir = tempfile::tempdir()?;
/// # let (path, blob) = (dir.path(), vec![0_u8; 1024]);
/// # let mut hasher = safe_layers::Hasher::new(safe_layers::Algorithm::Sha256);
/// # hasher.update(&blob);
/// # let digest = hasher.finish();
/// # let mut policy = Policy::rootless();
/// # policy.limits.entries = 10;
/// let parent = Root::open_ambient(path, safe_layers::ambient_authority())?;
/// let mut unpacker = Unpacker::rootfs(parent, "rootfs", policy)?;
/// let report = unpacker.apply(&Expect::blob(digest), blob.as_slice())?;
/// assert_eq!(report.verified.blob_digest, Some(digest));
/// assert!(!path.join("rootfs").exists());
/// unpacker.commit()?;
/// assert!(path.join("rootfs").is_dir());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Unpacker {
    target: Target,
    policy: Policy,
    caller: Owner,
    threads: NonZeroUsize,
    cancel: CancelToken,
    durability: Durability,
    log: Log,
    layers: Vec<LayerVerified>,
    reports: Vec<LayerReport>,
    state: State,
}

/// Whether the next layer may be applied.
#[derive(Debug)]
enum State {
    Ready,
    /// A layer failed: everything after it fails the same way.
    Spoiled(Error),
}

/// A tree that is at its final name, or was written in place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Unpacked {
    /// A report for each layer, bottom first.
    pub layers: Vec<LayerReport>,
    /// The form, where each layer is in a directory of its own; none where all are one tree.
    pub form: Option<OverlayForm>,
}

impl Unpacker {
    /// Prepares a new tree that is to appear as `name` in `parent`.
    ///
    /// The layers go to a private directory beside it; [`commit`](Self::commit) moves that to `name`. Whatever else happens, the
    /// private directory is removed and `name` does not appear.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] where `name` is not one component; [`ErrorKind::Io`] where it exists or `parent` cannot be written.
    pub fn rootfs(parent: Root, name: &str, policy: Policy) -> Result<Self, Error> {
        Ok(Self::new(Target::rootfs(parent, name, &policy)?, policy))
    }

    /// Prepares a directory `name` in `parent` with a directory for each layer: `0`, `1` and so on, bottom first, for an overlay
    /// mount ([`Unpacked::lowerdir`]). `name` itself is 0700 and appears whole, as with [`rootfs`](Self::rootfs).
    ///
    /// Each layer sees those below: the mounted overlay is the tree that [`rootfs`](Self::rootfs) gives, but for hardlinks between
    /// layers, which are copies.
    ///
    /// ```
    /// use safe_layers::{Expect, OverlayForm, Policy, Root, Unpacker};
    /// # let dir = tempfile::tempdir()?;
    /// # let (path, blob) = (dir.path(), vec![0_u8; 1024]);
    /// let parent = Root::open_ambient(path, safe_layers::ambient_authority())?;
    /// let mut unpacker = Unpacker::overlay(parent, "image", OverlayForm::User, Policy::rootless())?;
    /// for layer in [&blob, &blob] {
    ///     unpacker.apply(&Expect::dangerous_unverified(), layer.as_slice())?;
    /// }
    /// assert_eq!(unpacker.commit()?.lowerdir("/run/image").unwrap(), "/run/image/1:/run/image/0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`rootfs`](Self::rootfs); [`ErrorKind::XattrUnsupported`] where the filesystem or the caller's privilege does not let
    /// directories be opaque in this form.
    ///
    /// [`ErrorKind::XattrUnsupported`]: crate::ErrorKind::XattrUnsupported
    pub fn overlay(parent: Root, name: &str, form: OverlayForm, policy: Policy) -> Result<Self, Error> {
        Self::overlay_on(parent, name, form, LowerLayers::Known(Vec::new()), policy)
    }

    /// As [`overlay`](Self::overlay), on top of layers that are there, for callers that unpack each layer once for many images.
    ///
    /// # Errors
    /// As [`overlay`](Self::overlay).
    pub fn overlay_on(parent: Root, name: &str, form: OverlayForm, below: LowerLayers, policy: Policy) -> Result<Self, Error> {
        Ok(Self::new(Target::overlay(parent, name, form, below)?, policy))
    }

    /// Prepares to write into the existing directory `dir`, for a caller with a transaction of his own.
    ///
    /// Containment holds as everywhere, but nothing is undone: after an error what was written stays, and the error says
    /// [`partially_applied`](Error::partially_applied).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the directory cannot be read.
    pub fn in_place(dir: Root, policy: Policy) -> Result<Self, Error> {
        Ok(Self::new(Target::in_place(dir, &policy)?, policy))
    }

    fn new(target: Target, policy: Policy) -> Self {
        let log = Log::new(policy.limits.events);
        Self {
            target,
            policy,
            caller: caller(),
            threads: DEFAULT_THREADS,
            cancel: CancelToken::new(),
            durability: Durability::None,
            log,
            layers: Vec::new(),
            reports: Vec::new(),
            state: State::Ready,
        }
    }

    /// Sets how many threads work on a layer, the caller's among them; more than 7 are not used. With one, the caller's does everything. A second
    /// decodes, a third hashes, and further ones, at most 4, fill small files; whichever has nothing to do helps the others: it reads,
    /// decodes, hashes or fills. Only the caller's parses, and makes or removes names, so the result is the same. Where one cannot be started,
    /// those that run do its work.
    ///
    /// Layers that are [side by side](Self::apply_all) have so many together: each one at first, or its part where there are fewer layers
    /// than threads; and one that has no other beside it any more, or only such that wait for it, takes theirs.
    ///
    /// Default 2.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets what of the tree survives a loss of power. Default: nothing is promised.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets who hears events and progress.
    #[must_use]
    pub fn observer(mut self, observer: Box<dyn Observer + Send>) -> Self {
        self.log.set_observer(observer);
        self
    }

    /// Sets the token that cancels.
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.cancel = token;
        self
    }

    /// Applies one layer, on top of those before, and checks every claim of `expect` about it.
    ///
    /// The bytes are decoded and written to the private directory while they are verified; [`apply_file`](Self::apply_file) verifies them first.
    ///
    /// # Errors
    /// Whatever is wrong with the claim, the blob, the archive, an entry or the filesystem. A failed layer spoils the unpacker: every
    /// later call gives the same error. `Ok` means that the whole layer is in the private directory and every claim matched.
    pub fn apply(&mut self, expect: &Expect, blob: impl Read + Send) -> Result<LayerReport, Error> {
        self.apply_one(|job| job.stream(expect, blob))
    }

    /// Applies layers as [`apply`](Self::apply) does, bottom first: those of an [overlay](Self::overlay) side by side.
    ///
    /// With more than one [thread](Self::threads) as many layers as there are threads are at work at the same time; one that needs to know
    /// what lies below it waits for the layers that it looks into. Trees, reports and the error are those of one after the other. What is
    /// not: the observer hears the layers in turns, and may have heard of those above one that failed; a
    /// [deadline](crate::Limits::deadline) leaves out the time that a layer waits for those below. Layers that all go into one tree are
    /// applied one after the other.
    ///
    /// A layer at work costs memory as it does alone: 1 MiB for bytes that were read or decoded, where it has more than one thread up to
    /// 10 MiB, and a decoder; beside that what [`Limits`](crate::Limits) lets wait for its end.
    ///
    /// ```
    /// use safe_layers::{Expect, OverlayForm, Policy, Root, Unpacker};
    /// # let dir = tempfile::tempdir()?;
    /// # let (path, blob) = (dir.path(), vec![0_u8; 1024]);
    /// let parent = Root::open_ambient(path, safe_layers::ambient_authority())?;
    /// let mut unpacker = Unpacker::overlay(parent, "image", OverlayForm::User, Policy::rootless())?;
    /// unpacker.apply_all([&blob, &blob].map(|layer| (Expect::dangerous_unverified(), layer.as_slice())))?;
    /// assert_eq!(unpacker.commit()?.layers.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// That of the lowest layer that failed, as [`apply`](Self::apply) gives it. `Ok` means that every layer is in the private directory and
    /// every claim matched.
    pub fn apply_all<R: Read + Send>(&mut self, layers: impl IntoIterator<Item = (Expect, R)>) -> Result<(), Error> {
        self.apply_each(layers, |(expect, blob), job| job.stream(&expect, blob))
    }

    /// As [`apply`](Self::apply), from the start of a file, whose blob digest and size are checked before any byte is decoded.
    ///
    /// The file is read twice and both readings must match, as it may change in between. With only a diff_id claimed, once.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_file(&mut self, expect: &Expect, blob: &File) -> Result<LayerReport, Error> {
        let rewind = |mut blob: &File| blob.seek(SeekFrom::Start(0)).map(drop).map_err(|e| Error::io("rewinding the blob", &e));
        self.apply_one(|job| job.verify_and_stream(expect, || rewind(blob).map(|()| blob)))
    }

    /// The policy, for callers in the crate that judge more than layers.
    #[cfg(feature = "image")]
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Makes the tree whole and moves it to its final name. In place there is nothing to move.
    ///
    /// # Errors
    /// The error of the layer that failed, if one did; [`ErrorKind::LayerCountMismatch`] where none was applied; [`ErrorKind::Io`] where
    /// the final name exists by now; [`ErrorKind::Cancelled`]. `Ok` means that the tree is at its final name.
    pub fn commit(mut self) -> Result<Unpacked, Error> {
        if let State::Spoiled(error) = self.state {
            return Err(error);
        }
        self.target.commit((&self.layers, self.reports), self.durability, &Stop::new(&self.cancel, None), &mut self.log)
    }

    /// Begins a layer. Until it ended well the unpacker is spoiled, so that a panic in the caller's reader cannot be committed.
    fn begin(&mut self) -> Result<(), Error> {
        if let State::Spoiled(error) = &self.state {
            return Err(error.clone());
        }
        let layer = self.layer();
        self.state = State::Spoiled(self.blame(Error::new(ErrorKind::Cancelled, "the layer was abandoned"), layer));
        self.log.begin(layer);
        Ok(())
    }

    /// Applies the next layer: `work` does it.
    fn apply_one(&mut self, work: impl FnOnce(&mut Job<'_>) -> Result<Whole, Error>) -> Result<LayerReport, Error> {
        self.begin()?;
        let layer = self.layer();
        let share = Arc::new(Share::alone(self.threads));
        let Self { policy, target, log, caller, cancel, .. } = self;
        let deadline = policy.limits.deadline.and_then(Deadline::after);
        let stop = Stop::new(cancel, deadline);
        let mut begin = || target.begin_layer(policy);
        match work(&mut Job { layer, policy, caller: *caller, share: &share, stop, log, begin: &mut begin }) {
            Ok(Whole { applier, verified, report }) => {
                self.target.end_layer(applier);
                self.layers.push(verified);
                self.reports.push(report.clone());
                self.state = State::Ready;
                Ok(report)
            }
            Err(error) => self.fail(error),
        }
    }

    /// Spoils the unpacker by the error of the next layer.
    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        let error = self.blame(error, self.layer());
        self.state = State::Spoiled(error.clone());
        Err(error)
    }

    fn blame(&self, error: Error, layer: u64) -> Error {
        let error = error.in_layer(layer);
        match self.target {
            Target::Rootfs { .. } | Target::Overlay(_) => error,
            Target::InPlace { .. } => error.after_partial_apply(),
        }
    }

    fn layer(&self) -> u64 {
        crate::convert::len_u64(self.reports.len())
    }
}

impl Unpacked {
    /// The directories of the layers that show in a mounted overlay, top first; none where all layers are one tree.
    ///
    /// A layer whose root is opaque is the last: overlayfs does not look at the attribute there, so what is below is left out.
    #[must_use]
    pub fn visible_layers(&self) -> Vec<String> {
        let Some(_) = self.form else { return Vec::new() };
        let mut names = Vec::new();
        for (number, report) in self.layers.iter().enumerate().rev() {
            names.push(layer_name(number));
            if report.root_opaque {
                break;
            }
        }
        names
    }

    /// The value of the mount option `lowerdir`, with `dest` as given before each name; none where all layers are one tree.
    ///
    /// Top first, joined by `:`; `:`, `,` and `\` in `dest` are escaped by `\`, as mount(2) wants it. With fsconfig(2) and its
    /// `lowerdir+`, which takes one directory at a time, use [`visible_layers`](Self::visible_layers). The kernel wants two
    /// directories or more, or an `upperdir`, and without the new mount calls a page of options at most.
    #[must_use]
    pub fn lowerdir(&self, dest: impl AsRef<OsStr>) -> Option<OsString> {
        self.form?;
        let mut escaped = Vec::new();
        for byte in dest.as_ref().as_bytes() {
            if matches!(byte, b':' | b',' | b'\\') {
                escaped.push(b'\\');
            }
            escaped.push(*byte);
        }
        let dirs: Vec<Vec<u8>> = self.visible_layers().iter().map(|name| [&escaped, b"/".as_slice(), name.as_bytes()].concat()).collect();
        Some(OsString::from_vec(dirs.join(&b':')))
    }
}
