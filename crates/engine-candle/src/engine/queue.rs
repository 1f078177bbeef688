//! Requests that wait for a place in the engine.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use silica_engine::{EngineError, GenerateEvent, GenerateRequest, GenerateSink};

use super::meters::Counted;

/// A request on its way to the engine's thread.
pub(super) struct Job {
    pub(super) request: GenerateRequest,
    pub(super) sink: GenerateSink,
    pub(super) _waiting: Counted,
}

/// A bounded queue between callers on any thread and the engine's thread.
pub(super) struct WaitingQueue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl WaitingQueue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity: capacity.max(1),
        }
    }

    /// Queues a job. Requests whose receivers are gone make room for it.
    ///
    /// # Errors
    /// `QueueFull`, and `Unavailable` once the queue is closed.
    pub(super) fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut state = self.lock();
        if state.closed {
            return Err(EngineError::Unavailable);
        }
        if state.jobs.len() >= self.capacity {
            state.jobs.retain(|waiting| !waiting.sink.is_cancelled());
        }
        if state.jobs.len() >= self.capacity {
            return Err(EngineError::QueueFull);
        }
        state.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the oldest job, if there is one.
    pub(super) fn take(&self) -> Option<Job> {
        self.lock().jobs.pop_front()
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
        for job in state.jobs.drain(..) {
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
