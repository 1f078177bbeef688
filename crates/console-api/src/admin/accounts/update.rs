//! `PATCH /admin/v1/accounts/{account}`.

use axum::extract::State;
use serde::Deserialize;
use silica_api::{Failure, Json};
use silica_platform::{AccountChanges, AccountStatus, UsageLevel};
use silica_protocol::ErrorBody;

use super::AccountView;
use crate::auth::Operator;
use crate::path::AccountPath;
use crate::wire::given;
use crate::{AdminState, failure};

/// What to change; an absent field stays as it is.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::option_option,
    reason = "absent and null mean different things in a PATCH"
)]
pub(crate) struct UpdateAccount {
    /// The display name.
    #[serde(default)]
    name: Option<String>,
    /// Whether the holder's real name was verified.
    #[serde(default)]
    verified: Option<bool>,
    /// `normal` or `disabled`. Keys of a disabled account are answered with 403 at once.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    status: Option<AccountStatus>,
    /// `L0` to `L5`; `null` lets usage decide again.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    level_override: Option<Option<UsageLevel>>,
}

/// Changes an account.
#[utoipa::path(
    patch,
    path = "/admin/v1/accounts/{account}",
    operation_id = "update_account",
    tag = "admin",
    params(("account" = String, Path, description = "The account's id")),
    request_body = UpdateAccount,
    responses(
        (status = 200, description = "The account as it is now", body = AccountView),
        (status = 400, description = "A field is unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn update_account(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(id): AccountPath,
    Json(body): Json<UpdateAccount>,
) -> Result<Json<AccountView>, Failure> {
    let changes = AccountChanges {
        name: body.name,
        verified: body.verified,
        status: body.status,
        level_override: body.level_override,
    };
    let account = state
        .platform
        .update_account(id, changes)
        .await
        .map_err(failure::platform)?;
    Ok(Json(AccountView::new(&state.platform, &account).await))
}
