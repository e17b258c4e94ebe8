//! The gate that every system call on the tree goes through, so that tests can make each of them fail.

/// Calls `rustix::fs::$call` unless a test has it fail.
macro_rules! sys {
    ($call:ident($($argument:expr),* $(,)?)) => {
        $crate::root::sys::gate(stringify!($call)).and_then(|()| rustix::fs::$call($($argument),*))
    };
}
pub(super) use sys;

use rustix::io::Errno;

/// Lets a call pass.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub(super) fn gate(_call: &'static str) -> Result<(), Errno> {
    Ok(())
}

/// The faults of a thread, for one that it starts: there are none.
#[cfg(not(feature = "fault-injection"))]
#[derive(Debug)]
pub(crate) struct Faults;

#[cfg(not(feature = "fault-injection"))]
impl Faults {
    /// Takes the faults of the calling thread.
    pub(crate) fn inherit() -> Self {
        Self
    }

    /// Does `work` with them.
    pub(crate) fn during<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }
}

#[cfg(feature = "fault-injection")]
pub(crate) use plan::Faults;
#[cfg(feature = "fault-injection")]
pub(super) use plan::gate;

#[cfg(feature = "fault-injection")]
pub use plan::{Calls, Fault, inject};

#[cfg(feature = "fault-injection")]
mod plan {
    use std::cell::RefCell;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::Errno;

    /// A call that fails. For tests.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// None does: the calls are counted.
        Never,
        /// This one, counted from 0, with this error number.
        Once(u64, i32),
        /// This one and all after it.
        ForEver(u64, i32),
        /// All of this name.
        Named(&'static str, i32),
    }

    /// The calls that were made.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Calls {
        /// How many.
        pub count: u64,
        /// The first that failed.
        pub failed: Option<&'static str>,
    }

    thread_local! {
        static PLAN: RefCell<Faults> = const { RefCell::new(Faults(None)) };
    }

    /// What is to fail, and what was called, in a thread and those that it starts for the work.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Faults(Option<Arc<Mutex<(Fault, Calls)>>>);

    impl Faults {
        /// Takes the faults of the calling thread.
        pub(crate) fn inherit() -> Self {
            PLAN.with_borrow(Self::clone)
        }

        /// Does `work` with them.
        pub(crate) fn during<T>(self, work: impl FnOnce() -> T) -> T {
            let before = PLAN.replace(self);
            let done = work();
            PLAN.set(before);
            done
        }
    }

    /// Does `work` with a fault in the calls on the tree that it makes.
    pub fn inject<T>(fault: Fault, work: impl FnOnce() -> T) -> (T, Calls) {
        let plan = Arc::new(Mutex::new((fault, Calls::default())));
        let done = Faults(Some(Arc::clone(&plan))).during(work);
        let (_, calls) = *plan.lock().unwrap_or_else(PoisonError::into_inner);
        (done, calls)
    }

    pub(in super::super) fn gate(call: &'static str) -> Result<(), Errno> {
        let Faults(Some(plan)) = Faults::inherit() else { return Ok(()) };
        let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, calls) = &mut *plan;
        let number = calls.count;
        calls.count = calls.count.saturating_add(1);
        let errno = match *fault {
            Fault::Once(at, errno) if number == at => Some(errno),
            Fault::ForEver(at, errno) if number >= at => Some(errno),
            Fault::Named(name, errno) if name == call => Some(errno),
            _ => None,
        };
        if errno.is_some() {
            calls.failed = calls.failed.or(Some(call));
        }
        errno.map_or(Ok(()), |errno| Err(Errno::from_raw_os_error(errno)))
    }
}
