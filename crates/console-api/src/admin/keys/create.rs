//! `POST /admin/v1/accounts/{account}/keys`.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use silica_api::{Failure, Json};
use silica_platform::NewKey;
use silica_protocol::ErrorBody;

use super::KeyView;
use crate::auth::Operator;
use crate::path::AccountPath;
use crate::wire::KeyLimitsBody;
use crate::{AdminState, failure};

/// The key to make.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// What the key is for.
    #[serde(default)]
    description: Option<String>,
    /// Limits of the key below those of its account.
    #[serde(default)]
    limits: Option<KeyLimitsBody>,
    /// When the key stops working; absent means never.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new key.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CreatedKeyView {
    /// The key itself. It is shown here and never again.
    #[schema(example = "sk-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv")]
    key: String,
    #[serde(flatten)]
    record: KeyView,
}

/// Makes a key. It works at once.
#[utoipa::path(
    post,
    path = "/admin/v1/accounts/{account}/keys",
    operation_id = "create_key",
    tag = "admin",
    params(("account" = String, Path, description = "The account's id")),
    request_body = CreateKey,
    responses(
        (status = 200, description = "The key, shown this once", body = CreatedKeyView),
        (status = 400, description = "A field is unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn create_key(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(account): AccountPath,
    Json(body): Json<CreateKey>,
) -> Result<Json<CreatedKeyView>, Failure> {
    let new = NewKey {
        description: body.description.unwrap_or_default(),
        limits: body.limits.map(TryInto::try_into).transpose()?,
        expires_at: body.expires_at,
    };
    let created = state
        .platform
        .create_key(account, new)
        .await
        .map_err(failure::platform)?;
    // The one place that shows a key.
    let key = created.key.expose().to_owned();
    Ok(Json(CreatedKeyView {
        key,
        record: KeyView::from(&created.record),
    }))
}
