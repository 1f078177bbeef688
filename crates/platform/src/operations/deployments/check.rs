//! The rules for the models and the replicas of a deployment.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::Path;

use silica_storage::{Conflict, EngineKind, ReplicaSpec};
use silica_types::{ModelName, Secret};
use url::Url;

use super::NewReplica;
use crate::validate::{self, invalid, unknown};
use crate::{Catalogue, PlatformError, sealing};

const URL_BYTES: usize = 2048;
const UPSTREAM_MODEL_BYTES: usize = 256;
const HEALTH_PATH_BYTES: usize = 256;
/// From a tenth of a second to half an hour.
const TIMEOUT_MS: RangeInclusive<u32> = 100..=1_800_000;

/// Checks the models of a deployment against the catalogue.
pub(super) fn models(
    catalogue: &Catalogue,
    deployment: &str,
    models: &[String],
) -> Result<Vec<ModelName>, PlatformError> {
    if models.is_empty() {
        return Err(invalid("models", "needs at least one model of the catalogue"));
    }
    let mut seen = HashSet::new();
    let check = |(index, id): (usize, &String)| {
        let field = format!("models[{index}]");
        let Some(model) = catalogue.model(id) else {
            let shown: String = id.chars().take(256).collect();
            return Err(invalid(
                field,
                format!("{shown:?} is not in the catalogue; put the model first"),
            ));
        };
        if !seen.insert(model.id.clone()) {
            return Err(invalid(field, format!("{id} is named twice")));
        }
        if catalogue
            .deployment_of(id)
            .is_some_and(|other| other.name != deployment)
        {
            return Err(PlatformError::Conflict(Conflict::ModelDeployed {
                model: id.clone(),
            }));
        }
        Ok(model.id.clone())
    };
    models.iter().enumerate().map(check).collect()
}

/// Checks one engine of a deployment.
pub(super) fn replica(index: usize, new: NewReplica) -> Result<ReplicaSpec, PlatformError> {
    let field = |name: &str| format!("replicas[{index}].{name}");
    let engine: EngineKind = new.engine.parse().map_err(unknown(field("engine")))?;
    check_key(&field, new.api_key.as_ref())?;
    check_upstream_fields(&field, &new)?;
    match engine {
        EngineKind::Candle => check_folders(&field, &new)?,
        EngineKind::OpenAi => check_server(&field, &new)?,
    }
    Ok(ReplicaSpec {
        engine,
        path: new.path,
        adapter: new.adapter,
        quantize: new
            .quantize
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(unknown(field("quantize")))?,
        url: new.url,
        api_key: new.api_key,
        upstream_model: new.upstream_model,
        allow_private: new.allow_private,
        weight: validate::positive(field("weight"), new.weight.unwrap_or(1))?,
        max_concurrency: new
            .max_concurrency
            .map(|value| validate::positive(field("max_concurrency"), value))
            .transpose()?,
        drain: new.drain,
        continuous_usage: new.continuous_usage,
        health_path: new.health_path,
        connect_timeout_ms: new.connect_timeout_ms,
        first_token_timeout_ms: new.first_token_timeout_ms,
        stall_timeout_ms: new.stall_timeout_ms,
    })
}

/// Checks where an embedded engine finds its model, and what is added to it. Whether they are there is seen
/// when they are loaded.
fn check_folders(field: &impl Fn(&str) -> String, new: &NewReplica) -> Result<(), PlatformError> {
    let Some(path) = new.path.as_deref().filter(|path| !path.as_os_str().is_empty()) else {
        return Err(invalid(
            field("path"),
            "the engine candle needs the folder or the GGUF file of its model",
        ));
    };
    check_absolute(field("path"), path, "/srv/models/name")?;
    match &new.adapter {
        Some(adapter) if adapter.as_os_str().is_empty() => Err(invalid(
            field("adapter"),
            "must be the folder of an adapter, or be absent",
        )),
        Some(adapter) => check_absolute(field("adapter"), adapter, "/srv/adapters/name"),
        None => Ok(()),
    }
}

/// Servers that share a database may run in different folders, and so may the next start.
fn check_absolute(field: String, path: &Path, example: &str) -> Result<(), PlatformError> {
    if path.is_absolute() {
        return Ok(());
    }
    let shown: String = path.display().to_string().chars().take(256).collect();
    Err(invalid(
        field,
        format!("{shown:?} is relative; give the absolute path, such as {example}"),
    ))
}

/// Checks the server of a remote engine. The texts are not repeated: people put keys into URLs.
fn check_server(field: &impl Fn(&str) -> String, new: &NewReplica) -> Result<(), PlatformError> {
    // Left out, it would be missed in every answer.
    if new.adapter.is_some() {
        return Err(invalid(
            field("adapter"),
            "only the engine candle takes one; a server elsewhere has its own, called by upstream_model",
        ));
    }
    let url = new.url.as_deref().filter(|url| url.len() <= URL_BYTES);
    let parsed = url.and_then(|url| Url::parse(url).ok());
    let usable = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !usable {
        return Err(invalid(
            field("url"),
            "the engine openai needs the base URL of its server, such as https://host.example/v1, without a user, a query or a fragment",
        ));
    }
    Ok(())
}

/// Refuses what is no key but one that was sealed, such as a stored one that did not open: it must
/// not be taken for the key.
fn check_key(field: &impl Fn(&str) -> String, key: Option<&Secret>) -> Result<(), PlatformError> {
    if key.is_some_and(sealing::is_sealed) {
        return Err(invalid(
            field("api_key"),
            "the key is sealed and cannot be opened here; give the upstream's key itself, or null for none",
        ));
    }
    Ok(())
}

/// Checks what only remote engines use. Other engines store it too, so it must be good there as well.
fn check_upstream_fields(field: &impl Fn(&str) -> String, new: &NewReplica) -> Result<(), PlatformError> {
    let usable = new.upstream_model.as_deref().is_none_or(|model| {
        !model.is_empty() && model.len() <= UPSTREAM_MODEL_BYTES && !model.chars().any(char::is_control)
    });
    if !usable {
        return Err(invalid(
            field("upstream_model"),
            format!("must have 1 to {UPSTREAM_MODEL_BYTES} bytes and no control characters, or be absent"),
        ));
    }
    let path = new.health_path.as_deref().unwrap_or_default();
    if !is_health_path(path) {
        return Err(invalid(
            field("health_path"),
            format!(
                "must be a path such as /health with at most {HEALTH_PATH_BYTES} visible ASCII characters, or empty"
            ),
        ));
    }
    for (name, timeout) in [
        ("connect_timeout_ms", new.connect_timeout_ms),
        ("first_token_timeout_ms", new.first_token_timeout_ms),
        ("stall_timeout_ms", new.stall_timeout_ms),
    ] {
        if timeout.is_some_and(|timeout| !TIMEOUT_MS.contains(&timeout)) {
            let (least, most) = (TIMEOUT_MS.start(), TIMEOUT_MS.end());
            return Err(invalid(
                field(name),
                format!("must be {least} to {most} (milliseconds)"),
            ));
        }
    }
    Ok(())
}

/// Whether a text names something below a URL, and nothing elsewhere: URLs take `//host` and `/\\host`
/// for another host.
fn is_health_path(path: &str) -> bool {
    path.is_empty()
        || (path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= HEALTH_PATH_BYTES
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#'))
}
