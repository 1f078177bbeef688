//! Calls that the database will never take.

use std::collections::HashMap;
use std::error::Error;

use sea_orm::DbErr;
use silica_billing::UsageEvent;

use super::apply::standing;
use super::booking::settled;
use crate::error::server_code;
use crate::repositories::buckets;
use crate::{Applied, Storage, StorageError};

/// PostgreSQL's code of a broken check, which it also answers for a row that no partition takes. The
/// only checks, of balances, are kept by booking.
const POSTGRES_CHECK: &str = "23514";
/// SQLite's primary result codes that blame the data: too big, broken constraint, wrong type.
const SQLITE_DATA: [u32; 3] = [18, 19, 20];

/// Whether the database refused what a call says or what is stored beside it, so that another try
/// meets the same refusal. Everything else passes, or a person repairs it, and the call waits for
/// that: dead connections, locks, time limits, full disks, missing tables, missing rights.
pub(super) fn is_for_ever(error: &StorageError) -> bool {
    match error {
        StorageError::InvalidData { .. } => true,
        StorageError::Driver { source, .. } => is_about_data(source),
        StorageError::Url(_) | StorageError::Conflict(_) | StorageError::MissingRow { .. } => false,
    }
}

fn is_about_data(error: &DbErr) -> bool {
    let Some(code) = server_code(error) else {
        return false;
    };
    match code.parse::<u32>() {
        // PostgreSQL's codes have five characters, and these classes: data, integrity constraints.
        _ if code.len() == 5 => code.starts_with("22") || (code.starts_with("23") && code != POSTGRES_CHECK),
        Ok(code) => SQLITE_DATA.contains(&(code & 0xff)),
        Err(_) => false,
    }
}

/// Gives up a call: logs all of it, so that a person can book it, and lets its buckets go.
pub(super) async fn set_aside(storage: &Storage, event: &UsageEvent, error: &StorageError) -> Applied {
    tracing::error!(
        event.id = %event.id, account.id = %event.account, event.amount = %event.amount,
        error = %error, cause = error.source().map(tracing::field::display),
        "the database refuses call {}, which is not billed: {event:?}", event.id
    );
    let settled = settled(&[event]);
    let ids: Vec<_> = settled.keys().copied().collect();
    // What it settled is no longer on its way to the database; a bucket that cannot be read keeps it.
    let buckets = buckets::read(storage, &ids).await.unwrap_or_default();
    Applied {
        buckets: standing(&HashMap::new(), &settled, &buckets),
        ..Applied::default()
    }
}

/// Adds what a later part of a batch did.
pub(super) fn merge(applied: &mut Applied, later: Applied) {
    if applied.buckets.is_empty() {
        applied.buckets = later.buckets;
    } else {
        for change in later.buckets {
            let place = applied
                .buckets
                .binary_search_by_key(&change.bucket.id, |known| known.bucket.id);
            match place {
                Ok(place) => {
                    let known = &mut applied.buckets[place];
                    known.settled = known.settled.saturating_add(change.settled);
                    known.taken = known.taken.saturating_add(change.taken);
                    known.bucket = change.bucket;
                }
                Err(place) => applied.buckets.insert(place, change),
            }
        }
    }
    // A later part of the batch has counted on, so its sums are the later ones.
    applied.spent.extend(later.spent);
    applied.new += later.new;
    applied.known += later.known;
}
