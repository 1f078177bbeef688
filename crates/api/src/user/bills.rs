//! `GET /user/bills`.

use axum::extract::State;
use axum::response::Response;
use silica_platform::Platform;
use silica_protocol::ErrorBody;
use silica_protocol::silicon::Envelope;

use super::{BillQuery, BillView, respond_with_bill};
use crate::{CallerAuth, Failure};

/// Sums up what the caller's account used and paid.
///
/// Calls of the last second may be missing.
#[utoipa::path(
    get,
    path = "/v1/user/bills",
    operation_id = "get_user_bills",
    tag = "user",
    params(BillQuery),
    responses(
        (status = 200, description = "The bill; CSV on request", body = Envelope<BillView>),
        (status = 400, description = "The query is not usable", body = ErrorBody),
        (status = 401, description = "The key is missing or invalid", body = ErrorBody),
        (status = 503, description = "The database is down; calls go on meanwhile", body = ErrorBody),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn get_user_bills(
    State(platform): State<Platform>,
    CallerAuth(caller): CallerAuth,
    query: BillQuery,
) -> Result<Response, Failure> {
    let range = query.range(platform.today()).map_err(Failure::from)?;
    let bill = platform.bill(caller.account, range, query.grouping).await?;
    Ok(respond_with_bill(&bill, query.format, Envelope::new))
}
