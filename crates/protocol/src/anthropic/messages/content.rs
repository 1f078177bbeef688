//! The conversation of a messages request: blocks become messages of a chat.

use std::collections::HashSet;

use crate::content::Content;
use crate::openai::chat::tool::function_name;
use crate::openai::chat::{ChatMessage, FunctionCall, Role, ToolCall};
use crate::reader::{Kind, Object, Path, list, string};
use crate::{ApiError, ErrorCode};
use serde_json::value::RawValue;

/// A conversation in the terms of chats.
pub(super) struct Conversation {
    pub(super) messages: Vec<ChatMessage>,
    /// The text of an assistant's turn at the end, which is not among the messages then.
    pub(super) prefill: Option<String>,
}

/// The most messages and blocks of one request: far more than fit into any context, and few enough
/// that keeping them costs no more than the body itself.
const MOST_BLOCKS: usize = 65_536;
/// The most bytes that the inputs of all calls in one request may have together. Templates see them
/// as trees, which take many times the size of their text.
const MOST_INPUT_BYTES: usize = 1024 * 1024;

/// The images that Anthropic's API takes in base64.
const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Reads `messages`.
pub(super) fn conversation(at: Path<'_>, raw: &RawValue) -> Result<Conversation, ApiError> {
    let mut reading = Reading::default();
    list(at, raw, |item, raw| reading.message(item, raw))?;
    let mut messages = reading.messages;
    if messages.is_empty() {
        let text = "List should have at least 1 item after validation";
        return Err(at.fault_with(ErrorCode::MessageRequired, text));
    }
    let is_prefill = |last: &mut ChatMessage| last.role == Role::Assistant && last.tool_calls.is_empty();
    let prefill = messages.pop_if(is_prefill).map(|last| last.content);
    Ok(Conversation {
        messages,
        prefill: prefill.filter(|text| !text.is_empty()),
    })
}

/// Reads `system`: a text or blocks of text.
pub(super) fn system(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    let mut reading = Reading::default();
    reading.texts(at, raw, Role::System)
}

/// What is known of a conversation while it is read.
#[derive(Default)]
struct Reading {
    messages: Vec<ChatMessage>,
    /// The ids of the calls so far.
    calls: HashSet<String>,
    blocks: usize,
    input_bytes: usize,
}

/// One turn while it is read.
#[derive(Default)]
struct Turn {
    content: Content,
    thoughts: Vec<String>,
    calls: Vec<ToolCall>,
}

impl Reading {
    fn message(&mut self, at: Path<'_>, raw: &RawValue) -> Result<(), ApiError> {
        self.count(at)?;
        let object = Object::read(at, raw, &["role", "content"])?;
        let role = object.required("role", role)?;
        object.required("content", |at, raw| match Kind::of(raw) {
            Kind::String => {
                let turn = Turn {
                    content: Content::of_text(string(at, raw)?),
                    ..Turn::default()
                };
                self.end(role, turn);
                Ok(())
            }
            Kind::Array => self.blocks(at, raw, role),
            Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
                Err(at.fault("Input should be a valid string or a list of blocks"))
            }
        })
    }

    /// Reads the blocks of a turn. The result of a call ends what was said before it: it is a message
    /// of its own.
    fn blocks(&mut self, at: Path<'_>, raw: &RawValue, role: Role) -> Result<(), ApiError> {
        const KNOWN: &[&str] = &[
            "type",
            "text",
            "thinking",
            "id",
            "name",
            "input",
            "tool_use_id",
            "content",
            "source",
        ];
        let (mut turn, before) = (Turn::default(), self.messages.len());
        list(at, raw, |at, raw| {
            self.count(at)?;
            let block = Object::read(at, raw, KNOWN)?;
            match (block.required("type", string)?.as_str(), role) {
                ("text", _) => turn.content.push_text(&block.required("text", string)?),
                ("image", Role::User) => {
                    turn.content.push_image(image(&block)?, None, raw.get().len());
                }
                ("tool_result", Role::User) => {
                    let said = std::mem::take(&mut turn);
                    if !said.is_empty() {
                        self.end(role, said);
                    }
                    let result = self.tool_result(&block)?;
                    self.messages.push(result);
                }
                ("thinking", Role::Assistant) => turn.thoughts.push(block.required("thinking", string)?),
                // Unreadable by intent; the model has nothing of it.
                ("redacted_thinking", Role::Assistant) => {}
                ("tool_use", Role::Assistant) => turn.calls.push(self.tool_use(&block)?),
                _ => {
                    return Err(block
                        .path("type")
                        .fault_with(ErrorCode::MessageFormatInvalid, expected(role)));
                }
            }
            Ok(())
        })?;
        // A turn that consists of results has said nothing itself.
        if !turn.is_empty() || self.messages.len() == before {
            self.end(role, turn);
        }
        Ok(())
    }

    fn tool_use(&mut self, block: &Object<'_, '_>) -> Result<ToolCall, ApiError> {
        let id = block.required("id", string)?;
        let arguments = block.required("input", |at, raw| {
            self.input_bytes += raw.get().len();
            if self.input_bytes > MOST_INPUT_BYTES {
                return Err(at.fault("Inputs should have at most 1048576 bytes together"));
            }
            match Kind::of(raw) {
                Kind::Object => Ok(raw.get().to_owned()),
                _ => Err(at.fault("Input should be a valid dictionary")),
            }
        })?;
        self.calls.insert(id.clone());
        let name = block.required("name", function_name)?;
        Ok(ToolCall {
            id,
            kind: "function",
            function: FunctionCall { name, arguments },
        })
    }

    fn tool_result(&mut self, block: &Object<'_, '_>) -> Result<ChatMessage, ApiError> {
        let id = block.required("tool_use_id", string)?;
        if !self.calls.contains(&id) {
            let text = "Value error, there is no earlier `tool_use` block with this id";
            return Err(block.path("tool_use_id").fault(text));
        }
        let content = block.optional("content", |at, raw| self.result_content(at, raw))?;
        Ok(ChatMessage {
            role: Role::Tool,
            tool_call_id: Some(id),
            ..content.unwrap_or_default().into_message()
        })
    }

    fn result_content(&mut self, at: Path<'_>, raw: &RawValue) -> Result<Content, ApiError> {
        if Kind::of(raw) == Kind::String {
            return Ok(Content::of_text(string(at, raw)?));
        }
        let mut content = Content::default();
        list(at, raw, |at, raw| {
            self.count(at)?;
            let part = Object::read(at, raw, &["type", "text", "source"])?;
            match part.required("type", string)?.as_str() {
                "text" => content.push_text(&part.required("text", string)?),
                "image" => content.push_image(image(&part)?, None, raw.get().len()),
                _ => {
                    let text = "Input should be 'text' or 'image'";
                    return Err(part
                        .path("type")
                        .fault_with(ErrorCode::MessageFormatInvalid, text));
                }
            }
            Ok(())
        })?;
        Ok(content)
    }

    /// Reads a text or blocks of nothing but text.
    fn texts(&mut self, at: Path<'_>, raw: &RawValue, role: Role) -> Result<String, ApiError> {
        match Kind::of(raw) {
            Kind::String => return string(at, raw),
            Kind::Array => self.blocks(at, raw, role)?,
            Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
                return Err(at.fault("Input should be a valid string or a list of blocks"));
            }
        }
        Ok(self
            .messages
            .pop()
            .map(|message| message.content)
            .unwrap_or_default())
    }

    fn end(&mut self, role: Role, turn: Turn) {
        let thoughts = turn.thoughts.join("\n");
        self.messages.push(ChatMessage {
            role,
            reasoning_content: Some(thoughts).filter(|text| !text.is_empty()),
            tool_calls: turn.calls,
            ..turn.content.into_message()
        });
    }

    fn count(&mut self, at: Path<'_>) -> Result<(), ApiError> {
        self.blocks += 1;
        if self.blocks > MOST_BLOCKS {
            return Err(at.fault("There should be at most 65536 messages and blocks together"));
        }
        Ok(())
    }
}

/// The address of a block's image; one that came in base64 becomes a `data:` URL.
fn image(block: &Object<'_, '_>) -> Result<String, ApiError> {
    block.required("source", |at, raw| {
        let source = Object::read(at, raw, &["type", "media_type", "data", "url"])?;
        match source.required("type", string)?.as_str() {
            "url" => source.required("url", string),
            "base64" => {
                let media_type = source.required("media_type", string)?;
                if !IMAGE_TYPES.contains(&media_type.as_str()) {
                    let text = "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'";
                    return Err(source.path("media_type").fault(text));
                }
                let data = source.required("data", string)?;
                if !is_base64(&data) {
                    return Err(source.path("data").fault("Input should be valid base64"));
                }
                Ok(format!("data:{media_type};base64,{data}"))
            }
            "file" => {
                let text = "Value error, no files are stored here: send the image itself";
                Err(source.path("type").fault(text))
            }
            _ => Err(source.path("type").fault("Input should be 'base64' or 'url'")),
        }
    })
}

/// Whether a text consists of base64 alone; whether it is an image only a decoder can tell.
fn is_base64(data: &str) -> bool {
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    !digits.is_empty()
        && data.len() - digits.len() <= 2
        && data.len().is_multiple_of(4)
        && digits.bytes().all(is_digit)
}

impl Turn {
    const fn is_empty(&self) -> bool {
        self.content.is_empty() && self.thoughts.is_empty() && self.calls.is_empty()
    }
}

fn role(at: Path<'_>, raw: &RawValue) -> Result<Role, ApiError> {
    match string(at, raw)?.as_str() {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        _ => Err(at.fault("Input should be 'user', 'assistant' or 'system'")),
    }
}

const fn expected(role: Role) -> &'static str {
    match role {
        Role::User => "Input should be 'text', 'image' or 'tool_result'",
        Role::Assistant => "Input should be 'text', 'thinking', 'redacted_thinking' or 'tool_use'",
        Role::System | Role::Tool => "Input should be 'text'",
    }
}
