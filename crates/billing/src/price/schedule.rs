//! Which price applies when.

use std::sync::Arc;

use jiff::Timestamp;

use super::Price;
use crate::PriceVersion;

/// One entry of the price book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceEntry {
    /// Its number; a later entry has a higher one.
    pub version: PriceVersion,
    /// The mode of calls that it is for, such as `image-to-video`; `None` is for all modes that
    /// have no entry of their own in force.
    pub mode: Option<String>,
    /// The price without a promotion.
    pub list: Price,
    /// What is charged instead of the list price while the entry is in force.
    pub promotional: Option<Price>,
    /// What the catalogue shows beside the price, such as `50% OFF`.
    pub badge: Option<String>,
    /// From when on it is in force, this moment included.
    pub effective_from: Timestamp,
    /// Until when it is in force, this moment excluded; `None` for no end.
    pub effective_until: Option<Timestamp>,
}

impl PriceEntry {
    /// Returns what is charged while the entry is in force.
    pub fn in_force(&self) -> &Price {
        self.promotional.as_ref().unwrap_or(&self.list)
    }

    fn holds_at(&self, now: Timestamp) -> bool {
        self.effective_from <= now && self.effective_until.is_none_or(|end| now < end)
    }
}

/// The entries of one model. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceSchedule {
    /// The one that wins comes first.
    entries: Arc<[PriceEntry]>,
}

impl Default for PriceSchedule {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl PriceSchedule {
    /// Makes a schedule of entries in any order.
    pub fn new(mut entries: Vec<PriceEntry>) -> Self {
        entries.sort_by(|one, other| {
            let rank = |entry: &PriceEntry| (entry.effective_from, entry.version);
            rank(other).cmp(&rank(one))
        });
        Self {
            entries: entries.into(),
        }
    }

    /// Returns the entry for a call at `now`: one of the call's mode if any is in force, else one
    /// without a mode. Among several the one that came into force last wins, then the one with the
    /// highest version. `None` means that the call has no price and is free.
    pub fn at(&self, now: Timestamp, mode: Option<&str>) -> Option<&PriceEntry> {
        let first = |wanted: Option<&str>| {
            let mut in_force = self.entries.iter().filter(|entry| entry.holds_at(now));
            in_force.find(|entry| entry.mode.as_deref() == wanted)
        };
        mode.and_then(|mode| first(Some(mode))).or_else(|| first(None))
    }

    /// Returns all entries, the latest to come into force first.
    pub fn entries(&self) -> &[PriceEntry] {
        &self.entries
    }
}
