//! What the sink leaves to whichever thread of its layer has nothing better to do: [`Aside`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bell::Bell;

/// Jobs that wait until a thread is woken for them: one job is not worth it.
const WAKE: usize = 4;
/// Pieces that wait for the sink when it is behind.
const BEHIND: usize = 8;

/// A part of the sink's work that can be done on any thread, in any order.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The sink's work that waits, shared by the threads of a layer. Their bell is here.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    jobs: Mutex<Jobs>,
    /// Whether the sink has more to do than the others.
    behind: AtomicBool,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    at_work: usize,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.waiting.len()).field("at_work", &self.at_work).finish()
    }
}

impl Aside {
    /// Rung whenever a thread may have something to do.
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Says how many pieces wait for the sink: where they are many, the others will soon have nothing better to do than jobs.
    pub(super) fn set_backlog(&self, pieces: usize) {
        self.behind.store(pieces >= BEHIND, Ordering::Relaxed);
    }

    /// Whether another thread has nothing better to do than jobs, now or soon, while less than `most` wait.
    pub(crate) fn wants(&self, most: usize) -> bool {
        let (waiting, at_work) = {
            let jobs = self.jobs();
            (jobs.waiting.len(), jobs.at_work)
        };
        waiting < most && (at_work > 0 || self.behind.load(Ordering::Relaxed) || self.bell.is_awaited())
    }

    /// Leaves a job to others.
    pub(crate) fn push(&self, job: Job) {
        let waiting = {
            let mut jobs = self.jobs();
            jobs.waiting.push_back(job);
            jobs.waiting.len()
        };
        if waiting >= WAKE {
            self.bell.ring();
        }
    }

    /// Does the first job that waits; gives whether there was one.
    pub(crate) fn one(&self) -> bool {
        let Some(job) = self.jobs().start() else { return false };
        let _done = Done(self);
        job();
        true
    }

    /// Does the jobs that wait, and waits for those that others do.
    pub(crate) fn finish(&self) {
        loop {
            let strokes = self.bell.strokes();
            if self.one() {
                continue;
            }
            if self.jobs().at_work == 0 {
                return;
            }
            self.bell.wait_after(strokes);
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn start(&mut self) -> Option<Job> {
        let job = self.waiting.pop_front()?;
        self.at_work = self.at_work.saturating_add(1);
        Some(job)
    }
}

/// Says at its end that a job is done, or that it panicked.
struct Done<'a>(&'a Aside);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        {
            let mut jobs = self.0.jobs();
            jobs.at_work = jobs.at_work.saturating_sub(1);
        }
        self.0.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn every_job_is_done_once_whoever_does_it() {
        let aside = Aside::default();
        let (done, jobs) = channel();
        std::thread::scope(|scope| {
            for number in 0..1000 {
                let done = done.clone();
                aside.push(Box::new(move || done.send(number).unwrap()));
                if number == 500 {
                    scope.spawn(|| while aside.one() {});
                }
            }
            aside.finish();
        });
        drop(done);
        let mut numbers: Vec<i32> = jobs.into_iter().collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1000));
    }

    #[test]
    fn a_job_of_another_thread_is_waited_for() {
        let aside = Aside::default();
        let (started, starts) = channel();
        let (go_on, goes_on) = channel::<()>();
        let (done, is_done) = channel();
        aside.push(Box::new(move || {
            started.send(()).unwrap();
            goes_on.recv().unwrap();
            done.send(()).unwrap();
        }));
        std::thread::scope(|scope| {
            scope.spawn(|| aside.one());
            starts.recv().unwrap();
            // Who is at work on a job is free for the next.
            assert!(aside.wants(1));
            scope.spawn(move || go_on.send(()).unwrap());
            aside.finish();
            is_done.try_recv().unwrap();
        });
        assert!(!aside.wants(1));
    }

    #[test]
    fn no_more_jobs_are_wanted_than_may_wait() {
        let aside = Aside::default();
        let bell = Arc::clone(aside.bell());
        let strokes = bell.strokes();
        std::thread::scope(|scope| {
            scope.spawn(|| bell.wait_after(strokes));
            while !aside.wants(1) {
                std::thread::yield_now();
            }
            aside.push(Box::new(|| ()));
            assert_eq!([aside.wants(1), aside.wants(2)], [false, true]);
            aside.finish();
        });
    }

    #[test]
    fn a_sink_that_is_behind_leaves_jobs_although_nobody_waits_yet() {
        let aside = Aside::default();
        assert!(!aside.wants(1));
        aside.set_backlog(BEHIND);
        assert!(aside.wants(1));
        aside.set_backlog(BEHIND - 1);
        assert!(!aside.wants(1));
    }

    #[test]
    fn a_job_that_panics_is_over() {
        let aside = Aside::default();
        aside.push(Box::new(|| panic!("the job's")));
        assert!(catch_unwind(AssertUnwindSafe(|| aside.one())).is_err());
        aside.finish();
    }
}
