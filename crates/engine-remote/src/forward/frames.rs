//! A streamed answer that passes through: a state machine without I/O.

use bytes::{BufMut as _, BytesMut};
use silica_engine::{ChatEvent, ChatEventKind, FinishReason, Usage, WireRoute};
use silica_types::TokenCount;

use super::frame::{Frame, Identity, Places};
use super::template::Template;
use crate::RemoteError;
use crate::ceiling::Ceiling;
use crate::stream::{Reading, Words};
use crate::tally::Tally;
use crate::wire::UsageReport;

/// The most that is kept of the buffer of frames between two events, in bytes: streams are many, and
/// most of them wait.
const KEPT_BYTES: usize = 2 * 1024;

/// How many templates of a stream in a row are made in vain.
const TEMPLATES: u8 = 8;
/// The most that waits for the first word, in bytes. A little is usual: who speaks, and empty texts.
const MOST_BEFORE_WORDS: usize = 1024 * 1024;

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
    /// Frames to pass on. What was passed on is gone when the next one is written, so that all frames
    /// are written to the same place.
    out: BytesMut,
    /// Where the frame at hand is changed.
    places: Places,
    /// What the frames have in common.
    template: Option<Template>,
    /// How many more are made without use, for an engine whose frames have nothing in common.
    templates_left: u8,
    has_text: bool,
    words: Words,
    held: Option<Held>,
    ended: Option<FinishReason>,
    is_over: bool,
}

/// The frame that ends the answer.
#[derive(Debug)]
struct Held {
    text: Vec<u8>,
    places: Places,
    reason: FinishReason,
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
            out: BytesMut::new(),
            places: Places::default(),
            template: None,
            templates_left: TEMPLATES,
            has_text: false,
            words: Words::None,
            held: None,
            ended: None,
            is_over: false,
        }
    }

    /// Notes what a frame says of its choices. Returns why the last one ended, if it did now. Of a frame
    /// beyond the ceiling, which goes to nobody, nothing is noted.
    fn take(&mut self, frame: &Frame<'_>) -> Result<Option<FinishReason>, RemoteError> {
        let bytes = frame.choices.iter().map(|choice| choice.measure().0.bytes).sum();
        if !self.ceiling.take(frame.choices.len().max(1), bytes) {
            self.is_over = true;
            return Ok(None);
        }
        let mut end = None;
        for choice in frame.choices.iter() {
            let index = usize::try_from(choice.index).unwrap_or(usize::MAX);
            let is_finished = self
                .is_finished
                .get_mut(index)
                .ok_or(RemoteError::frame("a choice that was not asked for"))?;
            let (text, thought) = choice.measure();
            if *is_finished && text.bytes > 0 {
                return Err(RemoteError::frame("text after the end of its choice"));
            }
            // A second end of a choice says nothing new.
            let ends = choice.end()?.filter(|_| !*is_finished);
            *is_finished |= ends.is_some();
            end = ends.or(end);
            self.tally.forward(text.weight, thought.weight);
            self.has_text |= text.bytes > 0;
            self.words.came_if(text.bytes > 0 || ends.is_some());
        }
        Ok(end.filter(|_| self.is_finished.iter().all(|is_finished| *is_finished)))
    }

    /// Passes a frame on that differs from one before it in its text alone. `false` when it does not, or
    /// something is to be done about it.
    fn pass_alike(&mut self, data: &[u8]) -> bool {
        let Some(template) = &self.template else {
            return false;
        };
        let Some(text) = template.text(data) else {
            return false;
        };
        let goes_on = self.is_finished.get(template.choice) == Some(&false) && self.held.is_none();
        if !goes_on || !self.words.have_come() || !self.ceiling.take(1, text.len()) {
            return false;
        }
        let (all, thought) = template.measure(text);
        self.tally.forward(all.weight, thought.weight);
        self.has_text |= all.bytes > 0;
        self.words.came_if(all.bytes > 0);
        self.templates_left = TEMPLATES;
        template.write(text, self.tally.usage(), &mut self.out);
        true
    }

    /// Keeps what frames like this one, which was passed on, have in common.
    fn learn(&mut self, frame: &Frame<'_>, data: &[u8]) {
        self.template = None;
        if self.templates_left > 0 {
            self.templates_left -= 1;
            self.template = Template::of(frame, data, &self.places, &self.identity);
        }
    }

    /// Holds a frame that ends every choice that has not ended, for an engine that does not.
    fn cut_off(&mut self) {
        if self.held.is_some() {
            return;
        }
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
        let text = frame.to_string().into_bytes();
        let places = Frame::read(&text).map(|frame| Places::of(&frame, &text));
        if let Ok(places) = places {
            let reason = FinishReason::Length;
            self.held = Some(Held { text, places, reason });
        }
    }

    /// Whether these are the counts that the call has now.
    fn is_counted(&self, report: &UsageReport) -> bool {
        report.is_complete() && self.tally.shows(report.report())
    }
}

/// Appends the event of a frame.
fn pass(text: &[u8], places: &Places, identity: &Identity, usage: Usage, out: &mut BytesMut) {
    let begin = out.len();
    out.put_slice(b"data: ");
    places.write(text, identity, usage, out);
    // An event of several lines; in JSON line feeds are blanks, in an event they end a line.
    if memchr::memchr(b'\n', text).is_some() {
        for byte in out.iter_mut().skip(begin).filter(|byte| **byte == b'\n') {
            *byte = b' ';
        }
    }
    out.put_slice(b"\n\n");
}

impl Reading for Forwarding {
    fn frame(&mut self, data: &[u8]) -> Result<(), RemoteError> {
        if self.pass_alike(data) {
            return Ok(());
        }
        let frame = Frame::read(data)?;
        let end = self.take(&frame)?;
        let report = frame.usage()?;
        if let Some(report) = &report {
            self.tally.report(report.report());
        }
        if self.is_over {
            self.cut_off();
        } else if let Some(reason) = end {
            let (text, places) = (data.to_vec(), Places::of(&frame, data));
            self.held = Some(Held { text, places, reason });
        } else if self.held.is_none() && !frame.choices.is_empty() {
            let keeps_usage = report.is_some_and(|report| self.is_counted(&report));
            self.places.find(&frame, data, keeps_usage);
            pass(
                data,
                &self.places,
                &self.identity,
                self.tally.usage(),
                &mut self.out,
            );
            if !self.words.have_come() && self.out.len() > MOST_BEFORE_WORDS {
                return Err(RemoteError::frame("too much before the first word"));
            }
            self.learn(&frame, data);
        }
        Ok(())
    }

    fn next_event(&mut self) -> Option<ChatEvent> {
        if self.out.is_empty() {
            return None;
        }
        let bytes = self.out.split().freeze();
        if bytes.len() > KEPT_BYTES {
            self.out = BytesMut::new();
        }
        Some(ChatEvent {
            usage: self.tally.usage(),
            kind: ChatEventKind::Forwarded {
                bytes,
                has_text: std::mem::take(&mut self.has_text),
                end: self.ended.take(),
            },
        })
    }

    fn has_begun(&self) -> bool {
        self.words.have_come() || self.is_over
    }

    fn has_moved(&mut self) -> bool {
        self.words.are_new()
    }

    fn is_complete(&self) -> bool {
        self.held.is_some()
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn finish(&mut self) {
        if let Some(Held { text, places, reason }) = self.held.take() {
            pass(&text, &places, &self.identity, self.tally.usage(), &mut self.out);
            self.ended = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests;
