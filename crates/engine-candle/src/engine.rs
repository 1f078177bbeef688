//! The engine: queue, threads and events around a loaded model.

mod adapted;
pub(crate) mod meters;
mod model;
mod queue;
mod schedule;
mod sequence;
mod span;
mod speculation;
pub(crate) mod threads;
mod worker;

use std::path::Path;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use silica_engine::{EngineError, GenerateRequest, GenerateStream, HealthProbe, TokenEngine};
use silica_types::TokenCount;

pub use self::adapted::AdaptedEngine;
use self::meters::Meters;
use self::model::{LogitsModel, PagedDecoder, cache_mb};
use self::queue::{Job, WaitingQueue};
use self::worker::Worker;
use crate::text::lora::{Adapter, AdapterMemory, Base};
use crate::{CandleOptions, Decoder, GgufModel, LoadError};

/// An embedded text engine: one model, its own threads, many sequences in flight.
///
/// Dropping it returns at once, on any thread: it stops the engine's thread at the end of the
/// current step (a prompt chunk of a large model can take a second), which then fails the sequences
/// that have not ended and frees the model.
pub struct CandleEngine {
    /// For the log.
    name: String,
    queue: Arc<WaitingQueue>,
    meters: Meters,
    context_length: TokenCount,
    vocabulary_size: u32,
    /// The model's context, where memory has shortened it.
    shortened: Option<Shortened>,
    /// That a prompt was refused for it is said once: anybody may send such prompts.
    refusal: Once,
    /// What adapters must fit; `None` where they cannot be computed.
    base: Option<Base>,
    adapters: AdapterMemory,
}

impl CandleEngine {
    /// Loads a model folder or a GGUF file and starts the engine. Blocks for as long as reading the
    /// weights takes, so call it outside of async threads. Metrics go to the recorder that is
    /// installed at this moment.
    ///
    /// A folder is one as on Hugging Face: `config.json` and safetensors, or
    /// [`GGUF_WEIGHTS`](crate::GGUF_WEIGHTS) in their place.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(model: &Path, options: CandleOptions) -> Result<Self, LoadError> {
        let decoder = Decoder::load(model, options.precision(), options.context_length)?;
        Self::serve(decoder, options)
    }

    /// As [`CandleEngine::load`], of a GGUF file that is already open.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load_gguf(model: &GgufModel, options: CandleOptions) -> Result<Self, LoadError> {
        let decoder = Decoder::load_gguf(model, options.precision(), options.context_length)?;
        Self::serve(decoder, options)
    }

    fn serve(decoder: Decoder, options: CandleOptions) -> Result<Self, LoadError> {
        let config = decoder.config();
        tracing::info!(
            engine = options.name,
            family = ?config.family,
            layers = config.layers,
            vocabulary = config.vocab_size,
            context = decoder.context_length(),
            weights = ?decoder.weight_formats(),
            weights_mb = decoder.weight_bytes() >> 20,
            threads = options.thread_count(),
            "model loaded"
        );
        let bytes = u64::from(options.kv_cache_mb) << 20;
        let base = decoder.is_on_cpu().then(|| decoder.adapter_base());
        let whole = Shortened {
            context: decoder.context_length(),
            needed_mb: cache_mb(decoder.block_bytes() as u64, decoder.context_length()),
        };
        let chosen = options.context_length;
        let mut engine = Self::start(PagedDecoder::new(decoder, bytes, chosen)?, options)?;
        engine.base = base;
        engine.shortened = (engine.context_length.get() < whole.context).then_some(whole);
        Ok(engine)
    }

    /// Starts the engine around any model; tests bring their own.
    fn start<M: LogitsModel>(model: M, options: CandleOptions) -> Result<Self, LoadError> {
        let meters = Meters::new(&options.name);
        let queue = WaitingQueue::new(options.max_waiting, options.max_wait, meters.clone());
        let queue = Arc::new(queue);
        let threads = options.thread_count();
        let adapters = AdapterMemory::new(u64::from(options.adapters_mb) << 20);
        let context_length = TokenCount(model.context_length());
        let vocabulary_size = model.vocabulary_size();
        let worker = Worker::new(
            model,
            Arc::clone(&queue),
            meters.clone(),
            options.max_sequences,
            options.speculation,
            threads,
        );
        let name = options.name.clone();
        // The thread is not joined: the last owner may let go of the engine on an async thread.
        threads::spawn(options.name, threads, move || worker.run()).map_err(LoadError::Threads)?;
        Ok(Self {
            name,
            queue,
            meters,
            context_length,
            vocabulary_size,
            shortened: None,
            refusal: Once::new(),
            base: None,
            adapters,
        })
    }

    /// The engine's name, as in its metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether requests are taken: not after a panic outside of a step, which ends the engine's thread.
    pub fn is_running(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Tells of the engine's thread, for as long as anybody asks: after a panic outside of a step
    /// nobody serves the queue, and every request is refused.
    pub fn health(&self) -> Arc<dyn HealthProbe> {
        Arc::new(ThreadProbe(Arc::clone(&self.queue)))
    }

    fn check(&self, request: &GenerateRequest) -> Result<(), EngineError> {
        let prompt = TokenCount::of(&request.prompt);
        if prompt == TokenCount::ZERO {
            return Err(EngineError::InvalidRequest("the prompt has no tokens".to_owned()));
        }
        if prompt >= self.context_length {
            if let Some(shortened) = self.shortened.filter(|whole| prompt.get() < whole.context) {
                self.refusal.call_once(|| {
                    tracing::warn!(
                        engine = self.name,
                        prompt = prompt.get(),
                        context = self.context_length.get(),
                        "{}",
                        shortened.text(prompt)
                    );
                });
            }
            return Err(EngineError::ContextExceeded {
                prompt,
                limit: self.context_length,
            });
        }
        let biased = request.sampling.logit_bias.iter().map(|(id, _)| id);
        let forced = request.span_limit.iter().flat_map(|span| &span.ending);
        match request
            .prompt
            .iter()
            .chain(biased)
            .chain(forced)
            .find(|id| **id >= self.vocabulary_size)
        {
            Some(id) => Err(EngineError::InvalidRequest(format!(
                "token id {id} is outside the model's vocabulary of {}",
                self.vocabulary_size
            ))),
            None => Ok(()),
        }
    }
}

/// What a model would take if there were memory for it.
#[derive(Debug, Clone, Copy)]
struct Shortened {
    /// In tokens.
    context: u32,
    /// The memory for keys and values of as many, in MiB.
    needed_mb: u64,
}

impl Shortened {
    /// What to do about a prompt that was refused for lack of memory. The caller cannot, and is not told.
    fn text(self, prompt: TokenCount) -> String {
        let Self { context, needed_mb } = self;
        format!(
            "a prompt of {prompt} tokens was refused, though the model takes {context}; engine.kv_cache_mb = {needed_mb} has room for them; of further ones nothing is said"
        )
    }
}

impl TokenEngine for CandleEngine {
    fn context_length(&self) -> TokenCount {
        self.context_length
    }

    fn vocabulary_size(&self) -> u32 {
        self.vocabulary_size
    }

    fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, EngineError> {
        self.submit(request, None)
    }
}

impl CandleEngine {
    /// Queues a request, with what is added to the model's products for it.
    fn submit(
        &self,
        mut request: GenerateRequest,
        adapter: Option<Arc<Adapter>>,
    ) -> Result<GenerateStream, EngineError> {
        self.check(&request)?;
        let room = self.context_length.get() - TokenCount::of(&request.prompt).get();
        request.max_tokens = TokenCount(request.max_tokens.get().clamp(1, room));
        let (sink, stream) = GenerateStream::channel(request.max_tokens);
        // Here, on the caller's thread, since it takes time.
        let constraint = request.constraint.take().map(|source| source.start());
        self.queue.push(Job {
            request,
            constraint,
            adapter,
            sink,
            queued_at: Instant::now(),
            _waiting: self.meters.waiting(),
        })?;
        Ok(stream)
    }
}

/// The engine is healthy while its queue is served.
struct ThreadProbe(Arc<WaitingQueue>);

#[async_trait]
impl HealthProbe for ThreadProbe {
    async fn probe(&self, _limit: Duration) -> Result<(), EngineError> {
        if self.0.is_closed() {
            return Err(EngineError::Unavailable);
        }
        Ok(())
    }
}

impl Drop for CandleEngine {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests;
