//! Bills and sums of usage. They read the roll-ups only, never rows of calls.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ConnectionTrait, IdenStatic, Iterable, Order, QueryResult, TryGetable};
use silica_billing::BillingDay;
use silica_types::{AccountId, ApiKeyId, ModelName, Money};
use uuid::Uuid;

use super::convert::Row;
use crate::entities::usage_day::{Column, Entity};
use crate::error::driver;
use crate::{BillTotals, DayUsage, Source, StorageError};

const TABLE: &str = "usage_days";
const FAILED: &str = "sum usage up";
/// The key of a roll-up, as `usage_days_by_day` orders it.
const KEY: [Column; 4] = [Column::Day, Column::AccountId, Column::KeyId, Column::Model];
/// What counts for day limits.
const USED: [Column; 5] = [
    Column::Calls,
    Column::PromptTokens,
    Column::CompletionTokens,
    Column::Images,
    Column::Videos,
];
/// Roll-ups of one statement.
const PART: u64 = 5000;
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
    let mut spends = BTreeMap::<Uuid, Money>::new();
    let mut stretch = Stretch::new(month * 100, month * 100 + 99);
    while let Some(rows) = stretch.next(source, &PAID).await? {
        for row in &rows {
            let spent = spends.entry(get(row, Column::KeyId)?).or_default();
            for column in PAID {
                *spent = spent.saturating_add(amount(row, column)?);
            }
        }
    }
    spends.remove(&ApiKeyId::PLAYGROUND.as_uuid());
    let spends = spends.into_iter();
    Ok(spends
        .map(|(key, spent)| (ApiKeyId::from_uuid(key), spent))
        .collect())
}

/// Sums up what one key has paid from buckets in a month (`yyyymm`).
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn spend_of_key(
    source: &impl Source,
    account: AccountId,
    key: ApiKeyId,
    month: i32,
) -> Result<Money, StorageError> {
    let mut query = Query::select().from(Entity).take();
    for column in PAID {
        query.expr_as(sum(column), column);
    }
    query
        .and_where(Expr::col(Column::AccountId).eq(account.as_uuid()))
        .and_where(Expr::col(Column::Day).between(month * 100, month * 100 + 99))
        .and_where(Expr::col(Column::KeyId).eq(key.as_uuid()));
    let mut spent = Money::ZERO;
    for row in all(source, &query).await? {
        for column in PAID {
            let paid: Option<i64> = get(&row, column)?;
            spent = spent.saturating_add(Money::from_nano(paid.unwrap_or_default()));
        }
    }
    Ok(spent)
}

/// Sums up what every account used of every model in a day, for day limits.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn usage_of_day(source: &impl Source, day: BillingDay) -> Result<Vec<DayUsage>, StorageError> {
    let mut sums = BTreeMap::<(Uuid, String), [u64; USED.len()]>::new();
    let mut stretch = Stretch::new(day.number(), day.number());
    while let Some(rows) = stretch.next(source, &USED).await? {
        for row in &rows {
            let of = (get(row, Column::AccountId)?, get(row, Column::Model)?);
            for (sum, column) in sums.entry(of).or_default().iter_mut().zip(USED) {
                *sum = sum.saturating_add(count(row, column)?);
            }
        }
    }
    let usage = sums.into_iter().map(|((account, model), sums)| {
        let [calls, prompt, completion, images, videos] = sums;
        Ok(DayUsage {
            account: AccountId::from_uuid(account),
            model: ModelName::new(&model).map_err(|error| invalid(Column::Model, error))?,
            calls,
            tokens: prompt.saturating_add(completion),
            images: images.saturating_add(videos),
        })
    });
    usage.collect()
}

/// The roll-ups of some days, read a part at a time in the order of an index: there may be more
/// than one statement can read in its time, and whoever starts needs them all.
struct Stretch {
    last_day: i32,
    /// The key of the last row of the part before; at first one that is less than all of the days.
    after: Key,
    is_over: bool,
}

/// Day, account, key and model.
type Key = (i32, Uuid, Uuid, String);

impl Stretch {
    fn new(first_day: i32, last_day: i32) -> Self {
        Self {
            last_day,
            after: (first_day - 1, Uuid::max(), Uuid::max(), String::new()),
            is_over: false,
        }
    }

    /// Returns the next part with these columns and those of the key; `None` at the end.
    async fn next(
        &mut self,
        source: &impl Source,
        columns: &[Column],
    ) -> Result<Option<Vec<QueryResult>>, StorageError> {
        if self.is_over {
            return Ok(None);
        }
        let rows = all(source, &stretch_query(&self.after, self.last_day, columns)).await?;
        self.is_over = u64::try_from(rows.len()).is_ok_and(|count| count < PART);
        if let Some(last) = rows.last() {
            let [day, account, key, model] = KEY;
            self.after = (
                get(last, day)?,
                get(last, account)?,
                get(last, key)?,
                get(last, model)?,
            );
        }
        Ok(Some(rows))
    }
}

pub(super) fn stretch_query(after: &Key, last_day: i32, columns: &[Column]) -> SelectStatement {
    let (day, account, key, model) = after;
    let place = [
        Expr::val(*day),
        Expr::val(*account),
        Expr::val(*key),
        Expr::val(model.as_str()),
    ];
    let mut query = Query::select()
        .columns(KEY)
        .columns(columns.iter().copied())
        .from(Entity)
        .and_where(Expr::tuple(KEY.map(Expr::col)).gt(Expr::tuple(place)))
        .and_where(Expr::col(Column::Day).lte(last_day))
        .limit(PART)
        .take();
    for column in KEY {
        query.order_by(column, Order::Asc);
    }
    query
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

fn get<T: TryGetable>(row: &QueryResult, column: Column) -> Result<T, StorageError> {
    row.try_get("", column.as_str()).map_err(driver(FAILED, TABLE))
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
