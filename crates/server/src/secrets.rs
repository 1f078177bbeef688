//! `silica secrets`: looks after the master key that seals upstream keys.

use anyhow::{Context as _, bail, ensure};
use silica_platform::{MasterKey, MasterKeys, Resealed, Storage, reseal_upstream_keys};

use crate::cli::{RotateArguments, SecretsCommand};
use crate::config::{self, Config, Environment, MASTER_KEY, NEW_MASTER_KEY, Overrides};
use crate::setup::{KeyFileRotation, parse_master_keys};
use crate::terminal;

/// Runs one command.
///
/// # Errors
/// When there is no master key to replace, the database fails, or stored keys cannot be opened; the
/// last is said after everything else is done.
pub(crate) fn run(command: &SecretsCommand, environment: &Environment) -> anyhow::Result<()> {
    let SecretsCommand::Rotate(RotateArguments { config, data }) = command;
    let overrides = Overrides {
        listen: None,
        data: data.clone(),
    };
    let config = config::load(config.as_deref(), environment, overrides)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(rotate(&config, environment))
}

async fn rotate(config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let new = environment
        .new_master_key()
        .map(|key| MasterKeys::parse(key.expose()).context(NEW_MASTER_KEY))
        .transpose()?;
    match (environment.master_key(), new) {
        (Some(old), Some(new)) => rotate_environment(config, &parse_master_keys(&old)?, &new).await,
        (Some(_), None) => bail!(
            "the master key comes from {MASTER_KEY}, so the new one must be given in {NEW_MASTER_KEY}; \
             make one with: openssl rand -base64 32"
        ),
        (None, Some(new)) => rotate_file(config, &new.only_first()).await,
        (None, None) => rotate_file(config, &MasterKey::random()?.into()).await,
    }
}

async fn rotate_environment(config: &Config, old: &MasterKeys, new: &MasterKeys) -> anyhow::Result<()> {
    ensure!(
        old.text() != new.only_first().text(),
        "{NEW_MASTER_KEY} is the master key that is in use"
    );
    let keys = old.behind(&new.only_first());
    let resealed = reseal(config, &keys).await?;
    say(&resealed, &keys);
    terminal::say(&format!(
        "Now start every server with {MASTER_KEY} set to the new key alone; the old one opens nothing any more."
    ));
    complain(&resealed)
}

async fn rotate_file(config: &Config, new: &MasterKeys) -> anyhow::Result<()> {
    let rotation = KeyFileRotation::begin(&config.data.dir)?;
    let keys = rotation.add(new)?;
    let resealed = reseal(config, &keys)
        .await
        .context("both master keys are in the file, and nothing is lost; run the rotation again")?;
    rotation.keep_first(&keys)?;
    say(&resealed, &keys);
    complain(&resealed)
}

async fn reseal(config: &Config, keys: &MasterKeys) -> anyhow::Result<Resealed> {
    let url = config.database.url(&config.data.dir);
    let storage = Storage::open(&url)
        .await
        .with_context(|| format!("database {url}"))?;
    let resealed = reseal_upstream_keys(&storage, keys).await;
    storage.close().await?;
    Ok(resealed?)
}

fn say(resealed: &Resealed, keys: &MasterKeys) {
    terminal::say(&format!(
        "{} upstream keys are sealed with the new master key {}.",
        resealed.keys,
        keys.first().id()
    ));
}

fn complain(resealed: &Resealed) -> anyhow::Result<()> {
    ensure!(
        resealed.unopened.is_empty(),
        "these upstream keys open with none of the master keys and stay as they are; put their deployments \
         again with their api_key: {}",
        resealed.unopened.join("; ")
    );
    Ok(())
}
