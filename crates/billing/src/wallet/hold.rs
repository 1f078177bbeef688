//! The money that one running call may spend.

use jiff::Timestamp;
use silica_types::Money;

use crate::BucketPart;
use crate::once::Once;
use crate::sync::{Arc, Mutex, lock};

use super::purse::{Insufficient, Payer, Purse};

/// Money held for one call, until it is settled or released; whichever comes first is the only
/// one that counts. Dropping it releases.
#[derive(Debug)]
#[must_use = "a hold that is dropped is released"]
pub struct Hold {
    purse: Arc<Mutex<Purse>>,
    parts: Vec<BucketPart>,
    payer: Payer,
    /// Whether the parts are there for certain: other nodes have agreed to them.
    is_granted: bool,
    stage: Once,
}

/// What a settled call paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// What each bucket pays, in the order of spending; a bucket that pays nothing is absent.
    pub parts: Vec<BucketPart>,
    /// What no bucket could pay. The parts and this add up to the amount of the call.
    pub shortfall: Money,
}

impl Settlement {
    /// Returns what the buckets pay together.
    pub fn paid(&self) -> Money {
        self.parts.iter().map(|part| part.amount).sum()
    }
}

impl Hold {
    pub(crate) fn reserve(
        purse: Arc<Mutex<Purse>>,
        most: Money,
        payer: Payer,
        now: Timestamp,
    ) -> Result<Self, Insufficient> {
        let parts = if most > Money::ZERO {
            lock(&purse).reserve(most, payer, now)?
        } else {
            Vec::new()
        };
        Ok(Self {
            purse,
            parts,
            payer,
            is_granted: false,
            stage: Once::new(),
        })
    }

    pub(crate) fn granted(purse: Arc<Mutex<Purse>>, parts: Vec<BucketPart>, payer: Payer) -> Self {
        if !parts.is_empty() {
            lock(&purse).hold(&parts);
        }
        Self {
            purse,
            parts,
            payer,
            is_granted: true,
            stage: Once::new(),
        }
    }

    /// Ends the hold by paying `amount`: from what is held, then from what the buckets have free
    /// at `now`, and the rest is shortfall. What was held beyond the amount is free again. An
    /// amount below zero counts as zero.
    ///
    /// `None` when the hold was settled or released before; then nothing happens.
    pub fn settle(&self, amount: Money, now: Timestamp) -> Option<Settlement> {
        if !self.stage.end() {
            return None;
        }
        if self.parts.is_empty() && amount <= Money::ZERO {
            return Some(Settlement {
                parts: Vec::new(),
                shortfall: Money::ZERO,
            });
        }
        let mut purse = lock(&self.purse);
        let (parts, shortfall) = purse.settle(&self.parts, self.is_granted, amount, self.payer, now);
        Some(Settlement { parts, shortfall })
    }

    /// Ends the hold without a payment. Does nothing when it was settled or released before.
    pub fn release(&self) {
        if self.stage.end() && !self.parts.is_empty() {
            lock(&self.purse).release(&self.parts);
        }
    }

    /// Whether it was neither settled nor released yet.
    pub fn is_open(&self) -> bool {
        self.stage.is_open()
    }

    /// Returns what was held of which bucket at the begin.
    pub fn parts(&self) -> &[BucketPart] {
        &self.parts
    }

    /// Returns how much was held at the begin.
    pub fn reserved(&self) -> Money {
        self.parts.iter().map(|part| part.amount).sum()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
