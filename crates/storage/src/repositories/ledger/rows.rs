//! Rows of the ledger, to the table and back.

use jiff::Timestamp;
use sea_orm::sea_query::{InsertStatement, OnConflict, Query, Value};
use sea_orm::{ConnectionTrait, Iterable};
use silica_billing::{BillingDay, Bucket, BucketKind, PriceVersion, UsageEvent};
use silica_types::{AccountId, ApiKeyId, BucketId, ModelName, Money, TraceId, code_enum};
use uuid::Uuid;

use super::TABLE;
use crate::entities::ledger_row::{Column, Entity, Model};
use crate::error::driver;
use crate::repositories::convert::Row;
use crate::{Credit, LedgerCall, LedgerCause, LedgerRow, LevelPackage, StorageError};

code_enum! {
    /// Why a row stands in the table.
    RowKind, "ledger row", {
        /// See [`LedgerCause::Call`].
        Call = "call",
        /// See [`LedgerCause::Credit`].
        Credit = "credit",
        /// See [`LedgerCause::Expiry`].
        Expiry = "expiry",
        /// See [`LedgerCause::Package`].
        Package = "package",
    }
}

const COLUMNS: usize = 18;
/// A row's values in the order of the table's columns.
pub(super) type Values = [Value; COLUMNS];

/// What one row says of a bucket.
pub(super) struct Posting {
    pub(super) position: u16,
    pub(super) bucket: Option<(BucketId, BucketKind)>,
    pub(super) taken: Money,
    pub(super) shortfall: Money,
}

/// Makes a row of a settled call. `units` is its units as JSON, on its first row only.
pub(super) fn call(event: &UsageEvent, posting: &Posting, units: Option<String>) -> Values {
    [
        event.day.number().into(),
        event.account.as_uuid().into(),
        event.id.as_uuid().into(),
        i32::from(posting.position).into(),
        RowKind::Call.as_str().into(),
        posting.bucket.map(|(_, kind)| kind.as_str()).into(),
        posting.bucket.map(|(bucket, _)| bucket.as_uuid()).into(),
        Money::ZERO.saturating_sub(posting.taken).nano().into(),
        posting.shortfall.nano().into(),
        event.key.as_uuid().into(),
        event.model.as_str().into(),
        units.into(),
        event.source.as_str().into(),
        event.price.map(|price| price.0).into(),
        event.trace.as_str().into(),
        event.status.as_str().into(),
        event.started_at.as_microsecond().into(),
        event.settled_at.as_microsecond().into(),
    ]
}

/// Makes the statement that appends rows and passes over those that are there already.
pub(super) fn append(rows: impl IntoIterator<Item = Values>) -> InsertStatement {
    let mut statement = Query::insert()
        .into_table(Entity)
        .columns(Column::iter())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .take();
    for row in rows {
        statement.values_panic(row.map(Into::into));
    }
    statement
}

/// Appends the row of a credit.
pub(in crate::repositories) async fn insert_credit(
    connection: &impl ConnectionTrait,
    credit: &Credit,
) -> Result<(), StorageError> {
    let bucket = (credit.bucket, credit.kind);
    let row = movement(
        RowKind::Credit,
        credit.id.as_uuid(),
        credit.account,
        bucket,
        credit.amount,
        (credit.day, credit.created_at),
    );
    insert(connection, row).await
}

/// Appends the row of a voucher that ended with `left` in it.
pub(in crate::repositories) async fn insert_expiry(
    connection: &impl ConnectionTrait,
    voucher: &Bucket,
    left: Money,
    day: BillingDay,
    now: Timestamp,
) -> Result<(), StorageError> {
    let row = movement(
        RowKind::Expiry,
        voucher.id.as_uuid(),
        voucher.account,
        (voucher.id, voucher.kind),
        Money::ZERO.saturating_sub(left),
        (day, now),
    );
    insert(connection, row).await
}

/// Appends the row of what a level package took from the charge balance. Its voucher has the row of a
/// credit on the same day, which leads readers to that day.
pub(in crate::repositories) async fn insert_package(
    connection: &impl ConnectionTrait,
    package: &LevelPackage,
    charge: &Bucket,
) -> Result<(), StorageError> {
    let row = movement(
        RowKind::Package,
        package.id.as_uuid(),
        package.account,
        (charge.id, charge.kind),
        Money::ZERO.saturating_sub(package.price),
        (package.day, package.created_at),
    );
    insert(connection, row).await
}

/// Makes a row that no call stands behind.
fn movement(
    kind: RowKind,
    event: Uuid,
    account: AccountId,
    (bucket, bucket_kind): (BucketId, BucketKind),
    amount: Money,
    (day, at): (BillingDay, Timestamp),
) -> Values {
    [
        day.number().into(),
        account.as_uuid().into(),
        event.into(),
        0_i32.into(),
        kind.as_str().into(),
        bucket_kind.as_str().into(),
        bucket.as_uuid().into(),
        amount.nano().into(),
        0_i64.into(),
        Value::Uuid(None),
        Value::String(None),
        Value::String(None),
        Value::String(None),
        Value::BigInt(None),
        Value::String(None),
        Value::String(None),
        Value::BigInt(None),
        at.as_microsecond().into(),
    ]
}

async fn insert(connection: &impl ConnectionTrait, row: Values) -> Result<(), StorageError> {
    let id = row_id(&row);
    let inserted = connection
        .execute(&append([row]))
        .await
        .map_err(driver("append to the ledger", TABLE))?;
    if inserted.rows_affected() == 1 {
        return Ok(());
    }
    Err(crate::Conflict::IdTaken {
        table: TABLE,
        row: id,
    }
    .into())
}

fn row_id(row: &Values) -> String {
    match &row[2] {
        Value::Uuid(Some(event)) => event.simple().to_string(),
        _ => "?".to_owned(),
    }
}

pub(super) fn from_row(model: &Model) -> Result<LedgerRow, StorageError> {
    let id = model.event_id.simple();
    let row = Row {
        table: TABLE,
        id: &id,
    };
    let kind: RowKind = row.parse("kind", &model.kind)?;
    let bucket_kind = model.bucket_kind.as_deref();
    let bucket_kind = bucket_kind
        .map(|text| row.parse::<BucketKind>("bucket_kind", text))
        .transpose()?;
    let bucket = model.bucket_id.map(BucketId::from_uuid).zip(bucket_kind);
    Ok(LedgerRow {
        day: BillingDay::from_number(model.day).map_err(|error| row.invalid("day", error))?,
        event: model.event_id,
        position: u16::try_from(model.position).map_err(|error| row.invalid("position", error))?,
        bucket,
        amount: Money::from_nano(model.amount_nano),
        shortfall: Money::from_nano(model.shortfall_nano),
        at: row.time("settled_at_us", model.settled_at_us)?,
        cause: match kind {
            RowKind::Call => LedgerCause::Call(Box::new(call_of(&row, model)?)),
            RowKind::Credit => LedgerCause::Credit,
            RowKind::Expiry => LedgerCause::Expiry,
            RowKind::Package => LedgerCause::Package,
        },
    })
}

fn call_of(row: &Row<'_>, model: &Model) -> Result<LedgerCall, StorageError> {
    let text = |column: &'static str, value: &Option<String>| {
        value.clone().ok_or_else(|| row.invalid(column, "missing"))
    };
    let key = model.key_id.ok_or_else(|| row.invalid("key_id", "missing"))?;
    let started = model.started_at_us;
    let trace = text("trace", &model.trace)?;
    Ok(LedgerCall {
        key: ApiKeyId::from_uuid(key),
        model: ModelName::try_from(text("model", &model.model)?)
            .map_err(|error| row.invalid("model", error))?,
        units: model
            .units
            .as_deref()
            .map(|units| row.json("units", units))
            .transpose()?,
        source: row.parse("source", &text("source", &model.source)?)?,
        price: model.price_version.map(PriceVersion),
        trace: TraceId::from_caller(&trace).map_err(|error| row.invalid("trace", error))?,
        status: row.parse("status", &text("status", &model.status)?)?,
        started_at: row.time(
            "started_at_us",
            started.ok_or_else(|| row.invalid("started_at_us", "missing"))?,
        )?,
    })
}
