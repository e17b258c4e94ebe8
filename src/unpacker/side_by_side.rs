//! Layers of one image at work side by side, each in a directory of its own, on threads that they share: [`Unpacker::apply_each`].
//!
//! They begin bottom first. One that needs to know what lies below it waits for the layers that it has to look into, and for no others:
//! so the lowest at work never waits. What each does depends on complete layers alone, and the errors of those above one that failed
//! are left out: the result is that of one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::target::{Stack, Target};
use super::{Job, Unpacker, Whole};
use crate::apply::{Applier, Awaited};
use crate::blob::{Budget, Deadline, Share, Stop};
use crate::convert::len_u64;
use crate::error::{Error, ErrorKind};
use crate::observe::LayerReport;
use crate::root::inherit_faults;
use crate::stage::LayerVerified;

/// How a layer ended: also by a panic of the caller's reader or observer.
type Ended = thread::Result<Result<(LayerVerified, LayerReport), Error>>;

impl Unpacker {
    /// Applies layers, bottom first: `work` does one. Side by side, where each has a directory of its own and there are threads for it.
    ///
    /// # Errors
    /// That of the lowest layer that failed.
    pub(crate) fn apply_each<T: Send>(
        &mut self,
        layers: impl IntoIterator<Item = T>,
        work: impl Fn(T, &mut Job<'_>) -> Result<Whole, Error> + Sync,
    ) -> Result<(), Error> {
        let layers: Vec<T> = layers.into_iter().collect();
        if layers.len() > 1 && self.threads.get() > 1 && matches!(self.target, Target::Overlay(_)) {
            return self.side_by_side(layers, &work);
        }
        layers.into_iter().try_for_each(|layer| self.apply_one(|job| work(layer, job)).map(drop))
    }

    fn side_by_side<T: Send>(
        &mut self,
        layers: Vec<T>,
        work: &(impl Fn(T, &mut Job<'_>) -> Result<Whole, Error> + Sync),
    ) -> Result<(), Error> {
        self.begin()?;
        let first = self.reports.len();
        let Target::Overlay(stack) = &self.target else { return Err(Error::new(ErrorKind::Io, "one tree")) };
        let crew = Crew::new(self, stack, layers);
        thread::scope(|scope| {
            for _ in 1..self.threads.get().min(crew.places.len()) {
                let faults = inherit_faults();
                let run = || faults.during(|| crew.work(first, work));
                // Where no more can be started, those that are there do it.
                drop(thread::Builder::new().name("safe-layers".into()).spawn_scoped(scope, run));
            }
            crew.work(first, work);
        });
        let Crew { places, ended, .. } = crew;
        for ended in ended.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match ended {
                Some(Ok(Ok((verified, report)))) => {
                    self.layers.push(verified);
                    self.reports.push(report);
                }
                Some(Ok(Err(error))) => return self.fail(error),
                Some(Err(panic)) => resume_unwind(panic),
                None => return self.fail(Error::new(ErrorKind::Io, "a thread that unpacks layers is gone")),
            }
        }
        if let Target::Overlay(stack) = &mut self.target {
            places.into_iter().for_each(|place| stack.push(place));
        }
        self.state = super::State::Ready;
        Ok(())
    }
}

/// What the threads share.
struct Crew<'a, T> {
    unpacker: &'a Unpacker,
    stack: &'a Stack,
    budget: Arc<Budget>,
    /// The layers that did not begin.
    waiting: Mutex<std::iter::Enumerate<std::vec::IntoIter<T>>>,
    /// Where each is when it is complete, for those above it.
    places: Vec<Arc<Awaited>>,
    ended: Mutex<Vec<Option<Ended>>>,
}

impl<'a, T: Send> Crew<'a, T> {
    fn new(unpacker: &'a Unpacker, stack: &'a Stack, layers: Vec<T>) -> Self {
        let places = layers.iter().map(|_| Arc::default()).collect();
        let ended = Mutex::new(layers.iter().map(|_| None).collect());
        let budget = Budget::new(unpacker.threads.get());
        Self { unpacker, stack, budget, waiting: Mutex::new(layers.into_iter().enumerate()), places, ended }
    }

    /// Does one layer after the other, as long as one waits; `first` is the number of the lowest.
    fn work(&self, first: usize, work: &impl Fn(T, &mut Job<'_>) -> Result<Whole, Error>) {
        let mut threads = 0;
        while let Some((at, layer, left)) = self.next() {
            let number = first.saturating_add(at);
            let share = Arc::new(self.budget.begin(len_u64(number), left, threads));
            let ended = catch_unwind(AssertUnwindSafe(|| self.one(number, at, &share, |job| work(layer, job))));
            let (ended, applier) = match ended {
                Ok(Ok(Whole { applier, verified, report })) => (Ok(Ok((verified, report))), Some(applier)),
                Ok(Err(error)) => (Ok(Err(error)), None),
                Err(panic) => (Err(panic), None),
            };
            if applier.is_none() {
                self.budget.fail(len_u64(number));
            }
            if let Some(place) = self.places.get(at) {
                place.end(applier);
            }
            if let Some(slot) = lock(&self.ended).get_mut(at) {
                *slot = Some(ended);
            }
            threads = share.threads();
        }
        self.budget.give_back(threads);
    }

    /// Gives the next layer, its place, and how many are left with it.
    fn next(&self) -> Option<(usize, T, usize)> {
        let mut waiting = lock(&self.waiting);
        let left = waiting.len();
        waiting.next().map(|(at, layer)| (at, layer, left))
    }

    fn one(
        &self,
        number: usize,
        at: usize,
        share: &Arc<Share>,
        work: impl FnOnce(&mut Job<'_>) -> Result<Whole, Error>,
    ) -> Result<Whole, Error> {
        share.check()?;
        let Unpacker { policy, cancel, caller, log, .. } = self.unpacker;
        let layer = len_u64(number);
        let deadline = policy.limits.deadline.and_then(Deadline::after);
        let mut begin = || self.applier(number, at);
        let stop = Stop::new(cancel, deadline).beside(share);
        work(&mut Job { layer, policy, caller: *caller, share, stop, log: &mut log.beside(layer), begin: &mut begin })
    }

    fn applier(&self, number: usize, at: usize) -> Result<Applier, Error> {
        self.stack.begin(number, self.places.get(..at).unwrap_or_default(), &self.unpacker.policy)
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
