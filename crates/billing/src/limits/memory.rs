//! Limits counted in the memory of one process.

mod counter;
mod counters;
mod day_count;
mod sliding;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    LimitCounters, LimitReached, LimitSet, Metric, Moment, Need, Scope, Standing, Subject, Taken, TakenPart,
};
use crate::BillingDay;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, lock};

use counters::Counters;

/// Enough that cores seldom meet at one lock, and that sweeping one is short.
const SHARDS: usize = 256;
/// One shard is swept in each such time, so that under traffic every one is about once a minute.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// Counted when a request begins.
const REQUEST_METRICS: &[Metric] = &[Metric::Rpm, Metric::Rph, Metric::Rpd];
/// Taken when the size of a call is known, and corrected at its end.
const AMOUNT_METRICS: &[Metric] = &[Metric::Tpm, Metric::Tpd, Metric::Ipm, Metric::Ipd];

type Shard = HashMap<Subject, Counters>;

/// The counters of all subjects of this process.
///
/// Memory is bounded by the subjects that called in the last hour, and on this day where a day is
/// limited; others are dropped on the way.
pub struct MemoryCounters {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    /// When the last sweep was, in units of [`SWEEP_EVERY`].
    swept: AtomicU64,
    /// How many sweeps there were: the next one's shard.
    sweeps: AtomicU64,
}

impl Default for MemoryCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryCounters {
    /// Begins with nothing used.
    pub fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            swept: AtomicU64::new(0),
            sweeps: AtomicU64::new(0),
        }
    }

    /// Returns how many subjects are in memory.
    pub fn subjects(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard_of(&self, subject: &Subject) -> usize {
        usize::try_from(self.hasher.hash_one(subject) % SHARDS as u64).unwrap_or(0)
    }

    /// Checks `metrics` in all scopes, then takes from all; nothing is taken when one has no room.
    /// The parts are noted where that is wanted.
    fn admit(
        &self,
        scopes: &[Scope],
        metrics: &[Metric],
        need: Need,
        at: Moment,
        mut parts: Option<&mut Vec<TakenPart>>,
    ) -> Result<(), LimitReached> {
        self.sweep_one(at);
        let mut locked = self.lock(scopes, metrics);
        for (scope, shard) in &locked.scopes {
            let counters = Locked::counters(&mut locked.shards, *shard, &scope.subject);
            counters.check(scope, metrics, need, at)?;
        }
        for (scope, shard) in &locked.scopes {
            let counters = Locked::counters(&mut locked.shards, *shard, &scope.subject);
            counters.take(scope, metrics, need, parts.as_deref_mut());
        }
        Ok(())
    }

    /// Locks the shards of all scopes that `metrics` limit.
    fn lock<'a>(&'a self, scopes: &'a [Scope], metrics: &[Metric]) -> Locked<'a> {
        debug_assert!(
            (1..scopes.len()).all(|end| scopes[..end].iter().all(|one| one.subject != scopes[end].subject)),
            "a subject stands in one scope only"
        );
        let is_limited = |limits: &LimitSet| metrics.iter().any(|metric| limits.get(*metric).is_some());
        let scopes: Vec<(&Scope, usize)> = scopes
            .iter()
            .filter(|scope| is_limited(&scope.limits))
            .map(|scope| (scope, self.shard_of(&scope.subject)))
            .collect();
        let mut shards = Vec::with_capacity(scopes.len());
        // Always in the order of their numbers, so that two calls never wait for each other.
        let numbers = || scopes.iter().map(|(_, number)| *number);
        let mut next = numbers().min();
        while let Some(number) = next {
            shards.push((number, lock(&self.shards[number])));
            next = numbers().filter(|other| *other > number).min();
        }
        Locked { scopes, shards }
    }

    /// Drops what is empty from one shard, now and then.
    fn sweep_one(&self, at: Moment) {
        let due = u64::try_from(at.monotonic.as_millis() / SWEEP_EVERY.as_millis()).unwrap_or(0);
        let swept = self.swept.load(Ordering::Relaxed);
        let is_mine = swept < due
            && self
                .swept
                .compare_exchange(swept, due, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_mine {
            let sweeps = self.sweeps.fetch_add(1, Ordering::Relaxed);
            let number = usize::try_from(sweeps % SHARDS as u64).unwrap_or(0);
            let mut shard = lock(&self.shards[number]);
            shard.retain(|_, counters| counters.is_in_use(at));
            let enough = shard.len().saturating_mul(2);
            shard.shrink_to(enough);
        }
    }
}

/// Some scopes with the numbers of their shards, and these shards.
struct Locked<'a> {
    scopes: Vec<(&'a Scope, usize)>,
    shards: Vec<(usize, MutexGuard<'a, Shard>)>,
}

impl Locked<'_> {
    fn counters<'b>(
        shards: &'b mut [(usize, MutexGuard<'_, Shard>)],
        number: usize,
        subject: &Subject,
    ) -> &'b mut Counters {
        let index = shards
            .iter()
            .position(|(other, _)| *other == number)
            .unwrap_or_default();
        shards[index].1.entry(subject.clone()).or_default()
    }
}

#[async_trait]
impl LimitCounters for MemoryCounters {
    async fn begin(&self, scopes: &[Scope], at: Moment) -> Result<(), LimitReached> {
        self.admit(scopes, REQUEST_METRICS, Need::NOTHING, at, None)
    }

    async fn take(&self, scopes: &[Scope], need: Need, at: Moment) -> Result<Taken, LimitReached> {
        let mut taken = Taken::default();
        self.admit(scopes, AMOUNT_METRICS, need, at, Some(&mut taken.parts))?;
        Ok(taken)
    }

    fn correct(&self, taken: Taken, used: Need, at: Moment) {
        for part in taken.parts {
            let used = used.of(part.metric.counted());
            if used == part.amount {
                continue;
            }
            let number = self.shard_of(&part.subject);
            let mut shard = lock(&self.shards[number]);
            match shard.get_mut(&part.subject) {
                Some(counters) => counters.correct(&part, used, at),
                // Swept away since: what was taken is no longer counted.
                None if used > part.amount => {
                    shard
                        .entry(part.subject.clone())
                        .or_default()
                        .correct(&part, used, at);
                }
                None => {}
            }
        }
    }

    async fn standing(&self, scope: &Scope, at: Moment) -> Vec<Standing> {
        let mut shard = lock(&self.shards[self.shard_of(&scope.subject)]);
        let mut none = Counters::default();
        shard
            .get_mut(&scope.subject)
            .unwrap_or(&mut none)
            .standing(&scope.limits, at)
    }

    fn install_day(&self, subject: Subject, day: BillingDay, requests: u64, used: Need) {
        let mut shard = lock(&self.shards[self.shard_of(&subject)]);
        shard.entry(subject).or_default().install_day(day, requests, used);
    }
}

impl fmt::Debug for MemoryCounters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryCounters").finish_non_exhaustive()
    }
}
