//! The events of a streamed answer.

use silica_engine::{ChatEvent, ChatEventKind};
use silica_gateway::GatewayError;
use silica_protocol::openai::responses::{NumberedEvent, ResponseEvent};

use super::growing::{Growing, Listener};
use crate::Failure;
use crate::sse::{Frames, WriteFrames};

/// Writes the events of one call.
pub(super) struct ResponseFrames {
    growing: Growing,
    /// The number of the next event.
    next: u64,
}

impl ResponseFrames {
    pub(super) const fn new(growing: Growing) -> Self {
        Self { growing, next: 0 }
    }
}

/// Numbers events and writes them as frames.
struct Numbering<'a> {
    frames: &'a mut Frames,
    next: &'a mut u64,
}

impl Listener for Numbering<'_> {
    fn hear(&mut self, event: ResponseEvent<'_>) {
        let (name, sequence_number) = (event.name(), *self.next);
        *self.next += 1;
        let numbered = NumberedEvent {
            event,
            sequence_number,
        };
        self.frames.event(name, &numbered);
    }
}

impl WriteFrames for ResponseFrames {
    type Item = Result<ChatEvent, GatewayError>;

    fn write(&mut self, item: Self::Item, frames: &mut Frames) -> bool {
        let Self { growing, next } = self;
        let mut numbering = Numbering { frames, next };
        let event = match item {
            Ok(event) => event,
            Err(error) => {
                // No response.completed after it: the answer must not look complete.
                let Failure { error, .. } = error.into();
                growing.fail(&error, &mut numbering);
                return false;
            }
        };
        match event.kind {
            ChatEventKind::Started => growing.begin(&mut numbering),
            ChatEventKind::Delta { delta, .. } => growing.add(delta, &mut numbering),
            // Only requests that carry their body are forwarded.
            ChatEventKind::Forwarded { .. } => {}
            ChatEventKind::Finished { reason, .. } => growing.end(reason, event.usage, &mut numbering),
        }
        true
    }

    /// The last event has said that it is the last: OpenAI's stream has no mark after it.
    fn finish(&mut self, _frames: &mut Frames) {}
}
