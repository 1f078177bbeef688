//! `GET /admin/v1/replicas`.

use std::time::Duration;

use axum::extract::State;
use serde::Serialize;
use silica_api::{Failure, Json};
use silica_gateway::{BreakerState, Health, ReplicaState};
use silica_protocol::ErrorBody;

use crate::AdminState;
use crate::auth::Operator;
use crate::page::{List, PageQuery};

/// How the replicas of one deployment are doing.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReplicasView {
    /// The deployment's name.
    deployment: String,
    /// Whether it answers calls as it is stored. A deployment that is being loaded, or cannot be,
    /// does not.
    in_force: bool,
    /// Why it could not be loaded, when that was tried and failed; it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// Its replicas in their order; empty when it is not in force.
    replicas: Vec<ReplicaStateView>,
}

/// What speaks against a replica at the moment.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReplicaStateView {
    /// `healthy`, `unhealthy`, or `unknown` for one that is not asked, or was not yet.
    #[schema(value_type = String)]
    health: &'static str,
    /// The circuit breaker: `closed`, `open` (it failed several times in a row), `half_open` (the
    /// next call tries it).
    #[schema(value_type = String)]
    breaker: &'static str,
    /// For how long it still takes no calls because it failed most of its last ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    ejected_for_ms: Option<u64>,
    /// For how long it still takes no calls because it limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    cooling_for_ms: Option<u64>,
    /// Calls that run on it.
    running: u64,
    /// Whether it takes no new calls by the operator's wish.
    drain: bool,
}

impl From<ReplicaState> for ReplicaStateView {
    fn from(state: ReplicaState) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            health: match state.health {
                Health::Unknown => "unknown",
                Health::Healthy => "healthy",
                Health::Unhealthy => "unhealthy",
            },
            breaker: match state.breaker {
                BreakerState::Closed => "closed",
                BreakerState::Open => "open",
                BreakerState::HalfOpen => "half_open",
            },
            ejected_for_ms: state.ejected_for.map(millis),
            cooling_for_ms: state.cooling_for.map(millis),
            running: state.running,
            drain: state.drains,
        }
    }
}

/// Lists how the replicas of each deployment are doing in this process, by deployment.
#[utoipa::path(
    get,
    path = "/admin/v1/replicas",
    operation_id = "list_replicas",
    tag = "admin",
    params(
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The deployments and their replicas", body = List<ReplicasView>),
        (status = 400, description = "The cursor or the limit is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_replicas(
    State(state): State<AdminState>,
    _operator: Operator,
    query: PageQuery,
) -> Result<Json<List<ReplicasView>>, Failure> {
    let deployments = state.platform.deployments();
    let page = query.cut(&deployments, |deployment| deployment.name.clone())?;
    Ok(Json(List::new(page, |deployment| {
        let states = state.gateway.replica_states(deployment);
        ReplicasView {
            deployment: deployment.name.clone(),
            in_force: states.is_some(),
            problem: match states {
                Some(_) => None,
                None => state.gateway.load_failure(deployment),
            },
            replicas: states.into_iter().flatten().map(Into::into).collect(),
        }
    })))
}
