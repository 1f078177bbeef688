//! What a sequence may hold, token by token.
//!
//! The port knows nothing of texts, schemas or grammars: whoever makes the request says for each
//! position which token ids are allowed. An engine asks before it draws ([`TokenConstraint::allow`]),
//! draws an allowed token, and tells which it was ([`TokenConstraint::accept`]).

use std::fmt;

/// Makes the constraint of each sequence of a request: all choices begin in the same state.
pub trait ConstraintSource: fmt::Debug + Send + Sync {
    /// Begins a sequence. May take a millisecond; engines call it off their compute threads.
    fn start(&self) -> Box<dyn TokenConstraint>;
}

/// The constraint of one sequence. Each call takes bounded time, a few milliseconds at most.
pub trait TokenConstraint: Send {
    /// Says which tokens may come next. With [`Allowed::Marked`] exactly those in `mask`, which comes
    /// empty and has room for every token id of the engine; at least one is marked.
    ///
    /// # Errors
    /// When that cannot be worked out, for example within the bounds of time. The sequence ends then.
    fn allow(&mut self, mask: &mut TokenMask) -> Result<Allowed, ConstraintError>;

    /// Takes note of the token that came, drawn or put there by the engine. Each token of the answer is
    /// told once, in order, also when the engine computes it again later.
    ///
    /// # Errors
    /// When the token was not allowed. The sequence ends then.
    fn accept(&mut self, id: u32) -> Result<Progress, ConstraintError>;
}

/// Which tokens may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Every one; the mask says nothing.
    All,
    /// Those in the mask.
    Marked,
}

/// How far a constrained sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More tokens may come.
    Open,
    /// The sequence is complete: nothing more may follow, and it ends without a stop token.
    Complete,
}

/// Why a sequence cannot go on within its constraint; the text is fit for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConstraintError(pub String);

/// A set of token ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u64>,
    /// The number of ids that can be in it.
    len: usize,
}

impl TokenMask {
    /// Makes it the empty set of ids below `len`.
    pub fn reset(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    /// Adds an id; one beyond the end is no token and is passed over.
    pub fn add(&mut self, id: u32) {
        let id = id as usize;
        if id < self.len {
            self.words[id / 64] |= 1 << (id % 64);
        }
    }

    /// Adds every id.
    pub fn add_all(&mut self) {
        self.add_words(std::iter::repeat(u32::MAX));
    }

    /// Takes an id away.
    pub fn remove(&mut self, id: u32) {
        let id = id as usize;
        if id < self.len {
            self.words[id / 64] &= !(1 << (id % 64));
        }
    }

    /// Adds the ids whose bits are set, 32 to a word, the lowest id in the lowest bit.
    pub fn add_words(&mut self, words: impl IntoIterator<Item = u32>) {
        let halves = words.into_iter().take(self.len.div_ceil(32));
        for (index, half) in halves.enumerate() {
            self.words[index / 2] |= u64::from(half) << (32 * (index % 2));
        }
        let beyond = self.len % 64;
        if let Some(last) = self.words.last_mut().filter(|_| beyond > 0) {
            *last &= (1 << beyond) - 1;
        }
    }

    /// Whether the id is in it.
    pub fn contains(&self, id: u32) -> bool {
        let id = id as usize;
        id < self.len && (self.words[id / 64] >> (id % 64)) & 1 == 1
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The ids in it, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        let words = (0_u32..).step_by(64).zip(&self.words);
        words.flat_map(|(base, word)| {
            (0..64)
                .filter(move |bit| (*word >> bit) & 1 == 1)
                .map(move |bit| base + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_holds_what_was_added_and_no_id_beyond_its_end() {
        let mut mask = TokenMask::default();
        mask.reset(70);
        assert!(mask.is_empty());
        for id in [0, 63, 64, 69, 70, 127, 500] {
            mask.add(id);
        }
        assert_eq!(mask.ids().collect::<Vec<_>>(), [0, 63, 64, 69]);
        assert!(mask.contains(64) && !mask.contains(65) && !mask.contains(70));
        mask.reset(70);
        mask.add_words([1 << 31, 0, u32::MAX, 1]);
        assert_eq!(mask.ids().collect::<Vec<_>>(), [31, 64, 65, 66, 67, 68, 69]);
        mask.reset(64);
        mask.add_words([0, u32::MAX, u32::MAX]);
        assert_eq!(mask.ids().count(), 32);
        mask.reset(70);
        mask.add_all();
        mask.remove(68);
        mask.remove(200);
        assert_eq!(
            (mask.ids().count(), mask.contains(68), mask.contains(69)),
            (69, false, true)
        );
    }
}
