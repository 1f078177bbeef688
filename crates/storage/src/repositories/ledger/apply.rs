//! Books settled calls, in batches.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::sea_query::{Expr, ExprTrait, InsertStatement, OnConflict, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, Iterable, QueryFilter,
    QuerySelect, TransactionTrait,
};
use silica_billing::UsageEvent;
use silica_types::{AccountId, Money, RequestId};
use uuid::Uuid;

use super::booking::{Booking, CallId, book, settled, unique};
use super::{TABLE, consumption, partitions, rows, set_aside};
use crate::entities::{account, bucket, bucket_day, ledger_row, usage_day};
use crate::error::driver;
use crate::repositories::convert::{parts, sizes};
use crate::repositories::{accounts, buckets};
use crate::transaction::{take_number, write_options};
use crate::{Applied, AppliedBucket, Scope, Storage, StorageError};

/// How often a batch is tried that another process is booking at the same time.
const ATTEMPTS: usize = 6;
const FAILED: &str = "book settled calls";

/// What a try to book a batch does beside booking, because the one before has found that it must.
#[derive(Debug, Clone, Copy, Default)]
struct Attempt {
    /// Looks up which calls are known.
    look_up: bool,
    /// Takes the number of a change, by which other processes hear of accounts with another level.
    numbered: bool,
}

/// What became of a try.
enum Outcome {
    Booked(Applied),
    /// Some calls are known already, which was not looked up; nothing has changed.
    Known,
    /// An account's spending earns another level, and no number was taken; nothing has changed. The
    /// number comes first in the order of locks, so it cannot be taken once that is known.
    LevelRises,
}

/// Books settled calls: their rows, what they take from buckets, and the sums, in one transaction.
///
/// Calls that were booked before change nothing. A bucket that no longer holds what a call settled
/// on it gives what it has, and the rest is booked as shortfall. Takes the number of a change only when
/// an account's spending of a month comes to another level.
///
/// Rows that [`super::prune`] has deleted no longer tell that their calls were booked: whoever
/// keeps settled calls elsewhere must have them booked before days that old are pruned.
///
/// A call that the database will never take, because of what it says or of what is stored beside it,
/// must not keep all others from being booked: it is found by booking ever smaller parts of the
/// batch, logged as an error with all that is known of it, and left out. Nobody pays for it.
///
/// Dropped on its way, it has booked the whole batch or nothing of it, but for batches with such calls.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`]. Whether the batch was booked is
/// unknown when the commit fails; it is safe to try again.
pub async fn apply(storage: &Storage, events: &[UsageEvent]) -> Result<Applied, StorageError> {
    if events.is_empty() {
        return Ok(Applied::default());
    }
    partitions::ensure(storage, events.iter().map(|event| event.day)).await?;
    let unique = unique(events);
    let mut applied = Applied::default();
    let mut waiting = vec![&unique[..]];
    while let Some(part) = waiting.pop() {
        match (book_whole(storage, part).await, part) {
            (Ok(booked), _) => set_aside::merge(&mut applied, booked),
            (Err(error), _) if !set_aside::is_for_ever(&error) => return Err(error),
            (Err(error), [event]) => {
                set_aside::merge(&mut applied, set_aside::set_aside(storage, event, &error).await);
            }
            (Err(_), _) => {
                let (first, second) = part.split_at(part.len() / 2);
                waiting.extend([second, first]);
            }
        }
    }
    applied.known += events.len() - unique.len();
    Ok(applied)
}

/// Books calls, each named once, in one transaction.
async fn book_whole(storage: &Storage, events: &[&UsageEvent]) -> Result<Applied, StorageError> {
    // As a rule no call is known, so the first try does not ask.
    let mut attempt = Attempt::default();
    for _ in 0..ATTEMPTS {
        match book_batch(storage, events, attempt).await? {
            Outcome::Booked(applied) => {
                return Ok(Applied {
                    known: events.len() - applied.new,
                    ..applied
                });
            }
            Outcome::Known => attempt.look_up = true,
            Outcome::LevelRises => attempt.numbered = true,
        }
    }
    let source = DbErr::Custom("another process was booking the same calls".to_owned());
    Err(StorageError::Driver {
        action: FAILED,
        source,
    })
}

/// Tries to book a batch.
async fn book_batch(
    storage: &Storage,
    events: &[&UsageEvent],
    attempt: Attempt,
) -> Result<Outcome, StorageError> {
    let transaction = storage
        .writer()
        .begin_with_options(write_options())
        .await
        .map_err(driver(FAILED, TABLE))?;
    let number = if attempt.numbered {
        Some(take_number(&transaction, Scope::Accounts).await?)
    } else {
        None
    };
    let settled = settled(events);
    let ids: Vec<Uuid> = settled.keys().copied().collect();
    let mut buckets = buckets::lock(&transaction, &ids).await?;
    let known = if attempt.look_up {
        known(&transaction, events).await?
    } else {
        HashSet::new()
    };
    let mut booking = book(events, &known, &mut buckets);
    let mut accounts = consumption::lock(&transaction, &booking.paid).await?;
    let risen = consumption::count(&booking.paid, &mut accounts);
    if number.is_none() && !risen.is_empty() {
        transaction.rollback().await.map_err(driver(FAILED, TABLE))?;
        return Ok(Outcome::LevelRises);
    }
    if !store(&transaction, &mut booking, &mut buckets).await? {
        transaction.rollback().await.map_err(driver(FAILED, TABLE))?;
        return Ok(Outcome::Known);
    }
    for place in risen {
        accounts[place].revision = number.unwrap_or(accounts[place].revision);
    }
    consumption::store(&transaction, &accounts).await?;
    transaction.commit().await.map_err(driver(FAILED, TABLE))?;
    Ok(Outcome::Booked(summary(&booking, &settled, &buckets, &accounts)))
}

/// Writes everything; `false` when a row was there already.
async fn store(
    transaction: &DatabaseTransaction,
    booking: &mut Booking<'_>,
    buckets: &mut [bucket::Model],
) -> Result<bool, StorageError> {
    let mut rows = std::mem::take(&mut booking.rows).into_iter();
    for size in sizes(rows.len()) {
        let part = rows::append(rows.by_ref().take(size));
        let appended = transaction.execute(&part).await;
        let appended = appended.map_err(driver(FAILED, TABLE))?.rows_affected();
        if usize::try_from(appended) != Ok(size) {
            return Ok(false);
        }
    }
    let is_changed = |bucket: &bucket::Model| booking.taken.get(&bucket.id).is_some_and(|taken| *taken > 0);
    let mut changed = Vec::new();
    for bucket in buckets.iter_mut().filter(|bucket| is_changed(bucket)) {
        bucket.version += 1;
        changed.push(bucket.clone());
    }
    buckets::store_balances(transaction, &changed).await?;
    for statement in usage_statements(booking) {
        let result = transaction.execute(&statement).await;
        result.map_err(driver(FAILED, "usage_days"))?;
    }
    for statement in spending_statements(booking) {
        let result = transaction.execute(&statement).await;
        result.map_err(driver(FAILED, "bucket_days"))?;
    }
    Ok(true)
}

fn summary(
    booking: &Booking<'_>,
    settled: &BTreeMap<Uuid, Money>,
    buckets: &[bucket::Model],
    accounts: &[account::Model],
) -> Applied {
    let spent = accounts
        .iter()
        .map(|account| (AccountId::from_uuid(account.id), accounts::spent(account)));
    Applied {
        spent: spent.collect(),
        buckets: standing(&booking.taken, settled, buckets),
        new: booking.calls,
        known: 0,
    }
}

/// What is to be told of the buckets that calls have named.
pub(super) fn standing(
    taken: &HashMap<Uuid, i64>,
    settled: &BTreeMap<Uuid, Money>,
    buckets: &[bucket::Model],
) -> Vec<AppliedBucket> {
    let buckets = buckets.iter().filter_map(|bucket| {
        let taken = taken.get(&bucket.id).copied().unwrap_or_default();
        Some(AppliedBucket {
            settled: settled.get(&bucket.id).copied().unwrap_or_default(),
            taken: Money::from_nano(taken),
            // One bad row must not keep every other call from being booked, and nobody spends from
            // a bucket that was never read. `buckets::changed_since` is where it is complained about.
            bucket: buckets::from_row(bucket).ok()?,
        })
    });
    buckets.collect()
}

/// Looks up which calls are booked already, a day and account at a time: the rows' key begins so.
async fn known(
    transaction: &DatabaseTransaction,
    events: &[&UsageEvent],
) -> Result<HashSet<CallId>, StorageError> {
    let mut groups: BTreeMap<(i32, Uuid), Vec<Uuid>> = BTreeMap::new();
    for event in events {
        let group = groups.entry((event.day.number(), event.account.as_uuid()));
        group.or_default().push(event.id.as_uuid());
    }
    let mut known = HashSet::new();
    for ((day, account), ids) in groups {
        for ids in parts(&ids) {
            let found: Vec<Uuid> = ledger_row::Entity::find()
                .select_only()
                .column(ledger_row::Column::EventId)
                .filter(ledger_row::Column::Day.eq(day))
                .filter(ledger_row::Column::AccountId.eq(account))
                .filter(ledger_row::Column::EventId.is_in(ids.iter().copied()))
                .filter(ledger_row::Column::Position.eq(0))
                .into_tuple()
                .all(transaction)
                .await
                .map_err(driver(FAILED, TABLE))?;
            let account = AccountId::from_uuid(account);
            known.extend(found.into_iter().map(|id| (account, RequestId::from_uuid(id))));
        }
    }
    Ok(known)
}

/// What is stored and what comes to it, both not negative, but no more than 64 bits hold:
/// PostgreSQL would refuse a larger sum for ever, and SQLite make a number with a fraction of it.
fn sum<E: EntityTrait, C: ColumnTrait>(table: E, column: C) -> Expr {
    let most = || Expr::cust(i64::MAX.to_string());
    let (stored, new) = (Expr::col((table, column)), Expr::col(("excluded", column)));
    let overflows = stored.clone().gt(most().sub(new.clone()));
    Expr::case(overflows, most()).finally(stored.add(new)).into()
}

fn usage_statements(booking: &Booking<'_>) -> Vec<InsertStatement> {
    let key = [
        usage_day::Column::AccountId,
        usage_day::Column::Day,
        usage_day::Column::KeyId,
        usage_day::Column::Model,
    ];
    let mut add = OnConflict::columns(key);
    for column in usage_day::Column::iter().skip(key.len()) {
        add.value(column, sum(usage_day::Entity, column));
    }
    let usage: Vec<_> = booking.usage.iter().collect();
    let chunks = parts(&usage).map(|chunk| {
        let mut statement = Query::insert()
            .into_table(usage_day::Entity)
            .columns(usage_day::Column::iter())
            .on_conflict(add.clone())
            .take();
        for ((account, day, key, model), numbers) in chunk {
            let key: [Expr; 4] = [(*account).into(), (*day).into(), (*key).into(), (*model).into()];
            let numbers = numbers.iter().map(|number| Expr::from(*number));
            statement.values_panic(key.into_iter().chain(numbers));
        }
        statement
    });
    chunks.collect()
}

fn spending_statements(booking: &Booking<'_>) -> Vec<InsertStatement> {
    use bucket_day::{Column, Entity};

    let add = OnConflict::columns([Column::BucketId, Column::Day])
        .value(Column::SpentNano, sum(Entity, Column::SpentNano))
        .to_owned();
    let spending: Vec<_> = booking.spending.iter().filter(|(_, spent)| **spent > 0).collect();
    let chunks = parts(&spending).map(|chunk| {
        let mut statement = Query::insert()
            .into_table(Entity)
            .columns(Column::iter())
            .on_conflict(add.clone())
            .take();
        for ((bucket, day), spent) in chunk {
            let row: [Expr; 3] = [(*bucket).into(), (*day).into(), (**spent).into()];
            statement.values_panic(row);
        }
        statement
    });
    chunks.collect()
}
