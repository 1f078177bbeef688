//! What a call consumed, by unit.

use serde::{Deserialize, Serialize};

/// Units of one call (contract platform.md 2.1). What a call has nothing of is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Units {
    /// Input tokens, cached ones included.
    #[serde(skip_serializing_if = "is_zero")]
    pub prompt_tokens: u64,
    /// The part of `prompt_tokens` that was found in the cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Output tokens, reasoning included.
    #[serde(skip_serializing_if = "is_zero")]
    pub completion_tokens: u64,
    /// The part of `completion_tokens` that belongs to reasoning; not priced apart.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Generated images.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Pixels times inference steps, summed over the images; a megapixel is 1024 x 1024 of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub pixel_steps: u64,
    /// Generated videos.
    #[serde(skip_serializing_if = "is_zero")]
    pub videos: u64,
    /// UTF-8 bytes of input text.
    #[serde(skip_serializing_if = "is_zero")]
    pub text_bytes: u64,
    /// Audio or video, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub milliseconds: u64,
    /// Tokens of training data times the epochs.
    #[serde(skip_serializing_if = "is_zero")]
    pub training_tokens: u64,
    /// Whether the tokens are those of a batch, which has prices of its own.
    #[serde(skip_serializing_if = "is_false")]
    pub batch: bool,
}

impl Units {
    /// Input and output tokens together.
    pub const fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
