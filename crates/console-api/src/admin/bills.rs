//! `GET /admin/v1/accounts/{account}/bills`.

use axum::extract::State;
use axum::response::Response;
use silica_api::{BillQuery, BillView, Failure, respond_with_bill};
use silica_platform::PlatformError;
use silica_protocol::ErrorBody;

use crate::auth::Operator;
use crate::path::AccountPath;
use crate::{AdminState, failure};

/// Sums up what an account used and paid. Calls of the last second may be missing.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts/{account}/bills",
    operation_id = "get_bill",
    tag = "admin",
    params(("account" = String, Path, description = "The account's id"), BillQuery),
    responses(
        (status = 200, description = "The bill; CSV on request", body = BillView),
        (status = 400, description = "The query is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
        (status = 503, description = "The database is down; calls go on meanwhile", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn get_bill(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(account): AccountPath,
    query: BillQuery,
) -> Result<Response, Failure> {
    let platform = &state.platform;
    let range = query.range(platform.today())?;
    let bill = platform.bill(account, range, query.grouping);
    let bill = bill.await.map_err(failure::platform)?;
    // Most accounts with a bill exist: only an empty one asks.
    if bill.rows.is_empty()
        && platform
            .account(account)
            .await
            .map_err(failure::platform)?
            .is_none()
    {
        return Err(failure::platform(PlatformError::NotFound {
            what: "account",
            id: account.to_string(),
        }));
    }
    Ok(respond_with_bill(&bill, query.format, |view| view))
}
