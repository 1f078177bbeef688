//! `GET /admin/v1/accounts`.

use axum::extract::State;
use silica_api::{Failure, Json};
use silica_platform::Page;
use silica_protocol::ErrorBody;

use super::AccountView;
use crate::auth::Operator;
use crate::page::{List, PageQuery};
use crate::{AdminState, failure};

/// Lists the accounts, oldest first.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts",
    operation_id = "list_accounts",
    tag = "admin",
    params(
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The accounts", body = List<AccountView>),
        (status = 400, description = "The cursor or the limit is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_accounts(
    State(state): State<AdminState>,
    _operator: Operator,
    query: PageQuery,
) -> Result<Json<List<AccountView>>, Failure> {
    let page = state
        .platform
        .accounts(query.cursor()?, query.limit)
        .await
        .map_err(failure::platform)?;
    let mut views = Vec::with_capacity(page.rows.len());
    for account in &page.rows {
        views.push(AccountView::new(&state.platform, account).await);
    }
    let page = Page {
        rows: views,
        next: page.next,
    };
    Ok(Json(List::of(page)))
}
