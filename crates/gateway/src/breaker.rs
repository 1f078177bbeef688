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
    /// No call until `until`; then one, which tries.
    Open {
        /// When a call may try.
        until: Instant,
        /// How long it was opened for.
        pause: Duration,
    },
    /// A call tries; no other until `until`.
    HalfOpen {
        /// When the next call may try.
        until: Instant,
        /// How long it was opened for.
        pause: Duration,
    },
}

/// How a call was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// As any other.
    Freely,
    /// As the one that tries whether the replica is well again.
    AsTrial,
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
            Self::Open { until, .. } | Self::HalfOpen { until, .. } => *until <= now,
        }
    }

    /// Whether the breaker is closed.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Lets a call through, if one may go; of an open breaker it is the trial, and the only one.
    pub(crate) fn admits(&mut self, now: Instant) -> Option<Admitted> {
        if !self.is_due(now) {
            return None;
        }
        let (Self::Open { pause, .. } | Self::HalfOpen { pause, .. }) = *self else {
            return Some(Admitted::Freely);
        };
        let until = now + TRIAL;
        *self = Self::HalfOpen { until, pause };
        Some(Admitted::AsTrial)
    }

    /// The trial ended without a word about the replica: another may try at once.
    pub(crate) fn passed_over(&mut self, now: Instant) {
        if let Self::HalfOpen { pause, .. } = *self {
            *self = Self::Open { until: now, pause };
        }
    }

    /// The replica began to answer. True when that closed the breaker.
    pub(crate) fn succeeded(&mut self) -> bool {
        let was_open = !self.is_closed();
        *self = Self::default();
        was_open
    }

    /// The replica failed. True when that opened the breaker that was closed. Calls that began before
    /// it was opened say nothing new: a crash that cuts fifty streams is one fault.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        let (pause, opened) = match self {
            Self::Closed { failures } if *failures + 1 < FAILURES => {
                *failures += 1;
                return false;
            }
            Self::Closed { .. } => (FIRST_PAUSE, true),
            Self::Open { .. } => return false,
            Self::HalfOpen { pause, .. } => ((*pause * 2).min(LONGEST_PAUSE), false),
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
        assert_eq!(breaker.admits(now + FIRST_PAUSE / 2), None);
        assert!(breaker.is_due(now + FIRST_PAUSE));
        assert!(breaker.admits(now + FIRST_PAUSE).is_some());
        assert_eq!(breaker.admits(now + FIRST_PAUSE), None, "one trial at a time");
        assert!(breaker.succeeded());
        assert_eq!(breaker.admits(now + FIRST_PAUSE), Some(Admitted::Freely));
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_a_minute() {
        let (mut breaker, mut now) = open();
        let mut pause = FIRST_PAUSE;
        for _ in 0..8 {
            now += pause;
            assert!(breaker.admits(now).is_some());
            assert!(!breaker.failed(now), "it was open before");
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert_eq!(breaker.admits(now + pause / 2), None);
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn many_calls_that_fail_at_once_are_one_fault() {
        let (mut breaker, now) = open();
        for _ in 0..50 {
            assert!(!breaker.failed(now));
        }
        assert!(breaker.is_due(now + FIRST_PAUSE));
    }

    #[test]
    fn a_trial_that_says_nothing_makes_way_at_once() {
        let (mut breaker, now) = open();
        let later = now + FIRST_PAUSE;
        assert_eq!(breaker.admits(later), Some(Admitted::AsTrial));
        breaker.passed_over(later);
        assert!(breaker.admits(later).is_some(), "the next one tries");
        assert!(!breaker.failed(later));
        assert_eq!(breaker.admits(later + FIRST_PAUSE), None, "the pause has doubled");
        breaker.passed_over(later);
        assert_eq!(breaker.admits(later + FIRST_PAUSE), None, "it is nobody's trial");
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 {
            breaker.failed(now);
            breaker.failed(now);
            assert!(!breaker.succeeded(), "it was closed before");
        }
        assert!(breaker.admits(now).is_some());
    }

    #[test]
    fn a_trial_that_nobody_reports_makes_way() {
        let (mut breaker, now) = open();
        assert!(breaker.admits(now + FIRST_PAUSE).is_some());
        assert!(breaker.admits(now + FIRST_PAUSE + TRIAL).is_some());
    }
}
