//! What accounts consume by calendar month: the sums that their usage levels come from.

use std::collections::BTreeMap;

use sea_orm::sea_query::{LockType, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use silica_billing::UsageLevel;
use silica_types::Money;
use uuid::Uuid;

use crate::StorageError;
use crate::entities::account::{Column, Entity, Model};
use crate::error::driver;
use crate::repositories::accounts;
use crate::repositories::convert::parts;

const TABLE: &str = "accounts";

/// What calls took from buckets, by account and month (`yyyymm`). In this order, so that an
/// account's months come as they are in the calendar.
pub(super) type Paid = BTreeMap<(Uuid, i32), i64>;

/// Reads the accounts of a batch, by id, and keeps others from changing them until the transaction
/// ends. Rows that refer to an account can be inserted meanwhile.
pub(super) async fn lock(connection: &impl ConnectionTrait, paid: &Paid) -> Result<Vec<Model>, StorageError> {
    let mut ids: Vec<Uuid> = paid.keys().map(|(account, _)| *account).collect();
    ids.dedup();
    let mut found = Vec::with_capacity(ids.len());
    for ids in parts(&ids) {
        let rows = Entity::find()
            .filter(Column::Id.is_in(ids.iter().copied()))
            .order_by_asc(Column::Id)
            .lock(LockType::NoKeyUpdate)
            .all(connection)
            .await;
        found.extend(rows.map_err(driver("lock accounts", TABLE))?);
    }
    Ok(found)
}

/// Counts what was paid. Returns the places of the accounts of which a month now earns another
/// level, which other processes have to hear of. They know of every month what it earns, though
/// not its exact sum, so they find the right level also when the month turns.
pub(super) fn count(paid: &Paid, accounts: &mut [Model]) -> Vec<usize> {
    let mut risen = Vec::new();
    for (place, account) in accounts.iter_mut().enumerate() {
        let mut spent = accounts::spent(account);
        let of_account = (account.id, i32::MIN)..=(account.id, i32::MAX);
        for ((_, month), amount) in paid.range(of_account) {
            let Some(sum) = spent.of(*month) else {
                continue;
            };
            let before = UsageLevel::earned_by(*sum);
            *sum = sum.saturating_add(Money::from_nano(*amount));
            if UsageLevel::earned_by(*sum) != before && risen.last() != Some(&place) {
                risen.push(place);
            }
        }
        let (value, before) = spent.both(spent.month());
        account.spend_month = spent.month();
        account.spend_nano = value.nano();
        account.spend_before_nano = before.nano();
    }
    risen
}

/// Stores what [`count`] has counted in accounts that [`lock`] has read.
pub(super) async fn store(connection: &impl ConnectionTrait, accounts: &[Model]) -> Result<(), StorageError> {
    // One statement for many rows; they exist, so the insertion is never one.
    let replace = OnConflict::column(Column::Id)
        .update_columns([
            Column::SpendMonth,
            Column::SpendNano,
            Column::SpendBeforeNano,
            Column::Revision,
        ])
        .to_owned();
    for accounts in parts(accounts) {
        Entity::insert_many(accounts.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(replace.clone())
            .exec_without_returning(connection)
            .await
            .map_err(driver("store what accounts consumed", TABLE))?;
    }
    Ok(())
}
