//! One sequence in the engine, advanced step by step.

mod draw;

use std::sync::Arc;

use silica_engine::{ConstraintError, GenerateEvent, GenerateSink, TokenConstraint};

use super::meters::Counted;
use super::model::{ModelError, Step};
use super::queue::{Job, Rank};
use super::span::SpanGuard;
use super::speculation::Drafter;
use crate::LogitsOf;
use crate::text::cache::blocks::{BLOCK, BlockTable};
use crate::text::lora::Adapter;
use crate::text::sampler::{BrokenLogits, Sampler};

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
    /// Guesses what comes next; `None` where nothing may be drafted.
    drafter: Option<Drafter>,
    /// Has been told every token of the answer, and none twice: what is computed again is not drawn again.
    constraint: Option<Box<dyn TokenConstraint>>,
    adapter: Option<Arc<Adapter>>,
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
    /// Gives a request its place. `table` may hold the beginning of its prompt. With `drafts` it may
    /// draft tokens.
    pub(super) fn new(
        job: Job,
        rank: Rank,
        table: BlockTable,
        sharing: Sharing,
        drafts: bool,
        running: Counted,
    ) -> Self {
        let request = job.request;
        let most_tokens = request.prompt.len() + request.max_tokens.get() as usize;
        Self {
            drafter: drafts.then(|| Drafter::new(most_tokens)),
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
            adapter: job.adapter,
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

    /// Returns the number of tokens that are computed.
    pub(super) fn positions(&self) -> usize {
        self.table.len()
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
        self.withdraw();
        self.table.clear();
        self.admitted = false;
    }

    /// Lets a paused sequence take blocks again.
    pub(super) fn resume(&mut self) {
        self.admitted = true;
    }

    /// Guesses the next tokens and says how likely the first is right; `None` without a guess.
    pub(super) fn guess(&mut self) -> Option<f32> {
        if !self.started {
            return None;
        }
        self.drafter.as_mut()?.guess(&self.tokens)
    }

    /// Returns how many tokens it may draft: one more is drawn in any case.
    pub(super) fn most_drafts(&self) -> usize {
        (self.prompt + self.max_tokens).saturating_sub(self.tokens.len() + 1)
    }

    /// Drafts up to `count` tokens of its guess, as many as there are blocks for, beside its last
    /// token, for which it has a block. Returns how many they are.
    pub(super) fn draft(&mut self, count: usize) -> usize {
        let Some(drafter) = &mut self.drafter else {
            return 0;
        };
        drafter.draft(&self.tokens, count, &self.stop_tokens);
        let wanted = drafter.drafted().len();
        if wanted > 0 && !self.table.reserve(1 + wanted) {
            let room = self.table.room() - self.table.len();
            drafter.draft(&self.tokens, room.saturating_sub(1), &self.stop_tokens);
        }
        drafter.drafted().len()
    }

    /// Gives its draft up. Returns how many tokens that were.
    pub(super) fn withdraw(&mut self) -> usize {
        let Some(drafter) = &mut self.drafter else {
            return 0;
        };
        let drafted = drafter.drafted().len();
        drafter.withdraw();
        drafted
    }

    /// The part of a step that computes the next `count` tokens, for which there are blocks, a draft
    /// included.
    pub(super) fn step(&mut self, count: usize) -> Step<'_> {
        let first = self.table.len();
        let adapter = self.adapter.as_deref();
        let row = self.drafter.as_ref().map(Drafter::row);
        if let Some(row) = row.filter(|row| !row.is_empty()) {
            return Step {
                tokens: row,
                rope_length: first + row.len(),
                logits: LogitsOf::All,
                adapter,
                table: &mut self.table,
            };
        }
        let end = first + count;
        Step {
            tokens: &self.tokens[first..end],
            rope_length: end.max(self.prompt),
            logits: if end == self.tokens.len() {
                LogitsOf::Last
            } else {
                LogitsOf::Nothing
            },
            adapter,
            table: &mut self.table,
        }
    }
}

/// Returns the number of blocks that so many positions need.
pub(super) fn blocks_of(positions: usize) -> usize {
    positions.div_ceil(BLOCK)
}
