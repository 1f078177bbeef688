//! `/healthz` (is the process alive?) and `/readyz` (should it be sent requests?).
//!
//! `/readyz` turns good once, when the start is over: every deployment was loaded, or skipped
//! where the configuration says so. It turns bad when the end begins. It does not follow single
//! models: one that fails after a later change is retried, logged, and refused by its own calls
//! with 503, while the others go on; taking the whole server out of rotation would stop those too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::routing::get;
use http::StatusCode;

/// How far the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Models are being loaded.
    Starting = 0,
    /// Everything is in place.
    Ready = 1,
    /// Running requests are being finished.
    Stopping = 2,
}

/// The phase, shared by both listeners.
#[derive(Debug, Clone)]
pub(super) struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// A server that is starting.
    pub(super) fn starting() -> Self {
        Self(Arc::new(AtomicU8::new(Phase::Starting as u8)))
    }

    /// Enters a phase.
    pub(super) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        const READY: u8 = Phase::Ready as u8;
        const STOPPING: u8 = Phase::Stopping as u8;
        match self.0.load(Ordering::Acquire) {
            READY => (StatusCode::OK, "ready"),
            STOPPING => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        }
    }
}

/// The two routes. `/healthz` answers as long as the process handles requests at all.
pub(super) fn routes(readiness: &Readiness) -> Router {
    let readiness = readiness.clone();
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(move || std::future::ready(readiness.answer())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ready_phase_is_ready() {
        let readiness = Readiness::starting();
        assert_eq!(readiness.answer(), (StatusCode::SERVICE_UNAVAILABLE, "starting"));
        readiness.enter(Phase::Ready);
        assert_eq!(readiness.answer(), (StatusCode::OK, "ready"));
        readiness.enter(Phase::Stopping);
        assert_eq!(readiness.answer(), (StatusCode::SERVICE_UNAVAILABLE, "stopping"));
    }
}
