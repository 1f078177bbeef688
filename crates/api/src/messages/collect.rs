//! The answer in one piece.

use futures::StreamExt as _;
use silica_engine::{ChatEventKind, Delta, Usage};
use silica_gateway::{Call, GatewayError};
use silica_protocol::anthropic::messages::{ContentBlock, Message, StopReason, ToolInput};

use super::head::{MessageHead, counts};

/// Reads a call to its end. Dropping the future cancels the call.
///
/// # Errors
/// When the call fails, whatever was generated before.
pub(super) async fn collect(mut call: Call, head: MessageHead) -> Result<Message, GatewayError> {
    let mut blocks = Vec::new();
    let mut usage = Usage::default();
    let mut end: Option<(StopReason, Option<String>)> = None;
    while let Some(event) = call.next().await {
        let event = event?;
        usage = event.usage;
        match event.kind {
            // Only requests that carry their body are forwarded.
            ChatEventKind::Started | ChatEventKind::Forwarded { .. } => {}
            ChatEventKind::Delta { delta, .. } => add(&mut blocks, delta),
            ChatEventKind::Finished { reason, stop, .. } => {
                end = Some(head.end(reason, stop));
            }
        }
    }
    let (stop_reason, stop_sequence) = end.ok_or(GatewayError::Cut)?;
    let finish = |block: Block| block.finish(&head.signature);
    Ok(Message {
        content: blocks.into_iter().map(finish).collect(),
        stop_reason: Some(stop_reason),
        stop_sequence,
        usage: counts(usage),
        ..head.message(usage)
    })
}

/// One block while it grows.
enum Block {
    Thinking(String),
    Text(String),
    ToolUse {
        /// Its position among the calls of the answer.
        call: u32,
        id: String,
        name: String,
        arguments: String,
    },
}

fn add(blocks: &mut Vec<Block>, delta: Delta) {
    match (delta, blocks.last_mut()) {
        (Delta::Reasoning { text }, Some(Block::Thinking(all)))
        | (Delta::Content { text, .. }, Some(Block::Text(all))) => all.push_str(&text),
        (Delta::Reasoning { text }, _) => blocks.push(Block::Thinking(text)),
        (Delta::Content { text, .. }, _) => blocks.push(Block::Text(text)),
        (Delta::ToolCallStarted { index, id, name }, _) => blocks.push(Block::ToolUse {
            call: index,
            id,
            name,
            arguments: String::new(),
        }),
        (Delta::ToolCallArguments { index, fragment }, _) => {
            for block in blocks.iter_mut().rev() {
                match block {
                    Block::ToolUse { call, arguments, .. } if *call == index => {
                        arguments.push_str(&fragment);
                        return;
                    }
                    Block::ToolUse { .. } | Block::Thinking(_) | Block::Text(_) => {}
                }
            }
        }
    }
}

impl Block {
    fn finish(self, signature: &str) -> ContentBlock {
        match self {
            Self::Thinking(thinking) => ContentBlock::Thinking {
                thinking,
                signature: signature.to_owned(),
            },
            Self::Text(text) => ContentBlock::Text { text },
            Self::ToolUse {
                id, name, arguments, ..
            } => ContentBlock::ToolUse {
                id,
                name,
                input: ToolInput::new(&arguments),
            },
        }
    }
}
