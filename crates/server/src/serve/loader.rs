//! Starts the engines that this binary was built with, and the clients of engines elsewhere.

mod bases;
mod embedded;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use silica_engine::Engines as Abilities;
use silica_engine_candle::{CandleOptions, Dtype, Quantization, Speculation};
use silica_engine_remote::{Authorities, OptionsError, RemoteEngine, RemoteOptions};
use silica_gateway::{EngineLoader, LoadError};
use silica_platform::{Deployment, EngineKind, Quantization as Quantize, ReplicaSpec, SubType, unopened_key};
use silica_types::SharedClock;

use self::bases::Bases;
use self::embedded::Embedded;
use super::locked;
use crate::config::{Config, EngineConfig, EngineDtype, EngineQuantize, EngineSpeculation};

/// Loads embedded engines with the configured settings.
pub(super) struct Engines {
    config: EngineConfig,
    /// What replicas with adapters share.
    bases: Arc<Bases>,
    /// Who may vouch for engines elsewhere, beside the system's authorities.
    upstream_ca_file: Option<PathBuf>,
    clock: SharedClock,
}

/// The file with authorities of the operator's own is not usable.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaFileError {
    #[error("gateway.upstream_ca_file: {path} cannot be read")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("gateway.upstream_ca_file: {path} has no usable certificates")]
    Unusable {
        path: String,
        #[source]
        source: OptionsError,
    },
}

impl Engines {
    /// With the settings of the configuration.
    ///
    /// # Errors
    /// When `gateway.upstream_ca_file` cannot be used.
    pub(super) async fn new(config: &Config, clock: SharedClock) -> Result<Self, CaFileError> {
        let engines = Self {
            config: config.engine.clone(),
            bases: Arc::default(),
            upstream_ca_file: config.gateway.upstream_ca_file.clone(),
            clock,
        };
        engines.authorities().await?;
        Ok(engines)
    }

    /// Reads who may vouch for engines elsewhere.
    pub(super) async fn authorities(&self) -> Result<Option<Authorities>, CaFileError> {
        let Some(file) = &self.upstream_ca_file else {
            return Ok(None);
        };
        let path = || file.display().to_string();
        let pem = tokio::fs::read(file)
            .await
            .map_err(|source| CaFileError::Unreadable { path: path(), source })?;
        Authorities::from_pem(&pem)
            .map(Some)
            .map_err(|source| CaFileError::Unusable { path: path(), source })
    }

    fn options(&self, name: &str, replica: &ReplicaSpec) -> CandleOptions {
        CandleOptions {
            threads: self.config.threads.map(usize::from),
            dtype: match self.config.dtype {
                EngineDtype::F32 => Dtype::F32,
                EngineDtype::Bf16 => Dtype::Bf16,
            },
            quantize: quantize(self.config.quantize, replica.quantize),
            max_waiting: self.config.max_waiting as usize,
            max_sequences: self.config.max_sequences as usize,
            kv_cache_mb: self.config.kv_cache_mb,
            context_length: self.config.context_length,
            adapters_mb: self.config.adapters_mb,
            speculation: match self.config.speculation {
                EngineSpeculation::Auto => Speculation::Auto,
                EngineSpeculation::Off => Speculation::Off,
            },
            max_wait: self.config.max_wait.0,
            name: name.to_owned(),
        }
    }

    /// Makes the client of an engine elsewhere. Whether it is there shows with the first call.
    async fn remote(
        &self,
        deployment: &Deployment,
        replica: &ReplicaSpec,
    ) -> Result<RemoteEngine, LoadError> {
        let base_url = replica.url.clone().ok_or(LoadError::UrlMissing(replica.engine))?;
        let model = match (&replica.upstream_model, deployment.models.first()) {
            (Some(model), _) => model.clone(),
            (None, Some(model)) => model.as_str().to_owned(),
            (None, None) => deployment.name.clone(),
        };
        let usual = RemoteOptions {
            authorities: self.authorities().await.map_err(LoadError::engine)?,
            ..RemoteOptions::new(base_url, model)
        };
        let options = remote_options(replica, usual);
        let clock = SharedClock::clone(&self.clock);
        RemoteEngine::new(&options, clock).map_err(LoadError::engine)
    }
}

/// The replica's own word goes before the configuration's.
fn quantize(usual: EngineQuantize, own: Option<Quantize>) -> Option<Quantization> {
    let usual = match usual {
        EngineQuantize::None => Quantize::None,
        EngineQuantize::Q8 => Quantize::Q8_0,
        EngineQuantize::Q4 => Quantize::Q4_0,
    };
    match own.unwrap_or(usual) {
        Quantize::None => None,
        Quantize::Q8_0 => Some(Quantization::Q8_0),
        Quantize::Q4_0 => Some(Quantization::Q4_0),
    }
}

/// The usual limits, unless the replica has its own.
fn remote_options(replica: &ReplicaSpec, usual: RemoteOptions) -> RemoteOptions {
    let limit = |own: Option<u32>| own.map(|millis| Duration::from_millis(millis.into()));
    let first_token = limit(replica.first_token_timeout_ms);
    RemoteOptions {
        api_key: replica.api_key.clone(),
        allow_private: replica.allow_private,
        continuous_usage: replica.continuous_usage,
        health_path: replica.health_path.clone(),
        connect_limit: limit(replica.connect_timeout_ms).unwrap_or(usual.connect_limit),
        first_frame_limit: first_token.unwrap_or(usual.first_frame_limit),
        // Of an answer that is no stream nothing is seen before all of it is there.
        whole_limit: first_token.unwrap_or(usual.whole_limit),
        stall_limit: limit(replica.stall_timeout_ms).unwrap_or(usual.stall_limit),
        ..usual
    }
}

#[async_trait]
impl EngineLoader for Engines {
    async fn load(
        &self,
        deployment: &Deployment,
        replica: &ReplicaSpec,
        sub_type: Option<SubType>,
    ) -> Result<Abilities, LoadError> {
        if let Some(unopened) = unopened_key(replica) {
            return Ok(locked::engines(deployment, &unopened));
        }
        match replica.engine {
            EngineKind::OpenAi => Ok(self.remote(deployment, replica).await?.engines()),
            EngineKind::Candle => {
                let path = replica
                    .path
                    .clone()
                    .ok_or(LoadError::PathMissing(replica.engine))?;
                let embedded = Embedded {
                    path,
                    adapter: replica.adapter.clone(),
                    sub_type,
                    options: self.options(&deployment.name, replica),
                };
                let bases = Arc::clone(&self.bases);
                // Reading weights takes seconds to minutes and must not hold up the API's threads.
                let loading = tokio::task::spawn_blocking(move || embedded.load(&bases));
                loading.await.map_err(LoadError::engine)?
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantisation_of_a_replica_goes_before_the_configured_one() {
        let q8 = Some(Quantization::Q8_0);
        assert_eq!(quantize(EngineQuantize::None, None), None);
        assert_eq!(quantize(EngineQuantize::Q8, None), q8);
        assert_eq!(quantize(EngineQuantize::Q4, Some(Quantize::Q8_0)), q8);
        assert_eq!(quantize(EngineQuantize::Q8, Some(Quantize::None)), None);
    }

    #[test]
    fn the_limits_of_a_replica_replace_the_usual_ones() {
        let usual = RemoteOptions::new("https://engine.example/v1", "m");
        let mut replica = ReplicaSpec {
            engine: EngineKind::OpenAi,
            path: None,
            adapter: None,
            quantize: None,
            url: None,
            api_key: None,
            upstream_model: None,
            allow_private: false,
            weight: 1,
            max_concurrency: None,
            drain: false,
            continuous_usage: false,
            health_path: None,
            connect_timeout_ms: None,
            first_token_timeout_ms: None,
            stall_timeout_ms: None,
        };
        let limits = |options: &RemoteOptions| {
            [
                options.connect_limit,
                options.first_frame_limit,
                options.whole_limit,
                options.stall_limit,
            ]
        };
        assert_eq!(limits(&remote_options(&replica, usual.clone())), limits(&usual));
        replica.connect_timeout_ms = Some(1);
        replica.first_token_timeout_ms = Some(2);
        replica.stall_timeout_ms = Some(3);
        replica.continuous_usage = true;
        replica.health_path = Some("/health".to_owned());
        let options = remote_options(&replica, usual);
        assert_eq!(limits(&options), [1, 2, 2, 3].map(Duration::from_millis));
        assert!(options.continuous_usage);
        assert_eq!(options.health_path.as_deref(), Some("/health"));
    }
}
