//! The frames of a streamed answer (contract section 3.5). They borrow, because one is written
//! for every token; the order of fields is that of the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::completion::{ChoiceLogprobs, FinishReason, Usage};

/// One frame.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ChatCompletionChunk)]
pub struct Chunk<'a> {
    /// The same in every frame of an answer: 32 hexadecimal digits.
    pub id: &'a str,
    /// Always `chat.completion.chunk`.
    pub object: &'static str,
    /// When the call began, in seconds since 1970.
    pub created: i64,
    /// The model that was asked for.
    pub model: &'a str,
    /// Exactly one choice: clients index `choices[0]` without a check.
    pub choices: [ChunkChoice<'a>; 1],
    /// Always empty.
    pub system_fingerprint: &'static str,
    /// What the call has consumed so far, over all choices.
    pub usage: Usage,
}

/// What a frame adds to a choice.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChunkChoice<'a> {
    /// Which choice.
    pub index: u32,
    /// What is added.
    pub delta: ChunkDelta<'a>,
    /// Log-probabilities of the tokens that the content comes from, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<ChoiceLogprobs>,
    /// Set in the last frame of the choice.
    pub finish_reason: Option<FinishReason>,
}

/// What is added. `content` and `reasoning_content` are always there, one of them `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChunkDelta<'a> {
    /// Answer text.
    pub content: Option<&'a str>,
    /// Reasoning text.
    pub reasoning_content: Option<&'a str>,
    /// `assistant`, in the first frame of a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// At most one piece of a tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ToolCallDelta>>)]
    pub tool_calls: Option<[ToolCallDelta<'a>; 1]>,
}

/// A piece of a tool call. The first has id, type and name; later ones leave them out as OpenAI
/// does, rather than send the wire's `null`, because the Python library's stream helper takes a
/// later `"type":null` for the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ToolCallDelta<'a> {
    /// Which call of the choice.
    pub index: u32,
    /// The call's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// `function`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The function's name or more of its arguments.
    pub function: FunctionDelta<'a>,
}

/// A piece of a function call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionDelta<'a> {
    /// The function's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// JSON text to append; empty in the first piece.
    pub arguments: &'a str,
}

/// The frame that ends a stream which failed after it began. The contract leaves its form open;
/// this is the one that clients of such services read (section 1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamError<'a> {
    /// What went wrong.
    pub error: StreamErrorDetail<'a>,
}

/// What went wrong in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamErrorDetail<'a> {
    /// The business error code.
    pub code: u32,
    /// In words.
    pub message: &'a str,
}
