//! Fills small files on whichever thread has nothing better to do: their bytes, owner, mode and time. The applier makes every name
//! itself, in the order of the layer, and leaves the open file: whatever depends on names is decided before, and nothing here knows one.

use std::sync::{Arc, Mutex, PoisonError};

use super::files::{finish_file, write_parts};
use crate::blob::{Aside, Part};
use crate::entry::{Metadata, Owner};
use crate::error::{Error, ErrorKind, Location};
use crate::root::{NewFile, handle_limit, inherit_faults};

/// Open files that wait to be filled, at most: as many as lie in a piece, about. Where the process may have few handles it is fewer
/// ([`SHARE`]), but one at least.
const MOST: usize = 64;
/// What part of the handles of the process may wait to be filled: one in so many.
const SHARE: u64 = 8;

/// The files of a layer that any of its threads may fill.
#[derive(Debug)]
pub(super) struct Filling {
    aside: Arc<Aside>,
    most: usize,
    /// The first error, in the order of the layer.
    failure: Arc<Mutex<Option<Error>>>,
}

/// A file whose name is made and whose body is complete.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: NewFile,
    /// Parts of the body, in order.
    pub(super) parts: Vec<(u64, Part)>,
    /// Its length, where that is beyond the last byte written.
    pub(super) extend_to: Option<u64>,
    pub(super) metadata: Metadata,
    pub(super) owner: Option<Owner>,
    pub(super) location: Location,
}

impl Filling {
    pub(super) fn new(aside: &Arc<Aside>) -> Self {
        let share = handle_limit().checked_div(SHARE).unwrap_or(0);
        let most = usize::try_from(share).unwrap_or(MOST).clamp(1, MOST);
        Self { aside: Arc::clone(aside), most, failure: Arc::default() }
    }

    /// Whether a thread has nothing better to do.
    pub(super) fn is_wanted(&self) -> bool {
        self.aside.wants(self.most)
    }

    /// Leaves a file to it.
    pub(super) fn push(&self, job: Job) {
        let (failure, faults) = (Arc::clone(&self.failure), inherit_faults());
        self.aside.push(Box::new(move || faults.during(|| fill(job, &failure))));
    }

    /// Fills the files that still wait, and waits for those that others fill.
    ///
    /// # Errors
    /// That of the first file, in the order of the layer, that could not be filled.
    pub(super) fn finish(&self) -> Result<(), Error> {
        self.aside.finish();
        self.check()
    }

    /// Gives an error there was, if one is known by now.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

/// Fills a file; keeps the error that comes first in the layer.
fn fill(job: Job, failure: &Mutex<Option<Error>>) {
    let Job { file, parts, extend_to, metadata, owner, location } = job;
    let filled = write_parts(&file, &parts).and_then(|()| {
        extend_to.map_or(Ok(()), |len| file.extend_to(len))?;
        // Files with attributes that may be refused, or a time that may be clamped, never come here: that would have to be told.
        finish_file(&file, &metadata, owner, &mut |_| Err(Error::new(ErrorKind::XattrUnsupported, "not here"))).map(drop)
    });
    let Err(error) = filled.map_err(|error| error.located(&location)) else { return };
    let mut kept = failure.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.as_ref().is_none_or(|kept| error.location().entry < kept.location().entry) {
        *kept = Some(error);
    }
}
