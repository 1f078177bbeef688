//! The token-level port of models that answer in one piece: what an embedded engine implements.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use silica_types::TokenCount;
use tokio::sync::oneshot;

use crate::EngineError;

/// Reads token sequences and says one thing about each. Made for dynamic batching:
/// [`EncodeEngine::encode`] only queues, sequences of many requests are computed together, and
/// dropping the answer cancels the request.
///
/// What a sequence becomes depends on that sequence alone, in every bit.
pub trait EncodeEngine: Send + Sync {
    /// The longest sequence, in tokens.
    fn context_length(&self) -> TokenCount;

    /// The number of token ids the model knows.
    fn vocabulary_size(&self) -> u32;

    /// What the model says about a sequence.
    fn says(&self) -> Says;

    /// Queues a request.
    ///
    /// # Errors
    /// [`EngineError::QueueFull`], [`EngineError::ContextExceeded`] for the first sequence that is too
    /// long, [`EngineError::InvalidRequest`] for an empty sequence or an id outside the vocabulary, and
    /// [`EngineError::Unavailable`] after the engine's thread has ended.
    fn encode(&self, request: EncodeRequest) -> Result<Encoding, EngineError>;
}

/// A shared engine is an engine, so that its owner can keep hold of it.
impl<E: EncodeEngine + ?Sized> EncodeEngine for Arc<E> {
    fn context_length(&self) -> TokenCount {
        E::context_length(self)
    }

    fn vocabulary_size(&self) -> u32 {
        E::vocabulary_size(self)
    }

    fn says(&self) -> Says {
        E::says(self)
    }

    fn encode(&self, request: EncodeRequest) -> Result<Encoding, EngineError> {
        E::encode(self, request)
    }
}

/// What a model says about a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Where it lies: a vector.
    Vector(VectorShape),
    /// How well its two parts fit: a score without bounds.
    Score,
    /// How much likelier one next token is than another: the difference of their logits.
    Choice,
}

/// The form of a model's vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorShape {
    /// How many numbers a vector has.
    pub width: u32,
    /// Whether vectors have length 1.
    pub normalised: bool,
    /// Whether the beginnings of vectors are vectors too, once their length is 1 again: the model was
    /// trained for it (Matryoshka representation learning, arXiv 2205.13147).
    pub nested: bool,
}

/// Sequences to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodeRequest {
    /// At least one sequence.
    pub sequences: Vec<TokenSequence>,
    /// The tokens to choose between, of a model that says [`Says::Choice`]; `None` for others.
    pub choice: Option<Choice>,
}

/// Two tokens that may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The one that speaks for the sequence.
    pub favourable: u32,
    /// The one that speaks against it.
    pub unfavourable: u32,
}

/// The tokens of one text, or of a pair of them, with everything that the model wants around.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSequence {
    /// Token ids, at least one.
    pub tokens: Vec<u32>,
    /// The position from which on tokens are of type 1, the second text's; those before are of type 0.
    /// `None` when all are of type 0, as for models that know no types.
    pub second: Option<usize>,
}

/// What the engine says: numbers for each sequence, in order. A score or a choice is one number.
pub type Encoded = Vec<Vec<f32>>;

/// The engine's end of a request.
#[derive(Debug)]
pub struct EncodeSink(oneshot::Sender<Result<Encoded, EngineError>>);

/// The receiver's end of a request. Dropping it cancels the request.
#[derive(Debug)]
pub struct Encoding(oneshot::Receiver<Result<Encoded, EngineError>>);

impl Encoding {
    /// Makes both ends of a request.
    pub fn channel() -> (EncodeSink, Self) {
        let (sender, receiver) = oneshot::channel();
        (EncodeSink(sender), Self(receiver))
    }
}

impl EncodeSink {
    /// Hands over the answer. Returns false when the receiver is gone.
    pub fn send(self, answer: Result<Encoded, EngineError>) -> bool {
        self.0.send(answer).is_ok()
    }

    /// Whether the receiver is gone, so that nobody wants the answer.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }
}

impl Future for Encoding {
    type Output = Result<Encoded, EngineError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // An engine that let go of its end is gone.
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(EngineError::Unavailable)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_arrives_and_an_engine_that_is_gone_is_noticed() {
        let (sink, encoding) = Encoding::channel();
        assert!(sink.send(Ok(vec![vec![1.0]])));
        assert_eq!(encoding.await.unwrap(), [[1.0]]);
        let (sink, encoding) = Encoding::channel();
        drop(sink);
        assert!(matches!(encoding.await, Err(EngineError::Unavailable)));
    }

    #[test]
    fn dropping_the_receiver_cancels() {
        let (sink, encoding) = Encoding::channel();
        assert!(!sink.is_cancelled());
        drop(encoding);
        assert!(sink.is_cancelled());
        assert!(!sink.send(Ok(Vec::new())));
    }
}
