//! When to stop although the bytes are good: the caller's [`CancelToken`], a layer below that failed, and the [`Deadline`].

use std::time::{Duration, Instant};

use super::share::Share;
use crate::error::{Error, ErrorKind};
use crate::observe::CancelToken;

/// A point in time after which an apply is over, with the limit it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// Gives the deadline `limit` from now, or none where the clock does not reach so far.
    pub(crate) fn after(limit: Duration) -> Option<Self> {
        Instant::now().checked_add(limit).map(|at| Self { at, limit })
    }
}

/// What may end an apply from outside. Asked between pieces: it cannot interrupt the caller's `Read`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop<'a> {
    cancel: &'a CancelToken,
    deadline: Option<Deadline>,
    share: Option<&'a Share>,
}

impl<'a> Stop<'a> {
    pub(crate) fn new(cancel: &'a CancelToken, deadline: Option<Deadline>) -> Self {
        Self { cancel, deadline, share: None }
    }

    /// For a layer that has others beside it.
    pub(crate) fn beside(self, share: &'a Share) -> Self {
        Self { share: Some(share), ..self }
    }

    /// Gives the error if the caller cancelled, a layer below failed, or the deadline passed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.cancel.check()?;
        self.share.map_or(Ok(()), Share::check)?;
        // What a layer waited for those below is not its own time.
        let waited = self.share.map(Share::waited).unwrap_or_default();
        match self.deadline {
            Some(deadline) if Instant::now().checked_sub(waited).is_some_and(|now| now >= deadline.at) => {
                Err(Error::over(ErrorKind::DeadlineExceeded, "deadline", deadline.limit.as_secs()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passed_deadline_stops_and_one_to_come_does_not() {
        let cancel = CancelToken::new();
        assert_eq!(Stop::new(&cancel, None).check(), Ok(()));
        assert_eq!(Stop::new(&cancel, Deadline::after(Duration::from_secs(3600))).check(), Ok(()));
        assert_eq!(Stop::new(&cancel, Deadline::after(Duration::MAX)).check(), Ok(()));
        let error = Stop::new(&cancel, Deadline::after(Duration::ZERO)).check().unwrap_err();
        assert_eq!(error, Error::over(ErrorKind::DeadlineExceeded, "deadline", 0));
    }

    #[test]
    fn the_callers_word_comes_before_the_clock() {
        let cancel = CancelToken::new();
        cancel.cancel();
        let error = Stop::new(&cancel, Deadline::after(Duration::ZERO)).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}
