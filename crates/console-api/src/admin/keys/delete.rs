//! `DELETE /admin/v1/accounts/{account}/keys/{key}`.

use axum::extract::State;
use http::StatusCode;
use silica_api::Failure;
use silica_protocol::ErrorBody;

use crate::auth::Operator;
use crate::path::KeyPath;
use crate::{AdminState, failure};

/// Deletes a key for good, in force at once here and within a second in other processes.
#[utoipa::path(
    delete,
    path = "/admin/v1/accounts/{account}/keys/{key}",
    operation_id = "delete_key",
    tag = "admin",
    params(
        ("account" = String, Path, description = "The account's id"),
        ("key" = String, Path, description = "The key's id"),
    ),
    responses(
        (status = 204, description = "The key is deleted"),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such key", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn delete_key(
    State(state): State<AdminState>,
    _operator: Operator,
    KeyPath(account, key): KeyPath,
) -> Result<StatusCode, Failure> {
    state
        .platform
        .delete_key(account, key)
        .await
        .map_err(failure::platform)?;
    Ok(StatusCode::NO_CONTENT)
}
