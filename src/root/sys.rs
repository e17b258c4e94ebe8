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

#[cfg(feature = "fault-injection")]
pub(super) use plan::gate;

#[cfg(feature = "fault-injection")]
pub use plan::{Calls, Fault, inject};

#[cfg(feature = "fault-injection")]
mod plan {
    use std::cell::Cell;

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
        static PLAN: Cell<Option<(Fault, Calls)>> = const { Cell::new(None) };
    }

    /// Does `work` with a fault in the calls on the tree that the calling thread makes. With one thread an unpack makes all there.
    pub fn inject<T>(fault: Fault, work: impl FnOnce() -> T) -> (T, Calls) {
        PLAN.set(Some((fault, Calls::default())));
        let done = work();
        let calls = PLAN.take().map_or_else(Calls::default, |(_, calls)| calls);
        (done, calls)
    }

    pub(in super::super) fn gate(call: &'static str) -> Result<(), Errno> {
        let Some((fault, mut calls)) = PLAN.get() else { return Ok(()) };
        let number = calls.count;
        calls.count = calls.count.saturating_add(1);
        let errno = match fault {
            Fault::Once(at, errno) if number == at => Some(errno),
            Fault::ForEver(at, errno) if number >= at => Some(errno),
            Fault::Named(name, errno) if name == call => Some(errno),
            _ => None,
        };
        if errno.is_some() {
            calls.failed = calls.failed.or(Some(call));
        }
        PLAN.set(Some((fault, calls)));
        errno.map_or(Ok(()), |errno| Err(Errno::from_raw_os_error(errno)))
    }
}
