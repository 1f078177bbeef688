//! The frames of a streamed answer (contract section 4).

use silica_engine::{ChatEvent, ChatEventKind, Delta, Usage};
use silica_gateway::GatewayError;
use silica_protocol::openai::completions::{CompletionChunk, CompletionChunkChoice};

use super::collect::{finish_reason, logprobs};
use crate::chat::frames::write_failure;
use crate::chat::wire::{self, Head};
use crate::sse::{Frames, WriteFrames};

/// Writes the events of one call.
pub(super) struct CompletionFrames {
    head: Head,
    /// The first text of each choice; empty for none.
    echo: String,
    /// For each choice, how many characters have log-probabilities so far.
    offsets: Vec<u32>,
}

impl CompletionFrames {
    pub(super) fn new(head: Head, choices: u32, echo: String) -> Self {
        Self {
            head,
            echo,
            offsets: (0..choices).map(|_| 0).collect(),
        }
    }

    fn chunk(&self, frames: &mut Frames, usage: Usage, choice: CompletionChunkChoice<'_>) {
        frames.json(&CompletionChunk {
            id: &self.head.id,
            object: "text_completion",
            created: self.head.created,
            model: self.head.model.as_str(),
            choices: [choice],
            system_fingerprint: "",
            usage: wire::usage(usage),
        });
    }

    fn text(&mut self, frames: &mut Frames, usage: Usage, index: u32, delta: Delta) {
        // Raw text has no reasoning and no calls.
        let Delta::Content {
            text,
            logprobs: tokens,
        } = delta
        else {
            return;
        };
        let offset = usize::try_from(index)
            .ok()
            .and_then(|index| self.offsets.get_mut(index));
        let logprobs = offset.and_then(|offset| logprobs(tokens, offset));
        let choice = CompletionChunkChoice {
            logprobs,
            ..of(index, &text)
        };
        self.chunk(frames, usage, choice);
    }
}

/// A text of a choice, with nothing else.
const fn of(index: u32, text: &str) -> CompletionChunkChoice<'_> {
    CompletionChunkChoice {
        index,
        text,
        logprobs: None,
        finish_reason: None,
    }
}

impl WriteFrames for CompletionFrames {
    type Item = Result<ChatEvent, GatewayError>;

    fn write(&mut self, item: Self::Item, frames: &mut Frames) -> bool {
        let event = match item {
            Ok(event) => event,
            Err(error) => {
                write_failure(error, frames);
                return false;
            }
        };
        let usage = event.usage;
        match event.kind {
            ChatEventKind::Started if self.echo.is_empty() => {}
            ChatEventKind::Started => {
                for (index, _) in (0..).zip(&self.offsets) {
                    self.chunk(frames, usage, of(index, &self.echo));
                }
            }
            ChatEventKind::Delta { choice, delta } => self.text(frames, usage, choice, delta),
            ChatEventKind::Forwarded { bytes, .. } => frames.forward(&bytes),
            ChatEventKind::Finished { choice, reason, .. } => {
                let choice = CompletionChunkChoice {
                    finish_reason: Some(finish_reason(reason)),
                    ..of(choice, "")
                };
                self.chunk(frames, usage, choice);
            }
        }
        true
    }

    fn finish(&mut self, frames: &mut Frames) {
        frames.done();
    }
}
