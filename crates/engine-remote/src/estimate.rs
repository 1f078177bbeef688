//! The stated estimates for engines that are not asked to count before they run.
//!
//! | what | estimate |
//! |---|---|
//! | prompt, reserved before the call | a token for every 2 bytes, 16 a message, 32 a call: more than ordinary text has |
//! | prompt, of a call that is cut before the engine reported | a token for every 4 bytes, 4 a message |
//! | completion, of a call that is cut before the engine reported | a token a frame; of a frame over 32 bytes, one for every 4 bytes |
//!
//! Bytes are those of UTF-8; quotients are rounded up.

use silica_engine::{ChatRequest, Message, Tool, ToolChoice};
use silica_types::TokenCount;

/// A frame up to this many bytes is taken for one token.
const LONGEST_TOKEN_BYTES: usize = 32;

/// How large a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PromptSize {
    /// All texts of all messages, and the tools as JSON.
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
}

impl PromptSize {
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let messages: usize = request.messages.iter().map(message_bytes).sum();
        let tools: usize = match request.tool_choice {
            ToolChoice::Auto => request.tools.iter().map(tool_bytes).sum(),
            // Not sent.
            ToolChoice::None => 0,
        };
        Self {
            bytes: messages + tools,
            messages: request.messages.len(),
        }
    }

    /// What is reserved before the call.
    pub(crate) fn upper_bound(self) -> TokenCount {
        tokens(self.bytes.div_ceil(2) + 16 * self.messages + 32)
    }

    /// What is likely, for a call whose engine never reported.
    pub(crate) fn likely(self) -> TokenCount {
        tokens(self.bytes.div_ceil(4) + 4 * self.messages)
    }
}

/// What a frame with this much text holds.
pub(crate) fn frame_tokens(bytes: usize) -> TokenCount {
    match bytes {
        0 => TokenCount::ZERO,
        1..=LONGEST_TOKEN_BYTES => TokenCount(1),
        _ => tokens(bytes.div_ceil(4)),
    }
}

fn tokens(count: usize) -> TokenCount {
    TokenCount(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The bytes of a message's texts.
pub(crate) fn message_bytes(message: &Message) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let calls = message.tool_calls.iter();
    message.content.len()
        + optional(&message.reasoning)
        + optional(&message.tool_call_id)
        + optional(&message.name)
        + calls
            .map(|call| call.id.len() + call.name.len() + call.arguments.len())
            .sum::<usize>()
}

fn tool_bytes(tool: &Tool) -> usize {
    tool.name.len()
        + tool.description.as_ref().map_or(0, String::len)
        + tool
            .parameters
            .as_ref()
            .map_or(0, |schema| schema.to_string().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_reserved_at_two_bytes_a_token_and_billed_at_four() {
        let size = |bytes, messages| PromptSize { bytes, messages };
        assert_eq!(size(0, 0).upper_bound(), TokenCount(32));
        assert_eq!(size(11, 2).upper_bound(), TokenCount(6 + 32 + 32));
        assert_eq!(size(11, 2).likely(), TokenCount(3 + 8));
        assert_eq!(size(usize::MAX, 0).likely(), TokenCount(u32::MAX));
    }

    #[test]
    fn a_frame_is_one_token_up_to_32_bytes_and_a_quarter_of_its_bytes_above() {
        let counts = [0, 1, 32, 33, 36, 37].map(|bytes| frame_tokens(bytes).get());
        assert_eq!(counts, [0, 1, 1, 9, 9, 10]);
    }

    #[test]
    fn every_text_of_a_message_and_the_tools_are_measured() {
        let message = Message {
            content: "abc".to_owned(),
            reasoning: Some("de".to_owned()),
            tool_call_id: Some("f".to_owned()),
            name: Some("g".to_owned()),
            tool_calls: vec![silica_engine::ToolCall {
                id: "h".to_owned(),
                name: "ij".to_owned(),
                arguments: "{}".to_owned(),
            }],
            ..Message::default()
        };
        let tool = Tool {
            name: "ij".to_owned(),
            description: Some("é".to_owned()),
            parameters: Some(serde_json::json!({"a": 1})),
        };
        assert_eq!(message_bytes(&message), 12);
        assert_eq!(tool_bytes(&tool), 2 + 2 + 7);
    }
}
