//! The bytes of a blob that wait to be hashed, and whoever has nothing else to do hashes them: [`Hashing`].

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use super::digests::{Digested, Digests};
use super::pool::Buffer;

/// Bytes for the hash.
#[derive(Debug)]
pub(super) enum Hashed {
    Stored(Arc<Buffer>),
    Decoded(Arc<Buffer>),
}

/// Both digests of a blob in the making, shared by its threads. Bytes are hashed in the order in which they come.
#[derive(Debug)]
pub(super) struct Hashing {
    /// Whoever holds them takes what waits first.
    digests: Mutex<Digests>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    hashed: VecDeque<Hashed>,
    complete: bool,
}

impl Hashing {
    pub(super) fn new(digests: Digests) -> Self {
        Self { digests: Mutex::new(digests), waiting: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds bytes.
    pub(super) fn push(&self, hashed: Hashed) {
        self.waiting().hashed.push_back(hashed);
        self.changed.notify_one();
    }

    /// Says that no more come.
    pub(super) fn complete(&self) {
        self.waiting().complete = true;
        self.changed.notify_all();
    }

    /// Hashes the first of what waits; gives whether there was any.
    pub(super) fn one(&self) -> bool {
        self.first_by(&mut self.digests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As [`one`](Self::one), unless another hashes at this moment.
    pub(super) fn one_if_nobody_does(&self) -> bool {
        match self.digests.try_lock() {
            Ok(mut digests) => self.first_by(&mut digests),
            Err(TryLockError::Poisoned(digests)) => self.first_by(&mut digests.into_inner()),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// Hashes until no more comes.
    pub(super) fn all(&self) {
        loop {
            let nothing = |waiting: &mut Waiting| waiting.hashed.is_empty() && !waiting.complete;
            drop(self.changed.wait_while(self.waiting(), nothing).unwrap_or_else(PoisonError::into_inner));
            // Another may have been faster: then there is nothing.
            if !self.one() && self.waiting().complete {
                return;
            }
        }
    }

    /// Hashes what is left.
    pub(super) fn finish(self) -> Digested {
        while self.one() {}
        self.digests.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
    }

    fn first_by(&self, digests: &mut Digests) -> bool {
        // The lock on what waits is not held while it is hashed.
        let first = self.waiting().hashed.pop_front();
        match &first {
            Some(Hashed::Stored(buffer)) => digests.stored(buffer.filled()),
            Some(Hashed::Decoded(buffer)) => digests.decoded(buffer.filled()),
            None => {}
        }
        first.is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Pool;
    use super::*;
    use crate::digest::{Algorithm, Hasher};

    #[test]
    fn bytes_are_hashed_once_and_in_order_by_whoever_hashes_them() {
        let hashing = Hashing::new(Digests::new(Algorithm::Sha256, Algorithm::Sha512));
        let mut pool = Pool::new(8, 4);
        let mut expected = [Hasher::new(Algorithm::Sha256), Hasher::new(Algorithm::Sha512)];
        std::thread::scope(|scope| {
            scope.spawn(|| hashing.all());
            scope.spawn(|| hashing.all());
            for number in 0..2000_u32 {
                // Hashes where no buffer is free.
                let mut buffer = pool.take(|| hashing.one());
                buffer.room().copy_from_slice(&number.to_be_bytes());
                buffer.advance(4);
                let [stored, decoded] = &mut expected;
                let hashed = if number % 3 == 0 {
                    stored.update(&number.to_be_bytes());
                    Hashed::Stored(Arc::new(buffer))
                } else {
                    decoded.update(&number.to_be_bytes());
                    Hashed::Decoded(Arc::new(buffer))
                };
                hashing.push(hashed);
                hashing.one_if_nobody_does();
            }
            hashing.complete();
        });
        let digested = hashing.finish();
        let [stored, decoded] = expected.map(Hasher::finish);
        assert_eq!((digested.stored, digested.decoded), ((stored, 667 * 4), (decoded, 1333 * 4)));
    }

    #[test]
    fn who_waits_for_bytes_stops_when_none_come() {
        let hashing = Hashing::new(Digests::new(Algorithm::Sha256, Algorithm::Sha256));
        std::thread::scope(|scope| {
            scope.spawn(|| hashing.all());
            hashing.complete();
        });
        assert!(!hashing.one());
    }
}
