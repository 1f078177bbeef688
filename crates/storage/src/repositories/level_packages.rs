//! Level packages that accounts bought.

use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use silica_billing::{BillingDay, BucketKind};
use silica_types::{AccountId, BucketId, CreditId, LevelPackageId, Money};

use super::convert::Row;
use super::ledger::rows;
use super::page::Page;
use super::{buckets, credits};
use crate::entities::level_package::{Column, Entity, Model};
use crate::error::{Constraint, broken_constraint, driver};
use crate::{Conflict, Credit, LevelPackage, PackageBuckets, Source, StorageError, Write};

const TABLE: &str = "level_packages";

/// Stores a purchase, all in one change: its price leaves the charge balance, a voucher of the same
/// value comes, and both stand in the ledger. `credit` is the id of the voucher's credit. What the
/// account's level becomes of it is the caller's to store in the same change.
///
/// # Errors
/// [`Conflict::ChargeInsufficient`] when the stored charge balance is below the price,
/// [`Conflict::IdempotencyKeyReused`], [`Conflict::IdTaken`], [`StorageError::Driver`] or
/// [`StorageError::InvalidData`].
pub async fn insert(
    write: &Write,
    package: &LevelPackage,
    credit: CreditId,
) -> Result<PackageBuckets, StorageError> {
    let found = credits::own_bucket(write, package.account, BucketKind::Charge).await?;
    let available = found
        .as_ref()
        .map_or(Money::ZERO, |charge| Money::from_nano(charge.balance_nano));
    let Some(mut charge) = found.filter(|_| available >= package.price) else {
        return Err(Conflict::ChargeInsufficient {
            needed: package.price,
            available,
        }
        .into());
    };
    charge.balance_nano -= package.price.nano();
    buckets::update(write, &mut charge).await?;
    let charge = buckets::from_row(&charge)?;
    let voucher = Credit {
        id: credit,
        account: package.account,
        bucket: package.voucher,
        kind: BucketKind::Voucher,
        amount: package.price,
        expires_at: Some(package.voucher_expires_at),
        idempotency_key: None,
        day: package.day,
        created_at: package.created_at,
    };
    let voucher = credits::insert(write, &voucher).await?.bucket;
    let stored = Entity::insert(to_row(package, charge.id).into_active_model())
        .exec_without_returning(write.connection())
        .await;
    stored.map_err(|error| match broken_constraint(&error) {
        Some(Constraint::PrimaryKey) => Conflict::IdTaken {
            table: TABLE,
            row: package.id.to_string(),
        }
        .into(),
        Some(Constraint::Unique) => Conflict::IdempotencyKeyReused.into(),
        _ => driver("insert a level package", TABLE)(error),
    })?;
    rows::insert_package(write.connection(), package, &charge).await?;
    Ok(PackageBuckets { charge, voucher })
}

/// Looks for the purchase that an idempotency key marks. Inside a change, none with the same key can
/// come between this and the insertion.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn find_by_key(
    source: &impl Source,
    account: AccountId,
    idempotency_key: &str,
) -> Result<Option<LevelPackage>, StorageError> {
    let row = Entity::find()
        .filter(Column::AccountId.eq(account.as_uuid()))
        .filter(Column::IdempotencyKey.eq(idempotency_key))
        .one(&source.executor().0)
        .await;
    row.map_err(driver("look an earlier level package up", TABLE))?
        .map(from_row)
        .transpose()
}

/// Lists at most `limit` packages of an account after `cursor`, oldest first.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn list(
    source: &impl Source,
    account: AccountId,
    cursor: Option<LevelPackageId>,
    limit: u32,
) -> Result<Page<LevelPackage, LevelPackageId>, StorageError> {
    let mut query = Entity::find()
        .filter(Column::AccountId.eq(account.as_uuid()))
        .order_by_asc(Column::Id)
        .limit(u64::from(limit) + 1);
    if let Some(after) = cursor {
        query = query.filter(Column::Id.gt(after.as_uuid()));
    }
    let rows = query
        .all(&source.executor().0)
        .await
        .map_err(driver("list level packages", TABLE))?;
    let packages = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(packages, limit, |package| package.id))
}

fn to_row(package: &LevelPackage, charge: BucketId) -> Model {
    Model {
        id: package.id.as_uuid(),
        account_id: package.account.as_uuid(),
        level: package.level.as_str().to_owned(),
        price_nano: package.price.nano(),
        charge_bucket_id: charge.as_uuid(),
        voucher_bucket_id: package.voucher.as_uuid(),
        voucher_expires_at_us: package.voucher_expires_at.as_microsecond(),
        idempotency_key: package.idempotency_key.clone(),
        day: package.day.number(),
        created_at_us: package.created_at.as_microsecond(),
    }
}

fn from_row(model: Model) -> Result<LevelPackage, StorageError> {
    let id = LevelPackageId::from_uuid(model.id);
    let row = Row {
        table: TABLE,
        id: &id,
    };
    Ok(LevelPackage {
        id,
        account: AccountId::from_uuid(model.account_id),
        level: row.parse("level", &model.level)?,
        price: Money::from_nano(model.price_nano),
        voucher: BucketId::from_uuid(model.voucher_bucket_id),
        voucher_expires_at: row.time("voucher_expires_at_us", model.voucher_expires_at_us)?,
        day: BillingDay::from_number(model.day).map_err(|error| row.invalid("day", error))?,
        created_at: row.time("created_at_us", model.created_at_us)?,
        idempotency_key: model.idempotency_key,
    })
}
