//! The ways to do the same: how parents are resolved, how many threads work, which filesystem the tree is on.

use std::num::NonZeroUsize;

use safe_layers::{Policy, Resolver};

use super::World;
use super::places::{Place, places};

/// One way to do the same.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub resolver: Resolver,
    pub threads: usize,
    pub place: &'static Place,
}

/// The ways of a case, which must give the same: of resolver, one thread or four, and filesystem every pair is there.
pub fn ways() -> impl Iterator<Item = Way> {
    const PAIRED: [(Resolver, usize, usize); 6] = [
        (Resolver::Openat2, 1, 0),
        (Resolver::Openat2, 4, 1),
        (Resolver::Walk, 1, 1),
        (Resolver::Walk, 4, 0),
        (Resolver::Openat2, 2, 0),
        (Resolver::Walk, 8, 1),
    ];
    PAIRED.into_iter().map(|(resolver, threads, place)| Way::of(resolver, threads, place))
}

impl Way {
    /// With the place of this number, or the only one there is.
    pub fn of(resolver: Resolver, threads: usize, place: usize) -> Self {
        Self { resolver, threads, place: &places()[place % places().len()] }
    }

    /// An empty world on the filesystem of this way.
    #[track_caller]
    pub fn world(self) -> World {
        World::below(self.place.dir())
    }

    pub fn threads(self) -> NonZeroUsize {
        NonZeroUsize::new(self.threads).unwrap()
    }

    pub fn policy(self, policy: &Policy) -> Policy {
        let mut policy = policy.clone();
        policy.resolver = self.resolver;
        policy
    }
}
