//! One sequence in the engine, advanced step by step.

use silica_engine::{GenerateEvent, GenerateSink, StopCause};
use silica_types::TokenCount;

use super::meters::Counted;
use super::model::{LogitsModel, ModelError};
use super::queue::Job;
use super::span::SpanGuard;
use crate::text::sampler::{BrokenLogits, Sampler, SamplerScratch};

/// Prompt tokens computed in one step. A step cannot be interrupted, so this bounds how long a
/// cancelled prompt goes on and how long the other sequences wait for it.
const PREFILL_CHUNK: usize = 256;

/// A sequence that has a place in the engine.
pub(super) struct Sequence<M: LogitsModel> {
    prompt: Vec<u32>,
    /// Prompt tokens that are in the cache.
    computed: usize,
    generated: usize,
    /// The token drawn last; its keys and values are not in the cache yet.
    last: u32,
    max_tokens: usize,
    stop_tokens: Vec<u32>,
    cache: M::Cache,
    sampler: Sampler,
    span: Option<SpanGuard>,
    sink: GenerateSink,
    _running: Counted,
}

/// Buffers shared by all sequences, which compute one after the other.
#[derive(Default)]
pub(super) struct Scratch {
    logits: Vec<f32>,
    sampler: SamplerScratch,
}

/// What became of a sequence in one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    Running,
    /// It has ended and its receiver knows.
    Ended,
    /// Its receiver is gone.
    Cancelled,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("the model's computation failed")]
    Model(#[source] ModelError),
    #[error(transparent)]
    Logits(#[from] BrokenLogits),
}

impl<M: LogitsModel> Sequence<M> {
    pub(super) fn new(job: Job, cache: M::Cache, running: Counted) -> Self {
        let request = job.request;
        Self {
            prompt: request.prompt,
            computed: 0,
            generated: 0,
            last: 0,
            max_tokens: request.max_tokens.get() as usize,
            stop_tokens: request.stop_tokens,
            cache,
            sampler: Sampler::new(request.sampling, request.logprobs),
            span: request.span_limit.map(SpanGuard::new),
            sink: job.sink,
            _running: running,
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.sink.is_cancelled()
    }

    /// Tells the receiver that the engine failed.
    pub(super) fn fail(&self, reason: &str) {
        // Nobody to tell when the receiver is gone already.
        let _ = self.sink.send(GenerateEvent::Failed(reason.to_owned()));
    }

    /// Computes the next chunk of the prompt, or one token. A sequence that failed or ended must
    /// not be advanced again.
    pub(super) fn advance(&mut self, model: &M, scratch: &mut Scratch) -> Result<Progress, StepError> {
        let left = &self.prompt[self.computed..];
        if left.is_empty() {
            let length = self.prompt.len() + self.generated;
            self.compute(model, &[self.last], length, Some(&mut scratch.logits))?;
            return self.draw(scratch);
        }
        let chunk = left[..left.len().min(PREFILL_CHUNK)].to_vec();
        self.computed += chunk.len();
        let length = self.prompt.len();
        if self.computed < length {
            self.compute(model, &chunk, length, None)?;
            return Ok(Progress::Running);
        }
        self.compute(model, &chunk, length, Some(&mut scratch.logits))?;
        if !self.sink.send(GenerateEvent::Started {
            cached: TokenCount::ZERO,
        }) {
            return Ok(Progress::Cancelled);
        }
        self.draw(scratch)
    }

    fn compute(
        &mut self,
        model: &M,
        tokens: &[u32],
        length: usize,
        logits: Option<&mut Vec<f32>>,
    ) -> Result<(), StepError> {
        model
            .compute(tokens, &mut self.cache, length, logits)
            .map_err(StepError::Model)
    }

    fn draw(&mut self, scratch: &mut Scratch) -> Result<Progress, StepError> {
        let forced = self.span.as_ref().and_then(SpanGuard::forced);
        let drawn = self.sampler.draw(&scratch.logits, forced, &mut scratch.sampler)?;
        if let Some(span) = &mut self.span {
            span.observe(drawn.id);
        }
        self.last = drawn.id;
        self.generated += 1;
        if !self.sink.send(GenerateEvent::Token {
            id: drawn.id,
            logprob: drawn.logprob,
        }) {
            return Ok(Progress::Cancelled);
        }
        let cause = if self.stop_tokens.contains(&drawn.id) {
            StopCause::StopToken
        } else if self.generated >= self.max_tokens {
            StopCause::Length
        } else {
            return Ok(Progress::Running);
        };
        // The answer is complete whether or not somebody still listens.
        let _ = self.sink.send(GenerateEvent::Finished(cause));
        Ok(Progress::Ended)
    }
}
