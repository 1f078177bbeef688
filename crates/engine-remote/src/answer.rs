//! From the frames of an answer to the events of the port: a state machine without I/O.

use std::collections::VecDeque;

use silica_engine::{ChatEvent, ChatEventKind, Delta, FinishReason, TextLogprob, TopLogprob};
use silica_types::{SharedClock, TokenCount};

use crate::RemoteError;
use crate::ceiling::Ceiling;
use crate::estimate::weight;
use crate::stream::{Reading, Words};
use crate::tally::Tally;
use crate::tool_calls::ToolCalls;
use crate::wire::{Chunk, ChunkChoice, ChunkDelta};

/// One answer in the making. The last choice's `Finished` is held back until [`Reading::finish`],
/// because the engine reports its usage after it.
#[derive(Debug)]
pub(crate) struct Answer {
    choices: Vec<Choice>,
    tally: Tally,
    ceiling: Ceiling,
    clock: SharedClock,
    /// The most alternatives of a token; `None` when log-probabilities were not asked for.
    logprobs: Option<u8>,
    ready: VecDeque<ChatEvent>,
    has_started: bool,
    words: Words,
    /// The last choice to finish.
    held: Option<(u32, FinishReason, Option<String>)>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Choice {
    is_finished: bool,
    tool_calls: ToolCalls,
}

/// What a frame adds to a choice.
struct Addition {
    choice: u32,
    deltas: Vec<Delta>,
    finish: Option<FinishReason>,
    /// The stop text that was met, if the engine tells.
    stop: Option<String>,
    /// What all text weighs, and the reasoning in it.
    weight: u64,
    reasoning_weight: u64,
}

impl Answer {
    /// Begins an answer of this many choices to a prompt of about this many tokens.
    pub(crate) fn new(
        choices: u32,
        prompt: TokenCount,
        logprobs: Option<u8>,
        ceiling: Ceiling,
        clock: SharedClock,
    ) -> Self {
        Self {
            choices: (0..choices).map(|_| Choice::default()).collect(),
            tally: Tally::new(prompt),
            ceiling,
            clock,
            logprobs,
            ready: VecDeque::new(),
            has_started: false,
            words: Words::None,
            held: None,
            is_over: false,
        }
    }

    fn push(&mut self, kind: ChatEventKind) {
        let usage = self.tally.usage();
        self.ready.push_back(ChatEvent { usage, kind });
    }

    fn add(&mut self, addition: Addition) {
        let choice = addition.choice;
        self.words
            .came_if(!addition.deltas.is_empty() || addition.finish.is_some());
        for delta in addition.deltas {
            self.push(ChatEventKind::Delta { choice, delta });
        }
        if let Some(reason) = addition.finish {
            self.end(choice, reason, addition.stop);
        }
    }

    /// Ends what has not ended.
    fn cut_off(&mut self) {
        self.is_over = true;
        let unfinished: Vec<u32> = (0..)
            .zip(&self.choices)
            .filter(|(_, choice)| !choice.is_finished)
            .map(|(index, _)| index)
            .collect();
        for choice in unfinished {
            self.end(choice, FinishReason::Length, None);
        }
    }

    /// Reads what a frame adds to one choice.
    fn addition(&mut self, mut wire: ChunkChoice) -> Result<Addition, RemoteError> {
        let index = usize::try_from(wire.index).unwrap_or(usize::MAX);
        let choice = self
            .choices
            .get_mut(index)
            .ok_or(RemoteError::frame("a choice that was not asked for"))?;
        let finish = match wire.finish() {
            None => None,
            Some(Ok(reason)) => Some(reason),
            Some(Err(())) => return Err(RemoteError::Reported { code: None }),
        };
        let mut delta = wire.take_delta();
        let reasoning = delta.reasoning();
        let mut deltas = choice.deltas(&mut delta, &self.clock)?;
        let reasoning_weight = weight(&reasoning);
        let texts = deltas.iter().map(|delta| weight(text_of(delta)));
        let weight = reasoning_weight + texts.sum::<u64>();
        if !reasoning.is_empty() {
            deltas.insert(0, Delta::Reasoning { text: reasoning });
        }
        if choice.is_finished && !deltas.is_empty() {
            return Err(RemoteError::frame("text after the end of its choice"));
        }
        if let (Some(most), Some(entries)) = (self.logprobs, wire.logprobs.take())
            && let Some(Delta::Content { logprobs, .. }) = deltas
                .iter_mut()
                .find(|delta| matches!(delta, Delta::Content { .. }))
        {
            *logprobs = entries.into_entries(most);
        }
        Ok(Addition {
            choice: wire.index,
            deltas,
            // A second end of a choice says nothing new.
            finish: finish.filter(|_| !choice.is_finished),
            stop: wire.stop_text(),
            weight,
            reasoning_weight,
        })
    }

    fn end(&mut self, choice: u32, reason: FinishReason, stop: Option<String>) {
        let index = usize::try_from(choice).unwrap_or(usize::MAX);
        if let Some(choice) = self.choices.get_mut(index) {
            choice.is_finished = true;
        }
        if self.choices.iter().all(|choice| choice.is_finished) {
            self.held = Some((choice, reason, stop));
        } else {
            self.push(ChatEventKind::Finished { choice, reason, stop });
        }
    }
}

impl Reading for Answer {
    fn frame(&mut self, data: &[u8]) -> Result<(), RemoteError> {
        // The reader would take a list of the members' values as well.
        if data.trim_ascii_start().first() != Some(&b'{') {
            return Err(RemoteError::frame("no object"));
        }
        let mut chunk: Chunk = serde_json::from_slice(data).map_err(|error| RemoteError::json(&error))?;
        if let Some(failure) = chunk.failure() {
            return Err(failure);
        }
        let mut started = self.tally.usage();
        let mut additions = Vec::new();
        for choice in chunk.choices.take().unwrap_or_default() {
            additions.push(self.addition(choice)?);
        }
        let frames: usize = additions.iter().map(Addition::frames).sum();
        let bytes = additions.iter().map(Addition::bytes).sum();
        let fits = self.ceiling.take(frames.max(1), bytes);
        if !fits {
            additions.clear();
        }
        for addition in &additions {
            self.tally.forward(addition.weight, addition.reasoning_weight);
        }
        // The frame's own report covers the text in it, so all of its events show it.
        if let Some(report) = chunk.report() {
            self.tally.report(report);
            started = self.tally.usage();
        }
        if !std::mem::replace(&mut self.has_started, true) {
            self.ready.push_back(ChatEvent {
                usage: started,
                kind: ChatEventKind::Started,
            });
        }
        for addition in additions {
            self.add(addition);
        }
        if !fits {
            self.cut_off();
        }
        Ok(())
    }

    fn next_event(&mut self) -> Option<ChatEvent> {
        self.ready.pop_front()
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
        if let Some((choice, reason, stop)) = self.held.take() {
            self.push(ChatEventKind::Finished { choice, reason, stop });
        }
    }
}

impl Choice {
    /// Answer text and tool calls of a frame.
    fn deltas(&mut self, wire: &mut ChunkDelta, clock: &SharedClock) -> Result<Vec<Delta>, RemoteError> {
        let mut deltas = Vec::new();
        if let Some(text) = wire.content.take().filter(|text| !text.is_empty()) {
            let logprobs = Vec::new();
            deltas.push(Delta::Content { text, logprobs });
        }
        for piece in wire.tool_calls.take().unwrap_or_default() {
            deltas.extend(self.tool_calls.piece(piece, clock)?);
        }
        Ok(deltas)
    }
}

impl Addition {
    /// What it takes of the ceiling's frames: one, or one a token where tokens are told.
    fn frames(&self) -> usize {
        let tokens: usize = self.deltas.iter().map(|delta| logprobs_of(delta).len()).sum();
        tokens.max(1)
    }

    /// What it takes of the ceiling's bytes.
    fn bytes(&self) -> usize {
        let token = |token: &TopLogprob| token.text.len().max(token.bytes.len());
        let entry = |entry: &TextLogprob| token(&entry.token) + entry.top.iter().map(token).sum::<usize>();
        let delta =
            |delta: &Delta| text_of(delta).len() + logprobs_of(delta).iter().map(entry).sum::<usize>();
        self.deltas.iter().map(delta).sum()
    }
}

/// What the model wrote.
fn text_of(delta: &Delta) -> &str {
    match delta {
        Delta::Content { text, .. } | Delta::Reasoning { text } => text,
        Delta::ToolCallStarted { name, .. } => name,
        Delta::ToolCallArguments { fragment, .. } => fragment,
    }
}

fn logprobs_of(delta: &Delta) -> &[TextLogprob] {
    match delta {
        Delta::Content { logprobs, .. } => logprobs,
        Delta::Reasoning { .. } | Delta::ToolCallStarted { .. } | Delta::ToolCallArguments { .. } => &[],
    }
}

#[cfg(test)]
mod tests;
