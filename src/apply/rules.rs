//! Rules about entries that need no tree: those of the policy, in one place for all who apply layers, on disk or in memory.

use crate::convert::len_u64;
use crate::entry::{Entry, EntryPath, Name};
use crate::error::{Error, ErrorKind, escape_path};
use crate::observe::{Log, Reason};
use crate::policy::{Devices, Duplicates, Fifos, Hardlinks, ImplicitParents, NonDirectoryParents, Policy, Symlinks};
use crate::root::{Kind, Reach};

/// What a waiting link costs beside its paths, in bytes.
const WAITING_OVERHEAD: u64 = 256;

/// Judges a second entry at the place of an earlier one.
pub(crate) fn judge_duplicate(policy: &Policy, log: &mut Log) -> Result<(), Error> {
    match policy.duplicates {
        Duplicates::Reject => Err(Error::new(ErrorKind::DuplicateEntry, "an earlier entry has the same name")),
        Duplicates::Replace => {
            log.note(Reason::DuplicateEntry, "");
            Ok(())
        }
    }
}

/// Refuses something that is no directory and stands for a parent, where the policy does not replace it.
pub(crate) fn refuse_obstacle(policy: &Policy) -> Result<(), Error> {
    match policy.non_directory_parents {
        NonDirectoryParents::Reject => Err(Error::new(ErrorKind::NotADirectory, "a parent is there and is no directory")),
        NonDirectoryParents::Replace => Ok(()),
    }
}

/// Judges something that is no directory, where an entry needs a parent.
pub(crate) fn judge_obstacle(policy: &Policy, name: Name<'_>, log: &mut Log) -> Result<(), Error> {
    refuse_obstacle(policy)?;
    log.note(Reason::NonDirectoryReplaced, escape_path(name.as_bytes()));
    Ok(())
}

/// Names what is wrong with a parent that is a symlink: a loop, one of this layer that leads out of the root, or just that.
///
/// `failed` is what following it brought, `ours` how far it went if this layer made it.
pub(crate) fn refuse_link(failed: Option<Error>, ours: Option<Reach>) -> Error {
    match (failed, ours) {
        (Some(error), _) if error.kind() == ErrorKind::SymlinkLoop => error,
        (_, Some(Reach::Beyond)) => Error::new(ErrorKind::SymlinkEscape, "a parent is a symlink that leads out of the root"),
        _ => Error::new(ErrorKind::SymlinkInPath, "a parent is a symlink"),
    }
}

/// Judges whether a parent that has no entry may be made.
pub(crate) fn judge_implicit(policy: &Policy, name: Name<'_>, log: &mut Log) -> Result<(), Error> {
    if name.is_marker() {
        // Out of a link's target: made, whoever reads the tree as a layer takes it for a whiteout.
        return Err(Error::new(ErrorKind::InvalidWhiteout, "a link's target names a directory like a whiteout"));
    }
    match policy.implicit_parents {
        ImplicitParents::Error => return Err(Error::new(ErrorKind::ParentMissing, "a parent is missing")),
        ImplicitParents::Create => {}
        ImplicitParents::CreateWithEvent => log.note(Reason::ImplicitParent, escape_path(name.as_bytes())),
    }
    Ok(())
}

/// Judges whether an object of this kind may be linked.
pub(crate) fn judge_target(policy: &Policy, kind: Kind) -> Result<(), Error> {
    match (kind, policy.hardlinks) {
        (Kind::Directory, _) => Err(Error::new(ErrorKind::HardlinkToSpecial, "the target is a directory")),
        (Kind::Symlink, Hardlinks::InLayer) => Err(Error::new(ErrorKind::HardlinkToSymlink, "the target is a symlink")),
        (Kind::Symlink, _) if policy.symlinks == Symlinks::Reject => {
            Err(Error::new(ErrorKind::HardlinkToSymlink, "the target is a symlink"))
        }
        (Kind::File | Kind::Symlink, _) => Ok(()),
        (Kind::Fifo, Hardlinks::InRoot) if policy.fifos == Fifos::Create => Ok(()),
        (Kind::CharacterDevice | Kind::BlockDevice, Hardlinks::InRoot) if policy.devices == Devices::Create => Ok(()),
        (Kind::Fifo | Kind::CharacterDevice | Kind::BlockDevice | Kind::Whiteout | Kind::Other, _) => {
            Err(Error::new(ErrorKind::HardlinkToSpecial, "the target is of a kind that no entry could have made"))
        }
    }
}

/// Names what is wrong with a target that may be linked and is not there.
pub(crate) fn target_missing(target: &EntryPath) -> Error {
    Error::new(ErrorKind::HardlinkTargetMissing, format!("no such target that may be linked: {target:?}"))
}

/// What a link costs that waits for its target, in bytes.
pub(crate) fn waiting_bytes(entry: &Entry, target: &EntryPath) -> u64 {
    let xattrs: usize = entry.metadata().xattrs.iter().map(|xattr| xattr.name.len().saturating_add(xattr.value.len())).sum();
    let paths = entry.path().as_bytes().len().saturating_add(target.as_bytes().len());
    WAITING_OVERHEAD.saturating_add(len_u64(paths)).saturating_add(len_u64(xattrs))
}
