//! How a replica is doing: what it runs, and what keeps calls away from it.
//!
//! It belongs to the engine, not to one version of its deployment, so that changing a weight does
//! not forget that the engine is ill or busy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Admitted, Breaker};
use crate::meters::ConditionMeters;
use crate::outlier::Outlier;

/// How long a replica is left alone when it limits its calls and does not say how long, and at most.
const COOL_DOWN: Duration = Duration::from_secs(1);
const LONGEST_COOL_DOWN: Duration = Duration::from_mins(5);

/// The condition of one engine.
#[derive(Default)]
pub(crate) struct Condition {
    running: AtomicU64,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Faults {
    health: Health,
    breaker: Breaker,
    outlier: Outlier,
    /// When it takes calls again, by its own word.
    cooling_until: Option<Instant>,
    /// `None` while its deployment is not in force.
    meters: Option<ConditionMeters>,
}

/// What the health checks say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing: it is not asked, or was not yet.
    #[default]
    Unknown,
    /// It answers.
    Healthy,
    /// It does not.
    Unhealthy,
}

/// Whether a replica is a good choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// Nothing speaks against it.
    Ready,
    /// Calls will likely fail there; better than no replica at all.
    Suspect,
    /// It asked to be left alone for so long.
    Cooling(Duration),
}

/// What the operator sees of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// The replica failed several times in a row; calls go elsewhere.
    Open,
    /// The next call tries the replica.
    HalfOpen,
}

/// What speaks against a replica at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaState {
    /// What the health checks say.
    pub health: Health,
    /// Where its circuit breaker stands.
    pub breaker: BreakerState,
    /// How long it stays ejected for the share of its calls that failed, if it is.
    pub ejected_for: Option<Duration>,
    /// How long it stays alone because it limits its calls, if it does.
    pub cooling_for: Option<Duration>,
    /// Calls that run on it.
    pub running: u64,
    /// Whether it takes no new calls by the operator's wish.
    pub drains: bool,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The breaker has opened.
    pub(crate) opened: bool,
    /// The replica fails most of its calls and should be ejected.
    pub(crate) is_outlier: bool,
}

impl Condition {
    /// The calls that run.
    pub(crate) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Counts one more running call unless `limit` run.
    pub(crate) fn enter(&self, limit: u64) -> bool {
        let enter = |running| (running < limit).then_some(running + 1);
        self.running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter)
            .is_ok()
    }

    /// Counts one running call less.
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the replica is a good choice.
    pub(crate) fn fitness(&self, now: Instant) -> Fitness {
        let faults = self.lock();
        if let Some(left) = faults.cooling_for(now) {
            return Fitness::Cooling(left);
        }
        let is_ready = faults.health != Health::Unhealthy
            && faults.breaker.is_due(now)
            && faults.outlier.ejected_for(now).is_none();
        if is_ready {
            Fitness::Ready
        } else {
            Fitness::Suspect
        }
    }

    /// Lets a call through the breaker, if one may go.
    pub(crate) fn admits(&self, now: Instant) -> Option<Admitted> {
        self.lock().breaker.admits(now)
    }

    /// The breaker's trial said nothing about the replica.
    pub(crate) fn passed_over(&self, now: Instant) {
        self.lock().breaker.passed_over(now);
    }

    /// The replica began to answer. True when that closed its breaker.
    pub(crate) fn began(&self) -> bool {
        let mut faults = self.lock();
        let closed = faults.breaker.succeeded();
        if closed {
            faults.report();
        }
        closed
    }

    /// The replica answered a call without a fault, as far as it was read.
    pub(crate) fn answered(&self, now: Instant) {
        self.lock().outlier.succeeded(now);
    }

    /// The replica failed.
    pub(crate) fn failed(&self, now: Instant) -> Failed {
        let mut faults = self.lock();
        let opened = faults.breaker.failed(now);
        let is_outlier = faults.outlier.failed(now);
        if opened {
            faults.report();
        }
        Failed { opened, is_outlier }
    }

    /// The replica limits its calls. Returns how long it is left alone.
    pub(crate) fn limited(&self, now: Instant, retry_after: Option<Duration>) -> Duration {
        let pause = retry_after.unwrap_or(COOL_DOWN).min(LONGEST_COOL_DOWN);
        let mut faults = self.lock();
        let until = now + pause;
        faults.cooling_until = Some(faults.cooling_until.map_or(until, |known| known.max(until)));
        pause
    }

    /// Ejects the replica; returns for how long.
    pub(crate) fn eject(&self, now: Instant) -> Duration {
        self.lock().outlier.eject(now)
    }

    /// Whether the replica is ejected.
    pub(crate) fn is_ejected(&self, now: Instant) -> bool {
        self.lock().outlier.ejected_for(now).is_some()
    }

    /// Takes down what the health checks say. True when that is news. A replica that is back
    /// begins anew: what its breaker and its ejection stand for is over.
    pub(crate) fn set_health(&self, health: Health) -> bool {
        let mut faults = self.lock();
        let before = std::mem::replace(&mut faults.health, health);
        if before == health {
            return false;
        }
        if before == Health::Unhealthy {
            faults.breaker = Breaker::default();
            faults.outlier = Outlier::default();
        }
        faults.report();
        true
    }

    /// Shows the condition under these meters from now on; `None` shows it no more.
    pub(crate) fn show(&self, meters: Option<ConditionMeters>) {
        let mut faults = self.lock();
        if let Some(before) = std::mem::replace(&mut faults.meters, meters) {
            before.retire();
        }
        faults.report();
    }

    /// What speaks against the replica now.
    pub(crate) fn state(&self, now: Instant, drains: bool) -> ReplicaState {
        let faults = self.lock();
        ReplicaState {
            health: faults.health,
            breaker: match (faults.breaker.is_closed(), faults.breaker.is_due(now)) {
                (true, _) => BreakerState::Closed,
                (false, false) => BreakerState::Open,
                (false, true) => BreakerState::HalfOpen,
            },
            ejected_for: faults.outlier.ejected_for(now),
            cooling_for: faults.cooling_for(now),
            running: self.running(),
            drains,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Faults {
    fn cooling_for(&self, now: Instant) -> Option<Duration> {
        let left = self.cooling_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn report(&self) {
        if let Some(meters) = &self.meters {
            meters.report(self.health, self.breaker.is_closed());
        }
    }
}
