//! PostgreSQL's partitions of the ledger, one a day. SQLite has none.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::sea_query::Table;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait};
use silica_billing::BillingDay;
use tokio::time::Instant;

use super::TABLE;
use crate::error::{driver, server_code};
use crate::transaction::write_options;
use crate::{Storage, StorageError};

const PREFIX: &str = "ledger_";
/// The partition for rows of days that have none of their own.
pub(super) const REST: &str = "ledger_rest";
/// How many days ahead partitions are made, so that making one seldom meets rows that it must move.
const AHEAD: usize = 2;
/// A new partition needs the whole ledger to itself for a moment. When readers leave no such
/// moment, or PostgreSQL refuses for another reason, the rows go to the rest, and after this time
/// it is tried again.
const PAUSE: Duration = Duration::from_mins(1);
/// How long others may be made to wait for that moment.
const LOCK_LIMIT: &str = "SET LOCAL lock_timeout = '500ms'";
/// The number of the advisory lock under which one process at a time changes partitions.
const LOCK: i64 = 0x5111_CA01;
/// How PostgreSQL's codes begin that say so of connections and of the server.
const GOING_AWAY: [&str; 2] = ["08", "57P"];

/// What this process knows of the partitions.
#[derive(Debug, Default)]
pub(crate) struct Partitions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    made: BTreeSet<BillingDay>,
    pause_until: Option<Instant>,
    /// Whether the last try was refused, which is logged when it begins and when it ends.
    is_refused: bool,
}

impl Partitions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the days whose partitions this process has not seen yet.
    fn missing(&self, days: impl Iterator<Item = BillingDay>) -> BTreeSet<BillingDay> {
        let state = self.state();
        if state.pause_until.is_some_and(|until| Instant::now() < until) {
            return BTreeSet::new();
        }
        let mut missing: BTreeSet<BillingDay> = days.filter(|day| !state.made.contains(day)).collect();
        let last = missing.last().and_then(|day| day.date());
        let ahead = last.map(|last| last.series(jiff::Span::new().days(1)).skip(1).take(AHEAD));
        missing.extend(ahead.into_iter().flatten().map(BillingDay::from_date));
        missing
    }
}

/// Makes the partitions of the days and of the next ones, if they are missing.
pub(super) async fn ensure(
    storage: &Storage,
    days: impl Iterator<Item = BillingDay>,
) -> Result<(), StorageError> {
    if storage.writer().get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let missing = storage.partitions().missing(days);
    if missing.is_empty() {
        return Ok(());
    }
    let made = make(storage, &missing).await;
    let mut state = storage.partitions().state();
    match made {
        Ok(()) => {
            state.made.extend(missing);
            if std::mem::take(&mut state.is_refused) {
                tracing::info!("partitions of the ledger are made again");
            }
        }
        // The rows can do without; only deleting them later takes longer.
        Err(error) if is_refusal(&error) => {
            state.pause_until = Some(Instant::now() + PAUSE);
            if !std::mem::replace(&mut state.is_refused, true) {
                tracing::warn!(
                    error = %error,
                    "the ledger gets no partition for new days for now; their rows go to {REST}"
                );
            }
        }
        Err(error) => return Err(driver("make partitions of the ledger", TABLE)(error)),
    }
    Ok(())
}

async fn make(storage: &Storage, days: &BTreeSet<BillingDay>) -> Result<(), DbErr> {
    let transaction = begin(storage, LOCK_LIMIT).await?;
    make_in(&transaction, days).await?;
    transaction.commit().await
}

/// Makes those partitions of the days that are missing.
pub(in crate::repositories) async fn make_in(
    transaction: &DatabaseTransaction,
    days: &BTreeSet<BillingDay>,
) -> Result<(), DbErr> {
    let existing = list(transaction).await?;
    let mut days = days.difference(&existing).peekable();
    if days.peek().is_none() {
        return Ok(());
    }
    // All at once: locks that grow step by step are how two processes wait for each other for ever.
    transaction
        .execute_unprepared("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
        .await?;
    hold_table(transaction).await?;
    for day in days {
        let day = day.number();
        run(
            transaction,
            "INSERT INTO ledger_held SELECT * FROM ledger_rest WHERE day = $1",
            day,
        )
        .await?;
        run(transaction, "DELETE FROM ledger_rest WHERE day = $1", day).await?;
        let partition = Table::create()
            .table(name(day))
            .partition_of(TABLE)
            .values_from_to([day], [day + 1])
            .take();
        transaction.execute(&partition).await?;
    }
    give_back(transaction).await
}

/// Begins a change of partitions; `limit` is a statement that bounds how long it waits for locks.
pub(super) async fn begin(storage: &Storage, limit: &str) -> Result<DatabaseTransaction, DbErr> {
    let transaction = storage.writer().begin_with_options(write_options()).await?;
    transaction.execute_unprepared(limit).await?;
    let lock = "SELECT pg_advisory_xact_lock($1)";
    let lock = Statement::from_sql_and_values(DbBackend::Postgres, lock, [LOCK.into()]);
    transaction.execute_raw(lock).await?;
    Ok(transaction)
}

/// Makes the table in which rows wait until their new place exists.
pub(super) async fn hold_table(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let sql = "CREATE TEMPORARY TABLE ledger_held (LIKE ledger) ON COMMIT DROP";
    transaction.execute_unprepared(sql).await.map(drop)
}

/// Puts the held rows to where they belong now.
pub(super) async fn give_back(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let sql = "INSERT INTO ledger SELECT * FROM ledger_held";
    transaction.execute_unprepared(sql).await.map(drop)
}

/// Runs a statement that takes a day.
pub(super) async fn run(transaction: &DatabaseTransaction, sql: &str, day: i32) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [day.into()]);
    transaction.execute_raw(statement).await.map(drop)
}

/// Lists the days that have partitions.
pub(super) async fn list(connection: &impl ConnectionTrait) -> Result<BTreeSet<BillingDay>, DbErr> {
    let sql = "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
               WHERE i.inhparent = 'ledger'::regclass";
    let rows = connection
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await?;
    let mut days = BTreeSet::new();
    for row in rows {
        let name: String = row.try_get("", "name")?;
        let day = name.strip_prefix(PREFIX).and_then(|day| day.parse().ok());
        days.extend(day.and_then(|day| BillingDay::from_number(day).ok()));
    }
    Ok(days)
}

/// The name of a day's partition.
pub(super) fn name(day: i32) -> String {
    format!("{PREFIX}{day}")
}

/// Whether PostgreSQL itself refused, and not because it or the connection is going away: then
/// nothing else would work either, and the batch has to wait.
fn is_refusal(error: &DbErr) -> bool {
    let code = server_code(error);
    code.is_some_and(|code| GOING_AWAY.iter().all(|class| !code.starts_with(class)))
}
