//! Wakes threads that found nothing to do: [`Bell`].

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Rung whenever something changed that another may wait for.
///
/// Who waits first asks for [`strokes`](Self::strokes), then looks for something to do, and waits where there is nothing: a stroke in
/// between is not missed.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    strokes: u64,
    /// Nobody is woken by a call to the kernel where nobody waits.
    waiting: usize,
}

impl Bell {
    /// How often it was rung.
    pub(super) fn strokes(&self) -> u64 {
        self.state().strokes
    }

    /// Whether anybody waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.state().waiting > 0
    }

    /// Wakes all that wait.
    pub(super) fn ring(&self) {
        let mut state = self.state();
        state.strokes = state.strokes.wrapping_add(1);
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.rung.notify_all();
        }
    }

    /// Waits until it is rung once more than so often.
    pub(super) fn wait_after(&self, strokes: u64) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_add(1);
        let mut state = self.rung.wait_while(state, |state| state.strokes == strokes).unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_sub(1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_between_looking_and_waiting_is_not_missed() {
        let bell = Bell::default();
        let strokes = bell.strokes();
        bell.ring();
        bell.wait_after(strokes);
    }

    #[test]
    fn all_that_wait_are_woken() {
        let bell = Bell::default();
        let strokes = bell.strokes();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| bell.wait_after(strokes));
            }
            while bell.state().waiting < 3 {
                std::thread::yield_now();
            }
            bell.ring();
        });
        assert_eq!(bell.state().waiting, 0);
    }
}
