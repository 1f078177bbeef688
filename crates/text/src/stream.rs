//! Merges the token streams of all choices into one stream of chat events.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use silica_engine::{
    ChatEvent, ChatEventKind, EngineError, Feature, FinishReason, GenerateEvent, GenerateStream, StopCause,
    TokenLogprob, Usage,
};
use silica_types::TokenCount;

use crate::answer::{Choice, ChoiceSettings, Progress};

/// The events of one answer. Dropping it drops all token streams, which cancels their sequences.
#[derive(Debug)]
pub(crate) struct Answer {
    sequences: Vec<Sequence>,
    /// Which sequence is asked first next time, so that none starves the others.
    next: usize,
    /// Events that are ready to be taken.
    ready: VecDeque<ChatEvent>,
    usage: Usage,
    started: bool,
    /// What the constraint is for, if there is one.
    constrained: Feature,
}

/// One choice; without a stream once it is complete.
#[derive(Debug)]
struct Sequence {
    stream: Option<GenerateStream>,
    choice: Choice,
}

/// A sequence ended without saying why: its engine is gone.
#[derive(Debug, thiserror::Error)]
#[error("the token stream ended before the sequence was finished")]
struct Cut;

/// What the engine said when it failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct EngineFailure(String);

impl Answer {
    /// An answer without choices to a prompt of this length.
    pub(crate) fn new(prompt: TokenCount, constrained: Feature) -> Self {
        let usage = Usage {
            prompt,
            ..Usage::default()
        };
        Self {
            sequences: Vec::new(),
            next: 0,
            ready: VecDeque::new(),
            usage,
            started: false,
            constrained,
        }
    }

    /// Adds the next choice.
    pub(crate) fn add(&mut self, stream: GenerateStream, settings: &Arc<ChoiceSettings>) {
        self.sequences.push(Sequence {
            stream: Some(stream),
            choice: Choice::new(Arc::clone(settings)),
        });
    }

    fn is_complete(&self) -> bool {
        self.sequences.iter().all(|sequence| sequence.stream.is_none())
    }

    /// Asks the sequences in turn for one event.
    fn poll_sequences(&mut self, context: &mut Context<'_>) -> Poll<(usize, Option<GenerateEvent>)> {
        let count = self.sequences.len();
        for i in (0..count).map(|offset| (self.next + offset) % count) {
            let Some(stream) = &mut self.sequences[i].stream else {
                continue;
            };
            if let Poll::Ready(event) = Pin::new(stream).poll_next(context) {
                self.next = (i + 1) % count;
                return Poll::Ready((i, event));
            }
        }
        Poll::Pending
    }

    /// Takes one event of a sequence; what it means for the reader is put into `ready`.
    fn take(&mut self, index: usize, event: Option<GenerateEvent>) -> Result<(), EngineError> {
        match event {
            Some(GenerateEvent::Started { cached }) => self.start(cached),
            Some(GenerateEvent::Token { id, logprob }) => self.token(index, id, logprob),
            Some(GenerateEvent::Finished(cause)) => self.finish(index, cause),
            Some(GenerateEvent::Overloaded) => return Err(EngineError::QueueFull),
            Some(GenerateEvent::Unconstrained(reason)) => {
                let feature = self.constrained;
                return Err(EngineError::Unconstrainable { feature, reason });
            }
            Some(GenerateEvent::Failed(reason)) => return Err(EngineError::failed(EngineFailure(reason))),
            None => return Err(EngineError::failed(Cut)),
        }
        Ok(())
    }

    /// The prompt is the same for all choices: it is reported and counted once.
    fn start(&mut self, cached: TokenCount) {
        if !self.started {
            self.started = true;
            self.usage.cached = cached;
            self.push(ChatEventKind::Started);
        }
    }

    fn token(&mut self, index: usize, id: u32, logprob: Option<TokenLogprob>) {
        // An engine that reports tokens first has computed the prompt all the same.
        self.start(TokenCount::ZERO);
        self.usage.completion += TokenCount(1);
        let progress = self.sequences[index].choice.push(id, logprob);
        if progress.reasoning {
            self.usage.reasoning += TokenCount(1);
        }
        let stopped = progress.stopped;
        self.push_deltas(index, progress);
        if stopped {
            let reason = self.sequences[index].choice.stop_reason();
            self.complete(index, reason);
        }
    }

    fn finish(&mut self, index: usize, cause: StopCause) {
        self.start(TokenCount::ZERO);
        let (progress, reason) = self.sequences[index].choice.finish(cause);
        self.push_deltas(index, progress);
        self.complete(index, reason);
    }

    /// Drops the token stream at once, so that an engine that still works on it stops.
    fn complete(&mut self, index: usize, reason: FinishReason) {
        let sequence = &mut self.sequences[index];
        sequence.stream = None;
        let stop = sequence.choice.stop_text();
        self.push(ChatEventKind::Finished {
            choice: choice_number(index),
            reason,
            stop,
        });
    }

    fn push_deltas(&mut self, index: usize, progress: Progress) {
        for delta in progress.deltas {
            self.push(ChatEventKind::Delta {
                choice: choice_number(index),
                delta,
            });
        }
    }

    fn push(&mut self, kind: ChatEventKind) {
        self.ready.push_back(ChatEvent {
            usage: self.usage,
            kind,
        });
    }
}

impl Stream for Answer {
    type Item = Result<ChatEvent, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.is_complete() {
                return Poll::Ready(None);
            }
            let Poll::Ready((index, event)) = self.poll_sequences(context) else {
                return Poll::Pending;
            };
            if let Err(error) = self.take(index, event) {
                // Nothing more can be told; the other choices are cancelled.
                self.sequences.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

fn choice_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
