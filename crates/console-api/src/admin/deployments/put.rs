//! `PUT /admin/v1/deployments`.

use axum::extract::State;
use serde::Deserialize;
use silica_api::{Failure, Json};
use silica_platform::{NewDeployment, NewReplica};
use silica_protocol::ErrorBody;
use silica_types::Secret;

use super::DeploymentView;
use crate::auth::Operator;
use crate::{AdminState, failure};

/// The deployment to store; it replaces one of the same name as a whole.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutDeployment {
    /// Its name.
    #[schema(example = "qwen-chat")]
    name: String,
    /// The catalogue models that it answers for.
    models: Vec<String>,
    /// How a replica is chosen; `least-busy` when absent.
    #[serde(default)]
    policy: Option<String>,
    /// Its engines.
    replicas: Vec<PutReplica>,
}

/// An engine of the deployment.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutReplica {
    /// Which engine.
    #[schema(example = "candle")]
    engine: String,
    /// The model's folder on the server, for embedded engines.
    #[serde(default)]
    path: Option<String>,
    /// The server's address, for remote engines.
    #[serde(default)]
    url: Option<String>,
    /// The key that a remote engine asks for; it is stored and never shown.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    api_key: Option<Secret>,
    /// The model's name at a remote engine.
    #[serde(default)]
    upstream_model: Option<String>,
    /// Whether a remote engine may stand at a private address.
    #[serde(default)]
    allow_private: Option<bool>,
    /// Its share of the calls; 1 when absent.
    #[serde(default)]
    weight: Option<u32>,
    /// The calls that it may run at once; absent leaves that to the engine.
    #[serde(default)]
    max_concurrency: Option<u32>,
}

impl From<PutDeployment> for NewDeployment {
    fn from(body: PutDeployment) -> Self {
        Self {
            name: body.name,
            models: body.models,
            policy: body.policy,
            replicas: body.replicas.into_iter().map(NewReplica::from).collect(),
        }
    }
}

impl From<PutReplica> for NewReplica {
    fn from(body: PutReplica) -> Self {
        Self {
            engine: body.engine,
            path: body.path.map(Into::into),
            url: body.url,
            api_key: body.api_key,
            upstream_model: body.upstream_model,
            allow_private: body.allow_private.unwrap_or(false),
            weight: body.weight,
            max_concurrency: body.max_concurrency,
        }
    }
}

/// Starts the engines of a deployment, stores it and puts it in force.
///
/// Answers when the models are loaded. When one cannot be, nothing changes.
#[utoipa::path(
    put,
    path = "/admin/v1/deployments",
    operation_id = "put_deployment",
    tag = "admin",
    request_body = PutDeployment,
    responses(
        (status = 200, description = "The deployment, in force", body = DeploymentView),
        (status = 400, description = "A field is not usable, or a model cannot be loaded; the text names the file", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 409, description = "Another deployment has one of the models", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn put_deployment(
    State(state): State<AdminState>,
    _operator: Operator,
    Json(body): Json<PutDeployment>,
) -> Result<Json<DeploymentView>, Failure> {
    let deployment = state
        .platform
        .check_deployment(body.into())
        .map_err(failure::platform)?;
    let prepared = state
        .gateway
        .prepare(&deployment)
        .await
        .map_err(|error| failure::deploy(&error))?;
    let stored = state
        .platform
        .put_deployment(deployment)
        .await
        .map_err(failure::platform)?;
    state.gateway.commit(prepared);
    Ok(Json(DeploymentView::from(stored.as_ref())))
}
