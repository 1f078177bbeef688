//! Drawing the next token.
//!
//! Order: logit bias, penalties, mask, temperature, top-k, top-p, min-p, draw. Ties are broken towards
//! the lower id everywhere. The generator is seeded per request and advances once per drawn token,
//! whatever else the engine computes, so the same build gives the same answer for the same seed,
//! prompt and parameters (another processor or thread count may round a logit differently).

mod candidates;

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use silica_engine::{Sampling, TokenLogprob, TokenMask};

use self::candidates::{Candidates, largest};

/// The drawing state of one sequence.
pub(crate) struct Sampler {
    sampling: Sampling,
    logprobs: Option<u8>,
    random: StdRng,
    /// How often each token was generated; the prompt does not count.
    generated: HashMap<u32, u32>,
}

/// Buffers that live as long as the engine, so that drawing allocates nothing but the
/// log-probabilities that are reported.
#[derive(Default)]
pub(crate) struct SamplerScratch {
    /// The tokens that [`Next::Marked`] speaks of.
    pub(crate) mask: TokenMask,
    adjusted: Vec<f32>,
    candidates: Candidates,
}

/// What may be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Every token.
    Any,
    /// The tokens in the scratch's mask.
    Marked,
    /// This one, whatever the logits are.
    Forced(u32),
}

/// A token that was drawn.
#[derive(Debug, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) id: u32,
    pub(crate) logprob: Option<TokenLogprob>,
}

/// Logits that no token can be drawn from.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the model computed logits that are not numbers")]
pub(crate) struct BrokenLogits;

impl Sampler {
    /// Begins a sequence. Without a seed a random one is taken.
    pub(crate) fn new(sampling: Sampling, logprobs: Option<u8>) -> Self {
        let random = match sampling.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => rand::make_rng(),
        };
        Self {
            sampling,
            logprobs,
            random,
            generated: HashMap::new(),
        }
    }

    /// Draws the next token from the model's logits, one per token id, or takes the one that is forced.
    /// Marked tokens are drawn among themselves, also where the model finds all of them impossible.
    ///
    /// # Errors
    /// When a logit is NaN or positive infinity, or all are negative infinity.
    pub(crate) fn draw(
        &mut self,
        logits: &[f32],
        next: Next,
        scratch: &mut SamplerScratch,
    ) -> Result<Drawn, BrokenLogits> {
        let usable = |logit: &f32| !logit.is_nan() && *logit != f32::INFINITY;
        if !logits.iter().all(usable) || !logits.iter().any(|logit| logit.is_finite()) {
            return Err(BrokenLogits);
        }
        let id = match next {
            Next::Forced(id) => id,
            Next::Any if self.leaves_logits_alone() => self.choose(logits, &mut scratch.candidates),
            Next::Any | Next::Marked => {
                scratch.adjusted.clear();
                scratch.adjusted.extend_from_slice(logits);
                self.adjust(&mut scratch.adjusted);
                if next == Next::Marked {
                    keep_marked(&mut scratch.adjusted, &scratch.mask);
                }
                self.choose(&scratch.adjusted, &mut scratch.candidates)
            }
        };
        *self.generated.entry(id).or_default() += 1;
        let logprob = self
            .logprobs
            .map(|count| logprobs(logits, id, usize::from(count)));
        Ok(Drawn { id, logprob })
    }

    fn leaves_logits_alone(&self) -> bool {
        let sampling = &self.sampling;
        let unpunished = self.generated.is_empty()
            || (sampling.frequency_penalty == 0.0 && sampling.presence_penalty == 0.0);
        sampling.logit_bias.is_empty() && unpunished
    }

    fn adjust(&self, logits: &mut [f32]) {
        for (id, bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit += bias;
            }
        }
        for (id, count) in &self.generated {
            if let Some(logit) = logits.get_mut(*id as usize) {
                #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^24")]
                let often = *count as f32;
                *logit -= self.sampling.frequency_penalty * often + self.sampling.presence_penalty;
            }
        }
    }

    fn choose(&mut self, logits: &[f32], candidates: &mut Candidates) -> u32 {
        let sampling = &self.sampling;
        if sampling.temperature <= 0.0 {
            return most_likely(logits);
        }
        candidates.fill(logits, sampling.top_k);
        candidates.weigh(sampling.temperature);
        if sampling.top_p < 1.0 {
            candidates.keep_top_p(sampling.top_p);
        }
        if sampling.min_p > 0.0 {
            candidates.keep_min_p(sampling.min_p);
        }
        candidates.draw(self.random.random())
    }
}

/// Makes every token impossible that is not marked.
fn keep_marked(logits: &mut [f32], mask: &TokenMask) {
    let mut left = false;
    for (id, logit) in (0..).zip(logits.iter_mut()) {
        if mask.contains(id) {
            left |= logit.is_finite();
        } else {
            *logit = f32::NEG_INFINITY;
        }
    }
    if !left {
        // The model allows none of them, but one of them it must be.
        for id in mask.ids() {
            logits[id as usize] = 0.0;
        }
    }
}

/// The most likely token, ties to the lowest id.
fn most_likely(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    token_id(best)
}

/// Log-probabilities from the model's own logits, untouched by sampling parameters.
fn logprobs(logits: &[f32], id: u32, count: usize) -> TokenLogprob {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // In f64, so that 150,000 small terms do not drown in rounding.
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - greatest).exp()).sum();
    #[expect(clippy::cast_possible_truncation, reason = "a log-probability fits f32")]
    let normaliser = greatest + sum.ln() as f32;
    let of = |id: u32| (logits[id as usize] - normaliser).min(0.0);
    let top = largest(logits, count)
        .into_iter()
        .map(|id| (id, of(id)))
        .collect();
    TokenLogprob { logprob: of(id), top }
}

/// An index as a token id; vocabularies are far below 2^32.
fn token_id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
