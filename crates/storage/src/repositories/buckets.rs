//! Buckets of money.

use std::collections::HashSet;

use jiff::Timestamp;
use sea_orm::sea_query::{LockType, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use silica_billing::{BillingDay, Bucket, BucketKind};
use silica_types::{AccountId, BucketId, Money};
use uuid::Uuid;

use super::convert::{Row, parts};
use super::ledger::rows;
use super::page::{Changed, changed};
use crate::entities::bucket::{Column, Entity, Model};
use crate::error::driver;
use crate::{Scope, Source, Storage, StorageError, Write};

pub(super) const TABLE: &str = "buckets";
/// The vouchers that one change closes, so that others need not wait long.
const CLOSED_AT_ONCE: u64 = 500;

/// Lists every bucket but ended vouchers that were closed.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn all(source: &impl Source) -> Result<Vec<Bucket>, StorageError> {
    list(source, Condition::all()).await
}

/// Lists the buckets of an account, but not ended vouchers that were closed.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn of_account(source: &impl Source, account: AccountId) -> Result<Vec<Bucket>, StorageError> {
    list(
        source,
        Condition::all().add(Column::AccountId.eq(account.as_uuid())),
    )
    .await
}

/// Lists the buckets that operators' changes (credits and closed vouchers, not calls) touched after
/// the change with the number `revision`, with the numbers of their own last changes.
///
/// # Errors
/// [`StorageError::Driver`]. A row that cannot be read is an error of its own in the list, so that
/// it does not hide the others.
pub async fn changed_since(
    source: &impl Source,
    revision: i64,
) -> Result<Vec<Changed<Bucket, BucketId>>, StorageError> {
    let rows = Entity::find()
        .filter(Column::Revision.gt(revision))
        .all(&source.executor().0)
        .await
        .map_err(driver("list changed buckets", TABLE))?;
    Ok(rows
        .into_iter()
        .map(|row| changed(BucketId::from_uuid(row.id), row.revision, from_row(&row)))
        .collect())
}

/// Closes the vouchers that ended before `ended_before`, but none of `engaged`, which calls still
/// hold: what is left in them is booked as ended on `day`. Returns them, empty.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`]. Vouchers that were closed by then stay closed.
pub async fn expire(
    storage: &Storage,
    ended_before: Timestamp,
    engaged: &[BucketId],
    now: Timestamp,
    day: BillingDay,
) -> Result<Vec<Bucket>, StorageError> {
    let engaged: HashSet<Uuid> = engaged.iter().map(|bucket| bucket.as_uuid()).collect();
    let mut closed = Vec::new();
    let mut after = Uuid::nil();
    // Asks a reader first: a change takes a number that makes every process look for news.
    loop {
        let mut ids = ended(storage, ended_before, after).await?;
        let Some(last) = ids.last() else {
            return Ok(closed);
        };
        after = *last;
        ids.retain(|id| !engaged.contains(id));
        if !ids.is_empty() {
            closed.extend(close(storage, &ids, now, day).await?);
        }
    }
}

/// Lists some ended vouchers that are not closed yet.
async fn ended(storage: &Storage, ended_before: Timestamp, after: Uuid) -> Result<Vec<Uuid>, StorageError> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::ExpiresAtUs.lt(ended_before.as_microsecond()))
        .filter(Column::ExpiredDay.is_null())
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(CLOSED_AT_ONCE)
        .into_tuple()
        .all(storage.reader())
        .await
        .map_err(driver("list ended vouchers", TABLE))
}

async fn close(
    storage: &Storage,
    ids: &[Uuid],
    now: Timestamp,
    day: BillingDay,
) -> Result<Vec<Bucket>, StorageError> {
    let write = storage.begin(Scope::Accounts).await?;
    let mut closed = Vec::new();
    for mut voucher in lock(write.connection(), ids).await? {
        if voucher.expired_day.is_some() {
            continue;
        }
        let left = Money::from_nano(voucher.balance_nano);
        voucher.expired_day = Some(day.number());
        voucher.expired_nano = voucher.balance_nano;
        voucher.balance_nano = 0;
        update(&write, &mut voucher).await?;
        let voucher = from_row(&voucher)?;
        if !left.is_zero() {
            rows::insert_expiry(write.connection(), &voucher, left, day, now).await?;
        }
        closed.push(voucher);
    }
    write.commit().await?;
    Ok(closed)
}

/// Stores what has changed in a bucket, as its next version.
pub(super) async fn update(write: &Write, bucket: &mut Model) -> Result<(), StorageError> {
    bucket.version += 1;
    bucket.revision = write.revision();
    let updated = Entity::update_many()
        .set(bucket.clone().into_active_model().reset_all())
        .filter(Column::Id.eq(bucket.id))
        .exec(write.connection())
        .await
        .map_err(driver("update a bucket", TABLE))?;
    Row {
        table: TABLE,
        id: &bucket.id.simple(),
    }
    .must_be_one(updated.rows_affected)
}

/// Reads rows as they are, in the order of their ids.
pub(super) async fn read(storage: &Storage, ids: &[Uuid]) -> Result<Vec<Model>, StorageError> {
    Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(Column::Id)
        .all(storage.writer())
        .await
        .map_err(driver("read buckets", TABLE))
}

/// Reads buckets, by id, and keeps others from changing them until the transaction ends.
pub(super) async fn lock(
    connection: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<Vec<Model>, StorageError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in parts(ids) {
        let rows = Entity::find()
            .filter(Column::Id.is_in(ids.iter().copied()))
            .order_by_asc(Column::Id)
            .lock(LockType::Update)
            .all(connection)
            .await;
        found.extend(rows.map_err(driver("lock buckets", TABLE))?);
    }
    Ok(found)
}

/// Stores the balances and versions of buckets that [`lock`] has read.
pub(super) async fn store_balances(
    connection: &impl ConnectionTrait,
    buckets: &[Model],
) -> Result<(), StorageError> {
    // One statement for many rows; they exist, so the insertion is never one.
    let replace = OnConflict::column(Column::Id)
        .update_columns([Column::BalanceNano, Column::Version])
        .to_owned();
    for buckets in parts(buckets) {
        Entity::insert_many(buckets.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(replace.clone())
            .exec_without_returning(connection)
            .await
            .map_err(driver("store balances", TABLE))?;
    }
    Ok(())
}

async fn list(source: &impl Source, which: Condition) -> Result<Vec<Bucket>, StorageError> {
    let rows = Entity::find()
        .filter(which.add(Column::ExpiredDay.is_null()))
        .order_by_asc(Column::Id)
        .all(&source.executor().0)
        .await
        .map_err(driver("list buckets", TABLE))?;
    rows.iter().map(from_row).collect()
}

pub(super) fn from_row(model: &Model) -> Result<Bucket, StorageError> {
    let id = BucketId::from_uuid(model.id);
    let row = Row {
        table: TABLE,
        id: &id,
    };
    let kind: BucketKind = row.parse("kind", &model.kind)?;
    if model.balance_nano < 0 {
        return Err(row.invalid("balance_nano", "less than nothing"));
    }
    Ok(Bucket {
        id,
        account: AccountId::from_uuid(model.account_id),
        kind,
        balance: Money::from_nano(model.balance_nano),
        expires_at: model
            .expires_at_us
            .map(|time| row.time("expires_at_us", time))
            .transpose()?,
        version: model.version,
    })
}
