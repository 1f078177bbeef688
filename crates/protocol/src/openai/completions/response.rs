//! The answers of a completion request: whole, and in frames.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::openai::chat::{FinishReason, Usage};

/// The whole answer (contract section 4).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Completion {
    /// 32 hexadecimal digits, ordered by time.
    #[schema(example = "019516ecd5791194e7ce760dcc227413")]
    pub id: String,
    /// Always `text_completion`.
    #[schema(example = "text_completion")]
    pub object: &'static str,
    /// When the call began, in seconds since 1970.
    pub created: i64,
    /// The model that was asked for.
    pub model: String,
    /// The choices, in the order of their index.
    pub choices: Vec<CompletionChoice>,
    /// What the call consumed.
    pub usage: Usage,
    /// Always empty.
    pub system_fingerprint: &'static str,
}

/// One choice of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// From 0.
    pub index: u32,
    /// What follows the prompt; what stands in the gap, if there is one.
    pub text: String,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`.
    pub finish_reason: FinishReason,
}

/// One frame of a streamed answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CompletionChunk<'a> {
    /// The same in every frame of an answer: 32 hexadecimal digits.
    pub id: &'a str,
    /// Always `text_completion`.
    pub object: &'static str,
    /// When the call began, in seconds since 1970.
    pub created: i64,
    /// The model that was asked for.
    pub model: &'a str,
    /// Exactly one choice: clients index `choices[0]` without a check.
    pub choices: [CompletionChunkChoice<'a>; 1],
    /// Always empty.
    pub system_fingerprint: &'static str,
    /// What the call has consumed so far, over all choices.
    pub usage: Usage,
}

/// What a frame adds to a choice.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CompletionChunkChoice<'a> {
    /// Which choice.
    pub index: u32,
    /// What is added; empty in the last frame of the choice.
    pub text: &'a str,
    /// Log-probabilities of the tokens that the text comes from, if asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// Set in the last frame of the choice.
    pub finish_reason: Option<FinishReason>,
}

/// Log-probabilities in the form of OpenAI's completions: lists with one entry per token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct CompletionLogprobs {
    /// Their texts; bytes that are no whole character show as U+FFFD.
    pub tokens: Vec<String>,
    /// Their log-probabilities (natural logarithm).
    pub token_logprobs: Vec<f32>,
    /// The most likely tokens at each position, by their texts.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, f32>>)]
    pub top_logprobs: Vec<TopTokens>,
    /// Where each token begins, in characters of the answer's text.
    pub text_offset: Vec<u32>,
}

/// The most likely tokens at one position, most likely first. On the wire an object, so of tokens
/// with the same text the most likely one stands for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopTokens(Vec<(String, f32)>);

impl FromIterator<(String, f32)> for TopTokens {
    fn from_iter<I: IntoIterator<Item = (String, f32)>>(tokens: I) -> Self {
        let mut kept: Vec<(String, f32)> = Vec::new();
        for (text, logprob) in tokens {
            if kept.iter().all(|(earlier, _)| *earlier != text) {
                kept.push((text, logprob));
            }
        }
        Self(kept)
    }
}

impl Serialize for TopTokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (text, logprob) in &self.0 {
            map.serialize_entry(text, logprob)?;
        }
        map.end()
    }
}
