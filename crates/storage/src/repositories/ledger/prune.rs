//! Deletes rows of old calls. Sums, credits and ends of vouchers stay.

use sea_orm::sea_query::{
    DeleteStatement, Expr, ExprTrait, IntoTableRef, Query, SelectStatement, Table, TableRef,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, TransactionTrait,
};
use silica_billing::BillingDay;
use uuid::Uuid;

use super::rows::RowKind;
use super::{TABLE, partitions};
use crate::entities::ledger_row::{Column, Entity};
use crate::entities::ledger_state;
use crate::error::driver;
use crate::transaction::write_options;
use crate::{Source, Storage, StorageError};

const FAILED: &str = "delete old rows of the ledger";
/// Rows of one transaction, so that others need not wait long.
const CHUNK: u64 = 2000;
/// The row of `ledger_state`.
const STATE: i32 = 1;

/// Deletes the rows of calls of the days before `first_kept`.
///
/// # Errors
/// [`StorageError::Driver`]. What was deleted by then stays deleted; the next run does the rest.
pub async fn prune(storage: &Storage, first_kept: BillingDay) -> Result<(), StorageError> {
    let pruned = async {
        // First, so that nobody compares sums with days that are half gone.
        mark(storage, first_kept).await?;
        if storage.writer().get_database_backend() == DbBackend::Postgres {
            drop_partitions(storage, first_kept).await?;
            delete(storage, partitions::REST.into_table_ref(), first_kept).await
        } else {
            delete(storage, Entity.into_table_ref(), first_kept).await
        }
    };
    pruned.await.map_err(driver(FAILED, TABLE))
}

/// Returns the first day that has the rows of all its calls.
pub(in crate::repositories) async fn first_kept(source: &impl Source) -> Result<i32, StorageError> {
    let row = ledger_state::Entity::find_by_id(STATE)
        .one(&source.executor().0)
        .await
        .map_err(driver("read the state of the ledger", "ledger_state"))?;
    row.map(|row| row.first_kept_day)
        .ok_or_else(|| StorageError::MissingRow {
            table: "ledger_state",
            row: STATE.to_string(),
        })
}

async fn mark(storage: &Storage, first_kept: BillingDay) -> Result<(), DbErr> {
    use ledger_state::Column;

    ledger_state::Entity::update_many()
        .col_expr(Column::FirstKeptDay, Expr::val(first_kept.number()))
        .filter(Column::FirstKeptDay.lt(first_kept.number()))
        .exec(storage.writer())
        .await
        .map(drop)
}

/// Drops whole days, after their few rows that stay have been taken out.
async fn drop_partitions(storage: &Storage, first_kept: BillingDay) -> Result<(), DbErr> {
    let days = partitions::list(storage.writer()).await?;
    for day in days.range(..first_kept) {
        let transaction = partitions::begin(storage, "SET LOCAL lock_timeout = '2s'").await?;
        if partitions::list(&transaction).await?.contains(day) {
            transaction
                .execute_unprepared("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
                .await?;
            partitions::hold_table(&transaction).await?;
            let kept = "INSERT INTO ledger_held SELECT * FROM ledger WHERE day = $1 AND kind <> 'call'";
            partitions::run(&transaction, kept, day.number()).await?;
            let partition = Table::drop().table(partitions::name(day.number())).take();
            transaction.execute(&partition).await?;
            partitions::give_back(&transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

/// The key of a row.
pub(super) type Key = (i32, Uuid, Uuid, i32);

/// Goes over the rows in the order of their keys and deletes those of calls, a stretch at a time.
async fn delete(storage: &Storage, table: TableRef, first_kept: BillingDay) -> Result<(), DbErr> {
    let mut from: Option<Key> = None;
    loop {
        let to = border(storage, &table, first_kept, from).await?;
        let transaction = storage.writer().begin_with_options(write_options()).await?;
        let statement = stretch_deletion(&table, first_kept, from, to);
        transaction.execute(&statement).await?;
        transaction.commit().await?;
        if to.is_none() {
            return Ok(());
        }
        from = to;
    }
}

pub(super) fn stretch_deletion(
    table: &TableRef,
    first_kept: BillingDay,
    from: Option<Key>,
    to: Option<Key>,
) -> DeleteStatement {
    let mut stretch = Condition::all()
        .add(Expr::col(Column::Kind).eq(RowKind::Call.as_str()))
        .add(Expr::col(Column::Day).lt(first_kept.number()));
    if let Some(from) = from {
        stretch = stretch.add(key().gte(tuple(from)));
    }
    if let Some(to) = to {
        stretch = stretch.add(key().lt(tuple(to)));
    }
    Query::delete()
        .from_table(table.clone())
        .cond_where(stretch)
        .take()
}

/// Finds the key that ends the stretch which begins at `from`; `None` for the last stretch.
async fn border(
    storage: &Storage,
    table: &TableRef,
    first_kept: BillingDay,
    from: Option<Key>,
) -> Result<Option<Key>, DbErr> {
    let query = border_query(table, first_kept, from);
    let Some(row) = storage.reader().query_one(&query).await? else {
        return Ok(None);
    };
    Ok(Some((
        row.try_get("", "day")?,
        row.try_get("", "account_id")?,
        row.try_get("", "event_id")?,
        row.try_get("", "position")?,
    )))
}

pub(super) fn border_query(table: &TableRef, first_kept: BillingDay, from: Option<Key>) -> SelectStatement {
    let columns = [Column::Day, Column::AccountId, Column::EventId, Column::Position];
    let mut query = Query::select()
        .columns(columns)
        .from(table.clone())
        .and_where(Expr::col(Column::Day).lt(first_kept.number()))
        .limit(1)
        .offset(CHUNK)
        .take();
    for column in columns {
        query.order_by(column, sea_orm::Order::Asc);
    }
    if let Some(from) = from {
        query.and_where(key().gte(tuple(from)));
    }
    query
}

fn key() -> Expr {
    Expr::tuple([
        Expr::col(Column::Day),
        Expr::col(Column::AccountId),
        Expr::col(Column::EventId),
        Expr::col(Column::Position),
    ])
}

fn tuple((day, account, event, position): Key) -> Expr {
    Expr::tuple([
        Expr::val(day),
        Expr::val(account),
        Expr::val(event),
        Expr::val(position),
    ])
}
