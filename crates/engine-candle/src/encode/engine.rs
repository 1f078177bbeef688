//! The engine around a model that reads: queue and threads.

use std::path::Path;
use std::sync::Arc;

use silica_engine::{EncodeEngine, EncodeRequest, Encoding, EngineError, Says};
use silica_types::TokenCount;

use super::kind::ModelKind;
use super::queue::{Job, JobQueue};
use super::reader::{Reader, SequenceModel};
use super::worker::EncodeWorker;
use crate::engine::meters::Meters;
use crate::engine::threads;
use crate::{CandleOptions, LoadError};

/// An embedded engine that embeds or ranks: one model, its own threads, many requests in flight.
///
/// Dropping it returns at once, on any thread; the engine's thread ends within the pass that it is in and
/// tells those who wait.
pub struct CandleEncoder {
    queue: Arc<JobQueue>,
    meters: Meters,
    context_length: TokenCount,
    vocabulary_size: u32,
    says: Says,
}

impl CandleEncoder {
    /// Loads a model folder for embedding or ranking and starts the engine. Blocks for as long as reading
    /// the weights takes, so call it outside of async threads. Metrics go to the recorder that is installed
    /// at this moment.
    ///
    /// # Errors
    /// Names the file and what is wrong with it, also when its model is for something else.
    pub fn load(folder: &Path, kind: ModelKind, options: CandleOptions) -> Result<Self, LoadError> {
        let reader = Reader::load(folder, kind, &options)?;
        tracing::info!(
            engine = options.name,
            kind = kind.as_str(),
            vocabulary = reader.vocabulary_size(),
            context = reader.context_length(),
            weights_mb = reader.weight_bytes() >> 20,
            threads = options.thread_count(),
            "model loaded"
        );
        Self::start(reader, options)
    }

    /// Starts the engine around any model; tests bring their own.
    pub(super) fn start<M: SequenceModel>(model: M, options: CandleOptions) -> Result<Self, LoadError> {
        let meters = Meters::new(&options.name);
        let queue = JobQueue::new(options.max_waiting, options.max_wait, meters.clone());
        let queue = Arc::new(queue);
        let threads = options.thread_count();
        let engine = Self {
            queue: Arc::clone(&queue),
            meters: meters.clone(),
            context_length: TokenCount(model.context_length()),
            vocabulary_size: model.vocabulary_size(),
            says: model.says(),
        };
        let worker = EncodeWorker::new(model, queue, meters, options.max_sequences);
        // The thread is not joined: the last owner may let go of the engine on an async thread.
        threads::spawn(options.name, threads, move || worker.run()).map_err(LoadError::Threads)?;
        Ok(engine)
    }

    fn check(&self, request: &EncodeRequest) -> Result<(), EngineError> {
        let invalid = |text: String| Err(EngineError::InvalidRequest(text));
        if request.sequences.is_empty() {
            return invalid("there are no sequences".to_owned());
        }
        let limit = self.context_length;
        for sequence in &request.sequences {
            let prompt = TokenCount::of(&sequence.tokens);
            if prompt == TokenCount::ZERO {
                return invalid("a sequence has no tokens".to_owned());
            }
            if prompt > limit {
                return Err(EngineError::ContextExceeded { prompt, limit });
            }
        }
        if request.choice.is_none() && self.says == Says::Choice {
            return invalid("there are no tokens to choose between".to_owned());
        }
        let choice = request.choice.iter();
        let choice = choice.flat_map(|choice| [choice.favourable, choice.unfavourable]);
        let tokens = request.sequences.iter().flat_map(|sequence| &sequence.tokens);
        match tokens
            .copied()
            .chain(choice)
            .find(|id| *id >= self.vocabulary_size)
        {
            Some(id) => invalid(format!(
                "token id {id} is outside the model's vocabulary of {}",
                self.vocabulary_size
            )),
            None => Ok(()),
        }
    }
}

impl EncodeEngine for CandleEncoder {
    fn context_length(&self) -> TokenCount {
        self.context_length
    }

    fn vocabulary_size(&self) -> u32 {
        self.vocabulary_size
    }

    fn says(&self) -> Says {
        self.says
    }

    fn encode(&self, request: EncodeRequest) -> Result<Encoding, EngineError> {
        self.check(&request)?;
        let (sink, encoding) = Encoding::channel();
        self.queue.push(Job::new(request, sink, self.meters.waiting()))?;
        Ok(encoding)
    }
}

impl Drop for CandleEncoder {
    fn drop(&mut self) {
        self.queue.close();
    }
}
