//! Limits: `{"class":"S"}` or `{"RPM":1000,"TPM":-1}`.

use serde::{Deserialize, Serialize};
use silica_platform::{LimitClass, LimitMetrics, Limits};
use silica_protocol::ApiError;

/// Rate limits of a model: a class of the published table, or numbers, of which -1 and
/// absent ones do not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsBody {
    /// S, M, L, XL, E, video, or one of the fixed groups (free-chat, deepseek, free-embedding, free-image, paid-image); excludes all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "S")]
    class: Option<LimitClass>,
    /// Requests per minute.
    #[serde(rename = "RPM", default, skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<i64>,
    /// Requests per hour.
    #[serde(rename = "RPH", default, skip_serializing_if = "Option::is_none")]
    requests_per_hour: Option<i64>,
    /// Requests per day.
    #[serde(rename = "RPD", default, skip_serializing_if = "Option::is_none")]
    requests_per_day: Option<i64>,
    /// Tokens per minute.
    #[serde(rename = "TPM", default, skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<i64>,
    /// Tokens per day.
    #[serde(rename = "TPD", default, skip_serializing_if = "Option::is_none")]
    tokens_per_day: Option<i64>,
    /// Images per minute.
    #[serde(rename = "IPM", default, skip_serializing_if = "Option::is_none")]
    images_per_minute: Option<i64>,
    /// Images per day.
    #[serde(rename = "IPD", default, skip_serializing_if = "Option::is_none")]
    images_per_day: Option<i64>,
}

impl From<Limits> for LimitsBody {
    fn from(limits: Limits) -> Self {
        match limits {
            Limits::Class { class } => Self {
                class: Some(class),
                ..Self::default()
            },
            Limits::Metrics(metrics) => Self {
                class: None,
                requests_per_minute: metrics.requests_per_minute,
                requests_per_hour: metrics.requests_per_hour,
                requests_per_day: metrics.requests_per_day,
                tokens_per_minute: metrics.tokens_per_minute,
                tokens_per_day: metrics.tokens_per_day,
                images_per_minute: metrics.images_per_minute,
                images_per_day: metrics.images_per_day,
            },
        }
    }
}

impl TryFrom<LimitsBody> for Limits {
    type Error = ApiError;

    fn try_from(body: LimitsBody) -> Result<Self, ApiError> {
        let metrics = LimitMetrics {
            requests_per_minute: body.requests_per_minute,
            requests_per_hour: body.requests_per_hour,
            requests_per_day: body.requests_per_day,
            tokens_per_minute: body.tokens_per_minute,
            tokens_per_day: body.tokens_per_day,
            images_per_minute: body.images_per_minute,
            images_per_day: body.images_per_day,
        };
        match body.class {
            None => Ok(Self::Metrics(metrics)),
            Some(class) if metrics == LimitMetrics::default() => Ok(Self::Class { class }),
            Some(_) => Err(ApiError::invalid(
                "limits: give either a class or numbers, not both",
            )),
        }
    }
}
