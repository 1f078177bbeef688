//! `[models]`: models that ship with Silica.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Models that ship with Silica, and what to do when one cannot be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelsConfig {
    /// The folder whose sub-folders with a `model.toml` are deployed by the first start on an empty
    /// data folder. Unset: `models` in the working folder, else beside the executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dir: Option<PathBuf>,
    /// What to do at start when a deployed model cannot be loaded: `fail` ends the process with the
    /// reason; `skip` logs the reason and serves the other models.
    pub(crate) on_load_error: OnLoadError,
}

/// What to do at start when a deployed model cannot be loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnLoadError {
    #[default]
    Fail,
    Skip,
}
