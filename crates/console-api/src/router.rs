//! The route table and the stack of layers. No logic.

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn;
use axum::routing::{get, patch, post, put};
use metrics_exporter_prometheus::PrometheusHandle;
use silica_api::{BodyLimits, ObserveLayer, drain_unread, method_not_allowed, not_found, panic_barrier};
use silica_gateway::Gateway;
use silica_platform::Platform;
use silica_types::{Secret, SharedClock};

use crate::admin::{
    accounts, bills, credits, deployments, keys, ledger, level_packages, metrics, models, prices, replicas,
};

/// What the handlers work with.
#[derive(Clone)]
pub struct AdminState {
    /// Accounts, keys and catalogue.
    pub platform: Platform,
    /// Starts the engines of deployments.
    pub gateway: Gateway,
    /// The bearer key of the operator.
    pub admin_key: Secret,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// The current time.
    pub clock: SharedClock,
    /// Limits on request bodies.
    pub body: BodyLimits,
}

impl FromRef<AdminState> for BodyLimits {
    fn from_ref(state: &AdminState) -> Self {
        state.body
    }
}

/// The operator's listener: `/admin/v1/...` and `/metrics`, and the contract's 404 for the rest.
pub fn admin_router(state: AdminState) -> Router {
    let clock = SharedClock::clone(&state.clock);
    Router::new()
        .nest("/admin/v1", endpoints())
        .route("/metrics", get(metrics::get_metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
        .layer(panic_barrier())
        .layer(from_fn(drain_unread))
        .layer(ObserveLayer::new(clock))
}

fn endpoints() -> Router<AdminState> {
    Router::new()
        .route(
            "/accounts",
            get(accounts::list::list_accounts).post(accounts::create::create_account),
        )
        .route(
            "/accounts/{account}",
            get(accounts::get::get_account).patch(accounts::update::update_account),
        )
        .route(
            "/accounts/{account}/keys",
            get(keys::list::list_keys).post(keys::create::create_key),
        )
        .route(
            "/accounts/{account}/keys/{key}",
            patch(keys::update::update_key).delete(keys::delete::delete_key),
        )
        .route("/accounts/{account}/credits", post(credits::create_credit))
        .route(
            "/accounts/{account}/level-packages",
            get(level_packages::list_level_packages).post(level_packages::create_level_package),
        )
        .route("/accounts/{account}/ledger", get(ledger::list_ledger))
        .route("/accounts/{account}/bills", get(bills::get_bill))
        .route(
            "/prices",
            get(prices::list::list_prices).post(prices::create::create_price),
        )
        .route(
            "/models",
            put(models::put::put_model).get(models::list::list_models),
        )
        .route(
            "/deployments",
            put(deployments::put::put_deployment).get(deployments::list::list_deployments),
        )
        // Names may have slashes, as model names do; a client need not escape them.
        .route(
            "/deployments/{*name}",
            axum::routing::delete(deployments::delete::delete_deployment),
        )
        .route("/replicas", get(replicas::list_replicas))
}
