//! What a batch of settled calls does to buckets, rows and sums: arithmetic without a database.

use std::collections::{BTreeMap, HashMap, HashSet};

use silica_billing::{BucketKind, UsageEvent};
use silica_types::{AccountId, Money, RequestId};
use uuid::Uuid;

use super::consumption::Paid;
use super::rows::{self, Posting, Values};
use crate::entities::bucket;

/// The most that one call's shortfall counts in roll-ups and rows, 10,000 CNY: a call beyond that
/// comes from an engine that reports nonsense, and the sums of many must fit 64 bits.
const MOST_SHORTFALL: i64 = 10_000_000_000_000;
/// The most that one call's units of a kind count in roll-ups, for the same reason.
const MOST_UNITS: u64 = 1 << 32;
/// The same for pixels times steps, of which an honest video has more.
const MOST_PIXEL_STEPS: u64 = 1 << 40;
/// The numbers of a roll-up, in the order of the table's columns.
pub(super) const NUMBERS: usize = 15;
const SHORTFALL: usize = NUMBERS - 1;
const PIXEL_STEPS: usize = 6;

/// The id of a call, as the ledger knows it.
pub(super) type CallId = (AccountId, RequestId);

/// The key of a roll-up: account, day, key, model. Ordered, so that every batch locks alike.
pub(super) type UsageKey<'event> = (Uuid, i32, Uuid, &'event str);

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Booking<'event> {
    pub(super) rows: Vec<Values>,
    pub(super) usage: BTreeMap<UsageKey<'event>, [i64; NUMBERS]>,
    /// What was taken, by bucket and day.
    pub(super) spending: BTreeMap<(Uuid, i32), i64>,
    /// What was taken, by bucket.
    pub(super) taken: HashMap<Uuid, i64>,
    /// What was taken, by account and month.
    pub(super) paid: Paid,
    pub(super) calls: usize,
}

/// Leaves out repetitions of an event inside a batch.
pub(super) fn unique(events: &[UsageEvent]) -> Vec<&UsageEvent> {
    let mut seen = HashSet::with_capacity(events.len());
    events
        .iter()
        .filter(|event| seen.insert((event.account, event.id)))
        .collect()
}

/// Sums up what the calls have settled on each bucket.
pub(super) fn settled(events: &[&UsageEvent]) -> BTreeMap<Uuid, Money> {
    let mut settled: BTreeMap<Uuid, Money> = BTreeMap::new();
    for part in events.iter().flat_map(|event| &event.parts) {
        let sum = settled.entry(part.bucket.as_uuid()).or_default();
        *sum = sum.saturating_add(part.amount);
    }
    settled
}

/// Books the calls that are not known yet, taking what they settled from the buckets as far as it
/// is there.
pub(super) fn book<'event>(
    events: &[&'event UsageEvent],
    known: &HashSet<CallId>,
    buckets: &mut [bucket::Model],
) -> Booking<'event> {
    let mut buckets: HashMap<Uuid, &mut bucket::Model> =
        buckets.iter_mut().map(|bucket| (bucket.id, bucket)).collect();
    let mut booking = Booking::default();
    for event in events {
        if !known.contains(&(event.account, event.id)) {
            booking.add(event, &postings(event, &mut buckets));
        }
    }
    booking
}

/// Takes the parts of a call from their buckets. What a bucket does not hold, because it ended or
/// another process spent it, becomes shortfall: no balance goes below zero, and a batch never
/// fails for ever.
fn postings(event: &UsageEvent, buckets: &mut HashMap<Uuid, &mut bucket::Model>) -> Vec<Posting> {
    let mut unpaid = event.shortfall.nano().max(0);
    if event.parts.is_empty() {
        return vec![Posting {
            position: 0,
            bucket: None,
            taken: Money::ZERO,
            shortfall: Money::from_nano(unpaid.min(MOST_SHORTFALL)),
        }];
    }
    let parts = (0..).zip(&event.parts).map(|(position, part)| {
        let asked = part.amount.nano().max(0);
        let taken = match buckets.get_mut(&part.bucket.as_uuid()) {
            Some(bucket) if bucket.account_id == event.account.as_uuid() => {
                let taken = asked.min(bucket.balance_nano);
                bucket.balance_nano -= taken;
                taken
            }
            _ => 0,
        };
        // The call's own shortfall stands on its first row.
        let shortfall = std::mem::take(&mut unpaid).saturating_add(asked - taken);
        Posting {
            position,
            bucket: Some((part.bucket, part.kind)),
            taken: Money::from_nano(taken),
            shortfall: Money::from_nano(shortfall.min(MOST_SHORTFALL)),
        }
    });
    parts.collect()
}

impl<'event> Booking<'event> {
    fn add(&mut self, event: &'event UsageEvent, postings: &[Posting]) {
        let day = event.day.number();
        let usage = self.usage.entry((
            event.account.as_uuid(),
            day,
            event.key.as_uuid(),
            event.model.as_str(),
        ));
        let usage = usage.or_default();
        count(usage, event);
        // Numbers and flags have a JSON text, always.
        let mut units = serde_json::to_string(&event.units).ok();
        let mut paid = 0;
        for posting in postings {
            if let Some((bucket, kind)) = posting.bucket {
                let taken = posting.taken.nano();
                add(&mut usage[place(kind)], taken);
                add(self.spending.entry((bucket.as_uuid(), day)).or_default(), taken);
                add(self.taken.entry(bucket.as_uuid()).or_default(), taken);
                add(&mut paid, taken);
            }
            add(&mut usage[SHORTFALL], posting.shortfall.nano());
            self.rows.push(rows::call(event, posting, units.take()));
        }
        if paid > 0 {
            let month = (event.account.as_uuid(), event.day.month());
            add(self.paid.entry(month).or_default(), paid);
        }
        self.calls += 1;
    }
}

/// Adds to a sum that stays at its most rather than overflow, as the sums in the database do.
const fn add(sum: &mut i64, number: i64) {
    *sum = sum.saturating_add(number);
}

/// The place of a kind's amount among the numbers of a roll-up.
const fn place(kind: BucketKind) -> usize {
    match kind {
        BucketKind::Voucher => NUMBERS - 4,
        BucketKind::Gift => NUMBERS - 3,
        BucketKind::Charge => NUMBERS - 2,
    }
}

fn count(usage: &mut [i64; NUMBERS], event: &UsageEvent) {
    let units = &event.units;
    let counts = [
        1,
        units.prompt_tokens,
        units.cached_tokens,
        units.completion_tokens,
        units.reasoning_tokens,
        units.images,
        units.pixel_steps,
        units.videos,
        units.text_bytes,
        units.milliseconds,
        units.training_tokens,
    ];
    for (place, (sum, count)) in usage.iter_mut().zip(counts).enumerate() {
        let most = if place == PIXEL_STEPS {
            MOST_PIXEL_STEPS
        } else {
            MOST_UNITS
        };
        add(sum, i64::try_from(count.min(most)).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
