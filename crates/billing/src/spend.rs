//! What a key may spend in a calendar month.

mod key;

#[cfg(test)]
mod tests;

use std::fmt;

use silica_types::{ApiKeyId, Money};

use crate::shards::Shards;
use crate::sync::{Arc, Mutex, lock};

pub use key::{CapReached, SpendHold};

use key::Spend;

/// The months' spending of all keys. Cheap to clone; the clones are one.
///
/// A month is the number `yyyymm` in the configured zone ([`crate::BillingDay::month`]). Counts of
/// the months around the current one are kept, so a clock that jumps over a border and back finds
/// them again.
#[derive(Clone, Default)]
pub struct SpendCaps {
    keys: Arc<Shards<ApiKeyId, Mutex<Spend>>>,
}

impl SpendCaps {
    /// Begins with nothing spent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what a key has spent in a month, from the database at start.
    pub fn install(&self, key: ApiKeyId, month: i32, spent: Money) {
        lock(&self.keys.entry(key)).install(month, spent);
    }

    /// Holds `most` of what the key may still spend in the month. `None` as the cap never refuses;
    /// it counts, so that a cap given later in the month finds the true sum.
    ///
    /// # Errors
    /// [`CapReached`] when the month's spending, what running calls hold, and `most` together are
    /// above the cap. A call that costs nothing is never refused.
    pub fn reserve(
        &self,
        key: ApiKeyId,
        cap: Option<Money>,
        most: Money,
        month: i32,
    ) -> Result<SpendHold, CapReached> {
        SpendHold::reserve(self.keys.entry(key), cap, most, month)
    }

    /// Holds `most` for a call that was let in elsewhere, where several nodes share the cap.
    pub fn hold_granted(&self, key: ApiKeyId, most: Money) -> SpendHold {
        SpendHold::granted(self.keys.entry(key), most)
    }

    /// Returns what the key has spent in the month; running calls do not count.
    pub fn spent(&self, key: ApiKeyId, month: i32) -> Money {
        self.keys
            .find(&key)
            .map_or(Money::ZERO, |spend| lock(&spend).spent(month))
    }
}

impl fmt::Debug for SpendCaps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SpendCaps").finish_non_exhaustive()
    }
}
