//! What a layer wrote, so that a whiteout spares it and a second entry is noticed: keyed hashes, not paths.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::directories::NodeId;
use crate::entry::{EntryPath, Name};

/// Growing one of many small tables needs little memory at a time.
const SHARDS: usize = 64;

/// A place where something landed: a 128-bit keyed hash, so that nobody can choose two that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u64; 2]);

/// A set of places; about 20 to 40 bytes for each.
#[derive(Debug)]
pub(crate) struct Written {
    keys: [RandomState; 2],
    shards: Vec<HashSet<Key, AlreadyHashed>>,
}

impl Written {
    pub(crate) fn new() -> Self {
        Self { keys: [RandomState::new(), RandomState::new()], shards: vec![HashSet::with_hasher(AlreadyHashed::default()); SHARDS] }
    }

    /// The place `name` in a directory: by its number, as a filesystem gives the inode of one that is gone to a new one.
    pub(super) fn place(&self, dir: NodeId, name: Name<'_>) -> Key {
        self.key(&(0_u8, dir, name))
    }

    /// A marker or a skipped entry, which lands nowhere, by its path.
    pub(crate) fn path(&self, path: &EntryPath) -> Key {
        self.key(&(1_u8, path))
    }

    /// Adds a place; gives whether it is new.
    pub(crate) fn insert(&mut self, key: Key) -> bool {
        self.shard_mut(key).is_some_and(|shard| shard.insert(key))
    }

    /// Takes a place out again.
    pub(super) fn remove(&mut self, key: Key) {
        if let Some(shard) = self.shard_mut(key) {
            shard.remove(&key);
        }
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.shards.get(key.shard()).is_some_and(|shard| shard.contains(&key))
    }

    fn key(&self, place: &impl std::hash::Hash) -> Key {
        let [first, second] = &self.keys;
        Key([first.hash_one(place), second.hash_one(place)])
    }

    fn shard_mut(&mut self, key: Key) -> Option<&mut HashSet<Key, AlreadyHashed>> {
        self.shards.get_mut(key.shard())
    }
}

impl Key {
    fn shard(self) -> usize {
        let [_, second] = self.0;
        usize::try_from(second >> 58).unwrap_or(0)
    }
}

/// The keys are hashes: they need no second one.
#[derive(Clone, Debug, Default)]
struct AlreadyHashed(u64);

impl BuildHasher for AlreadyHashed {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for AlreadyHashed {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_and_no_other() {
        let mut written = Written::new();
        let (dir, other) = (NodeId(2), NodeId(3));
        let name = |raw| Name::new(raw).unwrap();
        let key = written.place(dir, name(b"a"));
        assert!(written.insert(key));
        assert!(!written.insert(key));
        assert!(written.contains(written.place(dir, name(b"a"))));
        assert!(!written.contains(written.place(other, name(b"a"))));
        assert!(!written.contains(written.place(dir, name(b"b"))));
    }

    #[test]
    fn a_hundred_thousand_places_stay_apart() {
        let mut written = Written::new();
        let dir = NodeId(2);
        for number in 0..100_000 {
            let raw = format!("f{number}");
            let key = written.place(dir, Name::new(raw.as_bytes()).unwrap());
            assert!(written.insert(key));
        }
        assert!(written.shards.iter().all(|shard| shard.len() > 1000));
    }
}
