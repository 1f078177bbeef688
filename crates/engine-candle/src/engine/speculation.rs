//! Drafts by prompt look-up: what a sequence may say next, guessed from what it has said before.
//!
//! A summary, an edited program and a form repeat their prompt. Where the last tokens of a sequence
//! stand earlier in it, what followed them there is drafted, one pass computes the logits behind
//! every drafted token, and the sequence draws from them in order, exactly as it would one by one,
//! for as long as it draws what was drafted (Saxena, "Prompt Lookup Decoding", 2023; as a special
//! case of Leviathan et al., "Fast Inference from Transformers via Speculative Decoding", 2023).
//! A row's logits do not depend on the rows beside it, so an answer with drafts is that without.
//!
//! What was guessed is compared with what came in every step, drafted or not, so a sequence that
//! stops repeating itself drafts nothing after a few steps, and one that begins to is noticed at no
//! cost but the look-up's.

mod lookup;
mod share;

use self::lookup::{Found, Lookup, RUNS};
pub(super) use self::share::{Chance, Costs, Load, share};

/// How sure a new sequence is of a guess: enough for one token when it is alone.
const FIRST_ODDS: f32 = 0.4;
/// How much one guess counts beside all earlier ones.
const WEIGHT: f32 = 0.2;

/// The guesses of one sequence.
pub(super) struct Drafter {
    lookup: Lookup,
    /// How often a guess by a run of each length is right, between 0 and 1.
    odds: [f32; RUNS.len()],
    guess: Option<Found>,
    /// What the step computes: the last token and the drafted ones after it. Empty without a draft.
    row: Vec<u32>,
}

impl Drafter {
    /// For a sequence of at most so many tokens.
    pub(super) fn new(most_tokens: usize) -> Self {
        Self {
            lookup: Lookup::new(most_tokens),
            odds: [FIRST_ODDS; RUNS.len()],
            guess: None,
            row: Vec::new(),
        }
    }

    /// Guesses what follows `tokens` and says how likely the next token is right; `None` without a
    /// guess. An earlier draft is forgotten.
    pub(super) fn guess(&mut self, tokens: &[u32]) -> Option<f32> {
        self.row.clear();
        self.guess = self.lookup.find(tokens);
        self.guess.map(|found| self.odds[found.run])
    }

    /// Drafts up to `count` tokens of the guess, and nothing behind one that ends the answer.
    pub(super) fn draft(&mut self, tokens: &[u32], count: usize, stop_tokens: &[u32]) {
        self.row.clear();
        let (Some(found), Some(last)) = (self.guess, tokens.last()) else {
            return;
        };
        if count == 0 {
            return;
        }
        self.row.push(*last);
        for index in 0..count {
            let token = found.token(tokens, index);
            self.row.push(token);
            if stop_tokens.contains(&token) {
                return;
            }
        }
    }

    /// The tokens of a step with a draft: the sequence's last one and the drafted ones.
    pub(super) fn row(&self) -> &[u32] {
        &self.row
    }

    /// The drafted tokens.
    pub(super) fn drafted(&self) -> &[u32] {
        self.row.get(1..).unwrap_or_default()
    }

    /// Gives the draft up.
    pub(super) fn withdraw(&mut self) {
        self.row.clear();
    }

    /// Compares the guess with what came after the first `before` tokens, and forgets it.
    pub(super) fn observe(&mut self, tokens: &[u32], before: usize) {
        self.row.clear();
        let Some(found) = self.guess.take() else {
            return;
        };
        let (context, drawn) = tokens.split_at(before);
        let odds = &mut self.odds[found.run];
        for (index, token) in drawn.iter().enumerate() {
            if found.token(context, index) != *token {
                *odds -= *odds * WEIGHT;
                return;
            }
            *odds += (1.0 - *odds) * WEIGHT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafted(drafter: &mut Drafter, tokens: &[u32], count: usize) -> Vec<u32> {
        drafter.guess(tokens);
        drafter.draft(tokens, count, &[99]);
        drafter.drafted().to_vec()
    }

    #[test]
    fn what_followed_the_last_tokens_before_is_drafted() {
        let mut drafter = Drafter::new(100);
        assert!(drafted(&mut drafter, &[1, 2, 3, 4, 5], 3).is_empty());
        assert_eq!(drafted(&mut drafter, &[1, 2, 3, 4, 5, 1, 2], 3), [3, 4, 5]);
        assert_eq!(drafter.row(), [2, 3, 4, 5]);
        drafter.withdraw();
        assert!(drafter.drafted().is_empty());
        assert!(drafted(&mut drafter, &[1, 2, 3, 4, 5, 1, 2], 0).is_empty());
        // Of a loop there is as much as is wanted.
        let mut drafter = Drafter::new(100);
        assert_eq!(drafted(&mut drafter, &[7, 8, 7, 8, 7], 5), [8, 7, 8, 7, 8]);
    }

    #[test]
    fn nothing_is_drafted_behind_the_end_of_an_answer() {
        let mut drafter = Drafter::new(100);
        assert_eq!(drafted(&mut drafter, &[1, 2, 3, 99, 4, 1, 2], 9), [3, 99]);
    }

    #[test]
    fn guesses_that_come_true_are_trusted_and_others_are_not() {
        let mut tokens = vec![1, 2, 3, 4, 1, 2];
        let mut drafter = Drafter::new(100);
        let first = drafter.guess(&tokens).unwrap();
        for _ in 0..20 {
            let before = tokens.len();
            drafter.guess(&tokens);
            tokens.push(tokens[before - 4]);
            drafter.observe(&tokens, before);
        }
        let trusted = drafter.guess(&tokens).unwrap();
        assert!(
            trusted > 0.9 && trusted < 1.0 && first < 0.5,
            "{first}, {trusted}"
        );
        let before = tokens.len();
        for _ in 0..20 {
            // The same tokens come to an end that was not seen before.
            drafter.guess(&tokens);
            tokens.push(50);
            drafter.observe(&tokens, before);
            tokens.truncate(before);
        }
        assert!(drafter.guess(&tokens).unwrap() < 0.02);
    }
}
