//! The body of a messages request.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::content::{Conversation, conversation, system};
use super::tool::{tool_choice, tools};
use crate::openai::chat::{ChatMessage, Role, ToolChoice, ToolDefinition};
use crate::parameters::{Lowest, bounded_schema, integer_within, max_tokens, model, stop, within};
use crate::reader::{Kind, Object, Path, boolean, integer, string};
use crate::{ApiError, ErrorCode, RequestBody};

/// A messages request, read, checked and turned into the terms of chats: blocks of results are
/// messages of their own, the system prompt is the first message. `None` and empty lists mean "not
/// given". Fields that the API tolerates without effect (`metadata`, `service_tier`, `cache_control`
/// and unknown ones) are not kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessagesRequest {
    /// The model's catalogue name, not empty.
    pub model: String,
    /// The conversation; empty when it is nothing but the text that the answer continues.
    pub messages: Vec<ChatMessage>,
    /// Text that the answer continues: that of an assistant's turn at the end. Not empty.
    pub prefill: Option<String>,
    /// Whether to answer as a stream of events.
    pub stream: bool,
    /// The most tokens, at least 1.
    pub max_tokens: u32,
    /// Texts that end the answer: up to 4 of up to 1024 bytes, none empty.
    pub stop_sequences: Vec<String>,
    /// 0 to 2.
    pub temperature: Option<f32>,
    /// Above 0, up to 1.
    pub top_p: Option<f32>,
    /// How many of the most likely tokens are drawn from, at least 1.
    pub top_k: Option<u32>,
    /// Functions that the model may call, up to 128.
    pub tools: Vec<ToolDefinition>,
    /// Which of them it may or must call.
    pub tool_choice: ToolChoice,
    /// Whether it may make several calls in one turn.
    pub parallel_calls: bool,
    /// Whether the model thinks first.
    pub thinking: Option<ThinkingSetting>,
    /// The schema that the answer must follow.
    pub form: Option<Value>,
}

/// Whether a model thinks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThinkingSetting {
    /// It does, with at most this many tokens.
    Enabled(u32),
    /// It does not.
    Disabled,
}

impl MessagesRequest {
    /// Whether any message has anything but text.
    pub fn has_media(&self) -> bool {
        self.messages.iter().any(|message| !message.media.is_empty())
    }
}

pub(super) const KNOWN: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "stop_sequences",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
];

impl RequestBody for MessagesRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        let body = Object::read_body(text, KNOWN)?;
        let request = Self::read(&body, |body| body.required("max_tokens", max_tokens))?;
        if request.form.is_some() && request.prefill.is_some() {
            return Err(ErrorCode::PrefixJsonMode.into());
        }
        Ok(request)
    }
}

/// A request for the size of a prompt: as for an answer, but for how long that may be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenCountRequest(pub MessagesRequest);

impl RequestBody for TokenCountRequest {
    fn from_json(text: &str) -> Result<Self, ApiError> {
        let body = Object::read_body(text, KNOWN)?;
        MessagesRequest::read(&body, |_| Ok(1)).map(Self)
    }
}

impl MessagesRequest {
    fn read(
        body: &Object<'_, '_>,
        max_tokens: impl FnOnce(&Object<'_, '_>) -> Result<u32, ApiError>,
    ) -> Result<Self, ApiError> {
        let model = body.optional("model", model)?.ok_or(ErrorCode::ModelRequired)?;
        let max_tokens = max_tokens(body)?;
        let Conversation { messages, prefill } = body
            .optional("messages", conversation)?
            .ok_or(ErrorCode::MessageRequired)?;
        let choice = body.optional("tool_choice", tool_choice)?;
        let (tool_choice, parallel_calls) = choice.unwrap_or((ToolChoice::default(), true));
        let system = body.optional("system", system)?.filter(|text| !text.is_empty());
        Ok(Self {
            model,
            messages: system.map(system_message).into_iter().chain(messages).collect(),
            prefill,
            stream: body.optional("stream", boolean)?.unwrap_or(false),
            max_tokens,
            stop_sequences: body
                .optional("stop_sequences", stop_sequences)?
                .unwrap_or_default(),
            temperature: body.optional("temperature", |at, raw| within(at, raw, Lowest::From(0.0), 2.0))?,
            top_p: body.optional("top_p", |at, raw| within(at, raw, Lowest::Above(0.0), 1.0))?,
            top_k: body.optional("top_k", top_k)?.flatten(),
            tools: body.optional("tools", tools)?.unwrap_or_default(),
            tool_choice,
            parallel_calls,
            thinking: body.optional("thinking", thinking)?,
            form: body.optional("output_config", form)?.flatten(),
        })
    }
}

fn system_message(content: String) -> ChatMessage {
    ChatMessage {
        role: Role::System,
        content,
        ..ChatMessage::default()
    }
}

fn stop_sequences(at: Path<'_>, raw: &RawValue) -> Result<Vec<String>, ApiError> {
    if Kind::of(raw) != Kind::Array {
        return Err(at.fault("Input should be a valid list"));
    }
    stop(at, raw)
}

/// Reads `top_k`; 0 and -1 stand for all tokens.
fn top_k(at: Path<'_>, raw: &RawValue) -> Result<Option<u32>, ApiError> {
    match integer(at, raw)? {
        -1 | 0 => Ok(None),
        _ => integer_within(at, raw, 1, u32::MAX).map(Some),
    }
}

fn thinking(at: Path<'_>, raw: &RawValue) -> Result<ThinkingSetting, ApiError> {
    let object = Object::read(at, raw, &["type", "budget_tokens"])?;
    match object.optional("type", string)?.as_deref() {
        Some("disabled") => Ok(ThinkingSetting::Disabled),
        Some("enabled") => {
            let budget = object
                .get("budget_tokens")
                .ok_or(ErrorCode::ThinkingBudgetMissing)?;
            let tokens = integer(object.path("budget_tokens"), budget);
            let tokens = tokens.ok().filter(|tokens| *tokens > 0);
            let tokens = tokens.ok_or(ErrorCode::ThinkingBudgetInvalid)?;
            Ok(ThinkingSetting::Enabled(
                u32::try_from(tokens).unwrap_or(u32::MAX),
            ))
        }
        Some(_) | None => Err(ErrorCode::ThinkingTypeInvalid.into()),
    }
}

/// Reads the schema of `output_config.format`. Its `effort` is tolerated without effect.
fn form(at: Path<'_>, raw: &RawValue) -> Result<Option<Value>, ApiError> {
    Object::read(at, raw, &["format"])?.optional("format", |at, raw| {
        let format = Object::read(at, raw, &["type", "schema"])?;
        if format.required("type", string)? != "json_schema" {
            return Err(format.path("type").fault("Input should be 'json_schema'"));
        }
        format.required("schema", bounded_schema)
    })
}
