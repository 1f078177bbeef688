//! The buckets that an account's money lies in.

use jiff::Timestamp;
use silica_types::{AccountId, BucketId, Money, code_enum};

code_enum! {
    /// What kind of money a bucket holds, in the order in which calls spend it.
    BucketKind, "bucket", {
        /// Ends at a time; the one that ends soonest is spent first.
        Voucher = "voucher",
        /// Given by the operator; does not end.
        Gift = "gift",
        /// Paid in; does not end. The only one that pays charge-only models.
        Charge = "charge",
    }
}

/// One bucket as the database has it. An account has one gift and one charge bucket at most, and
/// any number of vouchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its id.
    pub id: BucketId,
    /// Whose it is.
    pub account: AccountId,
    /// What kind of money it holds.
    pub kind: BucketKind,
    /// What is left in it; never negative.
    pub balance: Money,
    /// When a voucher ends, whole microseconds; `None` for what does not end.
    pub expires_at: Option<Timestamp>,
    /// Grows with every change of the row, so that a late older reading never replaces a newer one.
    pub version: i64,
}
