//! Credits: money that an operator puts into a bucket.

use jiff::Timestamp;
use silica_billing::{BillingDay, Bucket, BucketKind};
use silica_types::{AccountId, BucketId, CreditId, Money};

/// One credit. Rows of credits are kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// Its id.
    pub id: CreditId,
    /// Who gets it.
    pub account: AccountId,
    /// The bucket that it fills. When it is stored: the id of the bucket to make, which is ignored
    /// when the account has a bucket of the kind that takes more (gift and charge).
    pub bucket: BucketId,
    /// What kind of money it is.
    pub kind: BucketKind,
    /// How much; more than nothing.
    pub amount: Money,
    /// When a voucher ends, whole microseconds; `None` for gift and charge.
    pub expires_at: Option<Timestamp>,
    /// The text by which a client marks repetitions of one request; unique in the account.
    pub idempotency_key: Option<String>,
    /// The day of `created_at` in the configured zone.
    pub day: BillingDay,
    /// When it was made, whole microseconds.
    pub created_at: Timestamp,
}

/// A credit as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credited {
    /// The credit, with the bucket that took it.
    pub credit: Credit,
    /// The bucket now.
    pub bucket: Bucket,
    /// Whether the request was answered before: nothing has changed then, and `credit` is the
    /// earlier one.
    pub repeated: bool,
}
