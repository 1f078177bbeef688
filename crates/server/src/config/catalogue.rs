//! `[catalogue]`: models and deployments from a file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Models and deployments from a file, beside those of the operator API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CatalogueConfig {
    /// A TOML file with `[[models]]` and `[[deployments]]`, whose keys are those of `PUT /admin/v1/models`
    /// and `PUT /admin/v1/deployments`; a replica's key is best named by `api_key_env = "VARIABLE"` or
    /// `api_key_file = "PATH"`. It is read again when it changes (looked at every second) and at SIGHUP
    /// (also for changed key files). A file that is not good changes nothing, and is told with its line in
    /// the log. What the file names cannot be changed by the operator API, what it no longer names
    /// goes (a deployment is deleted, a model disabled), and the rest is left alone. Unset later, what came
    /// from it stays and belongs to the operator API. `silica config --check` checks a file without starting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<PathBuf>,
}
