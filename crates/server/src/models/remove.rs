//! `silica models remove`.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;
use silica_model_store::StoreError;
use silica_platform::{Storage, deployed_folders};

use super::arguments::RemoveArguments;
use super::{configuration, runtime, store, words};
use crate::config::{Config, Environment};
use crate::terminal;

/// Takes a model out of the store.
///
/// # Errors
/// When it is not there, or a deployment serves it.
pub(super) fn run(arguments: &RemoveArguments, environment: &Environment) -> anyhow::Result<()> {
    let config = configuration(&arguments.place, environment)?;
    let store = store(&config);
    let id = &arguments.id;
    let found = match store.find(id) {
        // What an unfinished try has left has no manifest.
        Err(StoreError::NotFound { .. }) => None,
        // A manifest that cannot be read must not keep its model for ever.
        Err(StoreError::Manifest { .. }) if arguments.force => None,
        found => Some(found?),
    };
    if !arguments.force {
        let folder = store.folder(id);
        let users = runtime()?.block_on(users(&config, &folder)).context(
            "the database cannot say whether the model is served (--force removes it all the same)",
        )?;
        if !users.is_empty() {
            bail!(
                "{id} is served by {}; delete that first, or use --force",
                users.join(", ")
            );
        }
    }
    store.remove(id)?;
    let bytes = found.as_ref().map(silica_model_store::Manifest::bytes);
    if arguments.json {
        let shown = json!({ "removed": id.as_str(), "bytes": bytes });
        terminal::say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    terminal::say(&match bytes {
        Some(bytes) => format!("Removed {id}: {}.", words::size(bytes)),
        None => format!("Removed what there was of {id}."),
    });
    Ok(())
}

/// The deployments, by name, that serve from a folder.
async fn users(config: &Config, folder: &Path) -> anyhow::Result<Vec<String>> {
    if !config.database.exists(&config.data.dir) {
        return Ok(Vec::new());
    }
    let url = config.database.url(&config.data.dir);
    let storage = Storage::open(&url)
        .await
        .with_context(|| format!("database {url}"))?;
    let deployed = deployed_folders(&storage).await;
    storage.close().await?;
    let mut users = Vec::new();
    for (deployment, path) in deployed? {
        let path = path.canonicalize().unwrap_or(path);
        if path.starts_with(folder) && !users.contains(&deployment) {
            users.push(deployment);
        }
    }
    Ok(users)
}
