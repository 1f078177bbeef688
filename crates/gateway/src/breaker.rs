//! A circuit breaker: keeps calls away from a replica that fails again and again.
//!
//! Closed, open, half open, as in Nygard's "Release It!": after some failures in a row no call goes
//! to the replica for a while; then one call tries it. Its success closes the breaker, its failure
//! opens it for twice as long.

use std::sync::{Mutex, MutexGuard, PoisonError};
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
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    /// No call until `until`; then one, by which `until` moves on.
    Open {
        until: Instant,
        pause: Duration,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a call may go to the replica; an open breaker lets one try when its pause is over.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match &mut *state {
            State::Closed { .. } => true,
            State::Open { until, .. } if *until <= now => {
                *until = now + TRIAL;
                true
            }
            State::Open { .. } => false,
        }
    }

    /// The replica began to answer.
    pub(crate) fn succeeded(&self) {
        *self.lock() = State::default();
    }

    /// The replica failed. True when that opened the breaker that was closed.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match *state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                *state = State::Closed {
                    failures: failures + 1,
                };
                false
            }
            State::Closed { .. } => {
                *state = State::Open {
                    until: now + FIRST_PAUSE,
                    pause: FIRST_PAUSE,
                };
                true
            }
            State::Open { pause, .. } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                *state = State::Open {
                    until: now + pause,
                    pause,
                };
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (Breaker, Instant) {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(!breaker.failed(now));
        assert!(!breaker.failed(now));
        assert!(breaker.failed(now), "the third opens it");
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_trial_closes_it() {
        let (breaker, now) = open();
        assert!(!breaker.admits(now + FIRST_PAUSE / 2));
        assert!(breaker.admits(now + FIRST_PAUSE));
        assert!(!breaker.admits(now + FIRST_PAUSE), "one trial at a time");
        breaker.succeeded();
        assert!(breaker.admits(now + FIRST_PAUSE));
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_a_minute() {
        let (breaker, mut now) = open();
        let mut pause = FIRST_PAUSE;
        for _ in 0..8 {
            now += pause;
            assert!(breaker.admits(now));
            breaker.failed(now);
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert!(!breaker.admits(now + pause / 2));
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 {
            breaker.failed(now);
            breaker.failed(now);
            breaker.succeeded();
        }
        assert!(breaker.admits(now));
    }

    #[test]
    fn a_trial_that_nobody_reports_makes_way() {
        let (breaker, now) = open();
        assert!(breaker.admits(now + FIRST_PAUSE));
        assert!(breaker.admits(now + FIRST_PAUSE + TRIAL));
    }
}
