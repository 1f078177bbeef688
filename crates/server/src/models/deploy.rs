//! `silica models deploy`: serves a model of the store, with or without a running server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::Value;
use silica_model_store::Manifest;
use silica_platform::{
    ModelFeature, NewDeployment, NewModel, NewReplica, Platform, PlatformOptions, Storage, SubType,
};
use silica_types::{ModelName, SystemClock};

use super::arguments::{DeployArguments, ModelUse};
use super::{configuration, runtime, store};
use crate::config::{Config, Environment};
use crate::setup::{MasterKeyPlace, make_private_folder};
use crate::terminal;

/// Serves a model that is in the store.
///
/// # Errors
/// When it is not there, or the database refuses.
pub(super) fn run(arguments: &DeployArguments, environment: &Environment) -> anyhow::Result<()> {
    let config = configuration(&arguments.place, environment)?;
    let store = store(&config);
    let manifest = store.find(&arguments.id)?;
    let folder = store.folder(&arguments.id);
    let sub_type = ModelUse::of(&manifest, arguments.sub_type);
    terminal::say(&deploy(&config, environment, &manifest, &folder, sub_type)?);
    Ok(())
}

/// Puts the model into the catalogue, unless it is there, and deploys it; returns what to tell.
///
/// # Errors
/// When something else serves a model of this name, or the database fails.
pub(super) fn deploy(
    config: &Config,
    environment: &Environment,
    manifest: &Manifest,
    folder: &Path,
    sub_type: SubType,
) -> anyhow::Result<String> {
    make_private_folder(&config.data.dir)?;
    runtime()?.block_on(async {
        let url = config.database.url(&config.data.dir);
        let storage = Storage::open(&url)
            .await
            .with_context(|| format!("database {url}"))?;
        let outcome = store_deployment(&storage, config, environment, (manifest, folder), sub_type).await;
        storage.close().await?;
        outcome
    })
}

async fn store_deployment(
    storage: &Storage,
    config: &Config,
    environment: &Environment,
    (manifest, folder): (&Manifest, &Path),
    sub_type: SubType,
) -> anyhow::Result<String> {
    // Opening a platform seals what an old version left in clear: with the keys that servers have.
    let master_keys = MasterKeyPlace::find_or_make(&config.data.dir, environment.master_key().as_ref())?;
    let options = PlatformOptions {
        zone: config.billing.zone()?,
        ..PlatformOptions::new(Arc::new(master_keys))
    };
    let platform = Platform::open_with(storage.clone(), Arc::new(SystemClock), options).await?;
    let catalogue = platform.catalogue();
    let id = manifest.id.as_str();
    let taken = catalogue.deployment_of(id).or_else(|| catalogue.deployment(id));
    if let Some(taken) = taken {
        if taken
            .replicas
            .iter()
            .any(|replica| replica.path.as_deref() == Some(folder))
        {
            return Ok(format!(
                "{id} is served already, by the deployment {}.",
                taken.name
            ));
        }
        bail!(
            "the deployment {} is there already for {id}; change it with the operator API",
            taken.name
        );
    }
    if catalogue.model(id).is_none() {
        platform.put_model(catalogue_entry(manifest, sub_type)?).await?;
    }
    let deployment = platform.check_deployment(NewDeployment {
        name: id.to_owned(),
        models: vec![id.to_owned()],
        replicas: vec![NewReplica {
            engine: "candle".to_owned(),
            path: Some(folder.to_owned()),
            ..NewReplica::default()
        }],
        ..NewDeployment::default()
    })?;
    platform.put_deployment(deployment).await?;
    Ok(format!(
        "{id} is deployed. A server on this database loads it now; else start one: silica serve --data {}",
        config.data.dir.display()
    ))
}

fn catalogue_entry(manifest: &Manifest, sub_type: SubType) -> anyhow::Result<NewModel> {
    let features = manifest
        .facts
        .features
        .iter()
        // A later version may know features that this one does not.
        .filter_map(|name| serde_json::from_value::<ModelFeature>(Value::String(name.clone())).ok());
    Ok(NewModel {
        context_length: Some(manifest.facts.context_length),
        features: features.collect(),
        ..NewModel::new(ModelName::new(manifest.id.as_str())?, sub_type)
    })
}
