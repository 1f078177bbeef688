//! `/admin/v1/deployments`.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod put;

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use silica_platform::{Deployment, EngineKind, Quantization, ReplicaSpec, RoutingPolicy};

/// A deployment as the operator sees it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DeploymentView {
    /// Its name.
    name: String,
    /// The catalogue models that it answers for.
    models: Vec<String>,
    /// How a replica is chosen.
    #[schema(value_type = String)]
    policy: RoutingPolicy,
    /// Its engines.
    replicas: Vec<ReplicaView>,
    /// The deployments that answer, in this order, when none of its own replicas can.
    fallbacks: Vec<String>,
    /// When it was first put.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last put.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// An engine of a deployment. The upstream key stays inside.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReplicaView {
    /// Which engine.
    #[schema(value_type = String)]
    engine: EngineKind,
    /// The model's folder or GGUF file.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The folder of the adapter that is added to the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<String>,
    /// How the weights are quantised as they are loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    quantize: Option<Quantization>,
    /// The server's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The model's name at the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_model: Option<String>,
    /// Whether the server may stand at a private address.
    allow_private: bool,
    /// Its share of the calls.
    weight: u32,
    /// The calls that it may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<u32>,
    /// Whether it takes no new calls.
    drain: bool,
    /// Whether the server is asked for its usage in every frame.
    continuous_usage: bool,
    /// What the server's health is asked of, below its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_path: Option<String>,
    /// The longest wait for a connection, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_timeout_ms: Option<u32>,
    /// The longest wait for the first token, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_timeout_ms: Option<u32>,
    /// The longest silence between two frames, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    stall_timeout_ms: Option<u32>,
}

impl From<&Deployment> for DeploymentView {
    fn from(deployment: &Deployment) -> Self {
        Self {
            name: deployment.name.clone(),
            models: deployment.models.iter().map(ToString::to_string).collect(),
            policy: deployment.policy,
            replicas: deployment.replicas.iter().map(ReplicaView::from).collect(),
            fallbacks: deployment.fallbacks.clone(),
            created_at: deployment.created_at,
            updated_at: deployment.updated_at,
        }
    }
}

impl From<&ReplicaSpec> for ReplicaView {
    fn from(replica: &ReplicaSpec) -> Self {
        Self {
            engine: replica.engine,
            path: shown(replica.path.as_deref()),
            adapter: shown(replica.adapter.as_deref()),
            quantize: replica.quantize,
            url: replica.url.clone(),
            upstream_model: replica.upstream_model.clone(),
            allow_private: replica.allow_private,
            weight: replica.weight,
            max_concurrency: replica.max_concurrency,
            drain: replica.drain,
            continuous_usage: replica.continuous_usage,
            health_path: replica.health_path.clone(),
            connect_timeout_ms: replica.connect_timeout_ms,
            first_token_timeout_ms: replica.first_token_timeout_ms,
            stall_timeout_ms: replica.stall_timeout_ms,
        }
    }
}

fn shown(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.display().to_string())
}
