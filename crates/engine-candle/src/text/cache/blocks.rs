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

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub(crate) type Scope = u128;

/// What comes before a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Before {
    /// Nothing: it begins the sequences of a scope.
    Nothing(Scope),
    /// The block of this name. Names are never given out twice.
    Block(u64),
}

#[derive(Debug)]
struct Blocks {
    capacity: usize,
    /// One for every block that was ever used, so that a large pool costs nothing by itself.
    states: Vec<BlockState>,
    free: Vec<BlockId>,
    /// By the time of their release.
    idle: BTreeMap<u64, BlockId>,
    known: HashMap<Content, BlockId>,
    /// The last name or time that was given out.
    last: u64,
}

#[derive(Debug, Default)]
struct BlockState {
    holders: usize,
    /// When the last holder let go of it; the key in `idle`.
    released: u64,
    name: Option<(u64, Content)>,
}

/// What a named block holds: what comes before it and its own tokens. Compared in full, so that no
/// collision of hashes can show one request another's data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Content {
    before: Before,
    tokens: [u32; BLOCK],
}

impl BlockPool {
    /// Makes a pool of `capacity` free blocks.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Blocks {
            capacity: capacity.min(BlockId::MAX as usize),
            states: Vec::new(),
            free: Vec::new(),
            idle: BTreeMap::new(),
            known: HashMap::new(),
            last: 0,
        })))
    }

    /// Makes a table without blocks.
    pub(crate) fn table(&self, scope: Scope) -> BlockTable {
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

impl Blocks {
    fn counts(&self) -> BlockCounts {
        let idle = self.idle.len();
        let free = self.free.len() + (self.capacity - self.states.len());
        BlockCounts {
            held: self.capacity - idle - free,
            idle,
            free,
        }
    }

    fn state(&mut self, id: BlockId) -> Option<&mut BlockState> {
        let state = self.states.get_mut(id as usize);
        debug_assert!(state.is_some(), "blocks come from the pool they go back to");
        state
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Takes a block for one holder: a free one that was used before, a new one, or the idle one
    /// that was not used for the longest time.
    fn take(&mut self) -> Option<BlockId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.states.len() < self.capacity => {
                let id = BlockId::try_from(self.states.len()).ok()?;
                self.states.push(BlockState::default());
                id
            }
            None => {
                let (_, id) = self.idle.pop_first()?;
                let name = self.state(id)?.name.take();
                if let Some((_, content)) = name {
                    self.known.remove(&content);
                }
                id
            }
        };
        self.state(id)?.holders = 1;
        Some(id)
    }

    fn find(&self, content: &Content) -> Option<(BlockId, u64)> {
        let id = *self.known.get(content)?;
        let (name, _) = self.states.get(id as usize)?.name.as_ref()?;
        Some((id, *name))
    }

    /// Adds a holder to a named block.
    fn hold(&mut self, id: BlockId) {
        let Some(state) = self.state(id) else { return };
        state.holders += 1;
        if state.holders == 1 {
            let released = state.released;
            self.idle.remove(&released);
        }
    }

    /// Takes a holder from a block.
    fn release(&mut self, id: BlockId) {
        let now = self.next();
        let Some(state) = self.state(id) else { return };
        debug_assert!(state.holders > 0, "a block is released once by each holder");
        state.holders = state.holders.saturating_sub(1);
        if state.holders > 0 {
            return;
        }
        state.released = now;
        if state.name.is_some() {
            self.idle.insert(now, id);
        } else {
            self.free.push(id);
        }
    }

    /// Names a full block and returns the name.
    fn name(&mut self, id: BlockId, content: Content) -> u64 {
        let name = self.next();
        if let Some(state) = self.state(id) {
            state.name = Some((name, content.clone()));
            self.known.insert(content, id);
        }
        name
    }
}

#[cfg(test)]
mod tests;
