//! The buckets of one account, behind one lock.

use jiff::Timestamp;
use silica_types::{AccountId, BucketId, Money};

use crate::{Bucket, BucketKind, BucketPart};

/// Which buckets may pay for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// All of them.
    Any,
    /// The charge balance alone (charge-only models and batches).
    ChargeOnly,
}

impl Payer {
    const fn may_use(self, kind: BucketKind) -> bool {
        match self {
            Self::Any => true,
            Self::ChargeOnly => matches!(kind, BucketKind::Charge),
        }
    }
}

/// The account has less than the call may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("balance is insufficient: the call may cost {needed} and {available} is free")]
pub struct Insufficient {
    /// What the call may cost.
    pub needed: Money,
    /// What the buckets that may pay for it have free.
    pub available: Money,
}

/// What an account has left, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balances {
    /// In vouchers that have not ended.
    pub voucher: Money,
    /// In the gift balance.
    pub gift: Money,
    /// In the charge balance.
    pub charge: Money,
}

impl Balances {
    /// Returns the sum.
    pub fn total(&self) -> Money {
        self.voucher.saturating_add(self.gift).saturating_add(self.charge)
    }
}

/// What of a bucket is not in the database yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Whose bucket.
    pub account: AccountId,
    /// The bucket.
    pub bucket: BucketId,
    /// Held by running calls.
    pub reserved: Money,
    /// Settled.
    pub pending: Money,
}

/// One bucket in memory.
#[derive(Debug)]
struct Slot {
    id: BucketId,
    kind: BucketKind,
    expires_at: Option<Timestamp>,
    version: i64,
    /// The database's last known state.
    balance: Money,
    /// Settled, not yet taken by the database.
    pending: Money,
    /// Held by running calls.
    reserved: Money,
}

impl Slot {
    fn new(bucket: &Bucket) -> Self {
        Self {
            id: bucket.id,
            kind: bucket.kind,
            expires_at: bucket.expires_at,
            version: bucket.version,
            balance: bucket.balance,
            pending: Money::ZERO,
            reserved: Money::ZERO,
        }
    }

    /// What is left when all that was settled is deducted.
    fn left(&self) -> Money {
        self.balance.saturating_sub(self.pending).max(Money::ZERO)
    }

    /// What a new call may hold. Less than [`Slot::left`], also when another process spent what
    /// is reserved here.
    fn free(&self) -> Money {
        self.balance
            .saturating_sub(self.pending)
            .saturating_sub(self.reserved)
            .max(Money::ZERO)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    fn is_engaged(&self) -> bool {
        !self.pending.is_zero() || !self.reserved.is_zero()
    }

    /// The order of spending: by kind, then the one that ends soonest, then by id.
    fn rank(&self) -> (BucketKind, Timestamp, BucketId) {
        (self.kind, self.expires_at.unwrap_or(Timestamp::MAX), self.id)
    }

    fn unreserve(&mut self, amount: Money) {
        self.reserved = self.reserved.saturating_sub(amount);
    }

    /// Moves up to `wanted`, and at most `most`, to pending; returns how much.
    fn pay(&mut self, wanted: Money, most: Money) -> Money {
        let paid = wanted.min(most).max(Money::ZERO);
        self.pending = self.pending.saturating_add(paid);
        paid
    }
}

/// The buckets of one account, in the order of spending.
#[derive(Debug, Default)]
pub(crate) struct Purse {
    slots: Vec<Slot>,
}

impl Purse {
    /// Takes over the database's state unless a newer one is known.
    pub(crate) fn install(&mut self, bucket: &Bucket) {
        match self.slot(bucket.id) {
            Some(slot) if slot.version > bucket.version => return,
            Some(slot) => {
                slot.version = bucket.version;
                slot.balance = bucket.balance;
                slot.expires_at = bucket.expires_at;
            }
            None => self.slots.push(Slot::new(bucket)),
        }
        self.slots.sort_by_key(Slot::rank);
    }

    /// The database took `settled`; both numbers change under one lock, so no call sees the money
    /// twice or not at all.
    pub(crate) fn applied(&mut self, bucket: &Bucket, settled: Money) {
        if let Some(slot) = self.slot(bucket.id) {
            slot.pending = slot.pending.saturating_sub(settled).max(Money::ZERO);
        }
        self.install(bucket);
    }

    /// Holds `most`, all or nothing.
    pub(crate) fn reserve(
        &mut self,
        most: Money,
        payer: Payer,
        now: Timestamp,
    ) -> Result<Vec<BucketPart>, Insufficient> {
        self.forget_spent(now);
        let available = self.payers(payer, now).map(|slot| slot.free()).sum();
        if available < most {
            return Err(Insufficient {
                needed: most,
                available,
            });
        }
        let mut missing = most;
        let mut parts = Vec::with_capacity(1);
        for slot in self.payers(payer, now) {
            let amount = missing.min(slot.free());
            if amount.is_zero() {
                continue;
            }
            slot.reserved = slot.reserved.saturating_add(amount);
            missing = missing.saturating_sub(amount);
            parts.push(part(slot, amount));
            if missing.is_zero() {
                break;
            }
        }
        Ok(parts)
    }

    /// Frees what was held and pays `amount`; returns who pays what, and what nobody could.
    ///
    /// A held voucher that has ended meanwhile still pays: the call began in time. What is held for certain
    /// pays also when the known balance has less: then that is behind.
    pub(crate) fn settle(
        &mut self,
        held: &[BucketPart],
        is_certain: bool,
        amount: Money,
        payer: Payer,
        now: Timestamp,
    ) -> (Vec<BucketPart>, Money) {
        let mut missing = amount.max(Money::ZERO);
        let mut paid: Vec<BucketPart> = Vec::with_capacity(held.len());
        for part in held {
            let Some(slot) = self.slot(part.bucket) else {
                continue;
            };
            slot.unreserve(part.amount);
            let most = if is_certain { part.amount } else { slot.left() };
            let amount = slot.pay(missing.min(part.amount), most);
            missing = missing.saturating_sub(amount);
            add(&mut paid, slot, amount);
        }
        for slot in self.payers(payer, now) {
            if missing.is_zero() {
                break;
            }
            let amount = slot.pay(missing, slot.free());
            missing = missing.saturating_sub(amount);
            add(&mut paid, slot, amount);
        }
        (paid, missing)
    }

    /// Frees what was held.
    pub(crate) fn release(&mut self, held: &[BucketPart]) {
        for part in held {
            if let Some(slot) = self.slot(part.bucket) {
                slot.unreserve(part.amount);
            }
        }
    }

    /// Holds what others have agreed to; a bucket that is not known any more is left out.
    pub(crate) fn hold(&mut self, parts: &[BucketPart]) {
        for part in parts {
            if let Some(slot) = self.slot(part.bucket) {
                slot.reserved = slot.reserved.saturating_add(part.amount);
            }
        }
    }

    pub(crate) fn payer_list(&mut self, payer: Payer, now: Timestamp) -> Vec<(BucketId, BucketKind)> {
        self.forget_spent(now);
        self.payers(payer, now).map(|slot| (slot.id, slot.kind)).collect()
    }

    pub(crate) fn collect_outstanding(&self, account: AccountId, outstanding: &mut Vec<Outstanding>) {
        let engaged = self.slots.iter().filter(|slot| slot.is_engaged());
        outstanding.extend(engaged.map(|slot| Outstanding {
            account,
            bucket: slot.id,
            reserved: slot.reserved,
            pending: slot.pending,
        }));
    }

    /// What is left, by kind; where `left` knows better, as it says.
    pub(crate) fn balances(&self, now: Timestamp, left: impl Fn(BucketId) -> Option<Money>) -> Balances {
        let mut balances = Balances::default();
        for slot in self.slots.iter().filter(|slot| !slot.has_ended(now)) {
            let sum = match slot.kind {
                BucketKind::Voucher => &mut balances.voucher,
                BucketKind::Gift => &mut balances.gift,
                BucketKind::Charge => &mut balances.charge,
            };
            *sum = sum.saturating_add(left(slot.id).unwrap_or_else(|| slot.left()));
        }
        balances
    }

    /// Adds the ids of buckets that have ended and are still in use.
    pub(crate) fn collect_engaged(&self, now: Timestamp, engaged: &mut Vec<BucketId>) {
        let ended = self.slots.iter().filter(|slot| slot.has_ended(now));
        engaged.extend(ended.filter(|slot| slot.is_engaged()).map(|slot| slot.id));
    }

    #[cfg(test)]
    pub(crate) fn buckets(&self) -> usize {
        self.slots.len()
    }

    fn slot(&mut self, id: BucketId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }

    fn payers(&mut self, payer: Payer, now: Timestamp) -> impl Iterator<Item = &mut Slot> {
        self.slots
            .iter_mut()
            .filter(move |slot| payer.may_use(slot.kind) && !slot.has_ended(now))
    }

    /// Drops vouchers that are written off and over, so that an account does not collect them.
    /// One with money left stays: the clock may have jumped.
    fn forget_spent(&mut self, now: Timestamp) {
        let is_done = |slot: &Slot| slot.has_ended(now) && slot.balance.is_zero() && !slot.is_engaged();
        // The first one ends first; nothing to look for in the usual case.
        if self.slots.first().is_some_and(is_done) {
            self.slots.retain(|slot| !is_done(slot));
        }
    }
}

fn part(slot: &Slot, amount: Money) -> BucketPart {
    BucketPart {
        bucket: slot.id,
        kind: slot.kind,
        amount,
    }
}

/// Adds to the part of the slot, or begins one.
fn add(parts: &mut Vec<BucketPart>, slot: &Slot, amount: Money) {
    if amount.is_zero() {
        return;
    }
    match parts.iter_mut().find(|part| part.bucket == slot.id) {
        Some(part) => part.amount = part.amount.saturating_add(amount),
        None => parts.push(part(slot, amount)),
    }
}
