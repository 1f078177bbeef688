//! A streamed answer that passes through: a state machine without I/O.

use silica_engine::{ChatEvent, ChatEventKind, FinishReason, WireRoute};
use silica_types::TokenCount;

use super::frame::{Frame, Identity};
use super::measure::Measure;
use crate::RemoteError;
use crate::ceiling::Ceiling;
use crate::stream::Reading;
use crate::tally::Tally;

/// One answer on its way. The frame by which the last choice ends is held until
/// [`Reading::finish`], because the engine reports its usage after it; the frame of that report has
/// no choices and is not passed on.
#[derive(Debug)]
pub(crate) struct Forwarding {
    identity: Identity,
    route: WireRoute,
    is_finished: Vec<bool>,
    tally: Tally,
    ceiling: Ceiling,
    /// Frames to pass on.
    out: Vec<u8>,
    has_text: bool,
    has_begun: bool,
    /// The frame that ends the answer, and why.
    held: Option<(Vec<u8>, FinishReason)>,
    ended: Option<FinishReason>,
    is_over: bool,
}

impl Forwarding {
    /// Begins an answer of this many choices to a prompt of about this many tokens.
    pub(crate) fn new(
        identity: Identity,
        route: WireRoute,
        choices: u32,
        prompt: TokenCount,
        ceiling: Ceiling,
    ) -> Self {
        Self {
            identity,
            route,
            is_finished: vec![false; usize::try_from(choices).unwrap_or(usize::MAX)],
            tally: Tally::new(prompt),
            ceiling,
            out: Vec::new(),
            has_text: false,
            has_begun: false,
            held: None,
            ended: None,
            is_over: false,
        }
    }

    fn pass(&mut self, frame: &Frame<'_>, text: &[u8]) {
        self.out.extend_from_slice(b"data: ");
        let usage = self.tally.usage();
        let begin = self.out.len();
        frame.write(text, &self.identity, usage, &mut self.out);
        // An event of several lines; in JSON line feeds are blanks, in an event they end a line.
        for byte in self.out.iter_mut().skip(begin).filter(|byte| **byte == b'\n') {
            *byte = b' ';
        }
        self.out.extend_from_slice(b"\n\n");
    }

    /// Notes what a frame says of its choices. Returns why the last one ended, if it did now.
    fn take(&mut self, frame: &Frame<'_>) -> Result<Option<FinishReason>, RemoteError> {
        let choices = frame.choices.as_deref().unwrap_or_default();
        let (mut all, mut reasoning) = (Measure::default(), Measure::default());
        let mut end = None;
        for choice in choices {
            let index = usize::try_from(choice.index).unwrap_or(usize::MAX);
            let is_finished = self
                .is_finished
                .get_mut(index)
                .ok_or(RemoteError::frame("a choice that was not asked for"))?;
            let (text, thought) = choice.measure();
            if *is_finished && text.bytes > 0 {
                return Err(RemoteError::frame("text after the end of its choice"));
            }
            if let Some(reason) = choice.end()? {
                *is_finished = true;
                end = Some(reason);
            }
            self.tally.forward(text.weight, thought.weight);
            (all, reasoning) = (all + text, reasoning + thought);
        }
        self.has_text |= all.bytes > 0;
        self.has_begun |= all.bytes > 0 || end.is_some();
        if !self.ceiling.take(choices.len().max(1), all.bytes) {
            self.is_over = true;
        }
        Ok(end.filter(|_| self.is_finished.iter().all(|is_finished| *is_finished)))
    }

    /// A frame that ends every choice, for an engine that does not.
    fn cut_off(&mut self) {
        let ends: Vec<serde_json::Value> = (0_u32..)
            .zip(&self.is_finished)
            .filter(|(_, is_finished)| !**is_finished)
            .map(|(index, _)| match self.route {
                WireRoute::Completions => {
                    serde_json::json!({"index": index, "text": "", "finish_reason": "length"})
                }
                _ => serde_json::json!({"index": index, "delta": {"content": ""}, "finish_reason": "length"}),
            })
            .collect();
        let object = match self.route {
            WireRoute::Completions => "text_completion",
            _ => "chat.completion.chunk",
        };
        let frame = serde_json::json!({"object": object, "choices": ends});
        self.held = Some((frame.to_string().into_bytes(), FinishReason::Length));
    }
}

impl Reading for Forwarding {
    fn frame(&mut self, data: &[u8]) -> Result<(), RemoteError> {
        let frame = Frame::read(data)?;
        let end = self.take(&frame)?;
        if let Some(report) = frame.usage()? {
            self.tally.report(report.report());
        }
        if self.is_over {
            self.cut_off();
        } else if let Some(reason) = end {
            self.held = Some((data.to_vec(), reason));
        } else if self.held.is_none() && frame.choices.as_ref().is_some_and(|choices| !choices.is_empty()) {
            self.pass(&frame, data);
        }
        Ok(())
    }

    fn next_event(&mut self) -> Option<ChatEvent> {
        if self.out.is_empty() {
            return None;
        }
        Some(ChatEvent {
            usage: self.tally.usage(),
            kind: ChatEventKind::Forwarded {
                bytes: std::mem::take(&mut self.out).into(),
                has_text: std::mem::take(&mut self.has_text),
                end: self.ended.take(),
            },
        })
    }

    fn has_begun(&self) -> bool {
        self.has_begun || self.is_over
    }

    fn is_complete(&self) -> bool {
        self.held.is_some()
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn finish(&mut self) {
        if let Some((text, reason)) = self.held.take()
            && let Ok(frame) = Frame::read(&text)
        {
            self.pass(&frame, &text);
            self.ended = Some(reason);
        }
    }
}
