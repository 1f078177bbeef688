//! The events of a streamed answer.

use silica_engine::{ChatEvent, ChatEventKind, Delta};
use silica_gateway::GatewayError;
use silica_protocol::anthropic::AnthropicError;
use silica_protocol::anthropic::messages::{BlockDelta, ContentBlock, MessageDelta, MessageEvent, ToolInput};

use super::head::{MessageHead, counts};
use crate::Failure;
use crate::sse::{Frames, WriteFrames};

/// Writes the events of one call.
pub(super) struct MessageFrames {
    head: MessageHead,
    /// How many blocks have begun.
    blocks: u32,
    /// What the last of them is, until it is complete.
    open: Option<Open>,
    /// Of each call, by its position among the calls: its block.
    calls: Vec<u32>,
}

/// A block that grows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
    Call,
}

impl MessageFrames {
    pub(super) const fn new(head: MessageHead) -> Self {
        Self {
            head,
            blocks: 0,
            open: None,
            calls: Vec::new(),
        }
    }

    fn delta(&mut self, frames: &mut Frames, delta: Delta) {
        match delta {
            Delta::Reasoning { text } => {
                let block = ContentBlock::Thinking {
                    thinking: String::new(),
                    signature: String::new(),
                };
                let index = self.block(frames, Open::Thinking, block);
                add(frames, index, BlockDelta::ThinkingDelta { thinking: &text });
            }
            Delta::Content { text, .. } => {
                let index = self.block(frames, Open::Text, ContentBlock::Text { text: String::new() });
                add(frames, index, BlockDelta::TextDelta { text: &text });
            }
            Delta::ToolCallStarted { id, name, .. } => {
                // Each call is a block of its own.
                self.close(frames);
                let input = ToolInput::default();
                let index = self.block(frames, Open::Call, ContentBlock::ToolUse { id, name, input });
                self.calls.push(index);
            }
            Delta::ToolCallArguments { index, fragment } => {
                let call = usize::try_from(index)
                    .ok()
                    .and_then(|index| self.calls.get(index));
                if let Some(block) = call {
                    let partial_json = fragment.as_str();
                    add(frames, *block, BlockDelta::InputJsonDelta { partial_json });
                }
            }
        }
    }

    /// The block that grows, if it is of this kind; else a new one.
    fn block(&mut self, frames: &mut Frames, kind: Open, content_block: ContentBlock) -> u32 {
        if self.open != Some(kind) {
            self.close(frames);
            self.open = Some(kind);
            let index = self.blocks;
            self.blocks += 1;
            let begin = MessageEvent::ContentBlockStart { index, content_block };
            event(frames, &begin);
        }
        self.blocks - 1
    }

    /// Completes the block that grows.
    fn close(&mut self, frames: &mut Frames) {
        let Some(open) = self.open.take() else { return };
        let index = self.blocks - 1;
        if open == Open::Thinking {
            let signature = self.head.signature.as_str();
            add(frames, index, BlockDelta::SignatureDelta { signature });
        }
        event(frames, &MessageEvent::ContentBlockStop { index });
    }
}

fn add(frames: &mut Frames, index: u32, delta: BlockDelta<'_>) {
    event(frames, &MessageEvent::ContentBlockDelta { index, delta });
}

fn event(frames: &mut Frames, event: &MessageEvent<'_>) {
    frames.event(event.name(), event);
}

impl WriteFrames for MessageFrames {
    type Item = Result<ChatEvent, GatewayError>;

    fn write(&mut self, item: Self::Item, frames: &mut Frames) -> bool {
        let next = match item {
            Ok(next) => next,
            Err(error) => {
                // No message_stop after it: the answer must not look complete.
                let Failure { error, .. } = error.into();
                frames.event("error", &AnthropicError::new(&error));
                return false;
            }
        };
        match next.kind {
            ChatEventKind::Started => {
                let message = self.head.message(next.usage);
                event(frames, &MessageEvent::MessageStart { message });
                event(frames, &MessageEvent::Ping);
            }
            ChatEventKind::Delta { delta, .. } => self.delta(frames, delta),
            // Only requests that carry their body are forwarded.
            ChatEventKind::Forwarded { .. } => {}
            ChatEventKind::Finished { reason, stop, .. } => {
                self.close(frames);
                let (stop_reason, stop_sequence) = self.head.end(reason, stop);
                let delta = MessageDelta {
                    stop_reason,
                    stop_sequence,
                };
                let usage = counts(next.usage);
                event(frames, &MessageEvent::MessageDelta { delta, usage });
            }
        }
        true
    }

    fn finish(&mut self, frames: &mut Frames) {
        event(frames, &MessageEvent::MessageStop);
    }
}
