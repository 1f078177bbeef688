//! What the operator can set about the public API.

use std::time::Duration;

use http::HeaderValue;
use silica_protocol::ErrorDialect;
use silica_types::TokenCount;

use crate::{AiLabel, BodyLimits, TrustedProxies};

/// Settings of the public API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The shape of error bodies.
    pub dialect: ErrorDialect,
    /// Limits on request bodies.
    pub body: BodyLimits,
    /// Which web pages may call the API from a browser.
    pub cors: CorsOrigins,
    /// `max_tokens` of a chat that does not say.
    pub default_max_tokens: TokenCount,
    /// How long a client of a stream may take no frame before its call ends.
    pub stream_stall_limit: Duration,
    /// The proxies whose word about a client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// What generated content says of itself; `None` for nothing.
    pub ai_label: Option<AiLabel>,
}

impl Default for ApiConfig {
    /// The current dialect, bodies up to 16 MiB (512 MiB together) within 30 seconds, CORS open, 512 tokens
    /// (contract section 3.1, February 2025), a minute for clients that stop reading, no proxy and no label.
    fn default() -> Self {
        Self {
            dialect: ErrorDialect::default(),
            body: BodyLimits {
                max_bytes: 16 * 1024 * 1024,
                max_total_bytes: 512 * 1024 * 1024,
                timeout: Duration::from_secs(30),
            },
            cors: CorsOrigins::Any,
            default_max_tokens: TokenCount(512),
            stream_stall_limit: Duration::from_mins(1),
            trusted_proxies: TrustedProxies::default(),
            ai_label: None,
        }
    }
}

/// The origins that browsers may call from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Any page; keys are sent by hand, never by cookie, so this gives nothing away.
    Any,
    /// These only, such as `https://chat.example.org`. None at all switches CORS off.
    Only(Vec<HeaderValue>),
}

/// A configured origin cannot be sent in a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("origin {0:?} must have the form https://host, http://host or *, without a path")]
pub struct InvalidOrigin(String);

impl CorsOrigins {
    /// Reads a configured list; `*` anywhere in it allows every origin.
    ///
    /// # Errors
    /// When an origin has no scheme, has a path, or has characters that no header may carry.
    pub fn parse(origins: &[String]) -> Result<Self, InvalidOrigin> {
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Self::Any);
        }
        origins
            .iter()
            .map(|origin| parse_origin(origin))
            .collect::<Result<_, _>>()
            .map(Self::Only)
    }
}

fn parse_origin(origin: &str) -> Result<HeaderValue, InvalidOrigin> {
    let invalid = || InvalidOrigin(origin.to_owned());
    let host = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"))
        .ok_or_else(invalid)?;
    if host.is_empty() || host.contains(['/', ' ', ',']) {
        return Err(invalid());
    }
    HeaderValue::from_str(origin).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(origins: &[&str]) -> Result<CorsOrigins, InvalidOrigin> {
        CorsOrigins::parse(&origins.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_star_allows_every_origin() {
        assert_eq!(parse(&["https://a.example", "*"]), Ok(CorsOrigins::Any));
        assert_eq!(parse(&[]), Ok(CorsOrigins::Only(Vec::new())));
    }

    #[test]
    fn origins_have_a_scheme_and_no_path() {
        assert!(parse(&["https://a.example:8443", "http://localhost"]).is_ok());
        for origin in [
            "a.example",
            "https://",
            "https://a.example/",
            "https://a b",
            "https://a\n",
        ] {
            assert_eq!(parse(&[origin]), Err(InvalidOrigin(origin.to_owned())));
        }
    }
}
