//! A map from ids to shared state, cut into pieces with a lock each.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use crate::sync::{Arc, Mutex, lock};

/// Enough that cores seldom meet at one lock; each is held for one look-up.
const SHARDS: usize = 64;

type Shard<Key, Value> = Mutex<HashMap<Key, Arc<Value>>>;

/// Entries are made on first sight and stay.
#[derive(Debug)]
pub(crate) struct Shards<Key, Value> {
    hasher: RandomState,
    shards: Box<[Shard<Key, Value>]>,
}

impl<Key: Eq + Hash, Value: Default> Default for Shards<Key, Value> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl<Key: Eq + Hash, Value: Default> Shards<Key, Value> {
    /// Returns the entry of a key, made when there is none.
    pub(crate) fn entry(&self, key: Key) -> Arc<Value> {
        Arc::clone(lock(self.shard(&key)).entry(key).or_default())
    }

    /// Returns the entry of a key if there is one.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Value>> {
        lock(self.shard(key)).get(key).map(Arc::clone)
    }

    /// Returns all entries with their keys, one shard after the other.
    pub(crate) fn all(&self) -> Vec<(Key, Arc<Value>)>
    where
        Key: Clone,
    {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            all.extend(shard.iter().map(|(key, value)| (key.clone(), Arc::clone(value))));
        }
        all
    }

    fn shard(&self, key: &Key) -> &Shard<Key, Value> {
        let hash = self.hasher.hash_one(key);
        // The lowest bits pick the shard; the maps inside hash with keys of their own.
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        &self.shards[index]
    }
}
