//! `POST /admin/v1/accounts`.

use axum::extract::State;
use serde::Deserialize;
use silica_api::{Failure, Json};
use silica_platform::NewAccount;
use silica_protocol::ErrorBody;

use super::AccountView;
use crate::auth::Operator;
use crate::{AdminState, failure};

/// The account to make.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateAccount {
    /// The e-mail address; no other account may have it, in any case.
    #[schema(example = "ada@example.org")]
    email: String,
    /// The display name.
    #[schema(example = "Ada")]
    name: String,
}

/// Makes an account.
#[utoipa::path(
    post,
    path = "/admin/v1/accounts",
    operation_id = "create_account",
    tag = "admin",
    request_body = CreateAccount,
    responses(
        (status = 200, description = "The account", body = AccountView),
        (status = 400, description = "A field is missing, unknown or not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 409, description = "The e-mail address is taken", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn create_account(
    State(state): State<AdminState>,
    _operator: Operator,
    Json(body): Json<CreateAccount>,
) -> Result<Json<AccountView>, Failure> {
    let new = NewAccount {
        email: body.email,
        name: body.name,
    };
    let account = state
        .platform
        .create_account(new)
        .await
        .map_err(failure::platform)?;
    Ok(Json(AccountView::new(&state.platform, &account).await))
}
