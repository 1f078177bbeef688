//! The error that every handler returns.

use std::borrow::Cow;

use serde::Serialize;

use crate::ErrorCode;

/// An error for the client: a code of the contract and a text that is fit to be shown.
///
/// The text may name fields, limits and models, never the content of messages, and nothing about
/// the inside of the server. Turning it into a response is the work of `silica-api`, in one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({message})", .code.number())]
pub struct ApiError {
    /// What went wrong.
    pub code: ErrorCode,
    /// The text for the caller.
    pub message: Cow<'static, str>,
}

impl ApiError {
    /// Makes an error with the code's own text.
    pub const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: Cow::Borrowed(code.default_message()),
        }
    }

    /// Makes an error with a text of its own.
    pub fn with_message(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Makes a 20015 with a text of its own (contract section 1.5).
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::with_message(ErrorCode::ParamInvalid, message)
    }

    /// The error as the object `{code,message,data}`.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code.number(),
            message: self.message.clone(),
            data: None,
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

/// The error object of the wire (contract section 1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// The business error code.
    #[schema(example = 20012)]
    pub code: u32,
    /// What went wrong, in words.
    #[schema(value_type = String, example = "Model does not exist. Please check it carefully.")]
    pub message: Cow<'static, str>,
    /// Always `null` on errors.
    #[schema(nullable, value_type = Option<String>)]
    pub data: Option<()>,
}
