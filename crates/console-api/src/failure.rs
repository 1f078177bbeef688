//! The one place that turns the platform's errors into codes of the contract.

use silica_api::Failure;
use silica_gateway::{DeployError, error_chain};
use silica_platform::{Conflict, PlatformError, StorageError};
use silica_protocol::{ApiError, ErrorCode};

/// Maps an error of the platform.
pub(crate) fn platform(error: PlatformError) -> Failure {
    let text = error.to_string();
    Failure::from(match error {
        PlatformError::NotFound { .. } => ApiError::with_message(ErrorCode::NotFound, text),
        PlatformError::Invalid { .. } | PlatformError::Conflict(Conflict::NoSuchReference { .. }) => {
            ApiError::invalid(text)
        }
        PlatformError::Conflict(
            Conflict::EmailTaken
            | Conflict::IdTaken { .. }
            | Conflict::KeyHashTaken
            | Conflict::IdempotencyKeyReused
            | Conflict::BalanceTooLarge { .. }
            | Conflict::ChargeInsufficient { .. }
            | Conflict::ModelDeployed { .. },
        )
        | PlatformError::IsFallback { .. }
        | PlatformError::Managed { .. } => ApiError::with_message(ErrorCode::Conflict, text),
        PlatformError::Insufficient(_) => ApiError::with_message(ErrorCode::BalanceNotEnough, text),
        PlatformError::Storage(source) => storage(&source),
        PlatformError::TooSlow | PlatformError::Apart => unavailable(),
        PlatformError::Journal(source) => {
            tracing::error!(error = %error_chain(&*source), "the usage journal cannot be used");
            ErrorCode::Internal.into()
        }
        PlatformError::MasterKey(source) => {
            tracing::error!(error = %error_chain(&*source), "the master key cannot be read");
            // Where it should be is for the operator to know; the key is in no text.
            ApiError::with_message(ErrorCode::Internal, format!("{text}: {}", error_chain(&*source)))
        }
        PlatformError::Sealing => ErrorCode::Internal.into(),
        PlatformError::Random(source) => {
            tracing::error!(error = %source, "the operating system gives no random bytes");
            ErrorCode::Internal.into()
        }
    })
}

/// Storage's errors name tables and rows, never values, so their text may be logged.
fn storage(error: &StorageError) -> ApiError {
    tracing::error!(error = %error_chain(error), "the operator API cannot use the database");
    match error {
        StorageError::Driver { .. } => unavailable(),
        StorageError::Url(_)
        | StorageError::InvalidData { .. }
        | StorageError::Conflict(_)
        | StorageError::MissingRow { .. } => ErrorCode::Internal.into(),
    }
}

fn unavailable() -> ApiError {
    ApiError::with_message(
        ErrorCode::ModelServiceUnavailable,
        "the database is not available; try again later",
    )
}

/// Maps a deployment whose engines do not start: the operator learns which file is at fault.
pub(crate) fn deploy(error: &DeployError) -> Failure {
    ApiError::invalid(error_chain(error)).into()
}
