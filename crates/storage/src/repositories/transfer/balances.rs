//! Compares what accounts have.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use silica_types::BucketId;
use uuid::Uuid;

use super::content::failed;
use super::pages::Pages;
use super::side::Side;
use super::{Balances, TransferError};
use crate::entities::bucket::{Column, Entity, Model};

/// More different buckets say nothing new.
const MOST: usize = 100;

/// Compares bucket by bucket, and the sums.
pub(super) async fn compare(source: Side<'_>, target: Side<'_>) -> Result<Balances, TransferError> {
    read(source, target)
        .await
        .map_err(failed::<Entity>("compare balances"))
}

async fn read(source: Side<'_>, target: Side<'_>) -> Result<Balances, DbErr> {
    let mut balances = Balances::default();
    let mut pages = Pages::<Entity>::of(source).await?;
    while let Some(buckets) = pages.next().await? {
        let there = balances_of(target, &buckets).await?;
        for bucket in buckets {
            count(
                &mut balances.kinds.entry(bucket.kind).or_default().source,
                bucket.balance_nano,
            );
            let is_same = there.get(&bucket.id) == Some(&bucket.balance_nano);
            if !is_same && balances.different.len() < MOST {
                balances.different.push(BucketId::from_uuid(bucket.id));
            }
        }
    }
    let mut pages = Pages::<Entity>::of(target).await?;
    while let Some(buckets) = pages.next().await? {
        for bucket in buckets {
            count(
                &mut balances.kinds.entry(bucket.kind).or_default().target,
                bucket.balance_nano,
            );
        }
    }
    Ok(balances)
}

async fn balances_of(side: Side<'_>, buckets: &[Model]) -> Result<HashMap<Uuid, i64>, DbErr> {
    let ids = buckets.iter().map(|bucket| bucket.id);
    let found = Entity::find().filter(Column::Id.is_in(ids)).all(side.0).await?;
    Ok(found
        .into_iter()
        .map(|bucket| (bucket.id, bucket.balance_nano))
        .collect())
}

fn count((number, sum): &mut (u64, i128), balance: i64) {
    *number += 1;
    *sum += i128::from(balance);
}
