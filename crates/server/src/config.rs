//! The configuration: one typed section per file, filled from defaults, a TOML file, the environment
//! and the command line, later ones winning.
//!
//! Everything is read and checked before a port is bound or a file is written; a key that does not
//! exist or a value of the wrong type is refused with its file, line and key, or its variable.

mod admin;
mod ai_label;
mod billing;
mod catalogue;
mod cluster;
mod cors;
mod data;
mod database;
mod engine;
mod error;
mod errors;
mod gateway;
mod headers;
mod journal;
mod layers;
mod limits;
mod locate;
mod log;
mod models;
mod moderation;
mod redact;
mod reference;
mod secret;
mod server;
mod source;
mod telemetry;
mod units;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalogue_file::CatalogueSource;
use crate::cli::ConfigArguments;
use crate::{serve, terminal};

pub(crate) use admin::AdminConfig;
pub(crate) use ai_label::AiLabelConfig;
pub(crate) use billing::BillingConfig;
pub(crate) use catalogue::CatalogueConfig;
pub(crate) use cluster::ClusterConfig;
pub(crate) use cors::CorsConfig;
pub(crate) use data::DataConfig;
pub(crate) use database::DatabaseConfig;
pub(crate) use engine::{EngineConfig, EngineDtype, EngineQuantize, EngineSpeculation};
pub(crate) use error::ConfigError;
pub(crate) use errors::ErrorsConfig;
pub(crate) use gateway::GatewayConfig;
pub(crate) use headers::SecretHeaders;
pub(crate) use journal::JournalConfig;
pub(crate) use layers::{Overrides, load};
pub(crate) use limits::LimitsConfig;
pub(crate) use locate::line_of;
pub(crate) use log::{LogConfig, LogFormat};
pub(crate) use models::{ModelsConfig, OnLoadError};
pub(crate) use moderation::{ModerationConfig, ModerationFailure, ModerationProvider};
pub(crate) use redact::without_value;
pub(crate) use reference::reference;
pub(crate) use secret::ConfiguredSecret;
pub(crate) use server::ServerConfig;
pub(crate) use source::{Environment, MASTER_KEY, NEW_MASTER_KEY};
pub(crate) use telemetry::TelemetryConfig;
pub(crate) use units::{ByteSize, HumanDuration};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The public listener: `/v1`, health, `/openapi.json`.
    pub(crate) server: ServerConfig,
    /// The operator's listener and account.
    pub(crate) admin: AdminConfig,
    /// Where Silica keeps its files.
    pub(crate) data: DataConfig,
    /// Where accounts, keys, catalogue and deployments are stored.
    pub(crate) database: DatabaseConfig,
    /// The usage journal: settled calls on local disk, before their answers end.
    pub(crate) journal: JournalConfig,
    /// Bills and the ledger.
    pub(crate) billing: BillingConfig,
    /// Rate limits.
    pub(crate) limits: LimitsConfig,
    /// Several servers that count limits and money together.
    pub(crate) cluster: ClusterConfig,
    /// Models that ship with Silica, what to do when one cannot be loaded, and the store of `silica models`.
    pub(crate) models: ModelsConfig,
    /// Models and deployments from a file, beside those of the operator API.
    pub(crate) catalogue: CatalogueConfig,
    /// Engines that run inside the process.
    pub(crate) engine: EngineConfig,
    /// How engines elsewhere are watched, and who vouches for them.
    pub(crate) gateway: GatewayConfig,
    /// Who judges prompts and answers.
    pub(crate) moderation: ModerationConfig,
    /// What generated content says of itself, where the law wants it to.
    pub(crate) ai_label: AiLabelConfig,
    /// How errors look on the wire.
    pub(crate) errors: ErrorsConfig,
    /// Which web pages may call the public API.
    pub(crate) cors: CorsConfig,
    /// What is written to standard error.
    pub(crate) log: LogConfig,
    /// Traces of calls, sent to an OpenTelemetry collector.
    pub(crate) telemetry: TelemetryConfig,
}

/// A value that is well formed but not usable, with the key that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidValue {
    /// Section and key, such as `server.max_connections`.
    pub(crate) key: &'static str,
    /// What is wrong with it, and what would be right.
    pub(crate) message: String,
}

impl Config {
    /// Checks what types alone cannot.
    fn validate(&self) -> Result<(), InvalidValue> {
        self.server.validate()?;
        self.admin.validate()?;
        self.journal.validate()?;
        self.billing.validate()?;
        self.limits.validate()?;
        self.cluster.validate(self.database.is_postgres())?;
        self.models.validate()?;
        self.engine.validate()?;
        self.gateway.validate()?;
        self.moderation.validate()?;
        self.ai_label.validate()?;
        self.cors.validate()?;
        self.log.validate()?;
        self.telemetry.validate()?;
        if self.server.listen == self.admin.listen && self.server.listen.port() != 0 {
            let message = format!(
                "{} is server.listen already; the two listeners need two addresses",
                self.admin.listen
            );
            return Err(InvalidValue {
                key: "admin.listen",
                message,
            });
        }
        Ok(())
    }
}

/// Prints the configuration that is in force, or the reference of all keys, or checks it.
///
/// # Errors
/// When the configuration, or what it leads to, is refused.
pub(crate) fn run(arguments: &ConfigArguments, environment: &Environment) -> anyhow::Result<()> {
    if arguments.reference {
        terminal::say(reference().trim_end());
        return Ok(());
    }
    let config = load(
        arguments.serve.config.as_deref(),
        environment,
        arguments.serve.overrides(),
    )?;
    if arguments.check {
        return check(&config, environment);
    }
    terminal::say(toml::to_string_pretty(&config)?.trim_end());
    Ok(())
}

/// Checks what the configuration leads to beyond itself: the catalogue file and its engines.
fn check(config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let Some(file) = &config.catalogue.file else {
        terminal::say("The configuration is good.");
        return Ok(());
    };
    let checked = serve::check_catalogue_file(config, &CatalogueSource::new(file, environment))?;
    terminal::say(&format!(
        "The configuration is good, and so is the catalogue file {}: {} models, {} deployments.",
        file.display(),
        checked.models(),
        checked.deployments().len()
    ));
    Ok(())
}

/// Refuses zero where a number must be at least one.
fn at_least_one(key: &'static str, value: u64) -> Result<(), InvalidValue> {
    if value == 0 {
        Err(InvalidValue {
            key,
            message: "must be at least 1".to_owned(),
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
