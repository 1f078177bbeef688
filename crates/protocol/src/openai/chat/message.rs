//! The messages of a chat request.

use serde_json::value::RawValue;
use silica_types::{Image, MediaParts};

use super::completion::{FunctionCall, ToolCall};
use super::tool::function_name;
use crate::reader::{Kind, Object, Path, list, string};
use crate::{ApiError, ErrorCode};

/// Who said a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions; `developer` is read as this.
    System,
    /// The person; the default.
    #[default]
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message of a chat request.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ChatMessage {
    /// Who said it.
    pub role: Role,
    /// A text, or a list of parts. Text parts are joined by line breaks; `null` on an assistant
    /// turn is an empty text.
    pub content: String,
    /// The image, audio and video parts of the content.
    #[serde(skip_serializing_if = "MediaParts::is_empty")]
    pub media: MediaParts,
    /// The images themselves, in requests that are not forwarded as they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Earlier reasoning of an assistant turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The calls an assistant turn made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// For role `tool`: the call that this is the result of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// A participant's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The most messages of one request: far more than fit into any context, and few enough that
/// keeping them costs no more than the body itself.
pub(crate) const MOST_MESSAGES: usize = 65_536;
/// The most calls of one turn, as many as there can be tools.
const MOST_TOOL_CALLS: usize = 128;
/// The most bytes that the arguments of all calls in one request may have together. Templates see
/// them as trees, which take many times the size of their text.
pub(crate) const MOST_ARGUMENT_BYTES: usize = 1024 * 1024;

/// The members of a message that are read.
pub(super) const KNOWN: &[&str] = &[
    "role",
    "content",
    "reasoning_content",
    "tool_calls",
    "tool_call_id",
    "name",
];

/// Reads `messages`.
pub(super) fn messages(at: Path<'_>, raw: &RawValue) -> Result<Vec<ChatMessage>, ApiError> {
    let mut conversation = Conversation::default();
    list(at, raw, |item, raw| {
        conversation.has_room(at)?;
        conversation.add(&Object::read(item, raw, KNOWN)?)
    })?;
    conversation.end(at)
}

/// The messages of a request, read one after the other.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    messages: Vec<ChatMessage>,
    has_tool_call: bool,
    argument_bytes: usize,
}

impl Conversation {
    /// Refuses one more message when there are enough.
    pub(super) fn has_room(&self, at: Path<'_>) -> Result<(), ApiError> {
        if self.messages.len() < MOST_MESSAGES {
            return Ok(());
        }
        Err(at.fault("List should have at most 65536 items after validation"))
    }

    /// Reads the next message.
    pub(super) fn add(&mut self, object: &Object<'_, '_>) -> Result<(), ApiError> {
        let message = message(object, &mut self.argument_bytes)?;
        if message.role == Role::Tool && !self.has_tool_call {
            return Err(ApiError::invalid(
                "\"messages\" in request are illegal: Message has tool role, but there was no previous assistant message with a tool call!..",
            ));
        }
        self.has_tool_call |= !message.tool_calls.is_empty();
        self.messages.push(message);
        Ok(())
    }

    /// All of them.
    pub(super) fn end(self, at: Path<'_>) -> Result<Vec<ChatMessage>, ApiError> {
        if self.messages.is_empty() {
            return Err(at.fault_with(
                ErrorCode::MessageRequired,
                "List should have at least 1 item after validation",
            ));
        }
        Ok(self.messages)
    }
}

fn message(object: &Object<'_, '_>, argument_bytes: &mut usize) -> Result<ChatMessage, ApiError> {
    let role = object.optional("role", role)?.unwrap_or_default();
    let content = object.optional("content", content)?;
    let (content, media) = match (content, role) {
        (Some(content), _) => content,
        // Turns that only call tools have no text.
        (None, Role::Assistant) => (String::new(), MediaParts::default()),
        (None, Role::System | Role::User | Role::Tool) => {
            return Err(object.path("content").fault("Field required"));
        }
    };
    let tool_calls = match role {
        Role::Assistant => object
            .optional("tool_calls", |at, raw| tool_calls(at, raw, argument_bytes))?
            .unwrap_or_default(),
        Role::System | Role::User | Role::Tool => Vec::new(),
    };
    Ok(ChatMessage {
        role,
        content,
        media,
        images: Vec::new(),
        reasoning_content: object
            .optional("reasoning_content", string)?
            .filter(|text| !text.is_empty()),
        tool_calls,
        tool_call_id: object.optional("tool_call_id", string)?,
        name: object.optional("name", string)?,
    })
}

fn role(at: Path<'_>, raw: &RawValue) -> Result<Role, ApiError> {
    match string(at, raw)?.as_str() {
        "system" | "developer" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" => Ok(Role::Tool),
        _ => Err(at.fault("Input should be 'system', 'user', 'assistant' or 'tool'")),
    }
}

/// Reads a text or a list of parts; tells what there was beside text.
fn content(at: Path<'_>, raw: &RawValue) -> Result<(String, MediaParts), ApiError> {
    match Kind::of(raw) {
        Kind::String => Ok((string(at, raw)?, MediaParts::default())),
        Kind::Array => parts(at, raw),
        Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
            Err(at.fault("Input should be a valid string or a list of parts"))
        }
    }
}

fn parts(at: Path<'_>, raw: &RawValue) -> Result<(String, MediaParts), ApiError> {
    let mut media = MediaParts::default();
    let texts = list(at, raw, |at, raw| {
        let part = Object::read(at, raw, &["type", "text"])?;
        let kind = part.required("type", string)?;
        let counted = match kind.as_str() {
            "text" => return part.required("text", string).map(Some),
            "image_url" => &mut media.images,
            "video_url" => &mut media.videos,
            "audio_url" | "input_audio" => &mut media.sounds,
            _ => {
                return Err(part.path("type").fault_with(
                    ErrorCode::MessageFormatInvalid,
                    "Input should be 'text' or 'image_url'",
                ));
            }
        };
        *counted += 1;
        media.bytes += raw.get().len();
        Ok(None)
    })?;
    if texts.is_empty() {
        return Err(at.fault("List should have at least 1 item after validation"));
    }
    let texts: Vec<String> = texts.into_iter().flatten().collect();
    Ok((texts.join("\n"), media))
}

fn tool_calls(at: Path<'_>, raw: &RawValue, argument_bytes: &mut usize) -> Result<Vec<ToolCall>, ApiError> {
    let mut count = 0;
    list(at, raw, |item, raw| {
        count += 1;
        if count > MOST_TOOL_CALLS {
            return Err(at.fault("List should have at most 128 items after validation"));
        }
        let call = Object::read(item, raw, &["id", "type", "function"])?;
        if call
            .optional("type", string)?
            .is_some_and(|kind| kind != "function")
        {
            return Err(call.path("type").fault("Input should be 'function'"));
        }
        let function = call.required("function", |at, raw| {
            let function = Object::read(at, raw, &["name", "arguments"])?;
            Ok(FunctionCall {
                name: function.required("name", function_name)?,
                arguments: function
                    .optional("arguments", |at, raw| {
                        let arguments = string(at, raw)?;
                        *argument_bytes += arguments.len();
                        if *argument_bytes > MOST_ARGUMENT_BYTES {
                            return Err(at.fault("Arguments should have at most 1048576 bytes together"));
                        }
                        Ok(arguments)
                    })?
                    .unwrap_or_default(),
            })
        })?;
        Ok(ToolCall {
            id: call.required("id", string)?,
            kind: "function",
            function,
        })
    })
}
