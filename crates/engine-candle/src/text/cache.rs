//! Keys and values of sequences, in blocks that sequences share.

pub(crate) mod blocks;
pub(crate) mod store;

use self::blocks::{BLOCK, BlockPool, BlockTable};
use self::store::KvStore;

/// The keys and values of one sequence in all layers, with memory of its own. Engines have one
/// store for all their sequences instead and keep only tables.
pub struct KvCache {
    store: KvStore,
    table: BlockTable,
}

/// A sequence's blocks and the memory they are in, for one forward pass.
pub struct KvView<'sequence> {
    pub(crate) store: &'sequence KvStore,
    pub(crate) table: &'sequence mut BlockTable,
}

impl KvCache {
    /// Makes an empty cache with all blocks of a store.
    pub(crate) fn new(store: KvStore) -> Self {
        let mut table = BlockPool::new(store.capacity()).table(0);
        table.reserve(store.capacity() * BLOCK);
        Self { store, table }
    }

    /// The number of positions that are computed.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no position is computed yet.
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Lends the cache to a forward pass.
    pub fn view(&mut self) -> KvView<'_> {
        KvView {
            store: &self.store,
            table: &mut self.table,
        }
    }
}
