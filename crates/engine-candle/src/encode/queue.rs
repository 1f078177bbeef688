//! Requests that wait for the engine's thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use silica_engine::{EncodeRequest, EncodeSink, EngineError};

use crate::engine::meters::{Counted, Meters};

/// A request on its way to the engine's thread.
pub(super) struct Job {
    pub(super) request: EncodeRequest,
    pub(super) sink: EncodeSink,
    /// Counted once, not at every push of another.
    tokens: usize,
    queued_at: Instant,
    _waiting: Counted,
}

/// The most tokens that wait, whatever the number of requests, unless one has them alone: a small body can
/// become millions of them, as a query is repeated for each document.
const MOST_WAITING_TOKENS: usize = 1 << 25;

impl Job {
    pub(super) fn new(request: EncodeRequest, sink: EncodeSink, waiting: Counted) -> Self {
        let sequences = request.sequences.iter();
        Self {
            tokens: sequences.map(|sequence| sequence.tokens.len()).sum(),
            request,
            sink,
            queued_at: Instant::now(),
            _waiting: waiting,
        }
    }
}

/// A bounded queue between callers on any thread and the engine's thread: first come, first served.
pub(super) struct JobQueue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
    max_wait: Duration,
    meters: Meters,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl JobQueue {
    pub(super) fn new(capacity: usize, max_wait: Duration, meters: Meters) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity: capacity.max(1),
            max_wait,
            meters,
        }
    }

    /// Queues a job. Those whose receivers are gone, or that have waited too long, make room for it.
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
        let waiting: usize = state.jobs.iter().map(|job| job.tokens).sum();
        let is_full = state.jobs.len() >= self.capacity
            || (waiting > 0 && waiting.saturating_add(job.tokens) > MOST_WAITING_TOKENS);
        if is_full {
            return Err(EngineError::QueueFull);
        }
        state.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the job that has waited longest.
    pub(super) fn take(&self) -> Option<Job> {
        let job = self.lock().jobs.pop_front()?;
        self.meters.waited(job.queued_at.elapsed());
        Some(job)
    }

    /// Refuses the jobs that have waited too long by `now` and forgets those whose receivers are gone.
    pub(super) fn expire(&self, now: Instant) {
        self.discard(&mut self.lock(), now);
    }

    fn discard(&self, state: &mut State, now: Instant) {
        for job in std::mem::take(&mut state.jobs) {
            let expired = now.saturating_duration_since(job.queued_at) >= self.max_wait;
            if !expired && !job.sink.is_cancelled() {
                state.jobs.push_back(job);
            } else if !job.sink.send(Err(EngineError::QueueFull)) {
                self.meters.cancelled();
            }
        }
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

    /// Refuses further jobs and lets go of those that wait, which tells their receivers.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.jobs.clear();
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
