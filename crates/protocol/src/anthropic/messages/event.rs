//! The events of a streamed answer. They borrow, because one is written for every token.

use serde::Serialize;
use utoipa::ToSchema;

use super::response::{ContentBlock, Message, MessageUsage, StopReason};

/// One event; its name on the wire is its `type`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AnthropicMessageEvent)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MessageEvent<'a> {
    /// The first event.
    MessageStart {
        /// The answer, still empty.
        message: Message,
    },
    /// Says nothing: the begin of an answer is followed by one, as Anthropic's service does.
    Ping,
    /// A block begins.
    ContentBlockStart {
        /// Its place in the answer, from 0.
        index: u32,
        /// The block, still empty.
        content_block: ContentBlock,
    },
    /// More of a block.
    ContentBlockDelta {
        /// Which block.
        index: u32,
        /// What is added.
        delta: BlockDelta<'a>,
    },
    /// A block is complete.
    ContentBlockStop {
        /// Which block.
        index: u32,
    },
    /// The answer is complete.
    MessageDelta {
        /// Why it ended.
        delta: MessageDelta,
        /// What the call consumed.
        usage: MessageUsage,
    },
    /// The last event, only of answers that are complete.
    MessageStop,
}

impl MessageEvent<'_> {
    /// The event's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

/// What is added to a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicBlockDelta)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BlockDelta<'a> {
    /// Reasoning.
    ThinkingDelta {
        /// Text to append.
        thinking: &'a str,
    },
    /// The end of reasoning.
    SignatureDelta {
        /// Ten letters that say nothing; clients send them back unread.
        signature: &'a str,
    },
    /// Answer text.
    TextDelta {
        /// Text to append.
        text: &'a str,
    },
    /// More of a call's input.
    InputJsonDelta {
        /// JSON text to append.
        partial_json: &'a str,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicMessageDelta)]
pub struct MessageDelta {
    /// Why.
    pub stop_reason: StopReason,
    /// The stop sequence that was met, where the engine tells which.
    pub stop_sequence: Option<String>,
}
