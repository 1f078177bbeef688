//! What is read of an answer's JSON, a frame of a stream or a whole one, and what is written into it.

use serde::Deserialize;
use serde_json::value::RawValue;
use silica_engine::{FinishReason, Usage};
use silica_protocol::openai::chat as protocol;

use super::edit::{Edits, present};
use super::measure::Measure;
use crate::RemoteError;
use crate::wire::{Fault, UsageReport, finish_reason, reported_fault};

/// Who the answer says it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// `id`, as JSON.
    pub(crate) id: Vec<u8>,
    /// `model`, as JSON.
    pub(crate) model: Vec<u8>,
}

/// The members that matter.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    model: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    error: Option<Fault>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    code: Option<serde_json::Value>,
}

/// What a frame or an answer says of one choice.
#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u32,
    /// Of a frame.
    delta: Option<Message>,
    /// Of a whole answer.
    message: Option<Message>,
    /// Of a completion, either way.
    #[serde(default)]
    text: Measure,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Message {
    #[serde(default)]
    content: Measure,
    #[serde(default)]
    refusal: Measure,
    reasoning_content: Option<Measure>,
    /// The name that newer servers give to `reasoning_content`; some send both.
    reasoning: Option<Measure>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: Measure,
    #[serde(default)]
    arguments: Measure,
}

impl<'a> Frame<'a> {
    /// Reads the text of a frame or an answer.
    ///
    /// # Errors
    /// When it is no JSON object, has members of wrong types, or reports a failure.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, RemoteError> {
        let frame: Self = serde_json::from_slice(text).map_err(|error| RemoteError::json(&error))?;
        let says_error = frame.object.is_some_and(|object| object.get() == r#""error""#);
        match reported_fault(frame.error.as_ref(), says_error, frame.code.as_ref()) {
            Some(fault) => Err(fault),
            None => Ok(frame),
        }
    }

    /// What the engine reports as consumed.
    ///
    /// # Errors
    /// When it is no report.
    pub(super) fn usage(&self) -> Result<Option<UsageReport>, RemoteError> {
        let Some(raw) = self.usage else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|error| RemoteError::json(&error))
    }

    /// Writes the frame with our identity and usage.
    pub(super) fn write(&self, text: &[u8], identity: &Identity, usage: Usage, out: &mut Vec<u8>) {
        let renamed = self.renamed(text);
        // Read again only where the text has changed, which is rare.
        let again = renamed.as_ref().and_then(|text| Frame::read(text).ok());
        let (frame, text) = match (&again, &renamed) {
            (Some(frame), Some(text)) => (frame, text.as_slice()),
            _ => (self, text),
        };
        let usage = protocol::Usage::new(
            usage.prompt.get(),
            usage.cached.get(),
            usage.completion.get(),
            usage.reasoning.get(),
        );
        let usage = serde_json::to_vec(&usage).unwrap_or_else(|_| b"null".to_vec());
        let mut edits = Edits::default();
        edits.set(text, "id", frame.id, &identity.id);
        edits.set(text, "model", frame.model, &identity.model);
        edits.set(text, "usage", frame.usage, &usage);
        edits.write(text, out);
    }

    /// The text with `reasoning_content` where the engine wrote `reasoning`; `None` when it did not.
    fn renamed(&self, text: &[u8]) -> Option<Vec<u8>> {
        let choices = self.choices.as_deref().unwrap_or_default();
        if !choices.iter().any(|choice| choice.message().only_reasoning()) {
            return None;
        }
        let mut value: serde_json::Value = serde_json::from_slice(text).ok()?;
        for choice in value.get_mut("choices")?.as_array_mut()? {
            for name in ["delta", "message"] {
                let Some(message) = choice.get_mut(name).and_then(|value| value.as_object_mut()) else {
                    continue;
                };
                if let Some(reasoning) = message.shift_remove("reasoning") {
                    message.insert("reasoning_content".to_owned(), reasoning);
                }
            }
        }
        serde_json::to_vec(&value).ok()
    }
}

impl Choice {
    fn message(&self) -> &Message {
        static EMPTY: Message = Message::EMPTY;
        self.delta.as_ref().or(self.message.as_ref()).unwrap_or(&EMPTY)
    }

    /// All text, and the reasoning in it.
    pub(super) fn measure(&self) -> (Measure, Measure) {
        let message = self.message();
        let reasoning = message.reasoning();
        let calls = message.tool_calls.iter().flatten();
        let calls: Measure = calls
            .filter_map(|call| call.function.as_ref())
            .map(|function| function.name + function.arguments)
            .sum();
        (
            self.text + message.content + message.refusal + reasoning + calls,
            reasoning,
        )
    }

    /// Why the choice ended, if it did.
    ///
    /// # Errors
    /// When it did not end by itself.
    pub(super) fn end(&self) -> Result<Option<FinishReason>, RemoteError> {
        match self.finish_reason.as_deref().and_then(finish_reason) {
            None => Ok(None),
            Some(Ok(reason)) => Ok(Some(reason)),
            Some(Err(())) => Err(RemoteError::Reported { code: None }),
        }
    }
}

impl Message {
    const EMPTY: Self = Self {
        content: Measure::NOTHING,
        refusal: Measure::NOTHING,
        reasoning_content: None,
        reasoning: None,
        tool_calls: None,
    };

    fn reasoning(&self) -> Measure {
        let texts = [self.reasoning_content, self.reasoning].into_iter().flatten();
        texts.max_by_key(|text| text.bytes).unwrap_or_default()
    }

    /// Whether there is reasoning under the newer name alone.
    fn only_reasoning(&self) -> bool {
        let is_there = |text: Option<Measure>| text.is_some_and(|text| text.bytes > 0);
        is_there(self.reasoning) && !is_there(self.reasoning_content)
    }
}
