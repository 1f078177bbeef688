//! What bills and limits read from the roll-ups.

use silica_types::{AccountId, ModelName, Money};

/// What some calls of an account sum up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BillTotals {
    /// Settled calls.
    pub calls: u64,
    /// Input tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Input tokens that were found in the cache.
    pub cached_tokens: u64,
    /// Output tokens, reasoning included.
    pub completion_tokens: u64,
    /// Output tokens that belong to reasoning.
    pub reasoning_tokens: u64,
    /// Generated images.
    pub images: u64,
    /// Pixels times inference steps.
    pub pixel_steps: u64,
    /// Generated videos.
    pub videos: u64,
    /// UTF-8 bytes of input text.
    pub text_bytes: u64,
    /// Audio or video, in milliseconds.
    pub milliseconds: u64,
    /// Tokens of training data times the epochs.
    pub training_tokens: u64,
    /// What vouchers paid.
    pub voucher: Money,
    /// What the gift balance paid.
    pub gift: Money,
    /// What the charge balance paid.
    pub charge: Money,
    /// What no bucket could pay.
    pub shortfall: Money,
}

impl BillTotals {
    /// What the buckets paid.
    pub fn paid(&self) -> Money {
        [self.voucher, self.gift, self.charge].into_iter().sum()
    }

    /// What the calls cost: paid or not.
    pub fn amount(&self) -> Money {
        self.paid().saturating_add(self.shortfall)
    }

    /// Adds other calls, staying at the largest numbers instead of overflowing.
    pub fn add(&mut self, other: &Self) {
        let counts = [
            (&mut self.calls, other.calls),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.images, other.images),
            (&mut self.pixel_steps, other.pixel_steps),
            (&mut self.videos, other.videos),
            (&mut self.text_bytes, other.text_bytes),
            (&mut self.milliseconds, other.milliseconds),
            (&mut self.training_tokens, other.training_tokens),
        ];
        for (sum, more) in counts {
            *sum = sum.saturating_add(more);
        }
        let amounts = [
            (&mut self.voucher, other.voucher),
            (&mut self.gift, other.gift),
            (&mut self.charge, other.charge),
            (&mut self.shortfall, other.shortfall),
        ];
        for (sum, more) in amounts {
            *sum = sum.saturating_add(more);
        }
    }
}

/// What an account used of a model in a day: what day limits count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUsage {
    /// The account.
    pub account: AccountId,
    /// The model.
    pub model: ModelName,
    /// Settled calls.
    pub calls: u64,
    /// Input and output tokens.
    pub tokens: u64,
    /// Generated images and videos.
    pub images: u64,
}
