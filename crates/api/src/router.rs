//! The route table and the stack of layers. No logic.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use silica_gateway::Gateway;
use silica_platform::Platform;
use silica_protocol::ErrorCode;
use silica_types::SharedClock;
use tower::ServiceBuilder;

use crate::body_budget::BodyBudget;
use crate::layers::{ExchangeLayer, compression, cors, panic_barrier};
use crate::{
    ApiConfig, BodyLimits, Failure, ObserveLayer, TrustedProxies, chat, completions, embeddings, estimate,
    messages, models, moderations, rerank, responses, user,
};

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    /// Keys and catalogue.
    pub platform: Platform,
    /// Calls.
    pub gateway: Gateway,
    /// The current time.
    pub clock: SharedClock,
    /// The operator's settings.
    pub config: Arc<ApiConfig>,
}

impl FromRef<ApiState> for BodyLimits {
    fn from_ref(state: &ApiState) -> Self {
        state.config.body
    }
}

impl FromRef<ApiState> for TrustedProxies {
    fn from_ref(state: &ApiState) -> Self {
        state.config.trusted_proxies.clone()
    }
}

impl FromRef<ApiState> for Platform {
    fn from_ref(state: &ApiState) -> Self {
        state.platform.clone()
    }
}

/// The public API with its layers: [`routes`] in [`with_layers`].
pub fn router(state: ApiState) -> Router {
    let (config, clock) = (state.config.clone(), SharedClock::clone(&state.clock));
    with_layers(routes(state), &config, clock)
}

/// The public API without its layers: `/v1/...`, the same routes without `/v1`, and the
/// contract's answer to any other path. A server merges its own routes, which have no fallback.
pub fn routes(state: ApiState) -> Router {
    Router::new()
        .merge(endpoints())
        .nest("/v1", endpoints())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// Puts the layers around routes. From the inside out: a panic becomes an error, a body is
/// read within a budget of all, the rest of an unread body is read, an error gets its dialect,
/// JSON is compressed, CORS headers, the trace id and the metrics go on everything.
pub fn with_layers(routes: Router, config: &ApiConfig, clock: SharedClock) -> Router {
    let budget = BodyBudget::new(config.body.max_total_bytes);
    // As one layer: the router puts each that it is given in a box of its own, and clones it, with
    // all that it holds, for every request.
    let layers = ServiceBuilder::new()
        .layer(ObserveLayer::new(clock))
        .layer(cors(&config.cors))
        .layer(compression())
        .layer(ExchangeLayer(config.dialect))
        .layer(Extension(budget))
        .layer(panic_barrier());
    routes.layer(layers)
}

fn endpoints() -> Router<ApiState> {
    Router::new()
        .route("/chat/completions", post(chat::create_chat_completion))
        .route("/completions", post(completions::create_completion))
        .route("/embeddings", post(embeddings::create_embedding))
        .route("/estimate", post(estimate::create_estimate))
        .route("/messages", post(messages::create_message))
        .route(
            "/messages/count_tokens",
            post(messages::count::count_message_tokens),
        )
        .route("/moderations", post(moderations::create_moderation))
        .route("/rerank", post(rerank::create_rerank))
        .route("/responses", post(responses::create_response))
        .route("/user/info", get(user::get_user_info))
        .route("/user/bills", get(user::get_user_bills))
        .route("/models", get(models::list_models))
        .route("/models/{*id}", get(models::get_model))
}

/// The contract's answer to an unknown path.
pub async fn not_found() -> Failure {
    ErrorCode::NotFound.into()
}

/// The answer to a known path with a method that it does not have.
pub async fn method_not_allowed() -> Failure {
    ErrorCode::MethodNotAllowed.into()
}
