//! The answer of a responses request, and the parts it shares with events.

use serde::Serialize;
use utoipa::ToSchema;

use super::settings::Settings;
use crate::openai::chat::TokenLogprob;

/// The whole answer; in a stream, the answer so far. It borrows, because a stream writes it several
/// times.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Response<'a> {
    /// `resp_` and 32 hexadecimal digits, ordered by time.
    #[schema(example = "resp_019516ecd5791194e7ce760dcc227413")]
    pub id: &'a str,
    /// Always `response`.
    #[schema(example = "response")]
    pub object: &'static str,
    /// When the call began, in seconds since 1970.
    pub created_at: i64,
    /// How far the answer is.
    pub status: ResponseStatus,
    /// Always `false`.
    pub background: bool,
    /// Why it failed.
    pub error: Option<ResponseError<'a>>,
    /// Why it is not complete.
    pub incomplete_details: Option<IncompleteDetails>,
    /// The model that was asked for.
    pub model: &'a str,
    /// What the model thought, said and called, in this order.
    pub output: &'a [OutputItem],
    /// What the call consumed; `null` until it has ended.
    pub usage: Option<ResponseUsage>,
    /// What the request asked for.
    #[serde(flatten)]
    pub settings: &'a Settings,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// It grows.
    InProgress,
    /// It is whole.
    Completed,
    /// Its limit ended it.
    Incomplete,
    /// The model failed.
    Failed,
}

/// Why an answer is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseIncompleteDetails)]
pub struct IncompleteDetails {
    /// `max_output_tokens`: that, or the end of the context.
    #[schema(example = "max_output_tokens")]
    pub reason: &'static str,
}

/// Why an answer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseError<'a> {
    /// Always `server_error`: the one of OpenAI's words that fits.
    #[schema(example = "server_error")]
    pub code: &'static str,
    /// In words.
    pub message: &'a str,
}

/// One item of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ResponseOutputItem)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem {
    /// What the model thought.
    Reasoning(ReasoningItem),
    /// What the model said.
    Message(MessageItem),
    /// What the model called.
    FunctionCall(FunctionCallItem),
}

/// What a model thought.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ResponseReasoningItem)]
pub struct ReasoningItem {
    /// `rs_` and 36 hexadecimal digits.
    pub id: String,
    /// How far it is.
    pub status: ItemStatus,
    /// Always empty: the reasoning itself is there.
    #[schema(value_type = Vec<Object>)]
    pub summary: [String; 0],
    /// One `reasoning_text`; nothing before it has begun.
    pub content: Vec<ContentPart>,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ResponseMessage)]
pub struct MessageItem {
    /// `msg_` and 36 hexadecimal digits.
    pub id: String,
    /// How far it is.
    pub status: ItemStatus,
    /// Always `assistant`.
    #[schema(example = "assistant")]
    pub role: &'static str,
    /// One `output_text`; nothing before it has begun.
    pub content: Vec<ContentPart>,
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseFunctionCall)]
pub struct FunctionCallItem {
    /// `fc_` and 36 hexadecimal digits.
    pub id: String,
    /// How far it is.
    pub status: ItemStatus,
    /// The call's id, by which its result is sent back.
    pub call_id: String,
    /// The function's name.
    pub name: String,
    /// JSON text as the model wrote it.
    pub arguments: String,
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseItemStatus)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// It grows.
    InProgress,
    /// It is whole.
    Completed,
    /// The answer ended before it did.
    Incomplete,
}

/// A part of an item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ResponseContentPart)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// What the model said.
    OutputText {
        /// The text.
        text: String,
        /// Always empty.
        #[schema(value_type = Vec<Object>)]
        annotations: [String; 0],
        /// Log-probabilities, if asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// What the model thought.
    ReasoningText {
        /// The text.
        text: String,
    },
}

impl ContentPart {
    /// Adds to it. Log-probabilities belong to what is said.
    pub fn push(&mut self, more: &str, tokens: Vec<TokenLogprob>) {
        match self {
            Self::OutputText { text, logprobs, .. } => {
                text.push_str(more);
                logprobs.extend(tokens);
            }
            Self::ReasoningText { text } => text.push_str(more),
        }
    }
}

impl OutputItem {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Reasoning(item) => &item.id,
            Self::Message(item) => &item.id,
            Self::FunctionCall(item) => &item.id,
        }
    }

    /// Its parts; calls have none.
    pub fn parts(&self) -> &[ContentPart] {
        match self {
            Self::Reasoning(item) => &item.content,
            Self::Message(item) => &item.content,
            Self::FunctionCall(_) => &[],
        }
    }

    /// Adds a part; to a call there is none to add.
    pub fn add_part(&mut self, part: ContentPart) {
        match self {
            Self::Reasoning(item) => item.content.push(part),
            Self::Message(item) => item.content.push(part),
            Self::FunctionCall(_) => {}
        }
    }

    /// The part that grows.
    pub fn last_part(&mut self) -> Option<&mut ContentPart> {
        match self {
            Self::Reasoning(item) => item.content.last_mut(),
            Self::Message(item) => item.content.last_mut(),
            Self::FunctionCall(_) => None,
        }
    }

    /// Says how far it is.
    pub const fn set_status(&mut self, status: ItemStatus) {
        match self {
            Self::Reasoning(item) => item.status = status,
            Self::Message(item) => item.status = status,
            Self::FunctionCall(item) => item.status = status,
        }
    }
}

/// Token counts of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseUsage {
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// Parts of the prompt.
    pub input_tokens_details: InputTokensDetails,
    /// Generated tokens, reasoning included.
    pub output_tokens: u32,
    /// Parts of the answer.
    pub output_tokens_details: OutputTokensDetails,
    /// Both together.
    pub total_tokens: u32,
}

/// Parts of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseInputTokensDetails)]
pub struct InputTokensDetails {
    /// Tokens that came from a cache.
    pub cached_tokens: u32,
    /// Always 0: nothing is charged for filling a cache.
    pub cache_write_tokens: u32,
}

/// Parts of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseOutputTokensDetails)]
pub struct OutputTokensDetails {
    /// Tokens of the reasoning.
    pub reasoning_tokens: u32,
}

impl ResponseUsage {
    /// Makes the counts of the wire. `cached` is a part of `prompt`, `reasoning` of `completion`.
    pub const fn new(prompt: u32, cached: u32, completion: u32, reasoning: u32) -> Self {
        Self {
            input_tokens: prompt,
            input_tokens_details: InputTokensDetails {
                cached_tokens: cached,
                cache_write_tokens: 0,
            },
            output_tokens: completion,
            output_tokens_details: OutputTokensDetails {
                reasoning_tokens: reasoning,
            },
            total_tokens: prompt.saturating_add(completion),
        }
    }
}
