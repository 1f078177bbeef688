//! `PUT /admin/v1/deployments`.

use axum::extract::State;
use serde::Deserialize;
use serde::de::IgnoredAny;
use silica_api::{Failure, Json};
use silica_platform::{Deployment, NewDeployment, NewReplica, ReplicaSpec};
use silica_protocol::ErrorBody;
use silica_types::Secret;

use super::DeploymentView;
use crate::auth::Operator;
use crate::wire::given;
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
    /// How a replica is chosen: `least-busy` (also when absent), `round-robin`, `weighted` or
    /// `prefix-affinity`.
    #[serde(default)]
    policy: Option<String>,
    /// Its engines.
    replicas: Vec<PutReplica>,
    /// The deployments that answer, in this order, when none of its own replicas can; at most 4.
    #[serde(default)]
    fallbacks: Vec<String>,
    /// Read only; taken and ignored, so that a deployment that was read can be put back.
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: IgnoredAny,
    /// As `created_at`.
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: IgnoredAny,
}

/// An engine of the deployment.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutReplica {
    /// Which engine.
    #[schema(example = "candle")]
    engine: String,
    /// The model's folder or GGUF file on the server, for embedded engines.
    #[serde(default)]
    path: Option<String>,
    /// A folder as PEFT writes it, on the server, whose `LoRA` adapter is added to the model at `path`,
    /// for embedded engines. The weights of the model are in memory once for all of its adapters.
    #[serde(default)]
    adapter: Option<String>,
    /// How an embedded engine quantises weights that are not quantised in their file: `q8_0`, `q4_0`
    /// or `none`; what the configuration says when absent.
    #[serde(default)]
    quantize: Option<String>,
    /// The server's address, for remote engines.
    #[serde(default)]
    url: Option<String>,
    /// The key that a remote engine asks for; it is stored and never shown. Absent keeps the one of
    /// the stored replica at this position if its `url` is the same; `null` means none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[expect(
        clippy::option_option,
        reason = "absent keeps the stored key and null deletes it"
    )]
    api_key: Option<Option<Secret>>,
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
    /// Takes no new calls; running ones go on to their end.
    #[serde(default)]
    drain: Option<bool>,
    /// Whether a remote engine is asked for its usage in every frame (`vLLM` and `SGLang` know that).
    #[serde(default)]
    continuous_usage: Option<bool>,
    /// What a remote engine's health is asked of, below its `url`; `/models` when absent, not at all
    /// when empty.
    #[serde(default)]
    health_path: Option<String>,
    /// The longest wait for a connection, in milliseconds (100 to 1800000); 5000 when absent.
    #[serde(default)]
    connect_timeout_ms: Option<u32>,
    /// The longest wait for the first token (of a whole answer: for all of it), in milliseconds
    /// (100 to 1800000); 120000 (whole: 600000) when absent.
    #[serde(default)]
    first_token_timeout_ms: Option<u32>,
    /// The longest silence between two frames, in milliseconds (100 to 1800000); 60000 when absent.
    #[serde(default)]
    stall_timeout_ms: Option<u32>,
}

impl PutDeployment {
    /// Makes the deployment that replaces the stored one.
    pub(crate) fn over(self, stored: Option<&Deployment>) -> NewDeployment {
        let before = |position: usize| stored.and_then(|stored| stored.replicas.get(position));
        let replicas = self.replicas.into_iter().enumerate();
        NewDeployment {
            name: self.name,
            models: self.models,
            policy: self.policy,
            replicas: replicas
                .map(|(position, replica)| replica.over(before(position)))
                .collect(),
            fallbacks: self.fallbacks,
        }
    }
}

impl PutReplica {
    fn over(self, stored: Option<&ReplicaSpec>) -> NewReplica {
        // Never to another address: whoever runs that server would learn the key.
        let kept = || {
            stored
                .filter(|stored| stored.url == self.url)
                .and_then(|stored| stored.api_key.clone())
        };
        NewReplica {
            api_key: self.api_key.unwrap_or_else(kept),
            engine: self.engine,
            path: self.path.map(Into::into),
            adapter: self.adapter.map(Into::into),
            quantize: self.quantize,
            url: self.url,
            upstream_model: self.upstream_model,
            allow_private: self.allow_private.unwrap_or(false),
            weight: self.weight,
            max_concurrency: self.max_concurrency,
            drain: self.drain.unwrap_or(false),
            continuous_usage: self.continuous_usage.unwrap_or(false),
            health_path: self.health_path,
            connect_timeout_ms: self.connect_timeout_ms,
            first_token_timeout_ms: self.first_token_timeout_ms,
            stall_timeout_ms: self.stall_timeout_ms,
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
        (status = 409, description = "Another deployment has one of the models, or this one comes from the catalogue file", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn put_deployment(
    State(state): State<AdminState>,
    _operator: Operator,
    Json(body): Json<PutDeployment>,
) -> Result<Json<DeploymentView>, Failure> {
    let catalogue = state.platform.catalogue();
    let stored = catalogue.deployment(&body.name).map(AsRef::as_ref);
    let new = body.over(stored);
    let deployment = state.platform.check_deployment(new).map_err(failure::platform)?;
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
