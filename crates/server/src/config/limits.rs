//! `[limits]`: rate limits of accounts, and of the process itself.

use std::path::PathBuf;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_platform::ClassTables;

use super::{InvalidValue, at_least_one};

/// Rate limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    /// A TOML file with the limits of the classes by usage level, in the place of the published
    /// tables (`crates/billing/data/limit-classes.toml`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classes: Option<PathBuf>,
    /// Calls that may run at once in this process; further ones are refused with 503.
    pub(crate) max_running_calls: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            classes: None,
            max_running_calls: 4096,
        }
    }
}

impl LimitsConfig {
    /// The limits of the classes.
    ///
    /// # Errors
    /// When the file cannot be read or is not as it should be.
    pub(crate) fn tables(&self) -> anyhow::Result<ClassTables> {
        let Some(path) = &self.classes else {
            return ClassTables::published().context("the published limit tables");
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("limits.classes: cannot read {}", path.display()))?;
        ClassTables::parse(&text).with_context(|| format!("limits.classes: {}", path.display()))
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("limits.max_running_calls", u64::from(self.max_running_calls))
    }
}
