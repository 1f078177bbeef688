//! `[data]`: where Silica keeps its files.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where Silica keeps its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DataConfig {
    /// The data folder, made when it is missing: the SQLite database, the usage
    /// journal, models that were added, `admin.key` and `addresses.json`. Relative to the working folder.
    pub(crate) dir: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("data"),
        }
    }
}
