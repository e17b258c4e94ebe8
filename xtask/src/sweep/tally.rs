//! What became of the cases of a sweep, and the workers that try them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Place;

/// What became of the cases: how many of each outcome, and what was wrong.
#[derive(Debug, Default)]
pub struct Tally {
    pub outcomes: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
}

impl Tally {
    pub fn tried(&self) -> u64 {
        self.outcomes.values().sum()
    }

    pub fn add(&mut self, result: Result<&'static str, String>) {
        let outcome = result.unwrap_or_else(|violation| {
            self.violations.push(violation);
            "wrong"
        });
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub fn merge(&mut self, other: Self) {
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.violations.extend(other.violations);
    }

    /// Says the outcomes in a line.
    pub fn spread(&self) -> String {
        self.outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect::<Vec<_>>().join(", ")
    }

    /// Says the first of what was wrong.
    pub fn complain(&self, what: &str) {
        self.violations.iter().take(20).for_each(|violation| eprintln!("VIOLATION {what}: {violation}"));
    }
}

/// Tries each case on one of the processor's cores, each worker in a place of its own.
pub fn try_all<T: Sync>(cases: &[T], check: impl Fn(&T, &Place) -> Result<&'static str, String> + Sync) -> Tally {
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let (place, mut tally) = (Place::new(), Tally::default());
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    place.clear();
                    tally.add(check(case, &place));
                }
                total.lock().expect("a tally").merge(tally);
            });
        }
    });
    total.into_inner().expect("a tally")
}

/// Every `stride`-th, from where it does not go in step with what the cases are made of.
pub fn thin<T>(cases: Vec<T>, most: u64) -> Vec<T> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut stride = cases.len().div_ceil(most.max(1)).max(1);
    while stride > 1 && [2, 3, 5].iter().any(|small| stride.is_multiple_of(*small)) {
        stride += 1;
    }
    cases.into_iter().step_by(stride).collect()
}
