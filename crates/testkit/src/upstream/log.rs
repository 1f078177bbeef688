//! What the scripted engine remembers of its calls.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::UpstreamScript;

/// How many requests are kept.
const KEPT_REQUESTS: usize = 64;
/// The longest wait for something that a call does.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamRoute {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/rerank`.
    Rerank,
}

/// One call, as the engine saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCall {
    /// The script's marker.
    pub marker: String,
    /// What it asked for.
    pub route: UpstreamRoute,
    /// Whether a stream was asked for.
    pub is_streamed: bool,
    /// The tokens of the prompt.
    pub prompt: u32,
    /// The tokens that the call would produce if nothing ended it earlier, over all choices.
    pub planned: u32,
    /// The tokens that it has produced. In a stream each is handed to the connection at once; the
    /// reader may have seen fewer.
    pub produced: u32,
    /// The tokens whose text was handed to the connection: all of them or none in one piece.
    pub sent: u32,
    /// The bytes of the body that were handed to the connection.
    pub bytes: u64,
    /// How it ended, or that it has not.
    pub outcome: UpstreamOutcome,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// Not yet.
    Running,
    /// The whole answer was handed to the connection.
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
    pub(super) headers: HeaderMap,
}

impl UpstreamRequest {
    /// The text of a header, in lower case; `None` when there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The log of all calls.
#[derive(Debug, Default)]
pub(super) struct Log {
    calls: Mutex<Vec<UpstreamCall>>,
    requests: Mutex<VecDeque<UpstreamRequest>>,
    changed: Notify,
    pub(super) connections: Counter,
    pub(super) health_checks: Counter,
}

/// Counts what happens besides calls.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicUsize);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
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
    pub(super) fn begin(
        log: &Arc<Log>,
        script: &UpstreamScript,
        route: UpstreamRoute,
        is_streamed: bool,
        planned: u32,
    ) -> Self {
        let mut calls = log.locked();
        let position = calls.len();
        calls.push(UpstreamCall {
            marker: script.marker.clone(),
            route,
            is_streamed,
            prompt: script.prompt,
            planned,
            produced: 0,
            sent: 0,
            bytes: 0,
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

    /// Notes that all tokens so far were handed to the connection.
    pub(super) fn sent(&self) {
        self.change(|call| call.sent = call.produced);
    }

    /// Notes that bytes were handed to the connection.
    pub(super) fn handed_over(&self, bytes: usize) {
        self.change(|call| call.bytes += u64::try_from(bytes).unwrap_or(u64::MAX));
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
