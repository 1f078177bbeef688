//! The answer of a messages request that does not stream, and the parts it shares with events.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The whole answer; in a stream, the answer before anything was said.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AnthropicMessage)]
pub struct Message {
    /// `msg_` and 24 letters and digits, ordered by time.
    #[schema(example = "msg_019516ecd5791194e7ce760d")]
    pub id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    #[schema(example = "message")]
    pub kind: &'static str,
    /// Always `assistant`.
    #[schema(example = "assistant")]
    pub role: &'static str,
    /// The model that was asked for.
    pub model: String,
    /// What the model thought, said and called, in this order.
    pub content: Vec<ContentBlock>,
    /// Why it ended; `null` at the begin of a stream.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence that was met, where the engine tells which.
    pub stop_sequence: Option<String>,
    /// What the call consumed.
    pub usage: MessageUsage,
}

/// One block of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AnthropicContentBlock)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBlock {
    /// Reasoning.
    Thinking {
        /// The text.
        thinking: String,
        /// Ten letters that say nothing; clients send them back unread.
        signature: String,
    },
    /// Answer text.
    Text {
        /// The text.
        text: String,
    },
    /// A call of a tool.
    ToolUse {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// Its input.
        #[schema(value_type = Object)]
        input: ToolInput,
    },
}

/// The input of a call: a JSON object as the model wrote it. What is none is wrapped as
/// `{"arguments": "..."}`, so that clients can always read it.
#[derive(Debug, Clone)]
pub struct ToolInput(Box<RawValue>);

impl ToolInput {
    /// Takes the text that the model wrote; no text means no arguments.
    pub fn new(text: &str) -> Self {
        let is_object = |raw: &RawValue| raw.get().starts_with('{');
        if let Some(raw) = serde_json::from_str::<&RawValue>(text)
            .ok()
            .filter(|raw| is_object(raw))
        {
            return Self(raw.to_owned());
        }
        if text.trim().is_empty() {
            return Self::default();
        }
        let wrapped = serde_json::value::to_raw_value(&serde_json::json!({ "arguments": text }));
        wrapped.map_or_else(|_| Self::default(), Self)
    }
}

/// An empty object.
impl Default for ToolInput {
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for ToolInput {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for ToolInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicStopReason)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended its turn, or met a stop sequence and the engine does not tell.
    EndTurn,
    /// One of the request's stop sequences was met.
    StopSequence,
    /// `max_tokens` or the end of the context.
    MaxTokens,
    /// The model called tools.
    ToolUse,
}

/// Token counts; in a stream, cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicUsage)]
pub struct MessageUsage {
    /// Tokens of the prompt that did not come from a cache.
    pub input_tokens: u32,
    /// Always 0: nothing is charged for filling a cache.
    pub cache_creation_input_tokens: u32,
    /// Tokens of the prompt that came from a cache.
    pub cache_read_input_tokens: u32,
    /// Generated tokens, reasoning included.
    pub output_tokens: u32,
}

impl MessageUsage {
    /// Makes the counts of the wire. `cached` is a part of `prompt`.
    pub const fn new(prompt: u32, cached: u32, completion: u32) -> Self {
        Self {
            input_tokens: prompt.saturating_sub(cached),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: cached,
            output_tokens: completion,
        }
    }
}

/// The size of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicTokenCount)]
pub struct TokenCount {
    /// Tokens of the prompt; an estimate for models that run elsewhere.
    pub input_tokens: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_an_object_whatever_the_model_wrote() {
        for (text, expected) in [
            (r#"{"a":1.10,"b":[]}"#, r#"{"a":1.10,"b":[]}"#),
            (" {\"a\":1}\n", r#"{"a":1}"#),
            ("", "{}"),
            (" ", "{}"),
            (r#"{"a":"#, r#"{"arguments":"{\"a\":"}"#),
            ("[1]", r#"{"arguments":"[1]"}"#),
        ] {
            let input = ToolInput::new(text);
            assert_eq!(serde_json::to_string(&input).unwrap(), expected);
        }
    }
}
