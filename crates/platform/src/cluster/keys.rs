//! What keys with a cap hold and have settled in this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use silica_cluster::KeyClaim;
use silica_types::{AccountId, ApiKeyId, Money};

/// A tab for each key with a cap that has called lately.
#[derive(Debug, Default)]
pub(crate) struct KeyTab(Mutex<Tabs>);

#[derive(Debug, Default)]
struct Tabs {
    held: HashMap<ApiKeyId, Money>,
    settled: HashMap<(ApiKeyId, i32), Month>,
}

/// What a key has settled in a month.
#[derive(Debug)]
struct Month {
    account: AccountId,
    /// Not known to be in the database's sum that the others have.
    pending: Money,
    /// The part of it that is in the database.
    applied: Money,
}

/// A sum of a key's month that the others should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueMonth {
    pub(crate) account: AccountId,
    pub(crate) key: ApiKeyId,
    pub(crate) month: i32,
}

impl KeyTab {
    pub(crate) fn hold(&self, key: ApiKeyId, amount: Money) {
        let mut tabs = self.lock();
        let held = tabs.held.entry(key).or_default();
        *held = held.saturating_add(amount);
    }

    pub(crate) fn release(&self, key: ApiKeyId, amount: Money) {
        let mut tabs = self.lock();
        if let Some(held) = tabs.held.get_mut(&key) {
            *held = held.saturating_sub(amount).max(Money::ZERO);
            if held.is_zero() {
                tabs.held.remove(&key);
            }
        }
    }

    pub(crate) fn settle(&self, account: AccountId, key: ApiKeyId, month: i32, amount: Money) {
        if amount.is_zero() {
            return;
        }
        let mut tabs = self.lock();
        let settled = tabs.settled.entry((key, month)).or_insert(Month {
            account,
            pending: Money::ZERO,
            applied: Money::ZERO,
        });
        settled.pending = settled.pending.saturating_add(amount);
    }

    /// Notes that the database has taken what a key has paid.
    pub(crate) fn apply(&self, key: ApiKeyId, month: i32, paid: Money) {
        if let Some(settled) = self.lock().settled.get_mut(&(key, month)) {
            settled.applied = settled.applied.saturating_add(paid).min(settled.pending);
        }
    }

    /// The months of which the database has more than the others were told.
    pub(crate) fn due(&self) -> Vec<DueMonth> {
        let tabs = self.lock();
        let due = tabs.settled.iter().filter(|(_, month)| !month.applied.is_zero());
        due.map(|((key, month), settled)| DueMonth {
            account: settled.account,
            key: *key,
            month: *month,
        })
        .collect()
    }

    /// Takes out what the others are told now; returns how much.
    pub(crate) fn report(&self, key: ApiKeyId, month: i32) -> Money {
        let mut tabs = self.lock();
        let Some(settled) = tabs.settled.get_mut(&(key, month)) else {
            return Money::ZERO;
        };
        let applied = std::mem::take(&mut settled.applied);
        settled.pending = settled.pending.saturating_sub(applied);
        if settled.pending.is_zero() {
            tabs.settled.remove(&(key, month));
        }
        applied
    }

    /// What is to be claimed. What the database has by now is settled no more: whoever claims lets its sums be
    /// read again.
    pub(crate) fn claims(&self) -> Vec<KeyClaim> {
        let mut tabs = self.lock();
        tabs.settled.retain(|_, settled| {
            let applied = std::mem::take(&mut settled.applied);
            settled.pending = settled.pending.saturating_sub(applied);
            !settled.pending.is_zero()
        });
        let held = tabs.held.iter().map(|(key, amount)| KeyClaim {
            key: *key,
            month: None,
            amount: *amount,
        });
        let settled = tabs.settled.iter().map(|((key, month), settled)| KeyClaim {
            key: *key,
            month: Some(*month),
            amount: settled.pending,
        });
        held.chain(settled).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tabs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
