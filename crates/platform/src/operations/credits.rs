//! Money that operators put into accounts, and what has become of it.

use jiff::Timestamp;
use silica_billing::{Balances, BillingDay, BucketKind};
use silica_storage::{
    Credit, Credited, LedgerCursor, LedgerRow, Page, Scope, Source, buckets, credits, ledger,
};
use silica_types::{AccountId, BucketId, CreditId, Money};

use super::accounts::must_exist as account_must_exist;
use crate::validate::{self, invalid};
use crate::{Platform, PlatformError};

/// Vouchers of one account that may be open at once: every call of the account looks at them.
const OPEN_VOUCHERS: usize = 256;

/// Money to put into an account.
#[derive(Debug, Clone)]
pub struct NewCredit {
    /// What kind of money it is.
    pub bucket: BucketKind,
    /// How much; more than nothing.
    pub amount: Money,
    /// When a voucher ends; vouchers need it, others have none.
    pub expires_at: Option<Timestamp>,
    /// Marks repetitions of one request: the same text of the same account credits once.
    pub idempotency_key: Option<String>,
}

impl Platform {
    /// Puts money into an account. Calls can spend it at once in this process.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown account, [`PlatformError::Invalid`],
    /// [`PlatformError::Conflict`] when the idempotency key belongs to another credit or the bucket
    /// would overflow, or [`PlatformError::Storage`].
    pub async fn credit(&self, account: AccountId, new: NewCredit) -> Result<Credited, PlatformError> {
        let credit = self.check_credit(account, &new)?;
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Accounts).await?;
        account_must_exist(&write, account).await?;
        let credited = credits::insert(&write, &credit).await?;
        if credited.repeated {
            return Ok(credited);
        }
        // Only now: a repeated request is answered as the first was, even after the voucher's end.
        if let Some(end) = credit.expires_at {
            if end <= credit.created_at {
                return Err(invalid("expires_at", "must lie in the future"));
            }
            room_for_vouchers(&write, account, OPEN_VOUCHERS).await?;
        }
        let revision = write.commit().await?;
        self.show_buckets_now(std::slice::from_ref(&credited.bucket))
            .await;
        tracing::info!(
            account.id = %account, credit.id = %credit.id, credit.bucket = %credit.kind, revision,
            "credit {} booked", credit.id
        );
        Ok(credited)
    }

    /// What an account can spend now, from memory: what calls have settled is deducted.
    pub fn balances(&self, account: AccountId) -> Balances {
        self.shared.wallets.balances(account, self.shared.clock.now())
    }

    /// As [`Platform::balances`], with what calls of all nodes have settled.
    pub async fn balances_now(&self, account: AccountId) -> Balances {
        let now = self.shared.clock.now();
        let left = match &self.shared.book {
            Some(book) => book.left(account, now).await,
            None => None,
        };
        match left {
            Some(left) => self
                .shared
                .wallets
                .balances_with(account, now, |bucket| left.get(&bucket).copied()),
            None => self.balances(account),
        }
    }

    /// Lists at most `limit` rows of an account's ledger after `cursor`, oldest day first.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown account, [`PlatformError::TooSlow`] or
    /// [`PlatformError::Storage`].
    pub async fn ledger(
        &self,
        account: AccountId,
        cursor: Option<LedgerCursor>,
        limit: u32,
    ) -> Result<Page<LedgerRow, LedgerCursor>, PlatformError> {
        let storage = self.shared.storage.clone();
        self.in_time(async move {
            account_must_exist(&storage, account).await?;
            Ok(ledger::list(&storage, account, cursor, limit).await?)
        })
        .await
    }

    fn check_credit(&self, account: AccountId, new: &NewCredit) -> Result<Credit, PlatformError> {
        if new.amount <= Money::ZERO {
            return Err(invalid("amount", "must be more than nothing"));
        }
        match (new.bucket, new.expires_at) {
            (BucketKind::Voucher, None) => return Err(invalid("expires_at", "a voucher needs its end")),
            (BucketKind::Gift | BucketKind::Charge, Some(_)) => {
                return Err(invalid("expires_at", "only vouchers end"));
            }
            (BucketKind::Voucher, Some(_)) | (BucketKind::Gift | BucketKind::Charge, None) => {}
        }
        let now = self.now();
        let clock = self.shared.clock.as_ref();
        Ok(Credit {
            id: CreditId::new(clock),
            account,
            bucket: BucketId::new(clock),
            kind: new.bucket,
            amount: new.amount,
            expires_at: new
                .expires_at
                .map(|end| validate::whole_microseconds("expires_at", end))
                .transpose()?,
            idempotency_key: new
                .idempotency_key
                .as_deref()
                .map(validate::idempotency_key)
                .transpose()?,
            day: BillingDay::of(now, &self.shared.zone),
            created_at: now,
        })
    }
}

/// Makes sure that the account has a place for one more voucher.
pub(super) async fn room_for_a_voucher(
    source: &impl Source,
    account: AccountId,
) -> Result<(), PlatformError> {
    room_for_vouchers(source, account, OPEN_VOUCHERS - 1).await
}

async fn room_for_vouchers(
    source: &impl Source,
    account: AccountId,
    most: usize,
) -> Result<(), PlatformError> {
    let open = buckets::of_account(source, account).await?;
    let vouchers = open.iter().filter(|bucket| bucket.kind == BucketKind::Voucher);
    if vouchers.count() <= most {
        return Ok(());
    }
    Err(invalid(
        "bucket",
        format!("the account has {OPEN_VOUCHERS} open vouchers already"),
    ))
}
