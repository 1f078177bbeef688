//! The engine's loop: passes over the sequences of many requests.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use silica_engine::{Choice, EncodeSink, EngineError, TokenSequence};

use super::queue::{Job, JobQueue};
use super::reader::{Item, ModelError, SequenceModel};
use crate::engine::meters::{Counted, Meters};

/// Tokens of a pass. The weights are read once for each pass, so more of them cost less each, up to some
/// hundreds; a request that comes meanwhile waits for the pass to end. One longer sequence is a pass alone.
const PASS_TOKENS: usize = 512;

/// Everything that the engine's thread owns.
pub(super) struct EncodeWorker<M> {
    queue: Arc<JobQueue>,
    meters: Meters,
    /// Requests that are computed at the same time.
    most: usize,
    running: VecDeque<Running>,
    model: M,
}

/// A request that is being computed.
struct Running {
    sequences: Vec<TokenSequence>,
    choice: Option<Choice>,
    /// `None` once it has been told that its request failed.
    sink: Option<EncodeSink>,
    /// Sequences that are in no pass yet, the shortest first, so that like ones go together.
    pending: VecDeque<usize>,
    /// Sequences that have no answer yet.
    missing: usize,
    answers: Vec<Vec<f32>>,
    _counted: Counted,
}

/// A sequence of a pass: which request's, and which one of it.
type Place = (usize, usize);

impl<M: SequenceModel> EncodeWorker<M> {
    pub(super) fn new(model: M, queue: Arc<JobQueue>, meters: Meters, most: usize) -> Self {
        Self {
            queue,
            meters,
            most: most.max(1),
            running: VecDeque::new(),
            model,
        }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        while !self.queue.is_closed() {
            if self.running.is_empty() && !self.queue.wait() {
                return;
            }
            self.queue.expire(Instant::now());
            self.forget_cancelled();
            self.admit();
            self.pass();
            self.finish();
            // Everybody's turn to be the first of a pass.
            if !self.running.is_empty() {
                self.running.rotate_left(1);
            }
        }
    }

    fn forget_cancelled(&mut self) {
        let Self { running, meters, .. } = self;
        running.retain(|request| {
            let over = request.is_over();
            if over && request.sink.is_some() {
                meters.cancelled();
            }
            !over
        });
    }

    fn admit(&mut self) {
        while self.running.len() < self.most
            && let Some(job) = self.queue.take()
        {
            let counted = self.meters.running();
            self.running.push_back(Running::new(job, counted));
        }
    }

    /// Computes one pass over sequences of all requests in turn.
    fn pass(&mut self) {
        let places = plan(&mut self.running);
        if places.is_empty() {
            return;
        }
        if let Err(error) = self.compute(&places) {
            if places.len() > 1 {
                // Whoever made it fail must not take the others along.
                tracing::warn!(%error, "a pass failed; its sequences are computed one by one");
                for place in places {
                    if let Err(error) = self.compute(&[place]) {
                        self.fail(place, error);
                    }
                }
            } else if let Some(place) = places.first() {
                self.fail(*place, error);
            }
        }
    }

    fn compute(&mut self, places: &[Place]) -> Result<(), ModelError> {
        self.meters.step();
        let running = &self.running;
        let items: Vec<Item<'_>> = places
            .iter()
            .map(|(request, sequence)| Item {
                sequence: &running[*request].sequences[*sequence],
                choice: running[*request].choice,
            })
            .collect();
        let queue = &self.queue;
        let goes_on = || {
            // A pass over a long text takes minutes, and those who wait are told in time.
            queue.expire(Instant::now());
            let wanted = |(request, _): &Place| !running[*request].is_over();
            !queue.is_closed() && places.iter().any(wanted)
        };
        // A panic is a defect, but of one pass: the model is never written to.
        let computed = catch_unwind(AssertUnwindSafe(|| self.model.compute(&items, &goes_on)));
        let Some(answers) = computed.map_err(|_panic| "the pass panicked")?? else {
            return Ok(());
        };
        if answers.iter().flatten().any(|number| !number.is_finite()) {
            return Err("the model's answer is not a number".into());
        }
        for ((request, sequence), answer) in places.iter().zip(answers) {
            let running = &mut self.running[*request];
            running.answers[*sequence] = answer;
            running.missing -= 1;
        }
        Ok(())
    }

    /// Tells the receiver and the log; the text never contains tokens of the request.
    fn fail(&mut self, (request, _): Place, error: ModelError) {
        tracing::error!(%error, "a request failed");
        let running = &mut self.running[request];
        running.pending.clear();
        if let Some(sink) = running.sink.take() {
            // Nobody to tell when the receiver is gone already.
            sink.send(Err(EngineError::failed(error)));
        }
    }

    /// Hands over what is complete.
    fn finish(&mut self) {
        for _ in 0..self.running.len() {
            let Some(mut request) = self.running.pop_front() else {
                return;
            };
            if request.missing > 0 {
                self.running.push_back(request);
            } else if let Some(sink) = request.sink.take()
                && !sink.send(Ok(request.answers))
            {
                self.meters.cancelled();
            }
        }
    }
}

impl<M> Drop for EncodeWorker<M> {
    fn drop(&mut self) {
        // Also on the way out of a panic: callers must learn that nobody serves the queue.
        self.queue.close();
    }
}

impl Running {
    fn new(job: Job, counted: Counted) -> Self {
        let sequences = job.request.sequences;
        let mut pending: Vec<usize> = (0..sequences.len()).collect();
        pending.sort_by_key(|index| sequences[*index].tokens.len());
        Self {
            pending: pending.into(),
            missing: sequences.len(),
            answers: vec![Vec::new(); sequences.len()],
            sequences,
            choice: job.request.choice,
            sink: Some(job.sink),
            _counted: counted,
        }
    }

    /// Whether nobody waits for its answer any more.
    fn is_over(&self) -> bool {
        self.sink.as_ref().is_none_or(EncodeSink::is_cancelled)
    }
}

/// Takes sequences for a pass, one of each request in turn, as long as they fit.
fn plan(running: &mut VecDeque<Running>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut room = PASS_TOKENS;
    loop {
        let before = places.len();
        for (index, request) in running.iter_mut().enumerate() {
            let Some(next) = request.pending.front() else {
                continue;
            };
            let length = request.sequences[*next].tokens.len();
            if length <= room || places.is_empty() {
                places.push((index, *next));
                request.pending.pop_front();
                room = room.saturating_sub(length);
            }
        }
        if places.len() == before {
            return places;
        }
    }
}
