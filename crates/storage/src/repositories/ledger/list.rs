//! Reads an account's ledger, page by page.

use sea_orm::sea_query::{Expr, ExprTrait, Func, Query, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use silica_billing::BillingDay;
use silica_types::AccountId;

use super::prune::first_kept;
use super::{TABLE, rows};
use crate::entities::ledger_row::{Column, Entity};
use crate::entities::{bucket, credit, usage_day};
use crate::error::driver;
use crate::repositories::convert::Row;
use crate::repositories::page::Page;
use crate::{LedgerCursor, LedgerRow, Source, StorageError};

const FAILED: &str = "list the ledger";

/// Lists at most `limit` rows of an account after `cursor`, oldest day first and in the order of
/// the events' ids (which is that of their beginnings) in each day. Days whose calls were pruned
/// are only looked at for credits and ends of vouchers.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn list(
    source: &impl Source,
    account: AccountId,
    cursor: Option<LedgerCursor>,
    limit: u32,
) -> Result<Page<LedgerRow, LedgerCursor>, StorageError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut found = Vec::new();
    let mut from = cursor.map_or(0, |cursor| cursor.day.number());
    // Sums stay for ever, and would lead to thousands of days without a row.
    let first_kept = first_kept(source).await?;
    // Rows are clustered by day, so the days are found first, in the sums by account.
    while let Some(day) = next_day(source, account, from, first_kept).await? {
        let missing = wanted - found.len();
        found.extend(of_day(source, account, day, cursor, missing).await?);
        if found.len() >= wanted {
            break;
        }
        from = day.number() + 1;
    }
    Ok(Page::cut(found, limit, LedgerRow::cursor))
}

/// Finds the first day, not before `from`, on which the account may have rows, those of calls not
/// before `first_kept`.
async fn next_day(
    source: &impl Source,
    account: AccountId,
    from: i32,
    first_kept: i32,
) -> Result<Option<BillingDay>, StorageError> {
    let row = source
        .executor()
        .0
        .query_one(&next_day_query(account, from, first_kept))
        .await
        .map_err(driver(FAILED, TABLE))?;
    let day: Option<i32> = match row {
        Some(row) => row.try_get("", "day").map_err(driver(FAILED, TABLE))?,
        None => None,
    };
    let read = |day| {
        let row = Row {
            table: "usage_days",
            id: &account,
        };
        BillingDay::from_number(day).map_err(|error| row.invalid("day", error))
    };
    day.map(read).transpose()
}

pub(super) fn next_day_query(account: AccountId, from: i32, first_kept: i32) -> SelectStatement {
    use {bucket::Column as B, credit::Column as C, usage_day::Column as U};

    let account = account.as_uuid();
    let calls = first_day(
        usage_day::Entity,
        (U::Day, U::AccountId),
        account,
        Ord::max(from, first_kept),
    );
    let credits = first_day(credit::Entity, (C::Day, C::AccountId), account, from);
    let ends = first_day(bucket::Entity, (B::ExpiredDay, B::AccountId), account, from);
    let days = Query::select()
        .expr_as(Expr::col("day"), "day")
        .from_subquery(calls, "calls")
        .union(UnionType::All, credits)
        .union(UnionType::All, ends)
        .take();
    Query::select()
        .expr_as(Func::min(Expr::col("day")), "day")
        .from_subquery(days, "days")
        .take()
}

fn first_day<E: EntityTrait, C: ColumnTrait>(
    table: E,
    (day, account): (C, C),
    id: uuid::Uuid,
    from: i32,
) -> SelectStatement {
    Query::select()
        .expr_as(Func::min(Expr::col(day)), "day")
        .from(table.table_ref())
        .and_where(Expr::col(account).eq(id))
        .and_where(Expr::col(day).gte(from))
        .take()
}

async fn of_day(
    source: &impl Source,
    account: AccountId,
    day: BillingDay,
    cursor: Option<LedgerCursor>,
    limit: usize,
) -> Result<Vec<LedgerRow>, StorageError> {
    let rows = of_day_query(account, day, cursor, limit)
        .all(&source.executor().0)
        .await
        .map_err(driver(FAILED, TABLE))?;
    rows.iter().map(rows::from_row).collect()
}

pub(super) fn of_day_query(
    account: AccountId,
    day: BillingDay,
    cursor: Option<LedgerCursor>,
    limit: usize,
) -> Select<Entity> {
    let query = Entity::find()
        .filter(Column::Day.eq(day.number()))
        .filter(Column::AccountId.eq(account.as_uuid()))
        .order_by_asc(Column::EventId)
        .order_by_asc(Column::Position)
        .limit(u64::try_from(limit).unwrap_or(u64::MAX));
    let Some(after) = cursor.filter(|cursor| cursor.day == day) else {
        return query;
    };
    let place = Expr::tuple([Expr::col(Column::EventId), Expr::col(Column::Position)]);
    let last = Expr::tuple([Expr::val(after.event), Expr::val(i32::from(after.position))]);
    query.filter(place.gt(last))
}
