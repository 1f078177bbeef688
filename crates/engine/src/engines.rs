//! What one replica can do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{ChatEngine, EmbedEngine, EngineError, RerankEngine};

/// The abilities of one replica, a port for each; all of them are the same engine.
#[derive(Clone, Default)]
pub struct Engines {
    /// Answers chats and completions.
    pub chat: Option<Arc<dyn ChatEngine>>,
    /// Embeds texts.
    pub embed: Option<Arc<dyn EmbedEngine>>,
    /// Orders documents.
    pub rerank: Option<Arc<dyn RerankEngine>>,
    /// Tells whether it is there; `None` for engines that have no word for it.
    pub health: Option<Arc<dyn HealthProbe>>,
}

/// Tells whether an engine is there, elsewhere or in this process.
#[async_trait]
pub trait HealthProbe: Send + Sync {
    /// Asks once. Dropping the future ends the question.
    ///
    /// # Errors
    /// When the engine says that it is not well, or nothing within `limit`.
    async fn probe(&self, limit: Duration) -> Result<(), EngineError>;
}

impl Engines {
    /// An engine that answers chats and lives in this process.
    pub fn chat(engine: Arc<dyn ChatEngine>) -> Self {
        Self {
            chat: Some(engine),
            ..Self::default()
        }
    }
}
