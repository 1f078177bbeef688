//! `[errors]`: how errors look on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_protocol::ErrorDialect;

/// How errors look on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ErrorsConfig {
    /// `2026`: always an object `{code,message,data}`. `2025-02`: the historical bodies of
    /// February 2025, bare strings included.
    #[schemars(with = "String")]
    pub(crate) dialect: ErrorDialect,
}
