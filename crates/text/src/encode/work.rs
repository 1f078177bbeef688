//! Tokenizing off the async threads, and what a request has in common whatever it is for.

use std::num::NonZero;
use std::sync::Arc;

use silica_engine::{EngineError, TokenSequence, Usage};
use silica_types::TokenCount;
use tokio::sync::Semaphore;

/// Requests with more text than this are tokenized on the blocking pool, since what takes more than half a
/// millisecond must leave the async threads (see the chat engine's limit, which is the same).
const LARGEST_DIRECT_BYTES: usize = 1024;

/// The most tokens of a request, all sequences together: what a body of some megabytes makes, where the
/// query is not repeated without end.
const MOST_TOKENS: usize = 1 << 22;

/// Places for work that tokenizes: one for each core, for more at a time would only slow each other down.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Places {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Semaphore::new(cores)))
    }

    /// Does the work for so many bytes of text: here when they are few.
    ///
    /// # Errors
    /// Those of the work, and [`EngineError::Failed`] when it panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        if bytes <= LARGEST_DIRECT_BYTES {
            return work();
        }
        let permit = Arc::clone(&self.0);
        let permit = permit.acquire_owned().await.map_err(EngineError::failed)?;
        let working = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, which goes on when the caller is gone.
            let _permit = permit;
            work()
        });
        working.await.map_err(EngineError::failed)?
    }
}

/// The sequences of a request as they are made, and how many tokens they are.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    pub(super) all: Vec<TokenSequence>,
    tokens: usize,
}

impl Sequences {
    /// Adds one.
    ///
    /// # Errors
    /// When there are too many tokens together.
    pub(super) fn push(&mut self, sequence: TokenSequence) -> Result<(), EngineError> {
        self.tokens += sequence.tokens.len();
        if self.tokens > MOST_TOKENS {
            return Err(EngineError::InvalidRequest(format!(
                "the texts have more than {MOST_TOKENS} tokens together; send fewer in one request"
            )));
        }
        self.all.push(sequence);
        Ok(())
    }

    /// All tokens that are computed.
    pub(super) fn tokens(&self) -> TokenCount {
        TokenCount(u32::try_from(self.tokens).unwrap_or(u32::MAX))
    }
}

/// What a request of so many tokens consumed.
pub(super) fn usage(prompt: TokenCount) -> Usage {
    Usage {
        prompt,
        ..Usage::default()
    }
}
