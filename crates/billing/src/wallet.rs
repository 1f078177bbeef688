//! What an account can spend: its buckets in memory, and the holds of the calls that run.
//!
//! A bucket's `balance` is the database's last known state. What calls have settled and the
//! database has not taken yet is `pending`, what running calls hold is `reserved`; free is what
//! remains. Nothing here waits for a database, and nothing brings `balance - pending` below zero.

mod hold;
mod purse;

#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use silica_types::{AccountId, BucketId, Money};

use crate::shards::Shards;
use crate::sync::{Arc, Mutex, lock};
use crate::{Bucket, BucketKind, BucketPart};

pub use hold::{Hold, Settlement};
pub use purse::{Balances, Insufficient, Outstanding, Payer};

use purse::Purse;

/// The wallets of all accounts. Cheap to clone; the clones are one.
#[derive(Clone, Default)]
pub struct Wallets {
    accounts: Arc<Shards<AccountId, Mutex<Purse>>>,
}

impl Wallets {
    /// Begins without any money.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a bucket as the database has it: at start, after a credit, after a change by
    /// another process. An older version than the known one changes nothing.
    pub fn install(&self, bucket: &Bucket) {
        lock(&self.accounts.entry(bucket.account)).install(bucket);
    }

    /// Holds `most` of the account's money for a call: vouchers first, the one that ends soonest
    /// before the others, then gift, then charge. Nothing at all is always there, so free models
    /// need no balance.
    ///
    /// # Errors
    /// [`Insufficient`] when the buckets that may pay have less than `most` free; then nothing is
    /// held.
    pub fn reserve(
        &self,
        account: AccountId,
        most: Money,
        payer: Payer,
        now: Timestamp,
    ) -> Result<Hold, Insufficient> {
        Hold::reserve(self.accounts.entry(account), most, payer, now)
    }

    /// Returns what the account has left: settled calls are deducted, running ones are not, and
    /// vouchers that have ended do not count.
    pub fn balances(&self, account: AccountId, now: Timestamp) -> Balances {
        self.accounts
            .find(&account)
            .map(|purse| lock(&purse).balances(now, |_| None))
            .unwrap_or_default()
    }

    /// Notes that the database has taken `settled` of what was pending on a bucket, and that
    /// `bucket` is its state since.
    pub fn applied(&self, bucket: &Bucket, settled: Money) {
        lock(&self.accounts.entry(bucket.account)).applied(bucket, settled);
    }

    /// Returns the ended vouchers that running calls still hold or that have pending amounts: the
    /// database must not write these off yet. Looks at every account; meant for a rare job.
    pub fn engaged_vouchers(&self, now: Timestamp) -> Vec<BucketId> {
        let mut engaged = Vec::new();
        for (_, purse) in self.accounts.all() {
            lock(&purse).collect_engaged(now, &mut engaged);
        }
        engaged
    }

    /// The buckets that may pay for a call of the account now, in the order of spending.
    pub fn payers(&self, account: AccountId, payer: Payer, now: Timestamp) -> Vec<(BucketId, BucketKind)> {
        let purse = self.accounts.find(&account);
        purse
            .map(|purse| lock(&purse).payer_list(payer, now))
            .unwrap_or_default()
    }

    /// Holds what was taken for a call elsewhere: where several nodes share a balance, they agree on the
    /// parts, and this wallet only keeps the books of its own node. What is held so is there, whatever
    /// the wallet knows of the balance.
    pub fn hold_granted(&self, account: AccountId, parts: Vec<BucketPart>, payer: Payer) -> Hold {
        Hold::granted(self.accounts.entry(account), parts, payer)
    }

    /// What running calls hold and settled ones have not brought to the database yet, of every bucket that has
    /// any. Looks at every account.
    pub fn outstanding(&self) -> Vec<Outstanding> {
        let mut outstanding = Vec::new();
        for (account, purse) in self.accounts.all() {
            lock(&purse).collect_outstanding(account, &mut outstanding);
        }
        outstanding
    }

    /// As [`Wallets::balances`], where it is known otherwise what some buckets have left.
    pub fn balances_with(
        &self,
        account: AccountId,
        now: Timestamp,
        left: impl Fn(BucketId) -> Option<Money>,
    ) -> Balances {
        self.accounts
            .find(&account)
            .map(|purse| lock(&purse).balances(now, left))
            .unwrap_or_default()
    }
}

impl fmt::Debug for Wallets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wallets").finish_non_exhaustive()
    }
}
