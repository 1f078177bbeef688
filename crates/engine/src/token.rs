//! The token-level port: what an embedded text engine implements.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use silica_types::{AccountId, TokenCount};
use tokio::sync::mpsc;

use crate::{ConstraintSource, EngineError, Sampling};

/// Computes token sequences. Made for continuous batching: [`TokenEngine::generate`] only queues,
/// many requests are in flight at once, each has its own event stream, and dropping that stream
/// cancels the request at the engine's next step.
pub trait TokenEngine: Send + Sync {
    /// The longest sequence, prompt and answer together, in tokens.
    fn context_length(&self) -> TokenCount;

    /// The number of token ids the model has logits for.
    fn vocabulary_size(&self) -> u32;

    /// Queues a request.
    ///
    /// # Errors
    /// [`EngineError::QueueFull`], [`EngineError::ContextExceeded`],
    /// [`EngineError::InvalidRequest`] for an empty prompt or an id outside the vocabulary, and
    /// [`EngineError::Unavailable`] after the engine's thread has ended.
    fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, EngineError>;
}

/// A shared engine is an engine, so that its owner can keep hold of it.
impl<E: TokenEngine + ?Sized> TokenEngine for Arc<E> {
    fn context_length(&self) -> TokenCount {
        E::context_length(self)
    }

    fn vocabulary_size(&self) -> u32 {
        E::vocabulary_size(self)
    }

    fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, EngineError> {
        E::generate(self, request)
    }
}

/// One sequence to generate.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// Token ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The most tokens to generate, at least 1; the engine also stops at the context's end.
    pub max_tokens: TokenCount,
    /// Token ids that end the sequence; the one that ended it is still reported.
    pub stop_tokens: Vec<u32>,
    /// Report the log-probability of each token and of this many most likely ones (0 to 20);
    /// `None` reports none.
    pub logprobs: Option<u8>,
    /// Bounds a span of the answer, such as the reasoning; `None` leaves it to the model.
    pub span_limit: Option<SpanLimit>,
    /// Says which tokens may stand where; `None` allows every one. What the engine puts itself
    /// (`span_limit`) must be allowed by it.
    pub constraint: Option<Arc<dyn ConstraintSource>>,
    /// How soon its turn comes when others wait too.
    pub priority: Priority,
    /// Whose request it is; all requests with `None` count as those of one account more. What was
    /// computed for one account is reused for that account only: how soon an answer begins, and the number of cached
    /// tokens, would tell what others have asked.
    pub account: Option<AccountId>,
}

/// The rank of a request among those that wait: higher goes first, for a bounded time. 0, the
/// default, is the lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u8);

/// Bounds the first span between two marks: when `limit` tokens stand in it and the model has not
/// closed it, the engine puts `ending` there instead of drawing. The tokens it puts are reported,
/// counted and penalised like drawn ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanLimit {
    /// The id that opens the span; `None` when the prompt has opened it.
    pub opens: Option<u32>,
    /// The id that closes it.
    pub closes: u32,
    /// The most tokens inside, the marks not counted.
    pub limit: TokenCount,
    /// What closes it by force; holds `closes`.
    pub ending: Vec<u32>,
}

/// What happens to a sequence, in this order: one `Started`, any number of `Token`, one `Finished`.
/// Or `Overloaded` alone. `Unconstrained` and `Failed` may come at any time before the end.
#[derive(Debug, Clone, PartialEq)]
pub enum GenerateEvent {
    /// The prompt has been computed.
    Started {
        /// Prompt tokens whose keys and values came from a prefix cache.
        cached: TokenCount,
    },
    /// One more token.
    Token {
        /// Its id.
        id: u32,
        /// Its log-probability, if asked for.
        logprob: Option<TokenLogprob>,
    },
    /// The sequence has ended.
    Finished(StopCause),
    /// The sequence waited too long for its turn and was never started; nothing follows.
    Overloaded,
    /// The request's own constraint cannot be followed any further; nothing follows. The text is fit for
    /// the client.
    Unconstrained(String),
    /// The engine failed; nothing follows.
    Failed(String),
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// One of the stop tokens was drawn.
    StopToken,
    /// The constraint allows nothing more: the answer is complete.
    Complete,
    /// `max_tokens` or the context's end was reached.
    Length,
}

/// Log-probabilities (natural logarithm) of one position, from the model's unmodified logits.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// Of the token that was drawn.
    pub logprob: f32,
    /// The most likely tokens, most likely first.
    pub top: Vec<(u32, f32)>,
}

/// The engine's end of a request: send events, see whether the receiver is gone.
#[derive(Debug)]
pub struct GenerateSink(mpsc::Sender<GenerateEvent>);

/// The receiver's end of a request. Dropping it cancels the request.
#[derive(Debug)]
pub struct GenerateStream(mpsc::Receiver<GenerateEvent>);

impl GenerateStream {
    /// Makes both ends for a request of at most `max_tokens` tokens. The channel holds every event
    /// such a request can have, so the engine's thread never waits for a slow reader and the
    /// memory is bounded by `max_tokens`.
    pub fn channel(max_tokens: TokenCount) -> (GenerateSink, Self) {
        let (sender, receiver) = mpsc::channel(max_tokens.get() as usize + 3);
        (GenerateSink(sender), Self(receiver))
    }
}

impl GenerateSink {
    /// Hands over an event without waiting. Returns false when the receiver is gone, which means
    /// that the request is cancelled.
    #[must_use]
    pub fn send(&self, event: GenerateEvent) -> bool {
        self.0.try_send(event).is_ok()
    }

    /// Whether the receiver is gone.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }
}

impl Stream for GenerateStream {
    type Item = GenerateEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<GenerateEvent>> {
        self.0.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_stream_cancels_the_sink() {
        let (sink, stream) = GenerateStream::channel(TokenCount(4));
        assert!(sink.send(GenerateEvent::Started {
            cached: TokenCount::ZERO
        }));
        drop(stream);
        assert!(sink.is_cancelled());
        assert!(!sink.send(GenerateEvent::Finished(StopCause::Length)));
    }

    #[test]
    fn a_full_request_fits_without_a_reader() {
        let (sink, _stream) = GenerateStream::channel(TokenCount(2));
        assert!(sink.send(GenerateEvent::Started {
            cached: TokenCount::ZERO
        }));
        for id in 0..2 {
            assert!(sink.send(GenerateEvent::Token { id, logprob: None }));
        }
        assert!(sink.send(GenerateEvent::Finished(StopCause::Length)));
    }
}
