//! What stands for a replica whose stored upstream key does not open: not ready, and no reason for
//! the rest of the server not to start.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use silica_engine::{
    ChatEngine, ChatRequest, EmbedEngine, EmbedRequest, Embeddings, EngineError, Engines, HealthProbe,
    PreparedChat, PreparedWhole, Ranking, RerankEngine, RerankRequest,
};
use silica_platform::{Deployment, UnopenedKey};

/// Refuses every call, so that the gateway asks another replica.
struct Locked;

/// Says what is wrong, and makes the engines. When the key opens later, the replica is another one
/// and is loaded again.
pub(super) fn engines(deployment: &Deployment, unopened: &UnopenedKey) -> Engines {
    let name = &deployment.name;
    tracing::error!(
        deployment.name = %name,
        master_key.id = %unopened.key_id,
        "a replica of deployment {name} is not ready: {unopened}"
    );
    let locked = Arc::new(Locked);
    Engines {
        chat: Some(Arc::<Locked>::clone(&locked)),
        embed: Some(Arc::<Locked>::clone(&locked)),
        rerank: Some(Arc::<Locked>::clone(&locked)),
        health: Some(locked),
    }
}

#[async_trait]
impl ChatEngine for Locked {
    async fn prepare(&self, _request: Arc<ChatRequest>) -> Result<Box<dyn PreparedChat>, EngineError> {
        Err(EngineError::Unavailable)
    }
}

#[async_trait]
impl EmbedEngine for Locked {
    async fn prepare(
        &self,
        _request: Arc<EmbedRequest>,
    ) -> Result<Box<dyn PreparedWhole<Embeddings>>, EngineError> {
        Err(EngineError::Unavailable)
    }
}

#[async_trait]
impl RerankEngine for Locked {
    async fn prepare(
        &self,
        _request: Arc<RerankRequest>,
    ) -> Result<Box<dyn PreparedWhole<Ranking>>, EngineError> {
        Err(EngineError::Unavailable)
    }
}

#[async_trait]
impl HealthProbe for Locked {
    async fn probe(&self, _limit: Duration) -> Result<(), EngineError> {
        Err(EngineError::Unavailable)
    }
}
