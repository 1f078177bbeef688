//! The event that settles one call: what the journal keeps and the ledger is made from.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use silica_types::{
    AccountId, ApiKeyId, BucketId, ModelName, Money, RequestId, TraceId, UsageSource, code_enum,
};

use crate::{BillingDay, BucketKind, Units};

code_enum! {
    /// How a settled call ended.
    CallStatus, "call status", {
        /// Its answer was whole.
        Complete = "complete",
        /// The client left before the end.
        Cancelled = "cancelled",
        /// The engine failed or was cut after it had begun.
        Failed = "failed",
    }
}

/// The number of a price book entry; grows with each entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PriceVersion(pub i64);

impl fmt::Display for PriceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What one bucket pays of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketPart {
    /// Which bucket.
    pub bucket: BucketId,
    /// What kind it is.
    pub kind: BucketKind,
    /// How much it pays; more than nothing.
    pub amount: Money,
}

/// One settled call. Settling is keyed by `id`: applying an event twice changes nothing.
///
/// `amount` is the price of `units`; the parts and the shortfall add up to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// The call's id.
    pub id: RequestId,
    /// Who pays.
    pub account: AccountId,
    /// The key that called.
    pub key: ApiKeyId,
    /// The model that was called.
    pub model: ModelName,
    /// What it consumed.
    pub units: Units,
    /// Who counted that.
    pub source: UsageSource,
    /// The price that applied; `None` when the model has none.
    pub price: Option<PriceVersion>,
    /// What the units cost, rounded once.
    pub amount: Money,
    /// The part of `amount` that no bucket could pay.
    pub shortfall: Money,
    /// What each bucket pays, in the order of spending.
    pub parts: Vec<BucketPart>,
    /// The trace id of the response.
    pub trace: TraceId,
    /// How the call ended.
    pub status: CallStatus,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was settled.
    pub settled_at: Timestamp,
    /// The day of `settled_at` in the configured zone: what it is billed and partitioned by.
    pub day: BillingDay,
}
