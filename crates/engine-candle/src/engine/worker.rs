//! The engine's loop.
//!
//! Each round forgets sequences whose receivers are gone, admits waiting requests while there are
//! places and blocks, and computes one pass over all of them: see [`super::schedule`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::meters::Meters;
use super::model::{LogitsModel, ModelError, Step};
use super::queue::{Job, Rank, STOPPED, WaitingQueue};
use super::schedule::Places;
use super::sequence::{Sequence, Sharing, StepError, blocks_of};
use super::speculation::Costs;
use crate::Speculation;
use crate::text::cache::blocks::{BlockPool, BlockTable};
use crate::text::sampler::SamplerScratch;

/// Everything that the engine's thread owns.
pub(super) struct Worker<M: LogitsModel> {
    queue: Arc<WaitingQueue>,
    meters: Meters,
    max_sequences: usize,
    places: Places,
    pool: BlockPool,
    sharing: Sharing,
    /// What a pass takes, where sequences draft tokens.
    drafts: Option<Costs>,
    scratch: Scratch,
    /// Dropped last: when it is gone, so are all sequences.
    model: M,
}

/// Buffers that live as long as the engine.
#[derive(Default)]
struct Scratch {
    logits: Vec<f32>,
    sampler: SamplerScratch,
}

/// A sequence in a step and how many tokens of it are computed.
type Member<'places> = (&'places mut Sequence, usize);

impl<M: LogitsModel> Worker<M> {
    pub(super) fn new(
        model: M,
        queue: Arc<WaitingQueue>,
        meters: Meters,
        max_sequences: usize,
        speculation: Speculation,
        threads: usize,
    ) -> Self {
        let sharing = if model.keys_depend_on_length() {
            Sharing::Alone
        } else {
            Sharing::Shared
        };
        Self {
            pool: BlockPool::new(model.blocks()),
            sharing,
            // Keys that depend on the length are other ones for each drafted token.
            drafts: (speculation == Speculation::Auto
                && sharing == Sharing::Shared
                && model.rows_are_independent())
            .then(|| model.costs(threads)),
            model,
            queue,
            meters,
            max_sequences: max_sequences.max(1),
            places: Places::default(),
            scratch: Scratch::default(),
        }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        while !self.queue.is_closed() {
            if self.places.is_empty() && !self.queue.wait() {
                return;
            }
            // A step takes milliseconds, so this is often enough for waits of seconds.
            self.queue.expire(Instant::now());
            self.forget_cancelled();
            self.admit();
            self.step();
            self.places.retain(|sequence| !sequence.is_over());
            self.meters.blocks(self.pool.counts());
        }
    }

    fn forget_cancelled(&mut self) {
        let Self { places, meters, .. } = self;
        places.retain(|sequence| {
            let cancelled = sequence.is_cancelled();
            if cancelled {
                meters.cancelled();
            }
            !cancelled
        });
    }

    /// Admits waiting requests and paused sequences, in order. One that does not fit holds the
    /// others up, so that a large request is not starved by small ones.
    fn admit(&mut self) {
        loop {
            let place_left = self.places.len() < self.max_sequences;
            let waiting = if place_left { self.queue.first() } else { None };
            let more = match (self.places.first_paused(), waiting) {
                (Some(paused), Some(waiting)) if waiting < paused => self.admit_waiting(),
                (Some(_), _) => self.places.resume(&self.pool),
                (None, Some(_)) => self.admit_waiting(),
                (None, None) => false,
            };
            if !more {
                return;
            }
        }
    }

    /// Gives the first waiting request a place. False when there is none or it does not fit.
    fn admit_waiting(&mut self) -> bool {
        let taken = self.queue.take(|job| {
            let request = &job.request;
            let account = request.account.map(|account| account.as_uuid().as_u128());
            let adapter = job.adapter.as_ref().map(|adapter| adapter.id());
            let mut table = self
                .pool
                .adapted_table(account.unwrap_or_default(), adapter.unwrap_or_default());
            if self.sharing == Sharing::Shared {
                table.adopt(&request.prompt);
            }
            let missing = blocks_of(request.prompt.len() + 1).saturating_sub(table.blocks().len());
            self.places.have_room(&self.pool, missing).then_some(table)
        });
        if let Some((rank, job, table)) = taken {
            self.start(rank, job, table);
            return true;
        }
        false
    }

    fn start(&mut self, rank: Rank, job: Job, table: BlockTable) {
        if job.sink.is_cancelled() {
            self.meters.cancelled();
            return;
        }
        let running = self.meters.running();
        self.places.insert(Sequence::new(
            job,
            rank,
            table,
            self.sharing,
            self.drafts.is_some(),
            running,
        ));
    }

    /// Computes one pass over all sequences that can go on.
    fn step(&mut self) {
        let mut plan = self.places.plan();
        if let Some(costs) = &self.drafts {
            self.places.draft(&mut plan, costs);
        }
        self.meters.paused(plan.paused);
        let planned = self.places.iter_mut().zip(plan.counts);
        let mut members: Vec<Member<'_>> = planned.filter(|(_, count)| *count > 0).collect();
        if members.is_empty() {
            return;
        }
        let passed = pass(&self.model, &self.meters, &mut members, &mut self.scratch);
        let Err(error) = passed else { return };
        let withdrawn: usize = members.iter_mut().map(withdraw).sum();
        if let [(sequence, _)] = members.as_mut_slice()
            && withdrawn == 0
        {
            fail(sequence, &error);
            return;
        }
        // Whoever made it fail must not take the others along, nor may a drafted token. A pass that
        // failed has changed nothing, so each can be computed alone.
        tracing::warn!(%error, "a pass failed; its sequences are computed one by one");
        for member in members {
            let (model, meters, scratch) = (&self.model, &self.meters, &mut self.scratch);
            let mut alone = [member];
            if let Err(error) = pass(model, meters, &mut alone, scratch) {
                let [(sequence, _)] = alone;
                fail(sequence, &error);
            }
        }
    }
}

/// Computes one pass and lets each of its sequences draw. An error means that the pass itself
/// failed; a sequence that cannot draw is failed alone.
fn pass<M: LogitsModel>(
    model: &M,
    meters: &Meters,
    members: &mut [Member<'_>],
    scratch: &mut Scratch,
) -> Result<(), StepError> {
    meters.step();
    let mut steps: Vec<_> = members
        .iter_mut()
        .map(|(sequence, count)| sequence.step(*count))
        .collect();
    let logits = &mut scratch.logits;
    // A panic is a defect, but of one step: the model is never written to, the buffers are
    // overwritten, and the tables change only when all is computed.
    caught(|| model.compute(&mut steps, logits).map_err(StepError::Model))?;
    let counts: Vec<usize> = steps.iter().map(Step::rows).collect();
    drop(steps);
    let mut rows = scratch.logits.chunks_exact(model.vocabulary_size() as usize);
    for ((sequence, _), count) in members.iter_mut().zip(counts) {
        let mut own = rows.by_ref().take(count);
        let drawn = caught(|| sequence.finish_step(&mut own, &mut scratch.sampler, meters));
        // A draft that was not followed leaves rows behind.
        own.for_each(drop);
        if let Err(error) = drawn {
            fail(sequence, &error);
        }
    }
    Ok(())
}

/// Takes a draft out of a pass. Returns how many tokens that were.
fn withdraw((sequence, count): &mut Member<'_>) -> usize {
    let withdrawn = sequence.withdraw();
    *count -= withdrawn;
    withdrawn
}

/// Makes a panic an error.
fn caught(work: impl FnOnce() -> Result<(), StepError>) -> Result<(), StepError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(panic) => Err(StepError::Panicked(panic_text(&*panic))),
    }
}

/// Tells the receiver and the log; the text never contains tokens of the request.
fn fail(sequence: &mut Sequence, error: &StepError) {
    if let StepError::Constraint(error) = error {
        tracing::warn!(%error, "a sequence cannot follow its constraint");
        sequence.give_up(error);
        return;
    }
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "a sequence failed");
    sequence.fail(&error.to_string());
}

impl<M: LogitsModel> Drop for Worker<M> {
    fn drop(&mut self) {
        // Also on the way out of a panic: callers must learn that nobody serves the queue.
        self.queue.close();
        for sequence in self.places.iter_mut() {
            sequence.fail(STOPPED);
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> ModelError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(no text)").into()
}
