//! Level packages: a usage level that an account pays for in advance.

use jiff::Timestamp;
use silica_billing::{BillingDay, Bucket, UsageLevel};
use silica_types::{AccountId, BucketId, LevelPackageId, Money};

/// One package that was sold. Rows are kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelPackage {
    /// Its id.
    pub id: LevelPackageId,
    /// Who bought it.
    pub account: AccountId,
    /// The level that it gives, in the month of `day` and in the next.
    pub level: UsageLevel,
    /// What was paid from the charge balance, and what the voucher is worth.
    pub price: Money,
    /// The voucher that it came with; when it is stored, the id to make it with.
    pub voucher: BucketId,
    /// When the voucher ends, whole microseconds.
    pub voucher_expires_at: Timestamp,
    /// The text by which a client marks repetitions of one request; unique in the account.
    pub idempotency_key: Option<String>,
    /// The day of `created_at` in the configured zone.
    pub day: BillingDay,
    /// When it was bought, whole microseconds.
    pub created_at: Timestamp,
}

/// The buckets that a purchase has changed, as they are after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageBuckets {
    /// The charge balance, which paid.
    pub charge: Bucket,
    /// The new voucher.
    pub voucher: Bucket,
}
