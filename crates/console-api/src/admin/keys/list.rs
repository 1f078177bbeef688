//! `GET /admin/v1/accounts/{account}/keys`.

use axum::extract::State;
use silica_api::{Failure, Json};
use silica_protocol::ErrorBody;

use super::KeyView;
use crate::auth::Operator;
use crate::page::{List, PageQuery};
use crate::path::AccountPath;
use crate::{AdminState, failure};

/// Lists the keys of an account, oldest first, without their texts.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts/{account}/keys",
    operation_id = "list_keys",
    tag = "admin",
    params(
        ("account" = String, Path, description = "The account's id"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The keys", body = List<KeyView>),
        (status = 400, description = "The cursor or the limit is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_keys(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(account): AccountPath,
    query: PageQuery,
) -> Result<Json<List<KeyView>>, Failure> {
    let page = state
        .platform
        .keys(account, query.cursor()?, query.limit)
        .await
        .map_err(failure::platform)?;
    Ok(Json(List::new(page, |key| KeyView::from(key))))
}
