//! What a call has consumed.

use silica_types::{TokenCount, UsageSource};

/// Token counts of one call, cumulative, over all its choices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the rendered prompt, counted once however many choices were asked for.
    pub prompt: TokenCount,
    /// The part of `prompt` whose keys and values came from a prefix cache.
    pub cached: TokenCount,
    /// Generated tokens, reasoning and end-of-turn tokens included.
    pub completion: TokenCount,
    /// The part of `completion` that belongs to reasoning.
    pub reasoning: TokenCount,
    /// Who counted.
    pub source: UsageSource,
}

impl Usage {
    /// Prompt and completion together.
    pub fn total(&self) -> TokenCount {
        self.prompt + self.completion
    }
}
