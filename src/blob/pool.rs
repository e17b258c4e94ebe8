//! Buffers that are used again: [`Pool`] gives them, and each comes back when its last holder drops it.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bell::Bell;

/// A bounded number of buffers of one size, made when they are first needed.
#[derive(Debug)]
pub(super) struct Pool {
    home: Arc<Home>,
    size: usize,
    unmade: usize,
}

/// Where buffers are that nobody holds. The one that came back last is given first: it is most likely in the processor's cache, and
/// no more are made than were ever held at once.
#[derive(Debug)]
struct Home {
    free: Mutex<Vec<Vec<u8>>>,
    /// Rung when one comes back.
    bell: Arc<Bell>,
}

impl Home {
    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, bytes: Vec<u8>) {
        self.free().push(bytes);
        self.bell.ring();
    }
}

/// A buffer of a [`Pool`] and how much of it is filled. Whoever shares it by `Arc` only reads.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Arc<Home>,
}

/// A part of a shared buffer, or a copy where it is none.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Shared { buffer: Arc<Buffer>, range: Range<usize> },
    Copied(Box<[u8]>),
}

impl Pool {
    pub(super) fn new(count: usize, size: usize, bell: &Arc<Bell>) -> Self {
        let home = Home { free: Mutex::default(), bell: Arc::clone(bell) };
        Self { home: Arc::new(home), size, unmade: count }
    }

    /// Gives an empty buffer, or none where others hold all of them.
    pub(super) fn take(&mut self) -> Option<Buffer> {
        let free = self.home.free().pop();
        let bytes = match free {
            Some(bytes) => bytes,
            None => {
                self.unmade = self.unmade.checked_sub(1)?;
                vec![0; self.size]
            }
        };
        Some(Buffer { bytes, len: 0, home: Arc::clone(&self.home) })
    }

    /// Gives an empty buffer; waits until there is one.
    pub(super) fn wait(&mut self) -> Buffer {
        loop {
            let strokes = self.home.bell.strokes();
            match self.take() {
                Some(buffer) => return buffer,
                None => self.home.bell.wait_after(strokes),
            }
        }
    }
}

impl Buffer {
    /// What is filled.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What is not.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    /// Says that so many bytes more are filled.
    pub(super) fn advance(&mut self, count: usize) {
        self.len = self.len.saturating_add(count).min(self.bytes.len());
    }

    /// Gives bytes of this buffer as a share of it; others are copied.
    pub(crate) fn share(self: &Arc<Self>, bytes: &[u8]) -> Part {
        match self.range_of(bytes) {
            Some(range) => Part::Shared { buffer: Arc::clone(self), range },
            None => Part::Copied(bytes.into()),
        }
    }

    /// Where `bytes` lie in what is filled, if they do.
    fn range_of(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let start = bytes.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())?;
        let range = start..start.checked_add(bytes.len())?;
        self.filled().get(range.clone()).map(|_| range)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Part {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared { buffer, range } => buffer.filled().get(range.clone()).unwrap_or_default(),
            Self::Copied(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(count: usize, size: usize) -> Pool {
        Pool::new(count, size, &Arc::default())
    }

    #[test]
    fn a_buffer_comes_back_when_its_last_holder_drops_it() {
        let mut pool = pool(1, 4);
        let mut buffer = pool.take().unwrap();
        buffer.room().copy_from_slice(b"abcd");
        buffer.advance(3);
        let buffer = Arc::new(buffer);
        let part = buffer.share(&buffer.filled()[1..]);
        drop(buffer);
        assert_eq!(part.bytes(), b"bc");
        assert!(pool.take().is_none());
        let strokes = pool.home.bell.strokes();
        drop(part);
        assert_ne!(pool.home.bell.strokes(), strokes);
        assert_eq!(pool.take().unwrap().filled(), b"");
    }

    #[test]
    fn who_waits_for_a_buffer_gets_the_next_that_comes_back() {
        let mut pool = pool(1, 4);
        let held = pool.take();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(held));
            assert_eq!(pool.wait().filled(), b"");
        });
    }

    #[test]
    fn what_lies_elsewhere_or_beyond_what_is_filled_is_copied() {
        let mut pool = pool(1, 8);
        let mut buffer = pool.take().unwrap();
        buffer.advance(4);
        let buffer = Arc::new(buffer);
        let shared = |bytes: &[u8]| matches!(buffer.share(bytes), Part::Shared { .. });
        assert!(shared(&buffer.bytes[2..4]));
        assert!(!shared(&buffer.bytes[2..5]));
        assert!(!shared(&[0; 4]));
        assert_eq!(buffer.share(b"elsewhere").bytes(), b"elsewhere");
    }
}
