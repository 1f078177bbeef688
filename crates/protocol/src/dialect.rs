//! The two historical shapes of error bodies (contract section 1.3).

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::anthropic::AnthropicError;
use crate::{ApiError, ErrorCode};

/// Which shape error bodies have; the operator's `errors.dialect`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorDialect {
    /// Always the object `{code,message,data}`.
    #[default]
    #[serde(rename = "2026")]
    Year2026,
    /// The bodies of February 2025: bare JSON strings for 401 and 504, plain text for 404, no
    /// code in 429.
    #[serde(rename = "2025-02")]
    February2025,
}

/// The form of an error body: the platform's own in a dialect, or Anthropic's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorForm {
    /// As the operator has chosen.
    Platform(ErrorDialect),
    /// For clients of Anthropic.
    Anthropic,
}

/// An error ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A 429 body of February 2025, which had no `code`.
#[derive(Serialize)]
struct BodyWithoutCode<'a> {
    message: &'a str,
    data: Option<()>,
}

impl RenderedError {
    /// Writes an error in a form.
    pub fn new(error: &ApiError, form: ErrorForm) -> Self {
        let (content_type, body) = match form {
            ErrorForm::Platform(ErrorDialect::Year2026) => (JSON, json(&error.body())),
            ErrorForm::Platform(ErrorDialect::February2025) => february_2025(error),
            ErrorForm::Anthropic => (JSON, json(&AnthropicError::new(error))),
        };
        Self {
            status: error.code.status(),
            content_type,
            body,
        }
    }
}

fn february_2025(error: &ApiError) -> (&'static str, String) {
    match error.code {
        ErrorCode::TokenMissing => (JSON, json("Invalid token")),
        ErrorCode::TokenInvalid => (JSON, json("Api key is invalid")),
        ErrorCode::NotFound => (TEXT, "404 page not found".to_owned()),
        ErrorCode::MethodNotAllowed => (TEXT, "405 method not allowed".to_owned()),
        _ if error.code.status() == StatusCode::TOO_MANY_REQUESTS => (
            JSON,
            json(&BodyWithoutCode {
                message: &error.message,
                data: None,
            }),
        ),
        _ if error.code.status() == StatusCode::GATEWAY_TIMEOUT => (JSON, json(&*error.message)),
        _ => (JSON, json(&error.body())),
    }
}

/// Writes a value whose serialisation cannot fail: strings, numbers and `null` under fixed keys.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(code: ErrorCode, dialect: ErrorDialect) -> (u16, &'static str, String) {
        let rendered = RenderedError::new(&ApiError::new(code), ErrorForm::Platform(dialect));
        (rendered.status.as_u16(), rendered.content_type, rendered.body)
    }

    #[test]
    fn the_current_dialect_is_always_an_object() {
        for &code in ErrorCode::ALL {
            let (status, content_type, body) = render(code, ErrorDialect::Year2026);
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(status, code.status().as_u16());
            assert_eq!(content_type, "application/json; charset=utf-8");
            assert_eq!(value["code"], code.number());
            assert_eq!(value["message"], code.default_message());
            assert!(value.as_object().unwrap().contains_key("data"));
        }
    }

    #[test]
    fn february_2025_has_the_historical_bodies() {
        let render = |code| render(code, ErrorDialect::February2025);
        assert_eq!(render(ErrorCode::TokenMissing).2, r#""Invalid token""#);
        assert_eq!(render(ErrorCode::TokenInvalid).2, r#""Api key is invalid""#);
        assert_eq!(
            render(ErrorCode::NotFound),
            (404, TEXT, "404 page not found".to_owned())
        );
        assert_eq!(
            render(ErrorCode::TpmLimit).2,
            r#"{"message":"Request was rejected due to rate limiting. Details: TPM limit reached.","data":null}"#
        );
        assert_eq!(
            render(ErrorCode::ModelNotExist).2,
            r#"{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}"#
        );
    }

    #[test]
    fn dialects_have_the_names_of_the_configuration() {
        assert_eq!(
            serde_json::to_string(&ErrorDialect::Year2026).unwrap(),
            r#""2026""#
        );
        assert_eq!(
            serde_json::to_string(&ErrorDialect::February2025).unwrap(),
            r#""2025-02""#
        );
    }
}
