//! `GET /metrics`.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use crate::AdminState;

/// Shows the counters in Prometheus's text format.
///
/// Asks for no key; the listener stands on the loopback address by default.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "admin",
    responses((status = 200, description = "The metrics", content_type = "text/plain")),
)]
pub(crate) async fn get_metrics(State(state): State<AdminState>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        state.metrics.render(),
    )
}
