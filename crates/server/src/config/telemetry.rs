//! `[telemetry]`: traces for a collector.

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidValue, SecretHeaders};

const ENDPOINT: &str = "telemetry.otlp_endpoint";
const RATIO: &str = "telemetry.sample_ratio";

/// Traces of calls, sent to an OpenTelemetry collector. They hold no prompts, answers or keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TelemetryConfig {
    /// The collector's base URL for OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is
    /// added, and JSON is sent. Unset: no traces, at no cost. A collector that does not answer costs
    /// its traces only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Headers that the collector wants, such as `api-key=abc,x-scope=silica`: the form of
    /// `OTEL_EXPORTER_OTLP_HEADERS`, values may be percent-encoded. Their values are secrets, so set the variable
    /// rather than the file; they are never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) otlp_headers: Option<SecretHeaders>,
    /// The part of calls that are traced, 0 to 1, of those whose caller sent no `traceparent`; one
    /// that did decides for itself.
    pub(crate) sample_ratio: f64,
    /// How this server is called in traces (`service.name`).
    pub(crate) service_name: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: None,
            sample_ratio: 1.0,
            service_name: "silica".to_owned(),
        }
    }
}

impl TelemetryConfig {
    /// Checks what types alone cannot.
    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        if self.otlp_endpoint.is_some() && self.traces_url().is_none() {
            return Err(InvalidValue {
                key: ENDPOINT,
                message: "must be a URL such as http://127.0.0.1:4318, without a user, a query or a fragment"
                    .to_owned(),
            });
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(InvalidValue {
                key: RATIO,
                message: "must be from 0 to 1".to_owned(),
            });
        }
        Ok(())
    }

    /// Where traces are sent; `None` when they are not.
    pub(crate) fn traces_url(&self) -> Option<Uri> {
        let base = self.otlp_endpoint.as_deref()?.trim_end_matches('/');
        let url: Uri = format!("{base}/v1/traces").parse().ok()?;
        let is_plain = !base.contains(['@', '?', '#']) && url.host().is_some();
        (is_plain && matches!(url.scheme_str(), Some("http" | "https"))).then_some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str) -> Option<String> {
        let config = TelemetryConfig {
            otlp_endpoint: Some(endpoint.to_owned()),
            ..TelemetryConfig::default()
        };
        assert_eq!(config.validate().is_ok(), config.traces_url().is_some());
        config.traces_url().map(|url| url.to_string())
    }

    #[test]
    fn an_endpoint_is_a_base_url() {
        let expected = Some("http://h:4318/v1/traces".to_owned());
        assert_eq!(url("http://h:4318"), expected);
        assert_eq!(url("http://h:4318/"), expected);
        for bad in ["h:4318", "ftp://h", "http://u:p@h", "http://h?x=1", ""] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_from_0_to_1() {
        for (sample_ratio, is_good) in [
            (0.0, true),
            (0.5, true),
            (1.0, true),
            (1.1, false),
            (-0.1, false),
            (f64::NAN, false),
        ] {
            let config = TelemetryConfig {
                sample_ratio,
                ..TelemetryConfig::default()
            };
            assert_eq!(config.validate().is_ok(), is_good, "{sample_ratio}");
        }
    }
}
