//! The frames of a streamed answer, exactly as contract section 3.5 has them.

use silica_engine::{ChatEvent, ChatEventKind, Delta};
use silica_gateway::GatewayError;
use silica_protocol::openai::chat::{
    ChoiceLogprobs, Chunk, ChunkChoice, ChunkDelta, FunctionDelta, StreamError, StreamErrorDetail,
    ToolCallDelta, Usage,
};

use super::wire::{self, Head};
use crate::Failure;
use crate::sse::{Frames, WriteFrames};

/// Writes the events of one call.
pub(super) struct ChatFrames {
    head: Head,
    choices: u32,
}

impl ChatFrames {
    pub(super) fn new(head: Head, choices: u32) -> Self {
        Self { head, choices }
    }

    fn chunk(&self, frames: &mut Frames, usage: Usage, choice: ChunkChoice<'_>) {
        frames.json(&Chunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: self.head.model.as_str(),
            choices: [choice],
            system_fingerprint: "",
            usage,
        });
    }

    fn delta(&self, frames: &mut Frames, usage: Usage, index: u32, delta: Delta) {
        let mut logprobs = None;
        // Texts live here until the frame is written; chunks only borrow.
        let (text, id, name);
        let delta = match delta {
            Delta::Content {
                text: content,
                logprobs: tokens,
            } => {
                logprobs = (!tokens.is_empty()).then(|| ChoiceLogprobs {
                    content: wire::logprobs(tokens).collect(),
                });
                text = content;
                ChunkDelta {
                    content: Some(&text),
                    ..ChunkDelta::default()
                }
            }
            Delta::Reasoning { text: reasoning } => {
                text = reasoning;
                ChunkDelta {
                    reasoning_content: Some(&text),
                    ..ChunkDelta::default()
                }
            }
            Delta::ToolCallStarted {
                index,
                id: call_id,
                name: function,
            } => {
                (id, name) = (call_id, function);
                tool_call(ToolCallDelta {
                    index,
                    id: Some(&id),
                    kind: Some("function"),
                    function: FunctionDelta {
                        name: Some(&name),
                        arguments: "",
                    },
                })
            }
            Delta::ToolCallArguments { index, fragment } => {
                text = fragment;
                let function = FunctionDelta {
                    name: None,
                    arguments: &text,
                };
                tool_call(ToolCallDelta {
                    index,
                    id: None,
                    kind: None,
                    function,
                })
            }
        };
        self.chunk(
            frames,
            usage,
            ChunkChoice {
                index,
                delta,
                logprobs,
                finish_reason: None,
            },
        );
    }
}

fn tool_call(call: ToolCallDelta<'_>) -> ChunkDelta<'_> {
    ChunkDelta {
        tool_calls: Some([call]),
        ..ChunkDelta::default()
    }
}

/// Writes the last frame of a stream that failed. No `[DONE]` may come after it: the answer must not
/// look complete.
pub(crate) fn write_failure(error: GatewayError, frames: &mut Frames) {
    let Failure { error, .. } = error.into();
    let detail = StreamErrorDetail {
        code: error.code.number(),
        message: &error.message,
    };
    frames.json(&StreamError { error: detail });
}

impl WriteFrames for ChatFrames {
    type Item = Result<ChatEvent, GatewayError>;

    fn write(&mut self, item: Self::Item, frames: &mut Frames) -> bool {
        let event = match item {
            Ok(event) => event,
            Err(error) => {
                write_failure(error, frames);
                return false;
            }
        };
        let usage = wire::usage(event.usage);
        let empty = ChunkDelta {
            content: Some(""),
            ..ChunkDelta::default()
        };
        match event.kind {
            ChatEventKind::Started => {
                for index in 0..self.choices {
                    let delta = ChunkDelta {
                        role: Some("assistant"),
                        ..empty.clone()
                    };
                    self.chunk(
                        frames,
                        usage,
                        ChunkChoice {
                            index,
                            delta,
                            logprobs: None,
                            finish_reason: None,
                        },
                    );
                }
            }
            ChatEventKind::Delta { choice, delta } => self.delta(frames, usage, choice, delta),
            ChatEventKind::Forwarded { bytes, .. } => frames.forward(&bytes),
            ChatEventKind::Finished { choice, reason, .. } => {
                let finish_reason = Some(wire::finish_reason(reason));
                self.chunk(
                    frames,
                    usage,
                    ChunkChoice {
                        index: choice,
                        delta: empty,
                        logprobs: None,
                        finish_reason,
                    },
                );
            }
        }
        true
    }

    fn finish(&mut self, frames: &mut Frames) {
        frames.done();
    }
}
