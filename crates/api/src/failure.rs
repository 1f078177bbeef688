//! Errors on their way out: the one place that turns what went wrong inside into a code of the
//! contract, and a code into a response.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use silica_engine::{EngineError, Feature};
use silica_gateway::{GatewayError, error_chain};
use silica_platform::{AuthError, Metric, PlatformError, Refusal};
use silica_protocol::{ApiError, ErrorCode, ErrorDialect, ErrorForm, RenderedError};

use crate::limit_headers;

/// An error as a response.
///
/// The response carries the [`ApiError`] as an extension: the dialect layer writes it anew in the
/// operator's dialect, and the observing layer names its code in the log. Without those layers it
/// is the object `{code,message,data}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub error: ApiError,
    /// What the response says beside it.
    headers: HeaderMap,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = render(&self.error, ErrorForm::Platform(ErrorDialect::Year2026));
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(self.error);
        response
    }
}

/// Writes an error in a form, with the headers that belong to its status.
pub(crate) fn render(error: &ApiError, form: ErrorForm) -> Response {
    let rendered = RenderedError::new(error, form);
    let mut response = Response::new(Body::from(rendered.body));
    *response.status_mut() = rendered.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(rendered.content_type),
    );
    match rendered.status {
        StatusCode::UNAUTHORIZED if form != ErrorForm::Platform(ErrorDialect::February2025) => {
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

impl Failure {
    /// What goes wrong with a call that reads texts and writes none: a text that does not fit has an
    /// answer of its own there (contract section 6).
    pub(crate) fn of_texts(error: GatewayError) -> Self {
        match error {
            GatewayError::Engine(EngineError::ContextExceeded { limit, .. }) => {
                let text = format!("input must have less than {limit} tokens");
                Self::from(ApiError::with_message(ErrorCode::EntityTooLarge, text))
            }
            other => Self::from(other),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            headers: HeaderMap::new(),
        }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::from(ApiError::from(code))
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::from(match error {
            AuthError::Missing => ErrorCode::TokenMissing,
            AuthError::Invalid => ErrorCode::TokenInvalid,
            AuthError::AccountDisabled => ErrorCode::UserDisabled,
            AuthError::AddressNotAllowed => ErrorCode::AddressNotAllowed,
        })
    }
}

/// What the domain says about an account that is looked at.
impl From<PlatformError> for Failure {
    fn from(error: PlatformError) -> Self {
        let text = error.to_string();
        Self::from(match error {
            PlatformError::Invalid { .. } => ApiError::invalid(text),
            PlatformError::NotFound { .. } => ApiError::with_message(ErrorCode::NotFound, text),
            PlatformError::Conflict(_) | PlatformError::IsFallback { .. } | PlatformError::Managed { .. } => {
                ApiError::with_message(ErrorCode::Conflict, text)
            }
            PlatformError::Insufficient(_) => ApiError::with_message(ErrorCode::BalanceNotEnough, text),
            PlatformError::Storage(_) | PlatformError::TooSlow | PlatformError::Apart => {
                tracing::warn!(error = %error_chain(&error), "an account cannot be looked at");
                ErrorCode::ModelServiceUnavailable.into()
            }
            PlatformError::Journal(_)
            | PlatformError::Random(_)
            | PlatformError::MasterKey(_)
            | PlatformError::Sealing => {
                tracing::error!(error = %error_chain(&error), "an account cannot be looked at");
                ErrorCode::Internal.into()
            }
        })
    }
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        let headers = match &error {
            GatewayError::Refused(Refusal::Limit(limit)) => limit_headers::refused(limit),
            GatewayError::Engine(EngineError::RateLimited {
                retry_after: Some(left),
            }) => limit_headers::retry_after(*left),
            _ => HeaderMap::new(),
        };
        let error = match error {
            GatewayError::UnknownModel => ErrorCode::ModelNotExist.into(),
            GatewayError::ModelDisabled => ErrorCode::ModelDisabled.into(),
            GatewayError::Unsupported(feature) => unsupported(feature),
            GatewayError::Moderated(_) => ErrorCode::Nsfw.into(),
            GatewayError::NotLoaded | GatewayError::NotSettled(_) | GatewayError::Unmoderated(_) => {
                ErrorCode::ModelServiceUnavailable.into()
            }
            GatewayError::Overloaded => ErrorCode::ModelServiceTooBusy.into(),
            GatewayError::Cut => ErrorCode::ModelServiceFailed.into(),
            GatewayError::Refused(refusal) => refused(&refusal),
            GatewayError::Engine(error) => engine(error),
        };
        Self { error, headers }
    }
}

fn refused(refusal: &Refusal) -> ApiError {
    match refusal {
        Refusal::Journal(_) | Refusal::Busy | Refusal::NoCounters => {
            ErrorCode::ModelServiceUnavailable.into()
        }
        Refusal::ModelNotAllowed => {
            ApiError::with_message(ErrorCode::NotModelOwner, "The key may not call this model.")
        }
        Refusal::Limit(limit) => limit_reached(limit.metric),
        Refusal::SpendCap(_) => ApiError::with_message(
            ErrorCode::BalanceNotEnough,
            "Sorry, the monthly spend limit of this key is reached",
        ),
        Refusal::Balance(_) => ErrorCode::BalanceNotEnough.into(),
    }
}

/// The codes of the limits (contract section 1.4). No code is known for TPD: it takes the one of
/// TPM, and its text names the metric.
fn limit_reached(metric: Metric) -> ApiError {
    let code = match metric {
        Metric::Rpm => ErrorCode::RpmLimit,
        Metric::Rph => ErrorCode::RphLimit,
        Metric::Rpd => ErrorCode::RpdLimit,
        Metric::Tpm => ErrorCode::TpmLimit,
        Metric::Tpd => {
            let text = "Request was rejected due to rate limiting. Details: TPD limit reached.";
            return ApiError::with_message(ErrorCode::TpmLimit, text);
        }
        Metric::Ipm => ErrorCode::IpmLimit,
        Metric::Ipd => ErrorCode::IpdLimit,
    };
    code.into()
}

fn engine(error: EngineError) -> ApiError {
    match error {
        EngineError::ContextExceeded { prompt, limit } => ApiError::invalid(format!(
            "length of prompt_tokens ({prompt}) must be less than max_seq_len ({limit})."
        )),
        EngineError::Unsupported(feature) => unsupported(feature),
        EngineError::InvalidRequest(text) => ApiError::invalid(text),
        EngineError::Unconstrainable { feature, reason } => {
            ApiError::with_message(code_of_form(feature), reason)
        }
        // Word for word the wire's answer (contract section 1.5), which names no field.
        EngineError::InvalidParameter(_) => ErrorCode::ParamInvalid.into(),
        EngineError::QueueFull | EngineError::RateLimited { .. } => ErrorCode::ModelServiceTooBusy.into(),
        EngineError::Unavailable => ErrorCode::ModelServiceUnavailable.into(),
        EngineError::TimedOut(_) => ErrorCode::ModelServiceTimeout50504.into(),
        EngineError::AnswerTooLong { most } => {
            let text = format!(
                "The answer is longer than {most} bytes. Please stream it, or ask for fewer tokens, choices or logprobs."
            );
            ApiError::with_message(ErrorCode::ModelServiceFailed, text)
        }
        EngineError::Failed(_) => ErrorCode::ModelServiceFailed.into(),
    }
}

/// The code of a form that cannot be kept: that of the feature it is a part of.
const fn code_of_form(feature: Feature) -> ErrorCode {
    match feature {
        Feature::Tools | Feature::ForcedCalls | Feature::StrictTools => ErrorCode::FunctionCallNotSupported,
        _ => ErrorCode::JsonModeNotSupported,
    }
}

/// What a model answers to a feature that it does not have.
fn unsupported(feature: Feature) -> ApiError {
    match feature {
        Feature::JsonMode => ErrorCode::JsonModeNotSupported.into(),
        Feature::Tools | Feature::ForcedCalls | Feature::StrictTools => {
            ErrorCode::FunctionCallNotSupported.into()
        }
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
