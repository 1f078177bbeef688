//! What the scripted engine remembers of its calls.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::UpstreamScript;

/// How many requests are kept.
const KEPT_REQUESTS: usize = 64;
/// The longest wait for something that a call does.
const PATIENCE: Duration = Duration::from_secs(30);

/// One call, as the engine saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCall {
    /// The script's marker.
    pub marker: String,
    /// The tokens of the prompt.
    pub prompt: u32,
    /// The tokens that the call would produce if nothing ended it earlier, over all choices.
    pub planned: u32,
    /// The tokens that it has produced. Each is handed to the connection at once; the reader may
    /// have seen fewer.
    pub produced: u32,
    /// How it ended, or that it has not.
    pub outcome: UpstreamOutcome,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// Not yet.
    Running,
    /// Every frame was handed to the connection.
    Finished,
    /// The script refused it.
    Refused,
    /// The script broke it.
    Broken,
    /// The reader closed the connection.
    Left,
}

/// A request, as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamRequest {
    /// The address it came from; the same for all requests of a connection.
    pub peer: SocketAddr,
    /// The header of this name.
    pub authorization: Option<String>,
    /// The body.
    pub body: Value,
}

/// The log of all calls.
#[derive(Debug, Default)]
pub(super) struct Log {
    calls: Mutex<Vec<UpstreamCall>>,
    requests: Mutex<VecDeque<UpstreamRequest>>,
    changed: Notify,
}

impl Log {
    pub(super) fn calls(&self) -> Vec<UpstreamCall> {
        self.locked().clone()
    }

    pub(super) fn requests(&self) -> Vec<UpstreamRequest> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().cloned().collect()
    }

    pub(super) fn keep_request(&self, request: UpstreamRequest) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == KEPT_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    #[expect(
        clippy::expect_used,
        reason = "a call that does not do its part fails the test"
    )]
    pub(super) async fn call_until(
        &self,
        marker: &str,
        condition: impl Fn(&UpstreamCall) -> bool,
    ) -> UpstreamCall {
        let found = || {
            let calls = self.locked();
            let call = calls.iter().find(|call| call.marker == marker)?;
            condition(call).then(|| call.clone())
        };
        let waiting = async {
            loop {
                // Registered before the look, so that a change in between is not missed.
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if let Some(call) = found() {
                    return call;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .expect("the engine's call meets the condition")
    }

    fn locked(&self) -> MutexGuard<'_, Vec<UpstreamCall>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one call in the log. Dropped without an end, it says that the reader left.
#[derive(Debug)]
pub(super) struct Entry {
    log: Arc<Log>,
    position: usize,
}

impl Entry {
    pub(super) fn begin(log: &Arc<Log>, script: &UpstreamScript, planned: u32) -> Self {
        let mut calls = log.locked();
        let position = calls.len();
        calls.push(UpstreamCall {
            marker: script.marker.clone(),
            prompt: script.prompt,
            planned,
            produced: 0,
            outcome: UpstreamOutcome::Running,
        });
        drop(calls);
        log.changed.notify_waiters();
        Self {
            log: Arc::clone(log),
            position,
        }
    }

    /// Notes how many tokens the call has produced.
    pub(super) fn produced(&self, tokens: u32) {
        self.change(|call| call.produced = tokens);
    }

    /// Notes how the call ended; only the first end counts.
    pub(super) fn end(&self, outcome: UpstreamOutcome) {
        self.change(|call| {
            if call.outcome == UpstreamOutcome::Running {
                call.outcome = outcome;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut UpstreamCall)) {
        if let Some(call) = self.log.locked().get_mut(self.position) {
            change(call);
        }
        self.log.changed.notify_waiters();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(UpstreamOutcome::Left);
    }
}
