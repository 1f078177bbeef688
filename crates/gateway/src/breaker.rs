//! A circuit breaker: keeps calls away from a replica that fails again and again.
//!
//! Closed, open, half open, as in Nygard's "Release It!": after some failures in a row no call goes
//! to the replica for a while; then one call tries it. Its success closes the breaker, its failure
//! opens it for twice as long.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 3;
/// How long it is open the first time, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A trial whose outcome nobody reports (its client left) makes way for the next after this time.
const TRIAL: Duration = Duration::from_secs(10);

/// Whether a replica is tried.
#[derive(Debug)]
pub(crate) enum Breaker {
    /// Calls go through.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// No call until `until`; then one, by which `until` moves on.
    Open {
        /// When the next call may try.
        until: Instant,
        /// How long it was opened for.
        pause: Duration,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a call may go to the replica now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Open { until, .. } => *until <= now,
        }
    }

    /// Whether the breaker is closed.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Lets a call through, if one may go; of an open breaker it is the trial, and the only one.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        let is_due = self.is_due(now);
        if let Self::Open { until, .. } = self
            && is_due
        {
            *until = now + TRIAL;
        }
        is_due
    }

    /// The replica began to answer. True when that closed the breaker.
    pub(crate) fn succeeded(&mut self) -> bool {
        let was_open = !self.is_closed();
        *self = Self::default();
        was_open
    }

    /// The replica failed. True when that opened the breaker that was closed.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        let (pause, opened) = match self {
            Self::Closed { failures } if *failures + 1 < FAILURES => {
                *failures += 1;
                return false;
            }
            Self::Closed { .. } => (FIRST_PAUSE, true),
            Self::Open { pause, .. } => ((*pause * 2).min(LONGEST_PAUSE), false),
        };
        *self = Self::Open {
            until: now + pause,
            pause,
        };
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        assert!(!breaker.failed(now));
        assert!(!breaker.failed(now));
        assert!(breaker.failed(now), "the third opens it");
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_trial_closes_it() {
        let (mut breaker, now) = open();
        assert!(!breaker.admits(now + FIRST_PAUSE / 2));
        assert!(breaker.is_due(now + FIRST_PAUSE));
        assert!(breaker.admits(now + FIRST_PAUSE));
        assert!(!breaker.admits(now + FIRST_PAUSE), "one trial at a time");
        assert!(breaker.succeeded());
        assert!(breaker.admits(now + FIRST_PAUSE));
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_a_minute() {
        let (mut breaker, mut now) = open();
        let mut pause = FIRST_PAUSE;
        for _ in 0..8 {
            now += pause;
            assert!(breaker.admits(now));
            assert!(!breaker.failed(now), "it was open before");
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert!(!breaker.admits(now + pause / 2));
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 {
            breaker.failed(now);
            breaker.failed(now);
            assert!(!breaker.succeeded(), "it was closed before");
        }
        assert!(breaker.admits(now));
    }

    #[test]
    fn a_trial_that_nobody_reports_makes_way() {
        let (mut breaker, now) = open();
        assert!(breaker.admits(now + FIRST_PAUSE));
        assert!(breaker.admits(now + FIRST_PAUSE + TRIAL));
    }
}
