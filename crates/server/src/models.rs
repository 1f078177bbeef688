//! `silica models`: puts models into the store of the data folder, shows them, serves them, and takes
//! them out.

mod add;
mod arguments;
mod deploy;
mod progress;
mod remove;
mod show;
mod words;

use std::fs;

use anyhow::Context as _;
use silica_engine_remote::Authorities;
use silica_model_store::Store;
use tokio::runtime::Runtime;

use self::arguments::Place;
pub(crate) use self::arguments::{ModelsArguments, ModelsCommand};
use crate::config::{self, Config, Environment, Overrides};

/// Runs one command.
///
/// # Errors
/// When it did not do what it was asked for.
pub(crate) fn run(command: &ModelsCommand, environment: &Environment) -> anyhow::Result<()> {
    match command {
        ModelsCommand::Add(arguments) => add::run(arguments, environment),
        ModelsCommand::List(arguments) => show::list(arguments, environment),
        ModelsCommand::Show(arguments) => show::show(arguments, environment),
        ModelsCommand::Deploy(arguments) => deploy::run(arguments, environment),
        ModelsCommand::Remove(arguments) => remove::run(arguments, environment),
    }
}

/// The configuration that a command works by.
fn configuration(place: &Place, environment: &Environment) -> anyhow::Result<Config> {
    let overrides = Overrides {
        listen: None,
        data: place.data.clone(),
    };
    Ok(config::load(place.config.as_deref(), environment, overrides)?)
}

/// The store of a configuration, which need not be there.
fn store(config: &Config) -> Store {
    Store::new(config.models.store(&config.data.dir))
}

/// Who may vouch for hubs beside the system's authorities.
fn authorities(config: &Config) -> anyhow::Result<Option<Authorities>> {
    let Some(file) = &config.gateway.upstream_ca_file else {
        return Ok(None);
    };
    let context = || format!("gateway.upstream_ca_file {}", file.display());
    let pem = fs::read(file).with_context(context)?;
    Authorities::from_pem(&pem).map(Some).with_context(context)
}

/// Few threads: the work is the network's and the disk's.
fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    Ok(runtime)
}
