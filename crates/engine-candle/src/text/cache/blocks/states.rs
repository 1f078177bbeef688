//! The states of all blocks of a pool.

use std::collections::{BTreeMap, HashMap};

use super::{BLOCK, Before, BlockCounts, BlockId};

/// Every block's state; see the module above for what states there are.
#[derive(Debug)]
pub(super) struct Blocks {
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
pub(super) struct Content {
    pub(super) before: Before,
    pub(super) tokens: [u32; BLOCK],
}

impl Blocks {
    /// `capacity` free blocks.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.min(BlockId::MAX as usize),
            states: Vec::new(),
            free: Vec::new(),
            idle: BTreeMap::new(),
            known: HashMap::new(),
            last: 0,
        }
    }

    /// How many blocks are in which state.
    pub(super) fn counts(&self) -> BlockCounts {
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
    pub(super) fn take(&mut self) -> Option<BlockId> {
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

    pub(super) fn find(&self, content: &Content) -> Option<(BlockId, u64)> {
        let id = *self.known.get(content)?;
        let (name, _) = self.states.get(id as usize)?.name.as_ref()?;
        Some((id, *name))
    }

    /// Adds a holder to a named block.
    pub(super) fn hold(&mut self, id: BlockId) {
        let Some(state) = self.state(id) else { return };
        state.holders += 1;
        if state.holders == 1 {
            let released = state.released;
            self.idle.remove(&released);
        }
    }

    /// Takes a holder from a block.
    pub(super) fn release(&mut self, id: BlockId) {
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
    pub(super) fn name(&mut self, id: BlockId, content: Content) -> u64 {
        let name = self.next();
        if let Some(state) = self.state(id) {
            state.name = Some((name, content.clone()));
            self.known.insert(content, id);
        }
        name
    }
}
