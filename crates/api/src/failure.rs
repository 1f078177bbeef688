//! Errors on their way out: the one place that turns what went wrong inside into a code of the
//! contract, and a code into a response.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use silica_engine::{EngineError, Feature};
use silica_gateway::GatewayError;
use silica_platform::AuthError;
use silica_protocol::{ApiError, ErrorCode, ErrorDialect, RenderedError};

/// An error as a response.
///
/// The response carries the [`ApiError`] as an extension: the dialect layer writes it anew in the
/// operator's dialect, and the observing layer names its code in the log. Without those layers it
/// is the object `{code,message,data}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub ApiError);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = render(&self.0, ErrorDialect::Year2026);
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Writes an error in a dialect, with the headers that belong to its status.
pub(crate) fn render(error: &ApiError, dialect: ErrorDialect) -> Response {
    let rendered = RenderedError::new(error, dialect);
    let mut response = Response::new(Body::from(rendered.body));
    *response.status_mut() = rendered.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(rendered.content_type),
    );
    match rendered.status {
        StatusCode::UNAUTHORIZED if dialect == ErrorDialect::Year2026 => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        // Refused before any work was done, so that trying again soon is right.
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

const CHALLENGE: &str =
    r#"Bearer realm="silica", error="invalid_token", error_description="Token is invalid.""#;

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self(code.into())
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::from(match error {
            AuthError::Missing => ErrorCode::TokenMissing,
            AuthError::Invalid => ErrorCode::TokenInvalid,
            AuthError::AccountDisabled => ErrorCode::UserDisabled,
        })
    }
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        Self(match error {
            GatewayError::UnknownModel => ErrorCode::ModelNotExist.into(),
            GatewayError::ModelDisabled => ErrorCode::ModelDisabled.into(),
            GatewayError::Unsupported(feature) => unsupported(feature),
            GatewayError::NotLoaded => ErrorCode::ModelServiceUnavailable.into(),
            GatewayError::Overloaded => ErrorCode::ModelServiceTooBusy.into(),
            GatewayError::Cut => ErrorCode::ModelServiceFailed.into(),
            GatewayError::Engine(error) => engine(error),
        })
    }
}

fn engine(error: EngineError) -> ApiError {
    match error {
        EngineError::ContextExceeded { prompt, limit } => ApiError::invalid(format!(
            "length of prompt_tokens ({prompt}) must be less than max_seq_len ({limit})."
        )),
        EngineError::Unsupported(feature) => unsupported(feature),
        EngineError::InvalidRequest(text) => ApiError::invalid(text),
        EngineError::QueueFull => ErrorCode::ModelServiceTooBusy.into(),
        EngineError::Unavailable => ErrorCode::ModelServiceUnavailable.into(),
        EngineError::Failed(_) => ErrorCode::ModelServiceFailed.into(),
    }
}

/// What a model answers to a feature that it does not have.
fn unsupported(feature: Feature) -> ApiError {
    match feature {
        Feature::JsonMode => ErrorCode::JsonModeNotSupported.into(),
        Feature::Tools => ErrorCode::FunctionCallNotSupported.into(),
        Feature::Prefix => ErrorCode::PrefixNotSupported.into(),
        Feature::FillInMiddle => ErrorCode::FimNotSupported.into(),
        Feature::Thinking => unsupported_parameter("enable_thinking"),
        Feature::ThinkingBudget => unsupported_parameter("thinking_budget"),
        Feature::Vision => ErrorCode::NotVlm.into(),
    }
}

/// The wire's text for a parameter that only some models have (contract section 1.5).
pub(crate) fn unsupported_parameter(name: &str) -> ApiError {
    ApiError::invalid(format!(
        "Value error, current model does not support parameter `{name}`."
    ))
}
