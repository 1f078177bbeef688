//! What a listener answers: health alone while the server is being put together, then everything.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use silica_api::Failure;
use silica_protocol::ErrorCode;

use super::health::{Readiness, routes};

/// The router of a listener, which can be replaced. Clones are the same door.
#[derive(Clone)]
pub(super) struct Door(Arc<ArcSwap<Router>>);

impl Door {
    /// Answers `/healthz` and `/readyz`, and 503 to everything else: opening a database and booking
    /// what the last run left in the journal may take minutes, and the process is alive meanwhile.
    pub(super) fn closed(readiness: &Readiness) -> Self {
        let closed = routes(readiness).fallback(async || Failure::from(ErrorCode::ModelServiceUnavailable));
        Self(Arc::new(ArcSwap::from_pointee(closed)))
    }

    /// Answers with `router` from the next request on, on connections that are open already, too.
    pub(super) fn open(&self, router: Router) {
        self.0.store(Arc::new(router));
    }

    /// What answers now.
    pub(super) fn router(&self) -> Router {
        Router::clone(&self.0.load())
    }
}
