//! `silica models add`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;
use silica_model_store::{
    AddOptions, Hub, HubAddress, HubOptions, Manifest, ModelId, Progress, Silent, Source, Store,
};
use silica_types::{Clock as _, Secret, SystemClock};

use super::arguments::{AddArguments, ModelUse};
use super::deploy::Served;
use super::progress::Told;
use super::{authorities, configuration, runtime, store, words};
use crate::config::{Config, Environment};
use crate::setup::make_private_folder;
use crate::terminal;

/// Puts a model into the store, and serves it if that is asked for.
///
/// # Errors
/// When it is not there afterwards, or is not served.
pub(super) fn run(arguments: &AddArguments, environment: &Environment) -> anyhow::Result<()> {
    let config = configuration(&arguments.place, environment)?;
    let store = store(&config);
    let source = Source::parse(&arguments.source)?;
    refuse_idle_options(arguments, &source)?;
    let id = arguments.name.clone().unwrap_or_else(|| source.default_id());
    make_private_folder(&config.data.dir)
        .with_context(|| format!("cannot use the data folder {}", config.data.dir.display()))?;
    fs::create_dir_all(store.root()).with_context(|| format!("cannot make {}", store.root().display()))?;
    let told = Told::new();
    let progress: &dyn Progress = if arguments.quiet { &Silent } else { &told };
    let added = add(arguments, environment, &config, &store, &id, &source, progress);
    told.end();
    let manifest = added?;
    let folder = store.folder(&id);
    let sub_type = ModelUse::of(&manifest, arguments.sub_type);
    let deployed = arguments
        .deploy
        .then(|| Served::of(&manifest, &folder, sub_type).deploy(&config, environment))
        .transpose()
        .context("the model is in the store, and is not served")?;
    if arguments.json {
        let mut shown = words::shown(&manifest, &folder)?;
        shown["deployment"] = json!(deployed.as_ref().map(|_| manifest.id.as_str()));
        terminal::say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    terminal::say(&words::added(&manifest, &folder));
    terminal::say(&match deployed {
        Some(outcome) => outcome,
        None => words::next_steps(&config, &arguments.place, &manifest, (&folder, sub_type)),
    });
    Ok(())
}

/// Refuses what would change nothing, since a person meant something by it.
fn refuse_idle_options(arguments: &AddArguments, source: &Source) -> anyhow::Result<()> {
    let what = match source {
        Source::Hub(_) => return Ok(()),
        Source::Folder(path) => format!("{} is a folder of this machine", path.display()),
        Source::Gguf(path) => format!("{} is a file of this machine", path.display()),
    };
    let is_file = matches!(source, Source::Gguf(_));
    let given = [
        ("--hub", arguments.hub.is_some()),
        ("--revision", arguments.revision.is_some()),
        ("--file", is_file && arguments.file.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => bail!("{what}, so {option} says nothing"),
        None => Ok(()),
    }
}

fn add(
    arguments: &AddArguments,
    environment: &Environment,
    config: &Config,
    store: &Store,
    id: &ModelId,
    source: &Source,
    progress: &dyn Progress,
) -> anyhow::Result<Manifest> {
    let options = AddOptions {
        revision: arguments.revision.as_deref(),
        file: arguments.file.as_deref(),
        max_bytes: config.models.max_size.bytes(),
        now: SystemClock.now(),
        progress,
    };
    match source {
        Source::Hub(repo) => {
            let address = arguments.hub.clone().unwrap_or_else(|| config.models.hub.clone());
            let hub = hub(address, config, environment)?;
            let adding = store.add_from_hub(id, &hub, repo, &options);
            Ok(runtime()?.block_on(adding)?)
        }
        Source::Folder(folder) => Ok(store.add_folder(id, folder, &options)?),
        Source::Gguf(file) => Ok(store.add_gguf(id, file, &options)?),
    }
}

fn hub(address: HubAddress, config: &Config, environment: &Environment) -> anyhow::Result<Hub> {
    let variable = address.dialect().token_variable();
    // The environment is this call's, the file is for all.
    let token = match environment.secret(variable) {
        Some(token) if !token.expose().trim().is_empty() => Some(token),
        _ => config
            .models
            .hub_token_file
            .as_deref()
            .map(token_in)
            .transpose()?,
    };
    let options = HubOptions {
        token,
        allow_private: config.models.hub_allow_private,
        authorities: authorities(config)?,
        ..HubOptions::new(address)
    };
    Ok(Hub::new(options)?)
}

fn token_in(file: &Path) -> anyhow::Result<Secret> {
    let text =
        fs::read_to_string(file).with_context(|| format!("models.hub_token_file {}", file.display()))?;
    Ok(Secret::new(text.trim()))
}
