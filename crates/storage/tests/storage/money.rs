//! Accounts with money, and settled calls, to store.

use jiff::Timestamp;
use silica_billing::{
    BillingDay, Bucket, BucketKind, BucketPart, CallStatus, PriceVersion, Units, UsageEvent,
};
use silica_storage::{Credit, Credited, Storage, StorageError, accounts, credits};
use silica_types::{
    AccountId, ApiKeyId, BucketId, CreditId, ManualClock, Money, RequestId, TraceId, UsageSource,
};

use super::records::{account, begin, name, time};

/// The day on which everything in these tests happens.
pub(crate) fn day() -> BillingDay {
    "2025-02-14".parse().unwrap()
}

pub(crate) fn money(amount: &str) -> Money {
    amount.parse().unwrap()
}

pub(crate) async fn new_account(storage: &Storage) -> AccountId {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let stored = account(&format!("{number}@money.example.org"));
    let write = begin(storage).await;
    accounts::insert(&write, &stored).await.unwrap();
    write.commit().await.unwrap();
    stored.id
}

pub(crate) fn credit(account: AccountId, kind: BucketKind, amount: &str) -> Credit {
    let clock = ManualClock::new(time());
    Credit {
        id: CreditId::new(&clock),
        account,
        bucket: BucketId::new(&clock),
        kind,
        amount: money(amount),
        expires_at: None,
        idempotency_key: None,
        day: day(),
        created_at: time(),
    }
}

pub(crate) fn voucher(account: AccountId, amount: &str, expires_at: Timestamp) -> Credit {
    Credit {
        expires_at: Some(expires_at),
        ..credit(account, BucketKind::Voucher, amount)
    }
}

pub(crate) async fn try_store(storage: &Storage, credit: &Credit) -> Result<Credited, StorageError> {
    let write = begin(storage).await;
    let credited = credits::insert(&write, credit).await?;
    write.commit().await?;
    Ok(credited)
}

pub(crate) async fn store(storage: &Storage, credit: &Credit) -> Bucket {
    try_store(storage, credit).await.unwrap().bucket
}

/// Makes an account with so much in its charge balance.
pub(crate) async fn charged(storage: &Storage, amount: &str) -> Bucket {
    let account = new_account(storage).await;
    store(storage, &credit(account, BucketKind::Charge, amount)).await
}

/// A call of an account that no bucket has paid for.
pub(crate) fn free_call(account: AccountId) -> UsageEvent {
    let clock = ManualClock::new(time());
    UsageEvent {
        id: RequestId::new(&clock),
        account,
        key: ApiKeyId::from_uuid(uuid::Uuid::from_u128(7)),
        model: name("m/a"),
        units: Units {
            prompt_tokens: 10,
            completion_tokens: 5,
            ..Units::default()
        },
        source: UsageSource::Engine,
        price: Some(PriceVersion(1)),
        amount: Money::ZERO,
        shortfall: Money::ZERO,
        parts: Vec::new(),
        trace: TraceId::generate(&clock),
        status: CallStatus::Complete,
        started_at: time(),
        settled_at: time(),
        day: day(),
    }
}

/// A call that took amounts from buckets of one account.
pub(crate) fn call(parts: &[(&Bucket, &str)]) -> UsageEvent {
    let parts: Vec<_> = parts
        .iter()
        .map(|(bucket, amount)| BucketPart {
            bucket: bucket.id,
            kind: bucket.kind,
            amount: money(amount),
        })
        .zip(parts)
        .collect();
    let (_, (first, _)) = parts[0];
    UsageEvent {
        amount: parts.iter().map(|(part, _)| part.amount).sum(),
        parts: parts.into_iter().map(|(part, _)| part).collect(),
        ..free_call(first.account)
    }
}
