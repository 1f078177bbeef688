//! A window that slides: minutes and hours.

use std::time::Duration;

/// Counts what happened in the last 60 or 3600 seconds, in slots.
///
/// The ring has one slot more than the window is long, so the window of every moment lies within
/// the ring: never more than the limit in any window, and up to one slot's length too strict.
/// Beyond the limit nothing enters the ring; what was used all the same is debt, which fills the
/// room that old slots leave until it is gone.
#[derive(Debug)]
pub(super) struct Sliding {
    slot_length: u64,
    ring: Box<[u64]>,
    /// The number of the current slot; its place in the ring is the rest by the ring's length.
    head: u64,
    /// The sum of the ring; above `limit` only after the limit was lowered.
    total: u64,
    /// Greater than zero only while the ring is full.
    debt: u64,
    limit: u64,
}

impl Sliding {
    /// 60 slots of a second.
    pub(super) fn minute(limit: u64, now: Duration) -> Self {
        Self::new(1_000, 60, limit, now)
    }

    /// 120 slots of 30 seconds.
    pub(super) fn hour(limit: u64, now: Duration) -> Self {
        Self::new(30_000, 120, limit, now)
    }

    /// `slot_length` in milliseconds.
    fn new(slot_length: u64, slots: usize, limit: u64, now: Duration) -> Self {
        Self {
            slot_length,
            ring: vec![0; slots + 1].into(),
            head: milliseconds(now) / slot_length,
            total: 0,
            debt: 0,
            limit,
        }
    }

    /// Lets old slots go. A time before the last one seen changes nothing.
    pub(super) fn refresh(&mut self, limit: u64, now: Duration) {
        self.limit = limit;
        self.absorb_debt();
        let target = milliseconds(now) / self.slot_length;
        while self.head < target {
            if self.total == 0 && (self.debt == 0 || self.limit == 0) {
                self.head = target;
            } else if !self.skip_cycles(target) {
                self.step();
            }
        }
    }

    /// Returns how long a call must wait for room; `None` when there is room now.
    pub(super) fn wait(&self, need: u64, now: Duration) -> Option<Duration> {
        if need == 0 {
            return None;
        }
        if self.limit == 0 {
            return Some(Duration::from_millis(self.length() * self.slot_length));
        }
        let wanted = self.total.saturating_add(need.min(self.limit));
        if wanted <= self.limit {
            return None;
        }
        // What the slots let go is taken by the debt first.
        let to_free = (wanted - self.limit).saturating_add(self.debt);
        // A ring that refills itself frees its total in each cycle.
        let cycles = (to_free - 1) / self.total;
        let leaving = self.leaves(to_free - cycles * self.total);
        let slot = cycles.saturating_mul(self.length()).saturating_add(leaving);
        Some(self.until(slot, now))
    }

    /// Takes a call's need, or the limit if that is less; returns the slot and how much.
    pub(super) fn take(&mut self, need: u64) -> (u64, u64) {
        let amount = need.min(self.limit);
        self.put(self.head, amount);
        (self.head, amount)
    }

    /// Replaces `amount` in `slot` by `used`. What slid out meanwhile is not taken back; what was
    /// used beyond it counts from now.
    pub(super) fn correct(&mut self, slot: u64, amount: u64, used: u64) {
        let is_in_ring = slot <= self.head && self.head - slot < self.length();
        if used > amount {
            let excess = used - amount;
            let fitting = excess.min(self.limit.saturating_sub(self.total));
            self.put(if is_in_ring { slot } else { self.head }, fitting);
            self.debt = self.debt.saturating_add(excess - fitting);
        } else if is_in_ring {
            let place = self.place(slot);
            let back = (amount - used).min(self.ring[place]);
            self.ring[place] -= back;
            self.total -= back;
            self.absorb_debt();
        }
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// What may still be taken now.
    pub(super) fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.total)
    }

    /// When the ring will be empty if nothing more is taken.
    pub(super) fn reset(&self, now: Duration) -> Duration {
        if self.total == 0 {
            return Duration::ZERO;
        }
        let cycles = self.debt.checked_div(self.limit).unwrap_or(0);
        // The debt's last part fills the slots that leave first, one cycle later.
        let rest = self.debt.checked_rem(self.limit).unwrap_or(0);
        let last = if rest == 0 {
            self.empties()
        } else {
            self.leaves(rest.min(self.total)).saturating_add(self.length())
        };
        let slot = cycles.saturating_mul(self.length()).saturating_add(last);
        self.until(slot, now)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.total == 0 && self.debt == 0
    }

    /// Goes to the next slot.
    fn step(&mut self) {
        self.head += 1;
        let place = self.place(self.head);
        self.total -= self.ring[place];
        self.ring[place] = 0;
        self.absorb_debt();
    }

    /// Goes whole cycles of the ring at once while the debt refills each slot with what it lets
    /// go; `false` when that is not the case, or not for long enough.
    fn skip_cycles(&mut self, target: u64) -> bool {
        if self.total != self.limit || self.limit == 0 {
            return false;
        }
        let cycles = ((target - self.head) / self.length()).min(self.debt / self.limit);
        self.head += cycles * self.length();
        self.debt -= cycles * self.limit;
        cycles > 0
    }

    fn absorb_debt(&mut self) {
        let amount = self.debt.min(self.limit.saturating_sub(self.total));
        if amount > 0 {
            self.debt -= amount;
            self.put(self.head, amount);
        }
    }

    fn put(&mut self, slot: u64, amount: u64) {
        let place = self.place(slot);
        self.ring[place] += amount;
        self.total += amount;
    }

    /// The number of the slot that must become current for `amount` (1 to `total`) to be let go.
    fn leaves(&self, amount: u64) -> u64 {
        let mut freed = 0;
        // The slot after the head's holds what is oldest and leaves first.
        for next in self.head + 1..=self.head + self.length() {
            freed += self.ring[self.place(next)];
            if freed >= amount {
                return next;
            }
        }
        self.head + self.length()
    }

    /// The number of the slot that must become current for all to be let go: [`Sliding::leaves`] of
    /// the total, found from the other end, which calls that come all the time have just filled.
    fn empties(&self) -> u64 {
        let mut slots = (0..self.length()).map_while(|back| self.head.checked_sub(back));
        let newest = slots.find(|slot| self.ring[self.place(*slot)] > 0);
        newest.map_or(self.head, |slot| slot + self.length())
    }

    /// The time until a slot becomes current.
    fn until(&self, slot: u64, now: Duration) -> Duration {
        let begin = slot.saturating_mul(self.slot_length);
        Duration::from_millis(begin.saturating_sub(milliseconds(now)))
    }

    fn length(&self) -> u64 {
        self.ring.len() as u64
    }

    fn place(&self, slot: u64) -> usize {
        usize::try_from(slot % self.length()).unwrap_or(0)
    }
}

/// Whole milliseconds; a process does not live for 500 million years.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
