//! Requests that wait for a place in the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use silica_engine::{EngineError, GenerateEvent, GenerateRequest, GenerateSink, Priority, TokenConstraint};

use super::meters::{Counted, Meters};
use crate::text::lora::Adapter;

/// By how much a request of one level higher goes before others: it is treated as if it had come
/// this much earlier. Since all requests age alike, nobody waits for ever behind higher levels.
const AGEING: Duration = Duration::from_secs(5);

/// A request on its way to the engine's thread.
pub(super) struct Job {
    pub(super) request: GenerateRequest,
    /// What it may hold, at its beginning.
    pub(super) constraint: Option<Box<dyn TokenConstraint>>,
    /// What is added to the model's products for it.
    pub(super) adapter: Option<Arc<Adapter>>,
    pub(super) sink: GenerateSink,
    pub(super) queued_at: Instant,
    pub(super) _waiting: Counted,
}

/// A request's place in the order in which requests are served, earliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// When it came, in microseconds since the engine's start, earlier the higher its level.
    due: i64,
    /// Tells requests apart that came at the same time.
    ticket: u64,
}

impl Rank {
    fn new(came: Duration, priority: Priority, ticket: u64) -> Self {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let ahead = micros(AGEING).saturating_mul(i64::from(priority.0));
        Self {
            due: micros(came).saturating_sub(ahead),
            ticket,
        }
    }
}

/// A bounded queue between callers on any thread and the engine's thread.
pub(super) struct WaitingQueue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
    max_wait: Duration,
    started: Instant,
    meters: Meters,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<Rank, Job>,
    /// Jobs that ever came.
    tickets: u64,
    closed: bool,
}

impl WaitingQueue {
    pub(super) fn new(capacity: usize, max_wait: Duration, meters: Meters) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity: capacity.max(1),
            max_wait,
            started: Instant::now(),
            meters,
        }
    }

    /// Queues a job. Requests whose receivers are gone, or that have waited too long, make room
    /// for it.
    ///
    /// # Errors
    /// `QueueFull`, and `Unavailable` once the queue is closed.
    pub(super) fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut state = self.lock();
        if state.closed {
            return Err(EngineError::Unavailable);
        }
        if state.jobs.len() >= self.capacity {
            self.discard(&mut state, Instant::now());
        }
        if state.jobs.len() >= self.capacity {
            return Err(EngineError::QueueFull);
        }
        state.tickets += 1;
        let came = job.queued_at.saturating_duration_since(self.started);
        let rank = Rank::new(came, job.request.priority, state.tickets);
        state.jobs.insert(rank, job);
        self.changed.notify_one();
        Ok(())
    }

    /// Returns the rank of the first job in order.
    pub(super) fn first(&self) -> Option<Rank> {
        self.lock().jobs.first_key_value().map(|(rank, _)| *rank)
    }

    /// Takes the first job in order if `fits` says with what it can begin; that comes with it.
    pub(super) fn take<T>(&self, fits: impl FnOnce(&Job) -> Option<T>) -> Option<(Rank, Job, T)> {
        let mut state = self.lock();
        let first = state.jobs.first_entry()?;
        let with = fits(first.get())?;
        let (rank, job) = first.remove_entry();
        self.meters.waited(job.queued_at.elapsed());
        Some((rank, job, with))
    }

    /// Ends the jobs that have waited too long by `now` and forgets those whose receivers are gone.
    pub(super) fn expire(&self, now: Instant) {
        self.discard(&mut self.lock(), now);
    }

    fn discard(&self, state: &mut State, now: Instant) {
        state.jobs.retain(|_, job| {
            let expired = now.saturating_duration_since(job.queued_at) >= self.max_wait;
            // The send tells when the receiver is gone already.
            let cancelled = job.sink.is_cancelled() || (expired && !job.sink.send(GenerateEvent::Overloaded));
            if cancelled {
                self.meters.cancelled();
            }
            !(cancelled || expired)
        });
    }

    /// Waits until there is a job (true) or the queue is closed (false).
    pub(super) fn wait(&self) -> bool {
        let idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
        let state = self
            .changed
            .wait_while(self.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }

    /// Refuses further jobs and fails those that wait.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for job in std::mem::take(&mut state.jobs).into_values() {
            // Nobody to tell when the receiver is gone already.
            let _ = job.sink.send(GenerateEvent::Failed(STOPPED.to_owned()));
        }
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the queue itself intact: no operation stops half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What requests are told that a stopping engine does not finish.
pub(super) const STOPPED: &str = "the engine was stopped";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_worth_a_stated_time_and_no_more() {
        let rank = |came, level| Rank::new(Duration::from_secs(came), Priority(level), came);
        assert!(rank(3, 0) < rank(4, 0), "first come, first served");
        assert!(rank(4, 1) < rank(3, 0), "a higher level goes first");
        assert!(rank(3, 1) < rank(7, 1), "in order within a level");
        assert!(
            rank(0, 0) < rank(26, 5),
            "an old request goes before a new one of any level"
        );
        assert!(rank(24, 5) < rank(0, 0));
    }
}
