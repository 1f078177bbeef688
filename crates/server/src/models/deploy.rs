//! `silica models deploy`: serves a model of the store, with or without a running server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::Value;
use silica_engine_candle::{AdaptedEngine, CandleOptions};
use silica_model_store::Manifest;
use silica_platform::{
    ModelFeature, NewDeployment, NewModel, NewReplica, Platform, PlatformOptions, ReplicaSpec, Storage,
    SubType,
};
use silica_types::{ModelName, SystemClock};

use super::arguments::{DeployArguments, ModelUse};
use super::{configuration, runtime, store};
use crate::config::{Config, Environment};
use crate::setup::{MasterKeyPlace, make_private_folder};
use crate::terminal;

/// What is to be served.
pub(super) struct Served<'store> {
    manifest: &'store Manifest,
    folder: &'store Path,
    sub_type: SubType,
    /// The folder of what is added to the model, absolute.
    adapter: Option<PathBuf>,
    /// Of the catalogue's model and of the deployment.
    name: String,
}

/// Serves a model that is in the store.
///
/// # Errors
/// When it is not there, the adapter does not fit it, or the database refuses.
pub(super) fn run(arguments: &DeployArguments, environment: &Environment) -> anyhow::Result<()> {
    let config = configuration(&arguments.place, environment)?;
    let store = store(&config);
    let manifest = store.find(&arguments.id)?;
    let folder = store.folder(&arguments.id);
    let sub_type = ModelUse::of(&manifest, arguments.sub_type);
    let mut served = Served::of(&manifest, &folder, sub_type);
    if let Some(adapter) = &arguments.adapter {
        served.add_adapter(adapter, &config)?;
    }
    if let Some(name) = &arguments.name {
        served.name.clone_from(name);
    }
    terminal::say(&served.deploy(&config, environment)?);
    Ok(())
}

impl<'store> Served<'store> {
    /// A model of the store alone, under its own name.
    pub(super) fn of(manifest: &'store Manifest, folder: &'store Path, sub_type: SubType) -> Self {
        Self {
            manifest,
            folder,
            sub_type,
            adapter: None,
            name: manifest.id.as_str().to_owned(),
        }
    }

    /// Adds an adapter, if it fits: here a person can be told at once.
    fn add_adapter(&mut self, adapter: &Path, config: &Config) -> anyhow::Result<()> {
        if self.sub_type != SubType::Chat {
            bail!(
                "adapters are for models that chat, and {} is served for {}",
                self.manifest.id.as_str(),
                self.sub_type
            );
        }
        let adapter = adapter
            .canonicalize()
            .with_context(|| format!("the adapter {}", adapter.display()))?;
        let options = CandleOptions {
            adapters_mb: config.engine.adapters_mb,
            ..CandleOptions::default()
        };
        AdaptedEngine::check(&adapter, self.folder, &options)?;
        let own = adapter.file_name().unwrap_or_default().to_string_lossy();
        self.name = format!("{}:{own}", self.manifest.id.as_str());
        self.adapter = Some(adapter);
        Ok(())
    }

    /// Puts the model into the catalogue, unless it is there, and deploys it; returns what to tell.
    ///
    /// # Errors
    /// When something else serves a model of this name, or the database fails.
    pub(super) fn deploy(&self, config: &Config, environment: &Environment) -> anyhow::Result<String> {
        make_private_folder(&config.data.dir)?;
        runtime()?.block_on(async {
            let url = config.database.url(&config.data.dir);
            let storage = Storage::open(&url)
                .await
                .with_context(|| format!("database {url}"))?;
            let outcome = self.store(&storage, config, environment).await;
            storage.close().await?;
            outcome
        })
    }

    async fn store(
        &self,
        storage: &Storage,
        config: &Config,
        environment: &Environment,
    ) -> anyhow::Result<String> {
        // Opening a platform seals what an old version left in clear: with the keys that servers have.
        let master_keys = MasterKeyPlace::find_or_make(&config.data.dir, environment.master_key().as_ref())?;
        let options = PlatformOptions {
            zone: config.billing.zone()?,
            ..PlatformOptions::new(Arc::new(master_keys))
        };
        let platform = Platform::open_with(storage.clone(), Arc::new(SystemClock), options).await?;
        let catalogue = platform.catalogue();
        let name = self.name.as_str();
        let taken = catalogue
            .deployment_of(name)
            .or_else(|| catalogue.deployment(name));
        if let Some(taken) = taken {
            if taken.replicas.iter().any(|replica| self.is_served_by(replica)) {
                return Ok(format!(
                    "{name} is served already, by the deployment {}.",
                    taken.name
                ));
            }
            bail!(
                "the deployment {} is there already for {name}; change it with the operator API",
                taken.name
            );
        }
        if catalogue.model(name).is_none() {
            platform.put_model(self.catalogue_entry()?).await?;
        }
        let deployment = platform.check_deployment(NewDeployment {
            name: name.to_owned(),
            models: vec![name.to_owned()],
            replicas: vec![NewReplica {
                engine: "candle".to_owned(),
                path: Some(self.folder.to_owned()),
                adapter: self.adapter.clone(),
                ..NewReplica::default()
            }],
            ..NewDeployment::default()
        })?;
        platform.put_deployment(deployment).await?;
        Ok(format!(
            "{name} is deployed. A server on this database loads it now; else start one: silica serve --data {}",
            config.data.dir.display()
        ))
    }

    fn is_served_by(&self, replica: &ReplicaSpec) -> bool {
        replica.path.as_deref() == Some(self.folder) && replica.adapter == self.adapter
    }

    fn catalogue_entry(&self) -> anyhow::Result<NewModel> {
        let facts = &self.manifest.facts;
        let features = facts
            .features
            .iter()
            // A later version may know features that this one does not.
            .filter_map(|name| serde_json::from_value::<ModelFeature>(Value::String(name.clone())).ok());
        Ok(NewModel {
            context_length: Some(facts.context_length),
            features: features.collect(),
            ..NewModel::new(ModelName::new(&self.name)?, self.sub_type)
        })
    }
}
