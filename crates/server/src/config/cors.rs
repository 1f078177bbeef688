//! `[cors]`: which web pages may call the public API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_api::{CorsOrigins, InvalidOrigin};

use super::InvalidValue;

/// Which web pages may call the public API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CorsConfig {
    /// Origins such as `https://app.example.com`; `["*"]` lets every page call, `[]` none. Keys are
    /// sent in a header and never in cookies, so an open API gives nothing away by itself.
    pub(super) origins: Vec<String>,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self {
            origins: vec!["*".to_owned()],
        }
    }
}

impl CorsConfig {
    /// The origins as the API takes them.
    ///
    /// # Errors
    /// When an entry is no origin.
    pub(crate) fn origins(&self) -> Result<CorsOrigins, InvalidOrigin> {
        CorsOrigins::parse(&self.origins)
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        let invalid = |error: InvalidOrigin| InvalidValue {
            key: "cors.origins",
            message: error.to_string(),
        };
        self.origins().map(drop).map_err(invalid)
    }
}
