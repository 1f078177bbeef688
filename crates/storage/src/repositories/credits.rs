//! Credits: money that operators put into buckets.

use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};
use silica_billing::{BillingDay, BucketKind};
use silica_types::{AccountId, BucketId, CreditId, Money};

use super::buckets;
use super::convert::Row;
use super::ledger::rows;
use crate::entities::bucket;
use crate::entities::credit::{Column, Entity, Model};
use crate::error::{Constraint, broken_constraint, driver};
use crate::{Conflict, Credit, Credited, Source, StorageError, Write};

const TABLE: &str = "credits";

/// Stores a credit with its row in the ledger and puts its money into its bucket, all in one change.
///
/// Asked again with the idempotency key of an earlier credit of the account, it changes nothing
/// and returns that one.
///
/// # Errors
/// [`Conflict::IdempotencyKeyReused`] when the earlier credit was for another kind, amount or end;
/// [`Conflict::BalanceTooLarge`], [`Conflict::NoSuchReference`] for an unknown account,
/// [`Conflict::IdTaken`], [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn insert(write: &Write, credit: &Credit) -> Result<Credited, StorageError> {
    if let Some(earlier) = earlier(write, credit).await? {
        return repeat(write, credit, earlier).await;
    }
    let bucket = fill(write, credit).await?;
    let credit = Credit {
        bucket: BucketId::from_uuid(bucket.id),
        ..credit.clone()
    };
    let stored = Entity::insert(to_row(&credit, write.revision()).into_active_model())
        .exec_without_returning(write.connection())
        .await;
    stored.map_err(|error| match broken_constraint(&error) {
        Some(Constraint::PrimaryKey) => Conflict::IdTaken {
            table: TABLE,
            row: credit.id.to_string(),
        }
        .into(),
        _ => driver("insert a credit", TABLE)(error),
    })?;
    rows::insert_credit(write.connection(), &credit).await?;
    Ok(Credited {
        bucket: buckets::from_row(&bucket)?,
        credit,
        repeated: false,
    })
}

/// Looks for the credit that the idempotency key marks. Changes run one after the other, so none
/// with the same key can come between this and the insertion.
async fn earlier(write: &Write, credit: &Credit) -> Result<Option<Model>, StorageError> {
    let Some(key) = &credit.idempotency_key else {
        return Ok(None);
    };
    Entity::find()
        .filter(Column::AccountId.eq(credit.account.as_uuid()))
        .filter(Column::IdempotencyKey.eq(key.as_str()))
        .one(write.connection())
        .await
        .map_err(driver("look an earlier credit up", TABLE))
}

async fn repeat(write: &Write, credit: &Credit, earlier: Model) -> Result<Credited, StorageError> {
    let earlier = from_row(earlier)?;
    let is_same = earlier.kind == credit.kind
        && earlier.amount == credit.amount
        && earlier.expires_at.map(jiff::Timestamp::as_microsecond)
            == credit.expires_at.map(jiff::Timestamp::as_microsecond);
    if !is_same {
        return Err(Conflict::IdempotencyKeyReused.into());
    }
    let bucket = bucket::Entity::find_by_id(earlier.bucket.as_uuid())
        .one(&write.executor().0)
        .await
        .map_err(driver("look a bucket up", buckets::TABLE))?
        .ok_or_else(|| StorageError::MissingRow {
            table: buckets::TABLE,
            row: earlier.bucket.to_string(),
        })?;
    Ok(Credited {
        bucket: buckets::from_row(&bucket)?,
        credit: earlier,
        repeated: true,
    })
}

/// Puts the money into the account's bucket of the kind, or into a new one.
async fn fill(write: &Write, credit: &Credit) -> Result<bucket::Model, StorageError> {
    if credit.kind != BucketKind::Voucher
        && let Some(mut existing) = own_bucket(write, credit.account, credit.kind).await?
    {
        existing.balance_nano = existing
            .balance_nano
            .checked_add(credit.amount.nano())
            .ok_or_else(|| Conflict::BalanceTooLarge {
                bucket: BucketId::from_uuid(existing.id).to_string(),
            })?;
        buckets::update(write, &mut existing).await?;
        return Ok(existing);
    }
    let new = bucket::Model {
        id: credit.bucket.as_uuid(),
        account_id: credit.account.as_uuid(),
        kind: credit.kind.as_str().to_owned(),
        balance_nano: credit.amount.nano(),
        expires_at_us: credit.expires_at.map(jiff::Timestamp::as_microsecond),
        expired_day: None,
        expired_nano: 0,
        version: 1,
        created_at_us: credit.created_at.as_microsecond(),
        revision: write.revision(),
    };
    let stored = bucket::Entity::insert(new.clone().into_active_model())
        .exec_without_returning(write.connection())
        .await;
    stored.map_err(|error| match broken_constraint(&error) {
        Some(Constraint::ForeignKey) => Conflict::NoSuchReference {
            what: "account",
            row: credit.account.to_string(),
        }
        .into(),
        Some(Constraint::PrimaryKey) => Conflict::IdTaken {
            table: buckets::TABLE,
            row: credit.bucket.to_string(),
        }
        .into(),
        _ => driver("insert a bucket", buckets::TABLE)(error),
    })?;
    Ok(new)
}

/// Looks for the one gift or charge bucket of an account and keeps others from changing it until the
/// change ends.
pub(super) async fn own_bucket(
    write: &Write,
    account: AccountId,
    kind: BucketKind,
) -> Result<Option<bucket::Model>, StorageError> {
    bucket::Entity::find()
        .filter(bucket::Column::AccountId.eq(account.as_uuid()))
        .filter(bucket::Column::Kind.eq(kind.as_str()))
        .lock(LockType::Update)
        .one(write.connection())
        .await
        .map_err(driver("look a bucket up", buckets::TABLE))
}

fn to_row(credit: &Credit, revision: i64) -> Model {
    Model {
        id: credit.id.as_uuid(),
        account_id: credit.account.as_uuid(),
        bucket_id: credit.bucket.as_uuid(),
        kind: credit.kind.as_str().to_owned(),
        amount_nano: credit.amount.nano(),
        expires_at_us: credit.expires_at.map(jiff::Timestamp::as_microsecond),
        idempotency_key: credit.idempotency_key.clone(),
        day: credit.day.number(),
        created_at_us: credit.created_at.as_microsecond(),
        revision,
    }
}

fn from_row(model: Model) -> Result<Credit, StorageError> {
    let id = CreditId::from_uuid(model.id);
    let row = Row {
        table: TABLE,
        id: &id,
    };
    Ok(Credit {
        id,
        account: AccountId::from_uuid(model.account_id),
        bucket: BucketId::from_uuid(model.bucket_id),
        kind: row.parse("kind", &model.kind)?,
        amount: Money::from_nano(model.amount_nano),
        expires_at: model
            .expires_at_us
            .map(|time| row.time("expires_at_us", time))
            .transpose()?,
        day: BillingDay::from_number(model.day).map_err(|error| row.invalid("day", error))?,
        created_at: row.time("created_at_us", model.created_at_us)?,
        idempotency_key: model.idempotency_key,
    })
}
