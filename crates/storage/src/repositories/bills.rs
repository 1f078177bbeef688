//! Bills and sums of usage. They read the roll-ups only, never rows of calls.

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ConnectionTrait, IdenStatic, Iterable, QueryResult};
use silica_billing::BillingDay;
use silica_types::{AccountId, ApiKeyId, ModelName, Money};
use uuid::Uuid;

use super::convert::Row;
use crate::entities::usage_day::{Column, Entity};
use crate::error::driver;
use crate::{BillTotals, DayUsage, Source, StorageError};

const TABLE: &str = "usage_days";
const FAILED: &str = "sum usage up";
const PAID: [Column; 3] = [Column::VoucherNano, Column::GiftNano, Column::ChargeNano];

/// Sums the calls of an account up by day, from `first` to `last`, both included. Days without
/// calls are left out.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn by_day(
    source: &impl Source,
    account: AccountId,
    first: BillingDay,
    last: BillingDay,
) -> Result<Vec<(BillingDay, BillTotals)>, StorageError> {
    let rows = bill(source, account, first, last, Column::Day).await?;
    let days = rows.iter().map(|row| {
        let day: i32 = row.try_get("", "day").map_err(driver(FAILED, TABLE))?;
        Ok((read_day(day)?, totals(row)?))
    });
    sorted(days)
}

/// Sums the calls of an account up by model, as [`by_day`] does by day.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn by_model(
    source: &impl Source,
    account: AccountId,
    first: BillingDay,
    last: BillingDay,
) -> Result<Vec<(ModelName, BillTotals)>, StorageError> {
    let rows = bill(source, account, first, last, Column::Model).await?;
    // Sorted here: PostgreSQL would sort names by the collation of its locale.
    sorted(rows.iter().map(|row| Ok((read_model(row)?, totals(row)?))))
}

/// Sums the calls of an account up by key, as [`by_day`] does by day.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn by_key(
    source: &impl Source,
    account: AccountId,
    first: BillingDay,
    last: BillingDay,
) -> Result<Vec<(ApiKeyId, BillTotals)>, StorageError> {
    let rows = bill(source, account, first, last, Column::KeyId).await?;
    sorted(rows.iter().map(|row| {
        let key: Uuid = row.try_get("", "key_id").map_err(driver(FAILED, TABLE))?;
        Ok((ApiKeyId::from_uuid(key), totals(row)?))
    }))
}

/// Sums up what each key has paid from buckets in a month (`yyyymm`), for monthly caps. The
/// playground, which is no key, is left out.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn spend_of_keys(source: &impl Source, month: i32) -> Result<Vec<(ApiKeyId, Money)>, StorageError> {
    let rows = all(source, &spend_query(month)).await?;
    let spends = rows.iter().map(|row| {
        let key: Uuid = row.try_get("", "key_id").map_err(driver(FAILED, TABLE))?;
        let paid = PAID.map(|column| amount(row, column));
        let [voucher, gift, charge] = paid;
        Ok((
            ApiKeyId::from_uuid(key),
            [voucher?, gift?, charge?].into_iter().sum(),
        ))
    });
    sorted(spends)
}

/// Sums up what every account used of every model in a day, for day limits.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn usage_of_day(source: &impl Source, day: BillingDay) -> Result<Vec<DayUsage>, StorageError> {
    let rows = all(source, &day_query(day)).await?;
    let usage = rows.iter().map(|row| {
        let account: Uuid = row.try_get("", "account_id").map_err(driver(FAILED, TABLE))?;
        let (prompt, completion) = (
            count(row, Column::PromptTokens)?,
            count(row, Column::CompletionTokens)?,
        );
        Ok(DayUsage {
            account: AccountId::from_uuid(account),
            model: read_model(row)?,
            calls: count(row, Column::Calls)?,
            tokens: prompt.saturating_add(completion),
            images: count(row, Column::Images)?.saturating_add(count(row, Column::Videos)?),
        })
    });
    usage.collect()
}

pub(super) fn spend_query(month: i32) -> SelectStatement {
    let mut query = Query::select().column(Column::KeyId).take();
    for column in PAID {
        query.expr_as(sum(column), column);
    }
    query
        .from(Entity)
        .and_where(Expr::col(Column::Day).between(month * 100, month * 100 + 99))
        .and_where(Expr::col(Column::KeyId).ne(ApiKeyId::PLAYGROUND.as_uuid()))
        .group_by_col(Column::KeyId)
        .take()
}

pub(super) fn day_query(day: BillingDay) -> SelectStatement {
    let mut query = Query::select().columns([Column::AccountId, Column::Model]).take();
    for column in [
        Column::Calls,
        Column::PromptTokens,
        Column::CompletionTokens,
        Column::Images,
        Column::Videos,
    ] {
        query.expr_as(sum(column), column);
    }
    query
        .from(Entity)
        .and_where(Expr::col(Column::Day).eq(day.number()))
        .group_by_columns([Column::AccountId, Column::Model])
        .take()
}

/// Sums every number of the account's roll-ups, by one of the columns of their key.
async fn bill(
    source: &impl Source,
    account: AccountId,
    first: BillingDay,
    last: BillingDay,
    by: Column,
) -> Result<Vec<QueryResult>, StorageError> {
    all(source, &bill_query(account, first, last, by)).await
}

pub(super) fn bill_query(
    account: AccountId,
    first: BillingDay,
    last: BillingDay,
    by: Column,
) -> SelectStatement {
    let mut query = Query::select().column(by).take();
    for column in Column::iter().filter(|column| !is_key(*column)) {
        query.expr_as(sum(column), column);
    }
    query
        .from(Entity)
        .and_where(Expr::col(Column::AccountId).eq(account.as_uuid()))
        .and_where(Expr::col(Column::Day).between(first.number(), last.number()))
        .group_by_col(by)
        .take()
}

const fn is_key(column: Column) -> bool {
    matches!(
        column,
        Column::AccountId | Column::Day | Column::KeyId | Column::Model
    )
}

/// PostgreSQL's sums of 64-bit integers are decimals; ours fit 64 bits (see `ledger::apply`).
fn sum(column: Column) -> Expr {
    Expr::col(column).sum().cast_as("bigint")
}

async fn all(source: &impl Source, query: &SelectStatement) -> Result<Vec<QueryResult>, StorageError> {
    source
        .executor()
        .0
        .query_all(query)
        .await
        .map_err(driver(FAILED, TABLE))
}

fn sorted<K: Ord, V>(
    rows: impl Iterator<Item = Result<(K, V), StorageError>>,
) -> Result<Vec<(K, V)>, StorageError> {
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
    rows.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(rows)
}

fn totals(row: &QueryResult) -> Result<BillTotals, StorageError> {
    Ok(BillTotals {
        calls: count(row, Column::Calls)?,
        prompt_tokens: count(row, Column::PromptTokens)?,
        cached_tokens: count(row, Column::CachedTokens)?,
        completion_tokens: count(row, Column::CompletionTokens)?,
        reasoning_tokens: count(row, Column::ReasoningTokens)?,
        images: count(row, Column::Images)?,
        pixel_steps: count(row, Column::PixelSteps)?,
        videos: count(row, Column::Videos)?,
        text_bytes: count(row, Column::TextBytes)?,
        milliseconds: count(row, Column::Milliseconds)?,
        training_tokens: count(row, Column::TrainingTokens)?,
        voucher: amount(row, Column::VoucherNano)?,
        gift: amount(row, Column::GiftNano)?,
        charge: amount(row, Column::ChargeNano)?,
        shortfall: amount(row, Column::ShortfallNano)?,
    })
}

fn number(row: &QueryResult, column: Column) -> Result<i64, StorageError> {
    row.try_get("", column.as_str()).map_err(driver(FAILED, TABLE))
}

fn count(row: &QueryResult, column: Column) -> Result<u64, StorageError> {
    let number = number(row, column)?;
    u64::try_from(number).map_err(|error| invalid(column, error))
}

fn amount(row: &QueryResult, column: Column) -> Result<Money, StorageError> {
    number(row, column).map(Money::from_nano)
}

fn read_day(day: i32) -> Result<BillingDay, StorageError> {
    BillingDay::from_number(day).map_err(|error| invalid(Column::Day, error))
}

fn read_model(row: &QueryResult) -> Result<ModelName, StorageError> {
    let model: String = row.try_get("", "model").map_err(driver(FAILED, TABLE))?;
    ModelName::new(&model).map_err(|error| invalid(Column::Model, error))
}

fn invalid(column: Column, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StorageError {
    Row {
        table: TABLE,
        // A sum of several rows.
        id: &"?",
    }
    .invalid(column.as_str(), source)
}
