//! `PATCH /admin/v1/accounts/{account}/keys/{key}`.

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use silica_api::{Failure, Json};
use silica_platform::{KeyChanges, KeyStatus};
use silica_protocol::ErrorBody;

use super::KeyView;
use crate::auth::Operator;
use crate::path::KeyPath;
use crate::wire::{KeyLimitsBody, given};
use crate::{AdminState, failure};

/// What to change; an absent field stays as it is.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::option_option,
    reason = "absent and null mean different things in a PATCH"
)]
pub(crate) struct UpdateKey {
    /// What the key is for.
    #[serde(default)]
    description: Option<String>,
    /// `normal` or `disabled`; in force at once.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    status: Option<KeyStatus>,
    /// Limits of the key; `null` removes them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<KeyLimitsBody>)]
    limits: Option<Option<KeyLimitsBody>>,
    /// When the key stops working; `null` means never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<Timestamp>>,
}

/// Changes a key.
#[utoipa::path(
    patch,
    path = "/admin/v1/accounts/{account}/keys/{key}",
    operation_id = "update_key",
    tag = "admin",
    params(
        ("account" = String, Path, description = "The account's id"),
        ("key" = String, Path, description = "The key's id"),
    ),
    request_body = UpdateKey,
    responses(
        (status = 200, description = "The key as it is now", body = KeyView),
        (status = 400, description = "A field is unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such key", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn update_key(
    State(state): State<AdminState>,
    _operator: Operator,
    KeyPath(account, key): KeyPath,
    Json(body): Json<UpdateKey>,
) -> Result<Json<KeyView>, Failure> {
    let limits = body
        .limits
        .map(|limits| limits.map(TryInto::try_into).transpose())
        .transpose()?;
    let changes = KeyChanges {
        description: body.description,
        status: body.status,
        limits,
        expires_at: body.expires_at,
    };
    let changed = state
        .platform
        .update_key(account, key, changes)
        .await
        .map_err(failure::platform)?;
    Ok(Json(KeyView::from(&changed)))
}
