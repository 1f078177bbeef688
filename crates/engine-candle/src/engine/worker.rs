//! The engine's loop.
//!
//! Each round admits waiting requests while there are places, then advances every sequence by one
//! step: a chunk of its prompt or one token. A long prompt thus delays the others by one chunk per
//! round, not by its whole length.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::meters::Meters;
use super::model::LogitsModel;
use super::queue::{Job, STOPPED, WaitingQueue};
use super::sequence::{Progress, Scratch, Sequence, StepError};

/// Everything that the engine's thread owns.
pub(super) struct Worker<M: LogitsModel> {
    queue: Arc<WaitingQueue>,
    meters: Meters,
    max_sequences: usize,
    running: Vec<Sequence<M>>,
    scratch: Scratch,
    /// Dropped last: when it is gone, so are all sequences.
    model: M,
}

impl<M: LogitsModel> Worker<M> {
    pub(super) fn new(model: M, queue: Arc<WaitingQueue>, meters: Meters, max_sequences: usize) -> Self {
        let scratch = Scratch::default();
        Self {
            model,
            queue,
            meters,
            max_sequences: max_sequences.max(1),
            running: Vec::new(),
            scratch,
        }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        while !self.queue.is_closed() {
            if self.running.is_empty() && !self.queue.wait() {
                return;
            }
            // A step takes milliseconds, so this is often enough for waits of seconds.
            self.queue.expire(Instant::now());
            self.admit();
            self.step();
        }
    }

    fn admit(&mut self) {
        while self.running.len() < self.max_sequences
            && let Some(job) = self.queue.take()
        {
            self.start(job);
        }
    }

    fn start(&mut self, job: Job) {
        if job.sink.is_cancelled() {
            self.meters.cancelled();
            return;
        }
        let cache = self.model.new_cache();
        self.running
            .push(Sequence::new(job, cache, self.meters.running()));
    }

    /// Advances every sequence once.
    fn step(&mut self) {
        let Self {
            model,
            meters,
            running,
            scratch,
            ..
        } = self;
        running.retain_mut(|sequence| {
            if sequence.is_cancelled() {
                meters.cancelled();
                return false;
            }
            meters.step();
            // A panic is a defect, but of one step: its sequence and scratch buffers are not
            // looked at again (the buffers are overwritten), the model is never written to.
            match catch_unwind(AssertUnwindSafe(|| sequence.advance(model, scratch))) {
                Ok(Ok(Progress::Running)) => true,
                Ok(Ok(Progress::Ended)) => false,
                Ok(Ok(Progress::Cancelled)) => {
                    meters.cancelled();
                    false
                }
                Ok(Err(error)) => {
                    report(&error);
                    sequence.fail(&error.to_string());
                    false
                }
                Err(panic) => {
                    tracing::error!(panic = panic_text(&*panic), "a step of the engine panicked");
                    sequence.fail("a step of the engine panicked");
                    false
                }
            }
        });
    }
}

impl<M: LogitsModel> Drop for Worker<M> {
    fn drop(&mut self) {
        // Also on the way out of a panic: callers must learn that nobody serves the queue.
        self.queue.close();
        for sequence in &self.running {
            sequence.fail(STOPPED);
        }
    }
}

/// Logs a failed step with its cause; the text never contains tokens of the request.
fn report(error: &StepError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "a sequence failed");
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
