//! The conversation of a responses request: items become messages of a chat.

use std::collections::HashSet;

use serde_json::value::RawValue;
use silica_types::ImageDetail;

use crate::content::Content;
use crate::openai::chat::message::{MOST_ARGUMENT_BYTES, MOST_MESSAGES};
use crate::openai::chat::tool::function_name;
use crate::openai::chat::{ChatMessage, FunctionCall, Role, ToolCall};
use crate::reader::{Kind, Object, Path, list, string};
use crate::{ApiError, ErrorCode};

/// Reads `input`: a text of the person, or a list of items.
pub(super) fn conversation(at: Path<'_>, raw: &RawValue) -> Result<Vec<ChatMessage>, ApiError> {
    match Kind::of(raw) {
        Kind::String => Ok(vec![ChatMessage {
            content: string(at, raw)?,
            ..ChatMessage::default()
        }]),
        Kind::Array => {
            let mut reading = Reading::default();
            list(at, raw, |item, raw| reading.item(item, raw))?;
            if reading.messages.is_empty() {
                let text = "List should have at least 1 message after validation";
                return Err(at.fault_with(ErrorCode::InputRequired, text));
            }
            Ok(reading.messages)
        }
        Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
            Err(at.fault("Input should be a valid string or a list of items"))
        }
    }
}

/// What is known of a conversation while it is read.
#[derive(Default)]
struct Reading {
    messages: Vec<ChatMessage>,
    /// Reasoning that belongs to the assistant's turn after it.
    thoughts: Vec<String>,
    /// The ids of the calls so far.
    calls: HashSet<String>,
    /// Items and parts so far.
    parts: usize,
    argument_bytes: usize,
}

const ITEM: &[&str] = &[
    "type",
    "role",
    "content",
    "summary",
    "call_id",
    "name",
    "arguments",
    "output",
];

impl Reading {
    fn item(&mut self, at: Path<'_>, raw: &RawValue) -> Result<(), ApiError> {
        self.count(at)?;
        let item = Object::read(at, raw, ITEM)?;
        match item.optional("type", string)?.as_deref() {
            None | Some("message") => self.message(&item),
            Some("reasoning") => self.reasoning(&item),
            Some("function_call") => self.function_call(&item),
            Some("function_call_output") => self.function_call_output(&item),
            Some("item_reference") => {
                let text = "Value error, no items are stored here: send the item itself";
                Err(item.path("type").fault(text))
            }
            Some(_) => Err(item.path("type").fault_with(
                ErrorCode::MessageFormatInvalid,
                "Input should be 'message', 'reasoning', 'function_call' or 'function_call_output'",
            )),
        }
    }

    fn message(&mut self, item: &Object<'_, '_>) -> Result<(), ApiError> {
        let role = item.required("role", role)?;
        let content = item.required("content", |at, raw| self.content(at, raw, role))?;
        // Reasoning that no turn of the assistant follows is of no use.
        let thoughts = self.take_thoughts().filter(|_| role == Role::Assistant);
        self.messages.push(ChatMessage {
            role,
            reasoning_content: thoughts,
            ..content.into_message()
        });
        Ok(())
    }

    /// Reads what the model thought: its own words, or the summary where there are none. What is
    /// encrypted was encrypted by another service.
    fn reasoning(&mut self, item: &Object<'_, '_>) -> Result<(), ApiError> {
        let mut texts = item.optional("content", |at, raw| self.reasoning_texts(at, raw))?;
        if texts.as_ref().is_none_or(Vec::is_empty) {
            texts = item.optional("summary", |at, raw| self.reasoning_texts(at, raw))?;
        }
        self.thoughts.extend(texts.unwrap_or_default());
        Ok(())
    }

    fn reasoning_texts(&mut self, at: Path<'_>, raw: &RawValue) -> Result<Vec<String>, ApiError> {
        list(at, raw, |at, raw| {
            self.count(at)?;
            Object::read(at, raw, &["text"])?.required("text", string)
        })
    }

    /// Adds a call to the assistant's turn before it, unless reasoning in between has begun another.
    fn function_call(&mut self, item: &Object<'_, '_>) -> Result<(), ApiError> {
        let id = item.required("call_id", string)?;
        let name = item.required("name", function_name)?;
        let arguments = item.required("arguments", |at, raw| {
            let arguments = string(at, raw)?;
            self.argument_bytes += arguments.len();
            if self.argument_bytes > MOST_ARGUMENT_BYTES {
                return Err(at.fault("Arguments should have at most 1048576 bytes together"));
            }
            Ok(arguments)
        })?;
        self.calls.insert(id.clone());
        let call = ToolCall {
            id,
            kind: "function",
            function: FunctionCall { name, arguments },
        };
        match (self.take_thoughts(), self.messages.last_mut()) {
            (None, Some(turn)) if turn.role == Role::Assistant => turn.tool_calls.push(call),
            (reasoning_content, _) => self.messages.push(ChatMessage {
                role: Role::Assistant,
                reasoning_content,
                tool_calls: vec![call],
                ..ChatMessage::default()
            }),
        }
        Ok(())
    }

    fn function_call_output(&mut self, item: &Object<'_, '_>) -> Result<(), ApiError> {
        let id = item.required("call_id", string)?;
        if !self.calls.contains(&id) {
            let text = "Value error, there is no earlier `function_call` item with this id";
            return Err(item.path("call_id").fault(text));
        }
        let content = item.required("output", |at, raw| self.content(at, raw, Role::Tool))?;
        self.messages.push(ChatMessage {
            role: Role::Tool,
            tool_call_id: Some(id),
            ..content.into_message()
        });
        Ok(())
    }

    /// Reads a text or a list of parts.
    fn content(&mut self, at: Path<'_>, raw: &RawValue, role: Role) -> Result<Content, ApiError> {
        match Kind::of(raw) {
            Kind::String => return Ok(Content::of_text(string(at, raw)?)),
            Kind::Array => {}
            Kind::Object | Kind::Bool | Kind::Null | Kind::Number => {
                return Err(at.fault("Input should be a valid string or a list of parts"));
            }
        }
        let mut content = Content::default();
        list(at, raw, |at, raw| {
            self.count(at)?;
            let part = Object::read(at, raw, &["type", "text", "refusal", "image_url", "detail"])?;
            match (part.required("type", string)?.as_str(), role) {
                ("input_text" | "output_text", _) => content.push_text(&part.required("text", string)?),
                ("refusal", Role::Assistant) => content.push_text(&part.required("refusal", string)?),
                ("input_image", Role::User | Role::Tool) => {
                    // By its address or in a `data:` URL; uploaded ones do not exist here.
                    let url = part.required("image_url", string)?;
                    content.push_image(url, part.optional("detail", detail)?, raw.get().len());
                }
                _ => {
                    let format = ErrorCode::MessageFormatInvalid;
                    return Err(part.path("type").fault_with(format, expected(role)));
                }
            }
            Ok(())
        })?;
        Ok(content)
    }

    fn take_thoughts(&mut self) -> Option<String> {
        let thoughts = std::mem::take(&mut self.thoughts).join("\n");
        Some(thoughts).filter(|text| !text.is_empty())
    }

    fn count(&mut self, at: Path<'_>) -> Result<(), ApiError> {
        self.parts += 1;
        if self.parts > MOST_MESSAGES {
            return Err(at.fault("There should be at most 65536 items and parts together"));
        }
        Ok(())
    }
}

fn role(at: Path<'_>, raw: &RawValue) -> Result<Role, ApiError> {
    match string(at, raw)?.as_str() {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" | "developer" => Ok(Role::System),
        _ => Err(at.fault("Input should be 'user', 'assistant', 'system' or 'developer'")),
    }
}

fn detail(at: Path<'_>, raw: &RawValue) -> Result<ImageDetail, ApiError> {
    match string(at, raw)?.as_str() {
        "auto" => Ok(ImageDetail::Auto),
        "low" => Ok(ImageDetail::Low),
        // OpenAI's newest models know one more than others.
        "high" | "original" => Ok(ImageDetail::High),
        _ => Err(at.fault("Input should be 'auto', 'low' or 'high'")),
    }
}

const fn expected(role: Role) -> &'static str {
    match role {
        Role::User | Role::Tool => "Input should be 'input_text' or 'input_image'",
        Role::Assistant => "Input should be 'output_text' or 'refusal'",
        Role::System => "Input should be 'input_text'",
    }
}
