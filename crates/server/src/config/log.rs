//! `[log]`: what is written to standard error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::InvalidValue;

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// `text` for people, `json` for machines: one object per line.
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, also per module: `info,silica_gateway=debug`.
    pub(crate) level: String,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

impl LogConfig {
    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        let parsed = EnvFilter::builder().parse(&self.level);
        // Neither the value nor the parser's error, which may quote it: see `redact`.
        parsed.map(drop).map_err(|_| InvalidValue {
            key: "log.level",
            message: "no log filter; write a level, also per module, such as \"info,silica_gateway=debug\""
                .to_owned(),
        })
    }
}
