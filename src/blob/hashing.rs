//! The bytes of a blob that wait to be hashed, and whoever has nothing else to do hashes them: [`Hashing`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

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
    waiting: Mutex<VecDeque<Hashed>>,
}

impl Hashing {
    pub(super) fn new(digests: Digests) -> Self {
        Self { digests: Mutex::new(digests), waiting: Mutex::default() }
    }

    /// Adds bytes.
    pub(super) fn push(&self, hashed: Hashed) {
        self.waiting().push_back(hashed);
    }

    /// How many pieces wait.
    pub(super) fn backlog(&self) -> usize {
        self.waiting().len()
    }

    /// Hashes the first of what waits, unless another hashes at this moment; gives whether it did.
    pub(super) fn one(&self) -> bool {
        match self.digests.try_lock() {
            Ok(mut digests) => self.first_by(&mut digests),
            Err(TryLockError::Poisoned(digests)) => self.first_by(&mut digests.into_inner()),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// Hashes what is left.
    pub(super) fn finish(self) -> Digested {
        while self.one() {}
        self.digests.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
    }

    fn first_by(&self, digests: &mut Digests) -> bool {
        // The lock on what waits is not held while it is hashed.
        let first = self.waiting().pop_front();
        match &first {
            Some(Hashed::Stored(buffer)) => digests.stored(buffer.filled()),
            Some(Hashed::Decoded(buffer)) => digests.decoded(buffer.filled()),
            None => {}
        }
        first.is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Hashed>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    use super::super::pool::Pool;
    use super::*;
    use crate::digest::{Algorithm, Hasher};

    #[test]
    fn bytes_are_hashed_once_and_in_order_by_whoever_hashes_them() {
        let hashing = Hashing::new(Digests::new(Algorithm::Sha256, Algorithm::Sha512));
        let mut pool = Pool::new(8, 4, &Arc::default());
        let over = AtomicBool::new(false);
        let mut expected = [Hasher::new(Algorithm::Sha256), Hasher::new(Algorithm::Sha512)];
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| while hashing.one() || !over.load(Relaxed) {});
            }
            for number in 0..2000_u32 {
                let mut buffer = loop {
                    match pool.take() {
                        Some(buffer) => break buffer,
                        None => drop(hashing.one()),
                    }
                };
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
            }
            over.store(true, Relaxed);
        });
        let digested = hashing.finish();
        let [stored, decoded] = expected.map(Hasher::finish);
        assert_eq!((digested.stored, digested.decoded), ((stored, 667 * 4), (decoded, 1333 * 4)));
    }
}
