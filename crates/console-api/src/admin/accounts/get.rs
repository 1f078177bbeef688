//! `GET /admin/v1/accounts/{account}`.

use axum::extract::State;
use silica_api::{Failure, Json};
use silica_platform::PlatformError;
use silica_protocol::ErrorBody;

use super::AccountView;
use crate::auth::Operator;
use crate::path::AccountPath;
use crate::{AdminState, failure};

/// Shows an account.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts/{account}",
    operation_id = "get_account",
    tag = "admin",
    params(("account" = String, Path, description = "The account's id")),
    responses(
        (status = 200, description = "The account", body = AccountView),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn get_account(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(id): AccountPath,
) -> Result<Json<AccountView>, Failure> {
    let found = state.platform.account(id).await;
    let found = found.and_then(|account| {
        account.ok_or_else(|| PlatformError::NotFound {
            what: "account",
            id: id.to_string(),
        })
    });
    let account = found.map_err(failure::platform)?;
    Ok(Json(AccountView::new(&state.platform, &account).await))
}
