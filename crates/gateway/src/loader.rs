//! The port through which the gateway gets its engines.

use async_trait::async_trait;
use silica_engine::Engines;
use silica_platform::{Deployment, ReplicaSpec, SubType};

use crate::LoadError;

/// Starts engines. The binary implements it over the engine crates that it was built with.
#[async_trait]
pub trait EngineLoader: Send + Sync {
    /// Starts the engine of one replica. The engine stops when the last reference is dropped.
    /// `sub_type` is what the catalogue says that the deployment's models are for; `None` when it says
    /// nothing.
    ///
    /// # Errors
    /// When the model cannot be loaded; the source names the file at fault.
    async fn load(
        &self,
        deployment: &Deployment,
        replica: &ReplicaSpec,
        sub_type: Option<SubType>,
    ) -> Result<Engines, LoadError>;
}
