//! What is computed in the next step, and who gets the blocks for it.
//!
//! Every sequence that is generating gets its next token in every step: prompts that come in delay
//! it by no step, however long and many they are. Beside them a step holds at most
//! [`PROMPT_BESIDE`] tokens of all prompts together, so a running stream waits for no more than
//! that between two tokens. Half of it goes to the prompt
//! that comes first in order, the rest to those that need least, so a short prompt does not wait
//! for a long one and a long one is never starved by short ones.
//!
//! Sequences that are generating may draft tokens that the same step verifies (`schedule/drafts.rs`).
//!
//! When the blocks run out, the sequence that comes last in order gives its own back and is
//! computed again later. The one that comes first never does: alone it always has enough.

mod drafts;

use super::queue::Rank;
use super::sequence::Sequence;
use crate::text::cache::blocks::BlockPool;

/// Prompt tokens computed in a step beside sequences that are generating.
pub(super) const PROMPT_BESIDE: usize = 64;
/// Prompt tokens computed in a step when nobody waits for a token. A step cannot be interrupted,
/// so this bounds how long a cancelled prompt goes on and how long a new request waits.
pub(super) const PROMPT_ALONE: usize = 256;

/// The sequences that have places, in their order.
#[derive(Default)]
pub(super) struct Places {
    sequences: Vec<Sequence>,
}

/// What a step computes.
pub(super) struct Plan {
    /// For each place the number of tokens; 0 leaves it out.
    pub(super) counts: Vec<usize>,
    /// Sequences that had to give their blocks back.
    pub(super) paused: usize,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sequence> {
        self.sequences.iter_mut()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Sequence) -> bool) {
        self.sequences.retain(keep);
    }

    /// Gives a sequence its place.
    pub(super) fn insert(&mut self, sequence: Sequence) {
        let place = self.sequences.partition_point(|other| other.rank < sequence.rank);
        self.sequences.insert(place, sequence);
    }

    /// Returns the first in order of those that wait for blocks.
    pub(super) fn first_paused(&self) -> Option<Rank> {
        let paused = self.sequences.iter().find(|sequence| !sequence.is_admitted());
        paused.map(|sequence| sequence.rank)
    }

    /// Whether a sequence that needs `missing` more blocks can go on beside the others: those that
    /// are admitted can finish their prompts, and each can begin one more block.
    pub(super) fn have_room(&self, pool: &BlockPool, missing: usize) -> bool {
        let admitted = self.sequences.iter().filter(|sequence| sequence.is_admitted());
        let promised: usize = admitted.map(|sequence| sequence.missing_blocks() + 1).sum();
        missing + promised <= pool.available()
    }

    /// Lets the first paused sequence go on, if there is room for it.
    pub(super) fn resume(&mut self, pool: &BlockPool) -> bool {
        let paused = |sequence: &Sequence| !sequence.is_admitted();
        let Some(index) = self.sequences.iter().position(paused) else {
            return false;
        };
        let sequence = &mut self.sequences[index];
        sequence.adopt();
        let missing = sequence.missing_blocks();
        if self.have_room(pool, missing) {
            self.sequences[index].resume();
            return true;
        }
        self.sequences[index].pause();
        false
    }

    /// Decides what the next step computes and takes the blocks for it.
    pub(super) fn plan(&mut self) -> Plan {
        let mut plan = Plan {
            counts: vec![0; self.sequences.len()],
            paused: 0,
        };
        let mut prompts = Vec::new();
        for index in 0..self.sequences.len() {
            let sequence = &mut self.sequences[index];
            if !sequence.is_admitted() {
                continue;
            }
            if sequence.left() > 1 {
                sequence.adopt();
            }
            if sequence.left() > 1 {
                prompts.push(index);
            } else {
                self.secure(index, 1, &mut plan);
            }
        }
        let mut budget = if plan.counts.iter().any(|count| *count > 0) {
            PROMPT_BESIDE
        } else {
            PROMPT_ALONE
        };
        if let Some(first) = prompts.first() {
            budget -= self.extend(*first, budget / 2, &mut plan);
        }
        prompts.sort_by_key(|index| self.sequences[*index].left());
        for index in prompts {
            budget -= self.extend(index, budget, &mut plan);
        }
        plan
    }

    /// Gives a prompt up to `budget` more tokens of the step. Returns how many it got.
    fn extend(&mut self, index: usize, budget: usize, plan: &mut Plan) -> usize {
        let before = plan.counts[index];
        let count = self.sequences[index].part(before + budget);
        if self.sequences[index].is_admitted() && count > before && self.secure(index, count, plan) {
            count - before
        } else {
            0
        }
    }

    /// Puts so many tokens of a sequence into the plan once it has blocks for them. Those that
    /// come last in order give theirs back until there are enough; false when it has itself.
    fn secure(&mut self, index: usize, count: usize, plan: &mut Plan) -> bool {
        while !self.sequences[index].reserve(count) {
            let last = self.sequences.iter().rposition(Sequence::is_admitted);
            let last = last.unwrap_or(index);
            self.sequences[last].pause();
            plan.counts[last] = 0;
            plan.paused += 1;
            if last == index {
                return false;
            }
        }
        plan.counts[index] = count;
        true
    }
}
