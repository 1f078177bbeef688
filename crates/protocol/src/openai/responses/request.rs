//! The body of a responses request.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::input::conversation;
use super::tool::{ToolSelection, tool_choice, tools};
use crate::openai::chat::tool::function_name;
use crate::openai::chat::{ChatMessage, ToolDefinition};
use crate::parameters::{Lowest, bounded_schema, integer_within, max_tokens, model, within};
use crate::reader::{Object, Path, boolean, dictionary, list, string};
use crate::{ApiError, ErrorCode, RequestBody};

/// A responses request, read, checked and turned into the terms of chats. `None` and empty lists mean
/// "not given". Fields that the API tolerates without effect (`store`, `truncation`, `user`,
/// `service_tier`, `prompt_cache_key` and unknown ones) are not kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResponsesRequest {
    /// The model's catalogue name, not empty.
    pub model: String,
    /// What stands before the conversation.
    pub instructions: Option<String>,
    /// The conversation, at least one message.
    pub messages: Vec<ChatMessage>,
    /// Whether to answer as a stream of events.
    pub stream: bool,
    /// The most tokens, reasoning included, at least 1.
    pub max_output_tokens: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f32>,
    /// Above 0, up to 1.
    pub top_p: Option<f32>,
    /// Log-probabilities with this many alternatives (0 to 20), if asked for.
    pub logprobs: Option<u8>,
    /// Functions that the model may call, up to 128.
    pub tools: Vec<ToolDefinition>,
    /// Which of them it may or must call.
    pub tool_choice: ToolSelection,
    /// Whether it may make several calls in one turn.
    pub parallel_tool_calls: bool,
    /// The form of the answer.
    pub format: TextFormat,
    /// How much a model that can reason does so.
    pub effort: Option<Effort>,
    /// Up to 16 pairs, which the answer repeats.
    pub metadata: BTreeMap<String, String>,
}

/// The form of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TextFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// 1 to 64 of `A-Za-z0-9_-`.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Whether the answer must follow it exactly.
        strict: bool,
    },
}

/// How much a model reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReasoningEffort)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Not at all.
    None,
    /// As it does by itself, as all that follow.
    Minimal,
    /// See `minimal`.
    Low,
    /// See `minimal`.
    Medium,
    /// See `minimal`.
    High,
    /// See `minimal`.
    Xhigh,
    /// See `minimal`.
    Max,
}

impl ResponsesRequest {
    /// Whether any message has anything but text.
    pub fn has_media(&self) -> bool {
        self.messages.iter().any(|message| !message.media.is_empty())
    }
}

pub(super) const KNOWN: &[&str] = &[
    "model",
    "input",
    "instructions",
    "stream",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "include",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "metadata",
    "store",
    "truncation",
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
];

/// Fields that ask for what earlier requests left behind, or for an answer later. Passing them over
/// would answer something else than was asked.
const REFUSED: [(&str, &str); 4] = [
    (
        "previous_response_id",
        "Value error, no responses are stored here: send the whole conversation in `input`",
    ),
    (
        "conversation",
        "Value error, no conversations are stored here: send the whole conversation in `input`",
    ),
    (
        "prompt",
        "Value error, no prompts are stored here: send `instructions` and `input`",
    ),
    (
        "background",
        "Value error, background mode is not supported: use `stream`",
    ),
];

impl RequestBody for ResponsesRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        let body = Object::read_body(text, KNOWN)?;
        let model = body.optional("model", model)?.ok_or(ErrorCode::ModelRequired)?;
        refuse_memory(&body)?;
        body.optional("store", boolean)?;
        body.optional("truncation", truncation)?;
        Ok(Self {
            model,
            messages: body
                .optional("input", conversation)?
                .ok_or(ErrorCode::InputRequired)?,
            instructions: body
                .optional("instructions", string)?
                .filter(|text| !text.is_empty()),
            stream: body.optional("stream", boolean)?.unwrap_or(false),
            max_output_tokens: body.optional("max_output_tokens", max_tokens)?,
            temperature: body.optional("temperature", |at, raw| within(at, raw, Lowest::From(0.0), 2.0))?,
            top_p: body.optional("top_p", |at, raw| within(at, raw, Lowest::Above(0.0), 1.0))?,
            logprobs: logprobs(&body)?,
            tools: body.optional("tools", tools)?.unwrap_or_default(),
            tool_choice: body.optional("tool_choice", tool_choice)?.unwrap_or_default(),
            parallel_tool_calls: body.optional("parallel_tool_calls", boolean)?.unwrap_or(true),
            format: body.optional("text", format)?.unwrap_or_default(),
            effort: body.optional("reasoning", effort)?.flatten(),
            metadata: body.optional("metadata", metadata)?.unwrap_or_default(),
        })
    }
}

fn refuse_memory(body: &Object<'_, '_>) -> Result<(), ApiError> {
    for (name, text) in REFUSED {
        // `background: false` is what everybody gets.
        if body.get(name).is_some_and(|raw| raw.get() != "false") {
            return Err(body.path(name).fault(text));
        }
    }
    Ok(())
}

/// Checks `truncation`. Nothing is ever cut off a conversation: `auto` permits it, and does not
/// demand it.
fn truncation(at: Path<'_>, raw: &RawValue) -> Result<(), ApiError> {
    match string(at, raw)?.as_str() {
        "auto" | "disabled" => Ok(()),
        _ => Err(at.fault("Input should be 'auto' or 'disabled'")),
    }
}

/// Log-probabilities come when `include` names them, as OpenAI has it. What else it may name belongs
/// to tools that do not exist here, or is in every answer.
fn logprobs(body: &Object<'_, '_>) -> Result<Option<u8>, ApiError> {
    let mut wanted = false;
    body.optional("include", |at, raw| {
        list(at, raw, |at, raw| {
            wanted |= string(at, raw)? == "message.output_text.logprobs";
            Ok(())
        })
    })?;
    let top = body.optional("top_logprobs", |at, raw| integer_within(at, raw, 0, 20))?;
    Ok(wanted.then(|| u8::try_from(top.unwrap_or(0)).unwrap_or(u8::MAX)))
}

/// Reads `text`. Its `verbosity` is tolerated without effect.
fn format(at: Path<'_>, raw: &RawValue) -> Result<TextFormat, ApiError> {
    let read = |at: Path<'_>, raw: &RawValue| {
        let known = &["type", "name", "description", "schema", "strict"];
        let format = Object::read(at, raw, known)?;
        match format.required("type", string)?.as_str() {
            "text" => Ok(TextFormat::Text),
            "json_object" => Ok(TextFormat::JsonObject),
            "json_schema" => Ok(TextFormat::JsonSchema {
                name: format.required("name", function_name)?,
                description: format.optional("description", string)?,
                schema: format.required("schema", bounded_schema)?,
                strict: format.optional("strict", boolean)?.unwrap_or(false),
            }),
            _ => Err(format
                .path("type")
                .fault("Input should be 'text', 'json_object' or 'json_schema'")),
        }
    };
    Object::read(at, raw, &["format"])?
        .optional("format", read)
        .map(Option::unwrap_or_default)
}

/// Reads `reasoning`. Its `summary` is tolerated without effect: the whole reasoning is in the answer.
fn effort(at: Path<'_>, raw: &RawValue) -> Result<Option<Effort>, ApiError> {
    Object::read(at, raw, &["effort"])?.optional("effort", |at, raw| match string(at, raw)?.as_str() {
        "none" => Ok(Effort::None),
        "minimal" => Ok(Effort::Minimal),
        "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        "high" => Ok(Effort::High),
        "xhigh" => Ok(Effort::Xhigh),
        "max" => Ok(Effort::Max),
        _ => Err(at.fault("Input should be 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max'")),
    })
}

/// Reads `metadata`, within OpenAI's limits.
fn metadata(at: Path<'_>, raw: &RawValue) -> Result<BTreeMap<String, String>, ApiError> {
    const MOST_PAIRS: usize = 16;
    const MOST_KEY_CHARACTERS: usize = 64;
    const MOST_VALUE_CHARACTERS: usize = 512;
    let mut pairs = BTreeMap::new();
    dictionary(at, raw, |key, raw| {
        // The key is the caller's text, so it does not appear in the error.
        let value = string(at, raw).map_err(|_| at.fault("Values should be valid strings"))?;
        if key.chars().count() > MOST_KEY_CHARACTERS {
            return Err(at.fault("Keys should have at most 64 characters"));
        }
        if value.chars().count() > MOST_VALUE_CHARACTERS {
            return Err(at.fault("Values should have at most 512 characters"));
        }
        pairs.insert(key.to_owned(), value);
        if pairs.len() > MOST_PAIRS {
            return Err(at.fault("Dictionary should have at most 16 items after validation"));
        }
        Ok(())
    })?;
    Ok(pairs)
}
