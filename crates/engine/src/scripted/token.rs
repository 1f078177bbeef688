//! The token level: scripts of [`GenerateEvent`]s.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use silica_types::TokenCount;

use crate::{
    EngineError, GenerateEvent, GenerateRequest, GenerateSink, GenerateStream, StopCause, TokenEngine,
    TokenLogprob,
};

/// The events that one sequence plays, in order.
#[derive(Debug, Clone, Default)]
pub struct TokenScript {
    events: VecDeque<GenerateEvent>,
    held: bool,
}

impl TokenScript {
    /// Begins with `Started` and nothing from a cache.
    pub fn started() -> Self {
        Self::default().event(GenerateEvent::Started {
            cached: TokenCount::ZERO,
        })
    }

    /// A whole sequence: started, the tokens, finished with this cause.
    pub fn sequence(tokens: &[u32], cause: StopCause) -> Self {
        Self::started()
            .tokens(tokens)
            .event(GenerateEvent::Finished(cause))
    }

    /// Adds tokens without log-probabilities.
    #[must_use]
    pub fn tokens(self, tokens: &[u32]) -> Self {
        tokens.iter().fold(self, |script, id| {
            script.event(GenerateEvent::Token {
                id: *id,
                logprob: None,
            })
        })
    }

    /// Adds one token with its log-probabilities.
    #[must_use]
    pub fn token(self, id: u32, logprob: TokenLogprob) -> Self {
        self.event(GenerateEvent::Token {
            id,
            logprob: Some(logprob),
        })
    }

    /// Adds any event.
    #[must_use]
    pub fn event(mut self, event: GenerateEvent) -> Self {
        self.events.push_back(event);
        self
    }

    /// Plays only as far as [`ScriptedTokenEngine::release`] lets it; without this, everything is
    /// sent at once when the sequence is queued.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }
}

/// A [`TokenEngine`] that plays scripts and remembers what it was asked.
///
/// Each sequence takes the next queued script; without one it is refused with
/// [`EngineError::QueueFull`]. A script that ends without `Finished` closes its stream.
#[derive(Debug)]
pub struct ScriptedTokenEngine {
    context_length: TokenCount,
    vocabulary_size: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queued: VecDeque<TokenScript>,
    requests: Vec<GenerateRequest>,
    sequences: Vec<Sequence>,
}

/// One running sequence; `sink` is dropped once the script is over.
#[derive(Debug)]
struct Sequence {
    sink: Option<GenerateSink>,
    remaining: VecDeque<GenerateEvent>,
    cancelled: bool,
}

impl ScriptedTokenEngine {
    /// Makes an engine without scripts.
    pub fn new(context_length: TokenCount, vocabulary_size: u32) -> Self {
        Self {
            context_length,
            vocabulary_size,
            state: Mutex::default(),
        }
    }

    /// Queues the script of one sequence.
    pub fn push(&self, script: TokenScript) {
        self.lock().queued.push_back(script);
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<GenerateRequest> {
        self.lock().requests.clone()
    }

    /// Sends up to this many further events of one held sequence (counted from 0 in the order of
    /// the requests).
    pub fn release(&self, sequence: usize, events: usize) {
        if let Some(sequence) = self.lock().sequences.get_mut(sequence) {
            sequence.advance(events);
        }
    }

    /// How many sequences were dropped by their reader before the script was over.
    pub fn cancelled(&self) -> usize {
        let mut state = self.lock();
        state
            .sequences
            .iter_mut()
            .map(|sequence| usize::from(sequence.is_cancelled()))
            .sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenEngine for ScriptedTokenEngine {
    fn context_length(&self) -> TokenCount {
        self.context_length
    }

    fn vocabulary_size(&self) -> u32 {
        self.vocabulary_size
    }

    fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, EngineError> {
        let mut state = self.lock();
        let script = state.queued.pop_front().ok_or(EngineError::QueueFull)?;
        // Room for the whole script, even one that breaks the promise of `max_tokens`.
        let room = request
            .max_tokens
            .max(TokenCount::of(script.events.as_slices().0));
        let (sink, stream) = GenerateStream::channel(room);
        state.requests.push(request);
        let count = script.events.len();
        let mut sequence = Sequence {
            sink: Some(sink),
            remaining: script.events,
            cancelled: false,
        };
        if !script.held {
            sequence.advance(count);
        }
        state.sequences.push(sequence);
        Ok(stream)
    }
}

impl Sequence {
    fn advance(&mut self, events: usize) {
        for event in self.remaining.drain(..events.min(self.remaining.len())) {
            let sent = self.sink.as_ref().is_some_and(|sink| sink.send(event));
            self.cancelled |= !sent;
        }
        if self.remaining.is_empty() {
            self.sink = None;
        }
    }

    fn is_cancelled(&mut self) -> bool {
        self.cancelled |= self.sink.as_ref().is_some_and(GenerateSink::is_cancelled);
        self.cancelled
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;
    use crate::{Priority, Sampling};

    fn request() -> GenerateRequest {
        GenerateRequest {
            prompt: vec![1],
            sampling: Sampling::greedy(),
            max_tokens: TokenCount(4),
            stop_tokens: Vec::new(),
            logprobs: None,
            span_limit: None,
            constraint: None,
            priority: Priority::default(),
            account: None,
        }
    }

    #[tokio::test]
    async fn a_script_plays_whole_and_then_closes() {
        let engine = ScriptedTokenEngine::new(TokenCount(64), 16);
        engine.push(TokenScript::sequence(&[5, 6], StopCause::Length));
        let events: Vec<_> = engine.generate(request()).unwrap().collect().await;
        assert_eq!(events.len(), 4);
        assert_eq!(engine.cancelled(), 0);
        assert!(matches!(engine.generate(request()), Err(EngineError::QueueFull)));
    }

    #[tokio::test]
    async fn a_held_sequence_moves_only_when_released() {
        let engine = ScriptedTokenEngine::new(TokenCount(64), 16);
        engine.push(TokenScript::sequence(&[5, 6], StopCause::Length).held());
        let mut stream = engine.generate(request()).unwrap();
        assert!(futures::poll!(stream.next()).is_pending());
        engine.release(0, 2);
        assert!(stream.next().await.is_some());
        assert_eq!(
            stream.next().await,
            Some(GenerateEvent::Token { id: 5, logprob: None })
        );
        drop(stream);
        assert_eq!(engine.cancelled(), 1);
    }
}
