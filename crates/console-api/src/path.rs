//! Ids in paths. A malformed one names nothing, so it is answered like an unknown one.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;
use silica_api::Failure;
use silica_protocol::{ApiError, ErrorCode};
use silica_types::{AccountId, ApiKeyId};

/// The account of `/accounts/{account}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountPath(pub(crate) AccountId);

/// The account and the key of `/accounts/{account}/keys/{key}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyPath(pub(crate) AccountId, pub(crate) ApiKeyId);

/// The name of `/deployments/{*name}`.
#[derive(Debug, Clone)]
pub(crate) struct NamePath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for AccountPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let account: String = texts(parts, state).await?;
        Ok(Self(account.parse().map_err(|_| not_found("account"))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let (account, key): (String, String) = texts(parts, state).await?;
        let account = account.parse().map_err(|_| not_found("account"))?;
        Ok(Self(account, key.parse().map_err(|_| not_found("key"))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Ok(Self(texts(parts, state).await?))
    }
}

async fn texts<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Failure> {
    let path = Path::<T>::from_request_parts(parts, state).await;
    Ok(path.map_err(|_| ErrorCode::NotFound)?.0)
}

fn not_found(what: &str) -> ApiError {
    ApiError::with_message(
        ErrorCode::NotFound,
        format!("the path does not hold the id of an existing {what}"),
    )
}
