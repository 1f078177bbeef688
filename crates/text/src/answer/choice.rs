//! The whole chain for one choice.

use std::sync::Arc;

use silica_engine::{Delta, FinishReason, StopCause, TextLogprob, TokenLogprob, TopLogprob};
use silica_types::{SharedClock, new_uuid};

use super::detokenizer::Detokenizer;
use super::markers::{Marker, MarkerFinder, Piece};
use super::matcher::Patterns;
use super::stop::StopMatcher;
use super::think::{Opening, Part, ThinkSplitter};
use super::tools::{ToolOutput, ToolParser};
use crate::calls::CallSyntax;
use crate::vocabulary::Vocabulary;

/// How the answer is read; the same for all choices of a request.
#[derive(Debug, Clone)]
pub(crate) struct ChoiceSettings {
    /// The tokens' texts.
    pub(crate) vocabulary: Arc<Vocabulary>,
    /// Gives tool calls their time-ordered ids.
    pub(crate) clock: SharedClock,
    /// Token ids that end the answer and have no text.
    pub(crate) stop_tokens: Vec<u32>,
    /// Texts that end the visible answer.
    pub(crate) stops: Patterns,
    /// How the answer begins.
    pub(crate) opening: Opening,
    /// How tool calls are written, if they are read.
    pub(crate) tools: Option<CallSyntax>,
    /// Whether the answer goes on after other text.
    pub(crate) continues: bool,
}

/// What one token, or the end, adds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// In order.
    pub(crate) deltas: Vec<Delta>,
    /// A stop text was met: the choice is complete and its generation must be cancelled.
    pub(crate) stopped: bool,
    /// The token belongs to the reasoning.
    pub(crate) reasoning: bool,
}

/// Reads the tokens of one choice.
#[derive(Debug)]
pub(crate) struct Choice {
    settings: Arc<ChoiceSettings>,
    detokenizer: Detokenizer,
    markers: MarkerFinder,
    think: ThinkSplitter,
    tools: Option<ToolParser>,
    stop: StopMatcher,
}

impl Choice {
    pub(crate) fn new(settings: Arc<ChoiceSettings>) -> Self {
        let (tokens, spelled) = marks(&settings);
        Self {
            detokenizer: Detokenizer::new(Arc::clone(&settings.vocabulary), tokens, settings.continues),
            markers: MarkerFinder::new(spelled),
            think: ThinkSplitter::new(settings.opening),
            tools: settings.tools.map(ToolParser::new),
            stop: StopMatcher::new(settings.stops.clone()),
            settings,
        }
    }

    /// Takes the next token.
    pub(crate) fn push(&mut self, id: u32, logprob: Option<TokenLogprob>) -> Progress {
        if self.settings.stop_tokens.contains(&id) {
            return Progress {
                reasoning: self.think.is_thinking(),
                ..Progress::default()
            };
        }
        let logprob = logprob.map(|logprob| describe(&self.settings.vocabulary, id, &logprob));
        let before = self.think.is_thinking();
        let (mut pieces, mut found) = (Vec::new(), Vec::new());
        self.detokenizer.push(id, logprob, &mut pieces);
        for piece in pieces {
            self.markers.push(piece, &mut found);
        }
        let mut progress = self.read(found);
        progress.reasoning = before || self.think.is_thinking();
        progress
    }

    /// Ends the choice: gives out all text that was held back, and the reason of the end.
    pub(crate) fn finish(&mut self, cause: StopCause) -> (Progress, FinishReason) {
        let (mut pieces, mut found, mut parts, mut outputs) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        self.detokenizer.flush(&mut pieces);
        for piece in pieces {
            self.markers.push(piece, &mut found);
        }
        self.markers.flush(&mut found);
        let mut progress = self.read(found);
        self.think.flush(&mut parts);
        self.read_parts(parts, &mut progress);
        if let Some(tools) = &mut self.tools {
            tools.flush(&mut outputs);
        }
        self.read_outputs(outputs, &mut progress);
        if !progress.stopped {
            let rest = self.stop.flush();
            add_content(&mut progress.deltas, rest.into_parts());
        }
        let reason = match cause {
            _ if progress.stopped => self.stop_reason(),
            StopCause::Length => FinishReason::Length,
            StopCause::StopToken | StopCause::Complete => self.stop_reason(),
        };
        (progress, reason)
    }

    /// The stop text that ended it, if one did.
    pub(crate) fn stop_text(&self) -> Option<String> {
        self.stop.met().map(str::to_owned)
    }

    /// The reason of an end that was not forced by a limit.
    pub(crate) fn stop_reason(&self) -> FinishReason {
        if self.tools.as_ref().is_some_and(ToolParser::has_called) {
            FinishReason::ToolCalls
        } else {
            FinishReason::Stop
        }
    }

    fn read(&mut self, pieces: Vec<Piece>) -> Progress {
        let mut parts = Vec::new();
        for piece in pieces {
            self.think.push(piece, &mut parts);
        }
        let mut progress = Progress::default();
        self.read_parts(parts, &mut progress);
        progress
    }

    fn read_parts(&mut self, parts: Vec<Part>, progress: &mut Progress) {
        for part in parts {
            let mut outputs = Vec::new();
            match (part, &mut self.tools) {
                (Part::Reasoning(text), _) => progress.deltas.push(Delta::Reasoning { text }),
                (Part::Answer(piece), Some(tools)) => tools.push(piece, &mut outputs),
                (Part::Answer(Piece::Text(text) | Piece::Marker(_, text)), None) => {
                    outputs.push(ToolOutput::Text(text));
                }
            }
            self.read_outputs(outputs, progress);
        }
    }

    fn read_outputs(&mut self, outputs: Vec<ToolOutput>, progress: &mut Progress) {
        for output in outputs {
            if progress.stopped {
                return;
            }
            match output {
                ToolOutput::Text(fragment) => {
                    let (text, stopped) = self.stop.push(fragment);
                    add_content(&mut progress.deltas, text.into_parts());
                    progress.stopped = stopped;
                }
                ToolOutput::Started { index, name } => {
                    let rest = self.stop.flush();
                    add_content(&mut progress.deltas, rest.into_parts());
                    let id = new_uuid(self.settings.clock.as_ref()).simple().to_string();
                    progress.deltas.push(Delta::ToolCallStarted { index, id, name });
                }
                ToolOutput::Arguments { index, text } => {
                    progress.deltas.push(Delta::ToolCallArguments {
                        index,
                        fragment: text,
                    });
                }
            }
        }
    }
}

/// The marks that mean something in this answer: those that are tokens, and those to be spelled.
fn marks(settings: &ChoiceSettings) -> (Vec<(u32, Marker)>, Vec<Marker>) {
    let think = (settings.opening != Opening::Visible).then_some([Marker::ThinkOpen, Marker::ThinkClose]);
    let tools = settings.tools.into_iter().flat_map(call_marks);
    let (mut tokens, mut spelled) = (Vec::new(), Vec::new());
    for marker in think.into_iter().flatten().chain(tools) {
        match settings.vocabulary.added_token(marker.text()) {
            Some(id) => tokens.push((id, marker)),
            None => spelled.push(marker),
        }
    }
    (tokens, spelled)
}

/// The marks of calls, and what they mean.
pub(super) fn call_marks(syntax: CallSyntax) -> Vec<Marker> {
    let marks = syntax.marks();
    let of = |texts: &[&'static str], marker: fn(&'static str) -> Marker| {
        texts.iter().map(|text| marker(text)).collect()
    };
    let all: [Vec<Marker>; 4] = [
        of(marks.open, Marker::ToolOpen),
        of(marks.close, Marker::ToolClose),
        of(marks.frame, Marker::ToolFrame),
        of(marks.split, Marker::ToolSplit),
    ];
    all.concat()
}

fn describe(vocabulary: &Vocabulary, id: u32, logprob: &TokenLogprob) -> TextLogprob {
    let entry = |id: u32, logprob: f32| {
        let bytes = vocabulary.bytes(id).to_vec();
        TopLogprob {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
            logprob,
        }
    };
    let top = logprob
        .top
        .iter()
        .map(|(id, logprob)| entry(*id, *logprob))
        .collect();
    TextLogprob {
        token: entry(id, logprob.logprob),
        top,
    }
}

/// Adds text unless it is empty; text that follows text joins it.
fn add_content(deltas: &mut Vec<Delta>, (text, logprobs): (String, Vec<TextLogprob>)) {
    if text.is_empty() {
        return;
    }
    if let Some(Delta::Content {
        text: last,
        logprobs: entries,
    }) = deltas.last_mut()
    {
        last.push_str(&text);
        entries.extend(logprobs);
    } else {
        deltas.push(Delta::Content { text, logprobs });
    }
}
