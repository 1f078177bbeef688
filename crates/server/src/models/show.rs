//! `silica models list` and `silica models show`.

use anyhow::bail;
use serde_json::{Value, json};
use silica_gateway::error_chain;
use silica_model_store::Listed;

use super::arguments::{ListArguments, ShowArguments};
use super::{configuration, store, words};
use crate::config::Environment;
use crate::terminal;

/// Lists all models.
///
/// # Errors
/// When the store cannot be read, or, after all others are listed, for what in it cannot be.
pub(super) fn list(arguments: &ListArguments, environment: &Environment) -> anyhow::Result<()> {
    let store = store(&configuration(&arguments.place, environment)?);
    let Listed { models, unreadable } = store.list()?;
    if arguments.json {
        let shown: Vec<Value> = models
            .iter()
            .map(|manifest| words::shown(manifest, &store.folder(&manifest.id)))
            .collect::<Result<_, _>>()?;
        terminal::say(&serde_json::to_string_pretty(&shown)?);
    } else if models.is_empty() && unreadable.is_empty() {
        terminal::say(&format!("There are no models in {}.", store.root().display()));
    } else {
        terminal::say(&words::table(&models));
    }
    if unreadable.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = unreadable.iter().map(|error| error_chain(error)).collect();
    bail!("not listed: {}", told.join("; "))
}

/// Shows one model.
///
/// # Errors
/// When it is not there, or is damaged and that was asked for.
pub(super) fn show(arguments: &ShowArguments, environment: &Environment) -> anyhow::Result<()> {
    let store = store(&configuration(&arguments.place, environment)?);
    let manifest = store.find(&arguments.id)?;
    let folder = store.folder(&arguments.id);
    let damaged = if arguments.verify {
        store.verify(&manifest)
    } else {
        Vec::new()
    };
    if arguments.json {
        let mut shown = words::shown(&manifest, &folder)?;
        if arguments.verify {
            let damaged = damaged
                .iter()
                .map(|file| json!({ "name": file.name, "problem": file.problem }));
            shown["damaged"] = damaged.collect();
        }
        terminal::say(&serde_json::to_string_pretty(&shown)?);
    } else {
        terminal::say(&words::details(&manifest, &folder));
        if arguments.verify && damaged.is_empty() {
            terminal::say("all files are as they came into the store");
        }
    }
    if damaged.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = damaged
        .iter()
        .map(|file| format!("{}: {}", file.name, file.problem))
        .collect();
    bail!("{} is damaged: {}", arguments.id, told.join("; "))
}
