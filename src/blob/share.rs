//! The threads that layers at work at the same time have together: [`Budget`], and what one of them has of it: [`Share`].
//!
//! A layer that waits for one below gives its thread away meanwhile, and takes one back before it goes on: so no more than there are
//! ever work, and the lowest layer that is at work always gets one, for all above it end or come to wait for it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// Threads that one layer has use for: one parses, one decodes, one hashes and four fill files. More wait for each other in the filesystem.
const USEFUL: usize = 7;
/// Threads that a layer has that takes more when it is at work already: the others are for those that begin.
const USEFUL_LATER: usize = 3;

/// Threads that layers share.
#[derive(Debug)]
pub(crate) struct Budget {
    free: Mutex<Free>,
    returned: Condvar,
    /// The lowest layer that failed.
    failed: AtomicU64,
}

#[derive(Debug)]
struct Free {
    threads: usize,
    /// How many layers wait for a thread.
    wanted: usize,
}

impl Budget {
    pub(crate) fn new(threads: usize) -> Arc<Self> {
        let free = Mutex::new(Free { threads, wanted: 0 });
        Arc::new(Self { free, returned: Condvar::new(), failed: AtomicU64::new(u64::MAX) })
    }

    /// Takes threads for a layer, at least one, which is waited for: its part, where `left` layers did not begin yet, itself among them.
    ///
    /// `returned` are those of the layer before it on this thread: nobody takes them in between.
    pub(crate) fn begin(self: &Arc<Self>, layer: u64, left: usize, returned: usize) -> Share {
        let mut free = self.free();
        free.threads = free.threads.saturating_add(returned);
        let mut free = self.wait_for_one(free);
        let threads = free.threads.div_ceil(left.max(1)).min(USEFUL);
        free.threads = free.threads.saturating_sub(threads);
        drop(free);
        // Those that were not taken are for whoever waits.
        self.returned.notify_all();
        Share { budget: Arc::clone(self), layer, threads: AtomicUsize::new(threads), waited: Mutex::default() }
    }

    /// Takes threads back.
    pub(crate) fn give_back(&self, threads: usize) {
        let mut free = self.free();
        free.threads = free.threads.saturating_add(threads);
        drop(free);
        self.returned.notify_all();
    }

    /// Says that a layer failed: those above it are of no use any more.
    pub(crate) fn fail(&self, layer: u64) {
        self.failed.fetch_min(layer, Ordering::Relaxed);
    }

    fn wait_for_one<'a>(&self, mut free: MutexGuard<'a, Free>) -> MutexGuard<'a, Free> {
        free.wanted = free.wanted.saturating_add(1);
        let mut free = self.returned.wait_while(free, |free| free.threads == 0).unwrap_or_else(PoisonError::into_inner);
        free.wanted = free.wanted.saturating_sub(1);
        free
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads of one layer, and what it has to do with the layers beside it.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    layer: u64,
    threads: AtomicUsize,
    waited: Mutex<Duration>,
}

impl Share {
    /// For a layer that is alone at work: no more threads than it has use for.
    pub(crate) fn alone(threads: NonZeroUsize) -> Self {
        Self { budget: Budget::new(0), layer: 0, threads: AtomicUsize::new(threads.get().min(USEFUL)), waited: Mutex::default() }
    }

    /// How many there are, the one that asks among them.
    pub(crate) fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    /// Takes more for a layer that has one, where some are free and nobody waits for them; gives whether there were any.
    pub(super) fn grow(&self) -> bool {
        let mut free = self.budget.free();
        let more = free.threads.saturating_sub(free.wanted).min(USEFUL_LATER.saturating_sub(self.threads()));
        free.threads = free.threads.saturating_sub(more);
        self.threads.fetch_add(more, Ordering::Relaxed);
        more > 0
    }

    /// Waits for a layer below, and gives the thread that waits away meanwhile. The time does not count against the deadline.
    pub(crate) fn lend<T>(&self, wait: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        self.budget.give_back(1);
        let waited_for = wait();
        let mut free = self.budget.wait_for_one(self.budget.free());
        free.threads = free.threads.saturating_sub(1);
        drop(free);
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        *waited = waited.saturating_add(since.elapsed());
        waited_for
    }

    /// How long it waited for layers below.
    pub(super) fn waited(&self) -> Duration {
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an error if a layer below failed. It is never seen: that layer has its own.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.budget.failed.load(Ordering::Relaxed) < self.layer { Err(failed_below()) } else { Ok(()) }
    }
}

/// The error of a layer that stands on one that failed.
pub(crate) fn failed_below() -> Error {
    Error::new(ErrorKind::Cancelled, "a layer below failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_gets_its_part_and_no_more_than_it_has_use_for() {
        let parts = |threads, layers: usize| {
            let budget = Budget::new(threads);
            (0..layers).map(|layer| budget.begin(0, layers - layer, 0).threads()).collect::<Vec<_>>()
        };
        assert_eq!(parts(8, 3), [3, 3, 2]);
        assert_eq!(parts(4, 3), [2, 1, 1]);
        assert_eq!(parts(2, 2), [1, 1]);
        assert_eq!(parts(32, 2), [7, 7]);
        assert_eq!(Share::alone(NonZeroUsize::MAX).threads(), 7);
    }

    #[test]
    fn a_layer_grows_by_what_is_free_and_not_wanted() {
        let budget = Budget::new(5);
        let (one, other) = (budget.begin(0, 5, 0), budget.begin(1, 4, 0));
        assert_eq!((one.threads(), other.threads()), (1, 1));
        assert!(one.grow() && !one.grow());
        assert_eq!(one.threads(), 3);
        assert!(other.grow());
        assert_eq!(other.threads(), 2);
        budget.give_back(one.threads());
        budget.free().wanted = 3;
        assert!(!other.grow());
        assert!(!Share::alone(NonZeroUsize::MIN).grow());
    }

    #[test]
    fn who_waits_lends_a_thread_and_gets_one_back() {
        let budget = Budget::new(2);
        let (lower, upper) = (budget.begin(0, 2, 0), budget.begin(1, 1, 0));
        let grew = upper.lend(|| {
            let grew = lower.grow();
            assert_eq!(budget.free().threads, 0);
            // The lower layer is complete.
            budget.give_back(lower.threads());
            grew
        });
        assert!(grew);
        assert_eq!((budget.free().threads, upper.threads()), (1, 1));
    }

    #[test]
    fn who_waited_goes_on_when_there_is_a_thread_for_it() {
        let budget = Budget::new(1);
        let upper = budget.begin(1, 1, 0);
        let lower = std::sync::OnceLock::new();
        std::thread::scope(|scope| {
            scope.spawn(|| upper.lend(|| lower.wait()));
            let share = budget.begin(0, 1, 0);
            lower.set(()).unwrap();
            assert_eq!(budget.free().threads, 0);
            budget.give_back(share.threads());
        });
        let free = budget.free();
        assert_eq!((free.threads, free.wanted), (0, 0));
    }

    #[test]
    fn the_time_that_a_layer_waits_does_not_count_against_its_deadline() {
        let cancel = crate::observe::CancelToken::new();
        let stop = crate::blob::Stop::new(&cancel, crate::blob::Deadline::after(Duration::ZERO));
        let share = Share::alone(NonZeroUsize::MIN);
        assert_eq!(stop.beside(&share).check().map_err(|error| error.kind()), Err(ErrorKind::DeadlineExceeded));
        // As long as this thread does not stand still for ten minutes.
        *share.waited.lock().unwrap() = Duration::from_secs(600);
        assert_eq!(stop.beside(&share).check(), Ok(()));
        share.lend(|| ());
        assert!(share.waited() >= Duration::from_secs(600));
    }

    #[test]
    fn those_above_a_layer_that_failed_are_told_and_no_others() {
        let budget = Budget::new(3);
        let [bottom, middle, top] = [0, 1, 2].map(|layer| budget.begin(layer, 1, 1));
        budget.fail(1);
        assert_eq!([bottom.check(), middle.check(), top.check()], [Ok(()), Ok(()), Err(failed_below())]);
    }
}
