//! A layer that those above it look into, and that may be at work still: [`Awaited`].

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::Applier;
use crate::blob::{Share, failed_below};
use crate::error::Error;

/// A layer that becomes complete, or fails. Only those above it wait for it, and it waits only for those below: nobody waits in a ring.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// None where it failed.
    layer: OnceLock<Option<Applier>>,
    /// Held while a file of the layer is looked at, or has lent its mode to whoever copies it.
    modes: Mutex<()>,
}

impl Awaited {
    /// Gives the layer to those that wait; none: it failed.
    pub(crate) fn end(&self, layer: Option<Applier>) {
        // The first word counts.
        self.layer.set(layer).unwrap_or_default();
    }

    /// Gives the layer, if it is complete.
    pub(crate) fn complete(&self) -> Option<&Applier> {
        self.layer.get().and_then(Option::as_ref)
    }

    /// Waits until the layer is complete.
    ///
    /// # Errors
    /// Where it failed.
    pub(super) fn wait(&self, share: Option<&Share>) -> Result<&Applier, Error> {
        let ended = match (self.layer.get(), share) {
            (Some(ended), _) => ended,
            (None, Some(share)) => share.lend(|| self.layer.wait()),
            (None, None) => self.layer.wait(),
        };
        ended.as_ref().ok_or_else(failed_below)
    }

    /// Keeps the other layers above from changing modes of its files.
    pub(super) fn hold_modes(&self) -> MutexGuard<'_, ()> {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
