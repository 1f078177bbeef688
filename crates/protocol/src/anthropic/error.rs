//! Errors in Anthropic's form.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ApiError, ErrorBody, ErrorCode};

/// An error as Anthropic's clients read it, with the members of the platform's own errors beside:
/// the imitated service answers those here as well (contract section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AnthropicError {
    /// Always `error`.
    #[serde(rename = "type")]
    #[schema(example = "error")]
    pub kind: &'static str,
    /// What went wrong.
    pub error: AnthropicErrorDetail,
    /// The same as the platform says it.
    #[serde(flatten)]
    pub body: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AnthropicErrorDetail {
    /// The kind of error.
    #[serde(rename = "type")]
    #[schema(example = "invalid_request_error")]
    pub kind: &'static str,
    /// In words.
    #[schema(value_type = String)]
    pub message: std::borrow::Cow<'static, str>,
}

impl AnthropicError {
    /// Puts an error into the form.
    pub fn new(error: &ApiError) -> Self {
        Self {
            kind: "error",
            error: AnthropicErrorDetail {
                kind: kind(error.code),
                message: error.message.clone(),
            },
            body: error.body(),
        }
    }
}

/// Anthropic's name for an error: by its status, and of money by its code.
fn kind(code: ErrorCode) -> &'static str {
    if matches!(code, ErrorCode::BalanceNotEnough | ErrorCode::OnlyByChargeBalance) {
        return "billing_error";
    }
    match code.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_stand_in_one_body() {
        let error = AnthropicError::new(&ErrorCode::ModelNotExist.into());
        let text = "Model does not exist. Please check it carefully.";
        let expected = serde_json::json!({
            "type": "error", "error": {"type": "invalid_request_error", "message": text},
            "code": 20012, "message": text, "data": null,
        });
        assert_eq!(serde_json::to_value(error).unwrap(), expected);
    }

    #[test]
    fn every_status_has_its_kind() {
        for (code, expected) in [
            (ErrorCode::TokenInvalid, "authentication_error"),
            (ErrorCode::BalanceNotEnough, "billing_error"),
            (ErrorCode::ModelDisabled, "permission_error"),
            (ErrorCode::NotFound, "not_found_error"),
            (ErrorCode::EntityTooLarge, "request_too_large"),
            (ErrorCode::RpmLimit, "rate_limit_error"),
            (ErrorCode::ModelServiceTooBusy, "overloaded_error"),
            (ErrorCode::ModelServiceTimeout50504, "timeout_error"),
            (ErrorCode::Internal, "api_error"),
            (ErrorCode::BodyTimeout, "invalid_request_error"),
        ] {
            assert_eq!(kind(code), expected, "{code:?}");
        }
    }
}
