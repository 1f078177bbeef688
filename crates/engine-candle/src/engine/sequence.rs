//! One sequence in the engine, advanced step by step.

use silica_engine::{
    Allowed, ConstraintError, GenerateEvent, GenerateSink, Progress, StopCause, TokenConstraint,
};
use silica_types::TokenCount;

use super::meters::{Counted, Meters};
use super::model::{ModelError, Step};
use super::queue::{Job, Rank};
use super::span::SpanGuard;
use crate::text::cache::blocks::{BLOCK, BlockTable};
use crate::text::sampler::{BrokenLogits, Next, Sampler, SamplerScratch};

/// A sequence that has a place in the engine.
pub(super) struct Sequence {
    pub(super) rank: Rank,
    /// The prompt and what was generated. At least the last token is not in the table yet.
    tokens: Vec<u32>,
    prompt: usize,
    table: BlockTable,
    /// Whether it may take blocks; one that may not holds none.
    admitted: bool,
    sharing: Sharing,
    /// Positions that it has had, computed or taken over, also such as it had to give back.
    known: usize,
    /// Prompt positions among them that others had computed when it came to them first.
    cached: usize,
    /// The receiver has been told that the prompt is computed.
    started: bool,
    /// The receiver has been told that the sequence is over, or is gone.
    over: bool,
    max_tokens: usize,
    stop_tokens: Vec<u32>,
    sampler: Sampler,
    span: Option<SpanGuard>,
    /// Has been told every token of the answer, and none twice: what is computed again is not drawn again.
    constraint: Option<Box<dyn TokenConstraint>>,
    sink: GenerateSink,
    _running: Counted,
}

/// Whether sequences with the same beginning share its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// They do.
    Shared,
    /// A block is of use to its own sequence only.
    Alone,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("the model's computation failed")]
    Model(#[source] ModelError),
    #[error(transparent)]
    Logits(#[from] BrokenLogits),
    #[error("the request's constraint cannot be followed")]
    Constraint(#[from] ConstraintError),
    #[error("a step of the engine panicked")]
    Panicked(#[source] ModelError),
}

impl Sequence {
    /// Gives a request its place. `table` may hold the beginning of its prompt.
    pub(super) fn new(job: Job, rank: Rank, table: BlockTable, sharing: Sharing, running: Counted) -> Self {
        let request = job.request;
        Self {
            rank,
            prompt: request.prompt.len(),
            tokens: request.prompt,
            cached: table.len(),
            known: table.len(),
            table,
            admitted: true,
            sharing,
            started: false,
            over: false,
            max_tokens: request.max_tokens.get() as usize,
            stop_tokens: request.stop_tokens,
            sampler: Sampler::new(request.sampling, request.logprobs),
            span: request.span_limit.map(SpanGuard::new),
            constraint: job.constraint,
            sink: job.sink,
            _running: running,
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.sink.is_cancelled()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Tells the receiver that its own constraint cannot be followed, which is no fault of the engine.
    pub(super) fn give_up(&mut self, error: &ConstraintError) {
        // Nobody to tell when the receiver is gone already.
        let _ = self.sink.send(GenerateEvent::Unconstrained(error.to_string()));
        self.over = true;
    }

    /// Tells the receiver that the engine failed.
    pub(super) fn fail(&mut self, reason: &str) {
        // Nobody to tell when the receiver is gone already.
        let _ = self.sink.send(GenerateEvent::Failed(reason.to_owned()));
        self.over = true;
    }

    /// Returns the number of tokens that are to be computed before the next one can be drawn, at
    /// least 1. With 1 it is generating, or as good as that.
    pub(super) fn left(&self) -> usize {
        self.tokens.len() - self.table.len()
    }

    /// Returns the number of blocks that it still needs to draw the next token and compute it.
    pub(super) fn missing_blocks(&self) -> usize {
        blocks_of(self.tokens.len() + 1).saturating_sub(self.table.blocks().len())
    }

    /// Takes over what others have computed of its tokens meanwhile.
    pub(super) fn adopt(&mut self) {
        if self.sharing == Sharing::Alone {
            return;
        }
        self.table.adopt(&self.tokens);
        self.cached += self.table.len().min(self.prompt).saturating_sub(self.known);
        self.known = self.known.max(self.table.len());
    }

    /// Returns how many tokens to compute in a step that has room for `budget`. A part ends with a
    /// block, so that others can take it over.
    pub(super) fn part(&self, budget: usize) -> usize {
        let (first, left) = (self.table.len(), self.left());
        let left = match self.sharing {
            Sharing::Shared => left,
            // The prompt's keys go by its length, those of each later token by the length then.
            Sharing::Alone if first < self.prompt => self.prompt - first,
            Sharing::Alone => 1,
        };
        if budget >= left {
            return left;
        }
        let end = (first + budget) / BLOCK * BLOCK;
        end.saturating_sub(first)
    }

    /// Takes the blocks for so many more tokens; false when there are not enough.
    pub(super) fn reserve(&mut self, count: usize) -> bool {
        self.table.reserve(count)
    }

    /// Gives its blocks back; what it has generated is computed again later.
    pub(super) fn pause(&mut self) {
        self.table.clear();
        self.admitted = false;
    }

    /// Lets a paused sequence take blocks again.
    pub(super) fn resume(&mut self) {
        self.admitted = true;
    }

    /// The part of a step that computes the next `count` tokens, for which there are blocks.
    pub(super) fn step(&mut self, count: usize) -> Step<'_> {
        let first = self.table.len();
        let end = first + count;
        Step {
            tokens: &self.tokens[first..end],
            rope_length: end.max(self.prompt),
            wants_logits: end == self.tokens.len(),
            table: &mut self.table,
        }
    }

    /// Whether the step that has just been computed came to the last token.
    pub(super) fn is_caught_up(&self) -> bool {
        self.table.len() == self.tokens.len()
    }

    /// Notes that a step has been computed. `logits` are those of the last token, where the
    /// sequence is caught up.
    pub(super) fn finish_step(
        &mut self,
        logits: &[f32],
        scratch: &mut SamplerScratch,
        meters: &Meters,
    ) -> Result<(), StepError> {
        self.known = self.known.max(self.table.len());
        if self.sharing == Sharing::Shared {
            self.table.name(&self.tokens);
        }
        if !self.is_caught_up() {
            return Ok(());
        }
        if !self.started {
            self.started = true;
            meters.prefix(self.cached, self.prompt - self.cached);
            let cached = TokenCount::of(&self.tokens[..self.cached]);
            if !self.sink.send(GenerateEvent::Started { cached }) {
                return Ok(()); // The next round sees that the receiver is gone.
            }
        }
        self.draw(logits, scratch)
    }

    fn draw(&mut self, logits: &[f32], scratch: &mut SamplerScratch) -> Result<(), StepError> {
        let next = self.next(logits.len(), scratch)?;
        let drawn = self.sampler.draw(logits, next, scratch)?;
        if let Some(span) = &mut self.span {
            span.observe(drawn.id);
        }
        self.tokens.push(drawn.id);
        let is_stop = self.stop_tokens.contains(&drawn.id);
        let progress = match &mut self.constraint {
            Some(constraint) if !is_stop => constraint.accept(drawn.id)?,
            Some(_) | None => Progress::Open,
        };
        // A receiver that is gone is seen at the beginning of the next round, also by its count.
        let _ = self.sink.send(GenerateEvent::Token {
            id: drawn.id,
            logprob: drawn.logprob,
        });
        let cause = if is_stop {
            StopCause::StopToken
        } else if progress == Progress::Complete {
            StopCause::Complete
        } else if self.tokens.len() - self.prompt >= self.max_tokens {
            StopCause::Length
        } else {
            return Ok(());
        };
        // The answer is complete whether or not somebody still listens.
        let _ = self.sink.send(GenerateEvent::Finished(cause));
        self.over = true;
        Ok(())
    }

    /// What may come next, of so many tokens. A mask is left in `scratch`.
    fn next(&mut self, tokens: usize, scratch: &mut SamplerScratch) -> Result<Next, ConstraintError> {
        if let Some(id) = self.span.as_ref().and_then(SpanGuard::forced) {
            return Ok(Next::Forced(id));
        }
        let Some(constraint) = &mut self.constraint else {
            return Ok(Next::Any);
        };
        scratch.mask.reset(tokens);
        Ok(match constraint.allow(&mut scratch.mask)? {
            Allowed::All => Next::Any,
            Allowed::Marked => Next::Marked,
        })
    }
}

/// Returns the number of blocks that so many positions need.
pub(super) fn blocks_of(positions: usize) -> usize {
    positions.div_ceil(BLOCK)
}
