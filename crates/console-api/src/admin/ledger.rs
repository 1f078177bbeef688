//! `GET /admin/v1/accounts/{account}/ledger`.

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use silica_api::{Failure, Json};
use silica_platform::{BillingDay, BucketKind, CallStatus, LedgerCause, LedgerRow, Units};
use silica_protocol::ErrorBody;
use silica_types::{ApiKeyId, BucketId, Money, UsageSource};

use super::accounts::Text;
use crate::auth::Operator;
use crate::page::{List, PageQuery};
use crate::path::AccountPath;
use crate::{AdminState, failure};

/// A row of the ledger: what a call or the price of a level package took from a bucket, what a credit
/// put in, or what a voucher lost at its end. The fields of calls are `null` in other rows.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LedgerRowView {
    /// The row's id; unique in the account.
    id: String,
    /// The day that it is booked on, in the zone of bills.
    #[schema(value_type = String, format = Date)]
    day: Text<BillingDay>,
    /// call, credit, expiry or package.
    kind: &'static str,
    /// The id of the call, the credit or the package, or of the voucher that ended.
    event_id: String,
    /// Counts the rows of one event from zero.
    position: u16,
    /// voucher, gift or charge; `null` for a call that took from none.
    #[schema(value_type = Option<String>)]
    bucket: Option<BucketKind>,
    /// The bucket's id.
    #[schema(value_type = Option<String>)]
    bucket_id: Option<Text<BucketId>>,
    /// What the bucket got, in CNY: negative for calls, packages and ends of vouchers.
    #[schema(value_type = String, example = "-0.0064")]
    amount: Money,
    /// What no bucket could pay of the call.
    #[schema(value_type = String, example = "0.00")]
    shortfall: Money,
    /// When it was booked.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The public id of the key that called; `playground` for the console's playground.
    key: Option<String>,
    /// The model that was called.
    model: Option<String>,
    /// What the call consumed; on its first row only.
    #[schema(value_type = Option<Object>)]
    units: Option<Units>,
    /// Who counted that: engine, counted or estimated.
    #[schema(value_type = Option<String>)]
    source: Option<UsageSource>,
    /// The number of the price that applied.
    price_version: Option<i64>,
    /// The trace id of the response.
    trace_id: Option<String>,
    /// complete, cancelled or failed.
    #[schema(value_type = Option<String>)]
    status: Option<CallStatus>,
    /// When the call began.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
}

impl From<&LedgerRow> for LedgerRowView {
    fn from(row: &LedgerRow) -> Self {
        let (kind, call) = match &row.cause {
            LedgerCause::Call(call) => ("call", Some(call.as_ref())),
            LedgerCause::Credit => ("credit", None),
            LedgerCause::Expiry => ("expiry", None),
            LedgerCause::Package => ("package", None),
        };
        Self {
            id: row.cursor().to_string(),
            day: Text(row.day),
            kind,
            event_id: row.event.simple().to_string(),
            position: row.position,
            bucket: row.bucket.map(|(_, kind)| kind),
            bucket_id: row.bucket.map(|(id, _)| Text(id)),
            amount: row.amount,
            shortfall: row.shortfall,
            at: row.at,
            key: call.map(|call| key_text(call.key)),
            model: call.map(|call| call.model.to_string()),
            units: call.and_then(|call| call.units),
            source: call.map(|call| call.source),
            price_version: call.and_then(|call| call.price.map(|version| version.0)),
            trace_id: call.map(|call| call.trace.to_string()),
            status: call.map(|call| call.status),
            started_at: call.map(|call| call.started_at),
        }
    }
}

/// Lists an account's ledger, oldest day first.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts/{account}/ledger",
    operation_id = "list_ledger",
    tag = "admin",
    params(
        ("account" = String, Path, description = "The account's id"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 when absent"),
    ),
    responses(
        (status = 200, description = "The rows", body = List<LedgerRowView>),
        (status = 400, description = "The cursor or the limit is not usable", body = ErrorBody),
        (status = 401, description = "Not the admin key", body = ErrorBody),
        (status = 404, description = "There is no such account", body = ErrorBody),
        (status = 503, description = "The database is down; calls go on meanwhile", body = ErrorBody),
    ),
    security(("admin" = [])),
)]
pub(crate) async fn list_ledger(
    State(state): State<AdminState>,
    _operator: Operator,
    AccountPath(account): AccountPath,
    query: PageQuery,
) -> Result<Json<List<LedgerRowView>>, Failure> {
    let page = state
        .platform
        .ledger(account, query.cursor()?, query.limit)
        .await
        .map_err(failure::platform)?;
    Ok(Json(List::new(page, |row| LedgerRowView::from(row))))
}

fn key_text(key: ApiKeyId) -> String {
    if key == ApiKeyId::PLAYGROUND {
        "playground".to_owned()
    } else {
        key.to_string()
    }
}
