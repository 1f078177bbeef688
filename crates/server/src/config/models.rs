//! `[models]`: models that ship with Silica, and the store of others.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_model_store::HubAddress;

use super::{ByteSize, InvalidValue};

/// Models that ship with Silica, what to do when one cannot be loaded, and the store of `silica models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelsConfig {
    /// The folder whose sub-folders with a `model.toml` are deployed by the first start on an empty
    /// data folder. Unset: `models` in the working folder, else beside the executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dir: Option<PathBuf>,
    /// What to do at start when a deployed model cannot be loaded: `fail` ends the process with the
    /// reason; `skip` logs the reason and serves the other models.
    pub(crate) on_load_error: OnLoadError,
    /// The folder that `silica models` keeps models in. Unset: `models` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<PathBuf>,
    /// The hub that `silica models add` fetches from: `huggingface`, `modelscope`, the address of a
    /// mirror of the first (`https://host`), or of the second (`modelscope+https://host`).
    #[schemars(with = "String")]
    pub(crate) hub: HubAddress,
    /// A file with a token for the hub, used when `HF_TOKEN` (or `MODELSCOPE_API_TOKEN`) is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hub_token_file: Option<PathBuf>,
    /// Whether the hub, and what it redirects to, may be at an address that is not public.
    pub(crate) hub_allow_private: bool,
    /// The most that the files of one model may have together.
    pub(crate) max_size: ByteSize,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            dir: None,
            on_load_error: OnLoadError::default(),
            store: None,
            hub: HubAddress::hugging_face(),
            hub_token_file: None,
            hub_allow_private: false,
            max_size: ByteSize::mebibytes(1 << 20),
        }
    }
}

impl ModelsConfig {
    /// The folder of the store for a data folder.
    pub(crate) fn store(&self, data: &Path) -> PathBuf {
        self.store.clone().unwrap_or_else(|| data.join("models"))
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        super::at_least_one("models.max_size", self.max_size.bytes())
    }
}

/// What to do at start when a deployed model cannot be loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnLoadError {
    #[default]
    Fail,
    Skip,
}
