//! An answer that is held back until it has been judged: a state machine without I/O.

mod text;

use std::collections::VecDeque;

use silica_engine::{ChatEvent, ChatEventKind, Delta};

use self::text::{Kind, Text};

/// How a stream is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// About how many characters a window has; more than `overlap`.
    pub size: usize,
    /// How many of them it shares with the one before it, and how many are held back meanwhile.
    pub overlap: usize,
}

/// The events of one answer, of which those go on whose texts have passed.
///
/// Events stay what they are and in their order. Answer, reasoning, and each call with its name and
/// arguments are texts of their own, of each choice.
#[derive(Debug)]
pub struct HeldAnswer {
    /// `None`: everything is judged together, at the end.
    windows: Option<Windows>,
    events: VecDeque<Held>,
    choices: Vec<Choice>,
    /// Whether every choice has finished, or the engine says no more.
    is_over: bool,
    /// What is being judged.
    judged: Vec<Judged>,
    /// Whether anything has passed. Until then not even the begin of the answer goes on, so that a refusal
    /// finds nothing sent.
    has_passed: bool,
}

#[derive(Debug)]
struct Held {
    event: ChatEvent,
    /// Where the event's text ends, if it has one.
    text: Option<Place>,
}

/// A place in a text of a choice.
#[derive(Debug, Clone, Copy)]
struct Place {
    choice: usize,
    text: usize,
    /// In bytes from the text's begin.
    at: usize,
}

/// A text up to a place.
#[derive(Debug, Clone, Copy)]
struct Judged(Place);

#[derive(Debug, Default)]
struct Choice {
    texts: Vec<Text>,
    is_finished: bool,
}

impl HeldAnswer {
    /// Holds an answer of this many choices.
    pub fn new(choices: u32, windows: Option<Windows>) -> Self {
        Self {
            windows,
            events: VecDeque::new(),
            choices: (0..choices).map(|_| Choice::default()).collect(),
            is_over: false,
            judged: Vec::new(),
            has_passed: false,
        }
    }

    /// Takes an event of the engine. One of a choice that nobody asked for is not looked at. The tokens that the
    /// model did not write are left out of its log-probabilities: they are texts, too, but nobody's whole words.
    pub fn push(&mut self, mut event: ChatEvent) {
        if let ChatEventKind::Delta {
            delta: Delta::Content { logprobs, .. },
            ..
        } = &mut event.kind
        {
            for token in logprobs {
                token.top.clear();
            }
        }
        let text = match &event.kind {
            ChatEventKind::Delta { choice, delta } => self.add(*choice, delta),
            ChatEventKind::Finished { choice, .. } => {
                self.finish(*choice);
                None
            }
            ChatEventKind::Started | ChatEventKind::Forwarded { .. } => None,
        };
        self.events.push_back(Held { event, text });
    }

    /// Takes note that the engine says no more, whether the answer is whole or not.
    pub fn end(&mut self) {
        self.is_over = true;
        for choice in &mut self.choices {
            choice.finish();
        }
    }

    /// What has to be judged now, if anything. Nothing goes on, and nothing else is asked to be judged, until
    /// [`HeldAnswer::passed`] says that it may.
    pub fn to_judge(&mut self) -> Option<Vec<String>> {
        let is_due = self.is_over || self.windows.is_some_and(|windows| self.has_window(windows));
        if !is_due || !self.judged.is_empty() {
            return None;
        }
        let mut texts = Vec::new();
        for (choice, of_choice) in self.choices.iter().enumerate() {
            for (index, text) in of_choice.texts.iter().enumerate() {
                let Some((unjudged, at)) = text.to_judge() else {
                    continue;
                };
                texts.push(unjudged.to_owned());
                let text = index;
                self.judged.push(Judged(Place { choice, text, at }));
            }
        }
        Some(texts).filter(|texts| !texts.is_empty())
    }

    /// Takes note that what was to be judged has passed.
    pub fn passed(&mut self) {
        self.has_passed = true;
        let overlap = self.windows.map_or(0, |windows| windows.overlap);
        for Judged(Place { choice, text, at }) in std::mem::take(&mut self.judged) {
            let text = self
                .choices
                .get_mut(choice)
                .and_then(|choice| choice.texts.get_mut(text));
            if let Some(text) = text {
                text.passed(at, overlap);
            }
        }
    }

    /// The next event that may go on.
    pub fn pop(&mut self) -> Option<ChatEvent> {
        let may_go = match self.events.front()?.text {
            Some(end) => {
                let choice = self.choices.get(end.choice);
                let text = choice.and_then(|choice| choice.texts.get(end.text));
                text.is_some_and(|text| end.at <= text.may_go())
            }
            None => self.has_passed || (self.is_over && !self.has_unjudged()),
        };
        if may_go {
            self.events.pop_front().map(|held| held.event)
        } else {
            None
        }
    }

    fn has_unjudged(&self) -> bool {
        let mut texts = self.choices.iter().flat_map(|choice| &choice.texts);
        texts.any(|text| text.unjudged_characters() > 0)
    }

    fn has_window(&self, windows: Windows) -> bool {
        let step = windows.size.saturating_sub(windows.overlap).max(1);
        let mut texts = self.choices.iter().flat_map(|choice| &choice.texts);
        texts.any(|text| text.unjudged_characters() >= step)
    }

    /// Adds to the text that a delta is of.
    fn add(&mut self, choice: u32, delta: &Delta) -> Option<Place> {
        let (kind, more) = match delta {
            Delta::Content { text, .. } => (Kind::Answer, text),
            Delta::Reasoning { text } => (Kind::Reasoning, text),
            Delta::ToolCallStarted { index, name, .. } => (Kind::Call(*index), name),
            Delta::ToolCallArguments { index, fragment } => (Kind::Call(*index), fragment),
        };
        let choice = usize::try_from(choice).ok()?;
        let texts = &mut self.choices.get_mut(choice)?.texts;
        // What the model writes elsewhere in the meantime ends nothing, but it may be the end.
        for other in texts.iter_mut().filter(|text| text.kind != kind) {
            other.rest();
        }
        let known = texts.iter().position(|text| text.kind == kind);
        let text = known.unwrap_or_else(|| {
            texts.push(Text::new(kind));
            texts.len() - 1
        });
        // A name and the arguments after it are no one word.
        let parted = matches!(delta, Delta::ToolCallStarted { .. });
        let at = texts.get_mut(text)?.add(more, parted);
        Some(Place { choice, text, at })
    }

    fn finish(&mut self, choice: u32) {
        let choice = usize::try_from(choice)
            .ok()
            .and_then(|choice| self.choices.get_mut(choice));
        if let Some(choice) = choice {
            choice.finish();
        }
        self.is_over |= self.choices.iter().all(|choice| choice.is_finished);
    }
}

impl Choice {
    fn finish(&mut self) {
        self.is_finished = true;
        for text in &mut self.texts {
            text.rest();
        }
    }
}

#[cfg(test)]
mod tests;
