//! The completion request as the `OpenAPI` document describes it; see the chat request's.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::openai::chat::{StopSchema, StreamOptionsSchema};

/// A completion request. Unknown fields are ignored, and `null` stands for "not given" in every
/// field that is not required.
#[derive(ToSchema)]
#[schema(as = CompletionRequest)]
pub struct CompletionRequestSchema {
    /// The model's catalogue name.
    #[schema(example = "silica/tiny-chat")]
    pub model: String,
    /// The text that the answer continues, or a list of one; with `suffix`, the text before the gap.
    pub prompt: PromptSchema,
    /// The text after the gap.
    pub suffix: Option<String>,
    /// Whether the answer begins with the prompt; not together with `suffix` or `logprobs`.
    #[schema(default = false)]
    pub echo: Option<bool>,
    /// Whether to answer as a stream of events.
    #[schema(default = false)]
    pub stream: Option<bool>,
    /// Accepted for compatibility: usage is in every chunk anyway.
    pub stream_options: Option<StreamOptionsSchema>,
    /// The most tokens per choice.
    #[schema(minimum = 1, default = 512)]
    pub max_tokens: Option<u32>,
    /// Texts that end the answer and are not part of it.
    pub stop: Option<StopSchema>,
    /// How freely tokens are drawn; 0 always takes the most likely one.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    pub temperature: Option<f32>,
    /// Draws from the smallest set of tokens that reaches this probability.
    #[schema(exclusive_minimum = 0, maximum = 1, default = 1)]
    pub top_p: Option<f32>,
    /// Draws from this many of the most likely tokens; -1 from all.
    #[schema(minimum = -1, maximum = 100, default = -1)]
    pub top_k: Option<f32>,
    /// Drops tokens less likely than this share of the most likely one.
    #[schema(minimum = 0, maximum = 1, default = 0)]
    pub min_p: Option<f32>,
    /// Makes tokens less likely with each occurrence in the answer.
    #[schema(minimum = -2, maximum = 2, default = 0)]
    pub frequency_penalty: Option<f32>,
    /// Makes tokens less likely that occurred in the answer.
    #[schema(minimum = -2, maximum = 2, default = 0)]
    pub presence_penalty: Option<f32>,
    /// Bias by token id, -100 to 100.
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// The number of choices.
    #[schema(minimum = 1, maximum = 128, default = 1)]
    pub n: Option<u32>,
    /// Accepted when it equals `n`.
    #[schema(minimum = 1, maximum = 128)]
    pub best_of: Option<u32>,
    /// Makes the answer repeatable.
    pub seed: Option<i64>,
    /// Reports log-probabilities with this many alternatives.
    #[schema(minimum = 0, maximum = 20)]
    pub logprobs: Option<u8>,
}

/// A text or a list of one.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = CompletionPrompt)]
#[serde(untagged)]
pub enum PromptSchema {
    /// A text.
    One(String),
    /// A list of one text.
    List(Vec<String>),
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::super::request::KNOWN;
    use super::CompletionRequestSchema;
    use crate::tests::documented_fields;

    #[test]
    fn the_documented_fields_are_the_ones_that_are_read() {
        assert_eq!(
            documented_fields(&CompletionRequestSchema::schema()),
            crate::tests::sorted(KNOWN)
        );
    }
}
