//! The spending of one key, and the holds of its running calls.

use silica_types::Money;

use crate::once::Once;
use crate::sync::{Arc, Mutex, lock};

/// How many months one key remembers.
const MONTHS: usize = 3;

/// The key's cap leaves no room for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key may spend {cap} a month, and {spent} is spent or held by running calls")]
pub struct CapReached {
    /// What the key may spend in the month.
    pub cap: Money,
    /// What it has spent, running calls included.
    pub spent: Money,
}

/// What one key has spent.
#[derive(Debug, Default)]
pub(crate) struct Spend {
    /// Month (`yyyymm`) and sum, in no order.
    months: Vec<(i32, Money)>,
    /// Held by running calls. They count into whichever month is asked about: they will be
    /// settled then or later.
    reserved: Money,
}

impl Spend {
    pub(crate) fn install(&mut self, month: i32, spent: Money) {
        *self.month(month) = spent;
    }

    fn add(&mut self, month: i32, amount: Money) {
        let spent = self.month(month);
        *spent = spent.saturating_add(amount);
    }

    pub(crate) fn spent(&self, month: i32) -> Money {
        let known = self.months.iter().find(|(known, _)| *known == month);
        known.map_or(Money::ZERO, |(_, spent)| *spent)
    }

    fn reserve(&mut self, cap: Option<Money>, most: Money, month: i32) -> Result<(), CapReached> {
        let spent = self.spent(month).saturating_add(self.reserved);
        if let Some(cap) = cap.filter(|cap| !most.is_zero() && spent.saturating_add(most) > *cap) {
            return Err(CapReached { cap, spent });
        }
        self.hold(most);
        Ok(())
    }

    fn hold(&mut self, most: Money) {
        self.reserved = self.reserved.saturating_add(most);
    }

    fn unreserve(&mut self, amount: Money) {
        self.reserved = self.reserved.saturating_sub(amount);
    }

    /// Returns the sum of a month, begun at nothing; the month farthest from it makes room.
    fn month(&mut self, month: i32) -> &mut Money {
        if let Some(index) = self.months.iter().position(|(known, _)| *known == month) {
            return &mut self.months[index].1;
        }
        if self.months.len() == MONTHS {
            self.months.sort_by_key(|(known, _)| known.abs_diff(month));
            self.months.pop();
        }
        self.months.push((month, Money::ZERO));
        let last = self.months.len() - 1;
        &mut self.months[last].1
    }
}

/// The part of a key's cap that a running call holds. Ends once: by settling, or by dropping.
#[derive(Debug)]
#[must_use = "a hold that is dropped is released"]
pub struct SpendHold {
    spend: Arc<Mutex<Spend>>,
    most: Money,
    stage: Once,
}

impl SpendHold {
    pub(crate) fn reserve(
        spend: Arc<Mutex<Spend>>,
        cap: Option<Money>,
        most: Money,
        month: i32,
    ) -> Result<Self, CapReached> {
        let most = most.max(Money::ZERO);
        lock(&spend).reserve(cap, most, month)?;
        Ok(Self::held(spend, most))
    }

    pub(crate) fn granted(spend: Arc<Mutex<Spend>>, most: Money) -> Self {
        let most = most.max(Money::ZERO);
        lock(&spend).hold(most);
        Self::held(spend, most)
    }

    fn held(spend: Arc<Mutex<Spend>>, most: Money) -> Self {
        Self {
            spend,
            most,
            stage: Once::new(),
        }
    }

    /// Ends the hold: the key has spent `amount` in `month`, the month that the call is billed in
    /// (that of its settlement, which may be later than that of its begin). `false` when the hold
    /// has ended before; then nothing happens.
    pub fn settle(&self, amount: Money, month: i32) -> bool {
        let ends = self.stage.end();
        if ends {
            let mut spend = lock(&self.spend);
            spend.unreserve(self.most);
            spend.add(month, amount.max(Money::ZERO));
        }
        ends
    }

    /// Ends the hold with nothing spent. Does nothing when it has ended before.
    pub fn release(&self) {
        if self.stage.end() {
            lock(&self.spend).unreserve(self.most);
        }
    }
}

impl Drop for SpendHold {
    fn drop(&mut self) {
        self.release();
    }
}
