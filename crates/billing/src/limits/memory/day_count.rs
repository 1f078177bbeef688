//! A window that is a calendar day.

use std::time::Duration;

use super::super::Moment;
use crate::BillingDay;

const DAY: Duration = Duration::from_hours(24);

/// Counts what happened on one calendar day.
///
/// A later day begins anew. An earlier one (the clock was set back) goes on with the counts, so
/// that a border passed twice allows nothing twice; unless 24 hours of the clock that never jumps
/// have passed since the count began: then the clock had been wrong before, and the day begins.
#[derive(Debug)]
pub(super) struct DayCount {
    day: BillingDay,
    /// When the count of that day began.
    began: Duration,
    count: u64,
    /// What was used above the limit; the days to come pay it first.
    debt: u64,
    limit: u64,
}

impl DayCount {
    pub(super) const fn new(day: BillingDay, limit: u64, began: Duration) -> Self {
        Self {
            day,
            began,
            count: 0,
            debt: 0,
            limit,
        }
    }

    /// Begins another day where one has begun.
    pub(super) fn refresh(&mut self, limit: u64, at: Moment) {
        let was_ahead = at.day < self.day && at.monotonic.saturating_sub(self.began) >= DAY;
        let days = at.day.days_since(self.day).max(u32::from(was_ahead));
        if days > 0 {
            // The days between pay a whole limit each, the new one what still remains.
            let paid = self.limit.saturating_mul(u64::from(days) - 1);
            self.debt = self.debt.saturating_sub(paid);
            (self.day, self.began, self.count) = (at.day, at.monotonic, 0);
        }
        self.limit = limit;
        self.absorb_debt();
    }

    /// Counts at least this much; what the database knows of the day.
    pub(super) fn restore(&mut self, day: BillingDay, count: u64) {
        if day == self.day {
            self.count = self.count.max(count);
        }
    }

    /// Returns how long a call must wait for room; `None` when there is room now.
    pub(super) fn wait(&self, need: u64, at: Moment) -> Option<Duration> {
        let amount = need.min(self.limit);
        let has_room = self.limit > 0 && self.count.saturating_add(amount) <= self.limit;
        if need == 0 || has_room {
            return None;
        }
        // Days that the debt leaves too little of are waited for as well.
        let missing = self.debt.saturating_add(amount).saturating_sub(self.limit);
        let blocked = missing.div_ceil(self.limit.max(1));
        Some(later(at.until_midnight, blocked))
    }

    /// Takes a call's need, or the limit if that is less; returns the day and how much.
    pub(super) fn take(&mut self, need: u64) -> (u64, u64) {
        let amount = need.min(self.limit);
        self.count = self.count.saturating_add(amount);
        (self.slot(), amount)
    }

    /// Replaces `amount` of the day `slot` by `used`. A day that is over gets nothing back; what
    /// was used beyond it counts today.
    pub(super) fn correct(&mut self, slot: u64, amount: u64, used: u64) {
        if used > amount {
            self.debt = self.debt.saturating_add(used - amount);
        } else if slot == self.slot() {
            self.count = self.count.saturating_sub(amount - used);
        }
        self.absorb_debt();
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// What may still be taken today.
    pub(super) const fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.count)
    }

    /// When all of the limit will be there again if nothing more is taken.
    pub(super) fn reset(&self, at: Moment) -> Duration {
        if self.count == 0 {
            return Duration::ZERO;
        }
        later(at.until_midnight, self.debt.div_ceil(self.limit.max(1)))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0 && self.debt == 0
    }

    fn absorb_debt(&mut self) {
        let amount = self.debt.min(self.limit.saturating_sub(self.count));
        self.debt -= amount;
        self.count = self.count.saturating_add(amount);
    }

    fn slot(&self) -> u64 {
        u64::from(self.day.number().unsigned_abs())
    }
}

/// Adds days to the time until midnight.
fn later(until_midnight: Duration, days: u64) -> Duration {
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    until_midnight.saturating_add(DAY.saturating_mul(days))
}
