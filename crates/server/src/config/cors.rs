//! `[cors]`: which web pages may call the public API.

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvalidValue;

/// Which web pages may call the public API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CorsConfig {
    /// Origins such as `https://app.example.com`; `["*"]` lets every page call, `[]` none. Keys are
    /// sent in a header and never in cookies, so an open API gives nothing away by itself.
    pub(crate) origins: Vec<String>,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self {
            origins: vec!["*".to_owned()],
        }
    }
}

impl CorsConfig {
    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        let key = "cors.origins";
        if self.origins.len() > 1 && self.origins.iter().any(|origin| origin == "*") {
            return Err(InvalidValue {
                key,
                message: "\"*\" must stand alone".to_owned(),
            });
        }
        for origin in &self.origins {
            let scheme = origin.starts_with("http://") || origin.starts_with("https://");
            let bare = !origin.ends_with('/') && HeaderValue::from_str(origin).is_ok();
            if origin != "*" && !(scheme && bare) {
                let message = format!(
                    "{origin:?} is no origin; write it as in https://app.example.com, without a path"
                );
                return Err(InvalidValue { key, message });
            }
        }
        Ok(())
    }
}
