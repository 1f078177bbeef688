//! The tokens that are still in the draw, and their weights.

use std::cmp::Ordering;

/// How many of the most likely tokens top-p looks at first; one more round takes four times as
/// many. Sorting a whole vocabulary of 150,000 would cost more than a small model's step.
const FIRST_NUCLEUS: usize = 64;

/// A token in the draw.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    logit: f32,
    /// Its probability times a common factor.
    weight: f32,
}

/// The tokens in the draw, in no particular order between the steps.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    tokens: Vec<Candidate>,
}

impl Candidates {
    /// Takes all tokens, or the `top_k` most likely ones (at least one).
    pub(super) fn fill(&mut self, logits: &[f32], top_k: Option<u32>) {
        self.tokens.clear();
        let candidate = |(id, logit): (u32, &f32)| Candidate {
            id,
            logit: *logit,
            weight: 0.0,
        };
        self.tokens.extend((0..).zip(logits).map(candidate));
        if let Some(count) = top_k {
            let count = usize::try_from(count).unwrap_or(usize::MAX).max(1);
            if count < self.tokens.len() {
                self.tokens.select_nth_unstable_by(count - 1, by_likelihood);
                self.tokens.truncate(count);
            }
        }
    }

    /// Sets the weights to the softmax at a temperature above 0, up to a factor.
    pub(super) fn weigh(&mut self, temperature: f32) {
        let greatest = self
            .tokens
            .iter()
            .map(|token| token.logit)
            .fold(f32::NEG_INFINITY, f32::max);
        for token in &mut self.tokens {
            // Subtracting first keeps tiny temperatures from making infinities of all logits.
            let distance = token.logit - greatest;
            token.weight = if distance == 0.0 {
                1.0
            } else {
                (distance / temperature).exp()
            };
        }
    }

    /// Keeps the smallest set of most likely tokens whose share reaches `top_p`, at least one.
    pub(super) fn keep_top_p(&mut self, top_p: f32) {
        let wanted = self.total() * f64::from(top_p);
        let mut sorted = 0;
        let mut sum = 0.0;
        let mut round = FIRST_NUCLEUS;
        while sorted < self.tokens.len() {
            // Everything before `sorted` is in order and more likely than what follows.
            let rest = &mut self.tokens[sorted..];
            let take = round.min(rest.len());
            if take < rest.len() {
                rest.select_nth_unstable_by(take - 1, by_likelihood);
            }
            rest[..take].sort_unstable_by(by_likelihood);
            for index in sorted..sorted + take {
                sum += f64::from(self.tokens[index].weight);
                if sum >= wanted {
                    self.tokens.truncate(index + 1);
                    return;
                }
            }
            sorted += take;
            round *= 4;
        }
    }

    /// Drops tokens whose probability is below `min_p` times the greatest one's.
    pub(super) fn keep_min_p(&mut self, min_p: f32) {
        let greatest = self.tokens.iter().map(|token| token.weight).fold(0.0, f32::max);
        self.tokens
            .retain(|token| token.weight >= greatest * min_p.min(1.0));
    }

    /// Draws one token; `fraction` is uniform in 0 (included) to 1 (excluded).
    pub(super) fn draw(&self, fraction: f64) -> u32 {
        let mut left = self.total() * fraction;
        let mut last = 0;
        for token in self.tokens.iter().filter(|token| token.weight > 0.0) {
            last = token.id;
            left -= f64::from(token.weight);
            if left < 0.0 {
                break;
            }
        }
        last
    }

    fn total(&self) -> f64 {
        self.tokens.iter().map(|token| f64::from(token.weight)).sum()
    }
}

/// Most likely first, ties to the lower id.
fn by_likelihood(left: &Candidate, right: &Candidate) -> Ordering {
    right.logit.total_cmp(&left.logit).then(left.id.cmp(&right.id))
}

/// The ids of the `count` most likely tokens, most likely first.
pub(super) fn largest(logits: &[f32], count: usize) -> Vec<u32> {
    let mut candidates = Candidates::default();
    let count = count.min(logits.len());
    if count == 0 {
        return Vec::new();
    }
    candidates.fill(logits, u32::try_from(count).ok());
    candidates.tokens.sort_unstable_by(by_likelihood);
    candidates.tokens.into_iter().map(|token| token.id).collect()
}
