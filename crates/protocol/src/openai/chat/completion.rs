//! The answer of a chat request that does not stream, and the parts it shares with chunks.

use serde::Serialize;
use utoipa::ToSchema;

/// The whole answer (contract section 3.3).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// 32 hexadecimal digits, ordered by time.
    #[schema(example = "019516ecd5791194e7ce760dcc227413")]
    pub id: String,
    /// Always `chat.completion`.
    #[schema(example = "chat.completion")]
    pub object: &'static str,
    /// When the call began, in seconds since 1970.
    pub created: i64,
    /// The model that was asked for.
    pub model: String,
    /// The choices, in the order of their index.
    pub choices: Vec<Choice>,
    /// What the call consumed.
    pub usage: Usage,
    /// Always empty.
    pub system_fingerprint: &'static str,
}

/// One choice of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Choice {
    /// From 0.
    pub index: u32,
    /// What the model said.
    pub message: AssistantMessage,
    /// Log-probabilities, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<ChoiceLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// What the model said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssistantMessage {
    /// Always `assistant`.
    #[schema(example = "assistant")]
    pub role: &'static str,
    /// The answer; empty when the model only called tools.
    pub content: String,
    /// The reasoning before the answer, of models that reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The calls that the model made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub tool_calls: Vec<ToolCall>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ToolCall {
    /// The call's id.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    #[schema(example = "function")]
    pub kind: &'static str,
    /// What is called.
    pub function: FunctionCall,
}

/// A function's name and arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// JSON text as the model wrote it.
    pub arguments: String,
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop text was met.
    Stop,
    /// `max_tokens` or the end of the context.
    Length,
    /// The model called tools.
    ToolCalls,
}

/// Token counts of a call; in a stream, cumulative in every chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Generated tokens, reasoning included.
    pub completion_tokens: u32,
    /// Both together.
    pub total_tokens: u32,
    /// Parts of the completion.
    pub completion_tokens_details: CompletionTokensDetails,
    /// Parts of the prompt.
    pub prompt_tokens_details: PromptTokensDetails,
    /// Prompt tokens that came from a cache.
    pub prompt_cache_hit_tokens: u32,
    /// Prompt tokens that had to be computed.
    pub prompt_cache_miss_tokens: u32,
}

/// Parts of the completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompletionTokensDetails {
    /// Tokens of the reasoning.
    pub reasoning_tokens: u32,
}

/// Parts of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptTokensDetails {
    /// Tokens that came from a cache.
    pub cached_tokens: u32,
}

impl Usage {
    /// Makes the counts of the wire. `cached` is a part of `prompt`, `reasoning` of `completion`.
    pub const fn new(prompt: u32, cached: u32, completion: u32, reasoning: u32) -> Self {
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt.saturating_add(completion),
            completion_tokens_details: CompletionTokensDetails {
                reasoning_tokens: reasoning,
            },
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: cached,
            },
            prompt_cache_hit_tokens: cached,
            prompt_cache_miss_tokens: prompt.saturating_sub(cached),
        }
    }
}

/// Log-probabilities of a choice, in OpenAI's form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ChoiceLogprobs {
    /// One entry per token of the content.
    pub content: Vec<TokenLogprob>,
}

/// One generated token.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TokenLogprob {
    /// Its text; bytes that are no whole character show as U+FFFD.
    pub token: String,
    /// Its log-probability (natural logarithm).
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The most likely tokens at this position.
    pub top_logprobs: Vec<TopLogprob>,
}

/// One likely token.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TopLogprob {
    /// Its text; bytes that are no whole character show as U+FFFD.
    pub token: String,
    /// Its log-probability (natural logarithm).
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
