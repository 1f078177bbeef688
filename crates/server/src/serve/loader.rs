//! Starts the engines that this binary was built with.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use silica_engine::ChatEngine;
use silica_engine_candle::{CandleEngine, CandleOptions, Dtype};
use silica_gateway::{EngineLoader, LoadError};
use silica_platform::{Deployment, EngineKind, ReplicaSpec};
use silica_text::TextEngine;

use crate::config::{EngineConfig, EngineDtype};

/// Loads embedded engines with the configured settings.
#[derive(Debug)]
pub(super) struct Engines(EngineConfig);

/// The folder of a replica is not there.
#[derive(Debug, thiserror::Error)]
#[error("the model folder {0} does not exist; if it was moved, deploy it again from its new place")]
struct FolderGone(String);

impl Engines {
    pub(super) const fn new(config: EngineConfig) -> Self {
        Self(config)
    }

    fn options(&self, name: &str) -> CandleOptions {
        CandleOptions {
            threads: self.0.threads.map(usize::from),
            dtype: match self.0.dtype {
                EngineDtype::F32 => Dtype::F32,
                EngineDtype::Bf16 => Dtype::Bf16,
            },
            max_waiting: self.0.max_waiting as usize,
            max_sequences: self.0.max_sequences as usize,
            max_wait: self.0.max_wait.0,
            name: name.to_owned(),
            ..CandleOptions::default()
        }
    }
}

#[async_trait]
impl EngineLoader for Engines {
    async fn load(
        &self,
        deployment: &Deployment,
        replica: &ReplicaSpec,
    ) -> Result<Arc<dyn ChatEngine>, LoadError> {
        match replica.engine {
            EngineKind::Candle => {
                let path = replica
                    .path
                    .clone()
                    .ok_or(LoadError::PathMissing(replica.engine))?;
                let options = self.options(&deployment.name);
                // Reading weights takes seconds to minutes and must not hold up the API's threads.
                let loading = tokio::task::spawn_blocking(move || load_candle(&path, options));
                loading.await.map_err(LoadError::engine)?
            }
        }
    }
}

fn load_candle(path: &Path, options: CandleOptions) -> Result<Arc<dyn ChatEngine>, LoadError> {
    if !path.is_dir() {
        return Err(LoadError::engine(FolderGone(path.display().to_string())));
    }
    let name = options.name.clone();
    let tokens = CandleEngine::load(path, options).map_err(LoadError::engine)?;
    let chat = TextEngine::load(path, tokens, name).map_err(LoadError::engine)?;
    Ok(Arc::new(chat))
}
