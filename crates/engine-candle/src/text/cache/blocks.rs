//! Which block of the cache belongs to whom: reference counts, prefix reuse and eviction.
//!
//! Knows numbers of blocks and token ids only; what stands in the blocks is the business of
//! [`super::KvStore`]. A block is in one of four states:
//!
//! - *held by one table*, which writes it;
//! - *named*: full and findable by its tokens and all tokens before it. Nobody writes it any more,
//!   and any number of tables may hold it;
//! - *idle*: named and held by nobody. It is kept to be found, and evicted when a block is needed
//!   and no other is left, least recently used first;
//! - *free*: without content that anybody could find.

mod states;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::states::{Blocks, Content};

/// Positions in a block.
pub(crate) const BLOCK: usize = 16;

/// The number of a block in the store.
pub(crate) type BlockId = u32;

/// The blocks of one engine. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct BlockPool(Arc<Mutex<Blocks>>);

/// How many blocks are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BlockCounts {
    /// Held by at least one table.
    pub(crate) held: usize,
    /// Held by nobody and findable.
    pub(crate) idle: usize,
    /// Free, never used ones included.
    pub(crate) free: usize,
}

/// The blocks of one sequence, in order. Gives them back when dropped.
#[derive(Debug)]
pub(crate) struct BlockTable {
    pool: BlockPool,
    blocks: Vec<BlockId>,
    /// Positions that are computed.
    length: usize,
    /// So many of the first blocks are named.
    named: usize,
    /// Who may share its blocks.
    scope: Scope,
    /// What the next block to be named follows.
    before: Before,
}

/// Sequences share blocks with those of the same scope only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Scope {
    /// Whose they are.
    owner: u128,
    /// The number of the adapter that keys and values are computed with; 0 for none.
    adapter: u64,
}

/// What comes before a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Before {
    /// Nothing: it begins the sequences of a scope.
    Nothing(Scope),
    /// The block of this name. Names are never given out twice.
    Block(u64),
}

impl BlockPool {
    /// Makes a pool of `capacity` free blocks.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Blocks::new(capacity))))
    }

    /// Makes a table without blocks, for an owner's sequences without an adapter.
    pub(crate) fn table(&self, owner: u128) -> BlockTable {
        self.adapted_table(owner, 0)
    }

    /// As [`BlockPool::table`], for sequences with the adapter of this number.
    pub(crate) fn adapted_table(&self, owner: u128, adapter: u64) -> BlockTable {
        let scope = Scope { owner, adapter };
        BlockTable {
            pool: self.clone(),
            blocks: Vec::new(),
            length: 0,
            named: 0,
            scope,
            before: Before::Nothing(scope),
        }
    }

    /// Returns the states of all blocks.
    pub(crate) fn counts(&self) -> BlockCounts {
        self.lock().counts()
    }

    /// Returns how many blocks can be had, idle ones included.
    pub(crate) fn available(&self) -> usize {
        let counts = self.counts();
        counts.idle + counts.free
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        // No operation below can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockTable {
    /// Returns the number of positions that are computed.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Returns the blocks, in the order of their positions.
    pub(crate) fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// Returns how many positions the blocks have room for.
    pub(crate) fn room(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// Takes over blocks that are computed already and follow what is in the table. `tokens` are
    /// those of the whole sequence; the last one is always left to compute, since its logits are
    /// needed. Returns the number of positions won.
    pub(crate) fn adopt(&mut self, tokens: &[u32]) -> usize {
        let before = self.length;
        if self.named != self.blocks.len() || self.room() != self.length {
            return 0; // In the middle of a block, or writing one: nothing can follow.
        }
        let mut pool = self.pool.lock();
        let last = tokens.len().saturating_sub(1) / BLOCK;
        let (chunks, _) = tokens.as_chunks::<BLOCK>();
        for tokens in chunks.iter().take(last).skip(self.named) {
            let content = Content {
                before: self.before,
                tokens: *tokens,
            };
            let Some((id, name)) = pool.find(&content) else {
                break;
            };
            pool.hold(id);
            self.blocks.push(id);
            self.before = Before::Block(name);
            self.named += 1;
            self.length += BLOCK;
        }
        self.length - before
    }

    /// Takes the blocks for `count` more positions; takes none and returns false when there are
    /// not enough.
    pub(crate) fn reserve(&mut self, count: usize) -> bool {
        let wanted = (self.length + count).div_ceil(BLOCK);
        let missing = wanted.saturating_sub(self.blocks.len());
        if missing == 0 {
            return true;
        }
        let mut pool = self.pool.lock();
        let counts = pool.counts();
        if missing > counts.idle + counts.free {
            return false;
        }
        let taken = std::iter::from_fn(|| pool.take()).take(missing);
        self.blocks.extend(taken);
        true
    }

    /// Makes the positions valid that were written behind the others.
    pub(crate) fn advance(&mut self, count: usize) {
        self.length += count;
        debug_assert!(self.length <= self.room(), "positions lie in blocks");
    }

    /// Forgets the positions behind the first `length`, and gives blocks back that hold none of the
    /// rest. Positions in named blocks stay: others may have taken them over.
    pub(crate) fn truncate(&mut self, length: usize) {
        debug_assert!(length <= self.length, "there is nothing behind the end");
        debug_assert!(length >= self.named * BLOCK, "named blocks stay");
        self.length = length.min(self.length).max(self.named * BLOCK);
        let kept = self.length.div_ceil(BLOCK);
        if kept < self.blocks.len() {
            let mut pool = self.pool.lock();
            for id in self.blocks.drain(kept..).rev() {
                pool.release(id);
            }
        }
    }

    /// Names the blocks that have become full, so that other tables find them. `tokens` are those
    /// of the sequence, at least as many as positions are computed.
    ///
    /// Where another table was first with the same content its block is taken instead, so that the
    /// block before a named one is always held at least as long.
    pub(crate) fn name(&mut self, tokens: &[u32]) {
        let full = self.length / BLOCK;
        if self.named >= full {
            return;
        }
        let mut pool = self.pool.lock();
        let (chunks, _) = tokens.as_chunks::<BLOCK>();
        let unnamed = self.blocks.iter_mut().zip(chunks).take(full).skip(self.named);
        for (id, tokens) in unnamed {
            let content = Content {
                before: self.before,
                tokens: *tokens,
            };
            if let Some((other, name)) = pool.find(&content) {
                pool.hold(other);
                pool.release(*id);
                *id = other;
                self.before = Before::Block(name);
            } else {
                self.before = Before::Block(pool.name(*id, content));
            }
            self.named += 1;
        }
    }

    /// Gives all blocks back and begins anew.
    pub(crate) fn clear(&mut self) {
        let mut pool = self.pool.lock();
        // The last first: a block that follows others is of no use without them, so it has to be
        // evicted before them.
        for id in self.blocks.drain(..).rev() {
            pool.release(id);
        }
        self.length = 0;
        self.named = 0;
        self.before = Before::Nothing(self.scope);
    }
}

impl Drop for BlockTable {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests;
