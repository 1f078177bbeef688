//! The counter of one metric of one subject.

use std::time::Duration;

use super::super::{Metric, Moment, Span, Standing};
use super::day_count::DayCount;
use super::sliding::Sliding;

/// A window of the metric's kind.
#[derive(Debug)]
pub(super) enum Counter {
    /// Minutes and hours.
    Sliding(Sliding),
    /// Days.
    Day(DayCount),
}

impl Counter {
    pub(super) fn new(metric: Metric, limit: u64, at: Moment) -> Self {
        match metric.span() {
            Span::Minute => Self::Sliding(Sliding::minute(limit, at.monotonic)),
            Span::Hour => Self::Sliding(Sliding::hour(limit, at.monotonic)),
            Span::Day => Self::Day(DayCount::new(at.day, limit, at.monotonic)),
        }
    }

    /// Brings the window to the moment; all below expect that. `None` leaves the limit as it is.
    pub(super) fn refresh(&mut self, limit: Option<u64>, at: Moment) {
        match self {
            Self::Sliding(window) => window.refresh(limit.unwrap_or(window.limit()), at.monotonic),
            Self::Day(day) => day.refresh(limit.unwrap_or(day.limit()), at),
        }
    }

    /// Returns how long a call must wait for room; `None` when there is room now.
    pub(super) fn wait(&self, need: u64, at: Moment) -> Option<Duration> {
        match self {
            Self::Sliding(window) => window.wait(need, at.monotonic),
            Self::Day(day) => day.wait(need, at),
        }
    }

    /// Takes a call's need, at most the limit; returns the slot and how much.
    pub(super) fn take(&mut self, need: u64) -> (u64, u64) {
        match self {
            Self::Sliding(window) => window.take(need),
            Self::Day(day) => day.take(need),
        }
    }

    /// Replaces what was taken in a slot by what was used.
    pub(super) fn correct(&mut self, slot: u64, amount: u64, used: u64) {
        match self {
            Self::Sliding(window) => window.correct(slot, amount, used),
            Self::Day(day) => day.correct(slot, amount, used),
        }
    }

    pub(super) fn standing(&self, metric: Metric, at: Moment) -> Standing {
        let (limit, remaining, reset) = match self {
            Self::Sliding(window) => (window.limit(), window.remaining(), window.reset(at.monotonic)),
            Self::Day(day) => (day.limit(), day.remaining(), day.reset(at)),
        };
        Standing {
            metric,
            limit,
            remaining,
            reset,
        }
    }

    /// Whether it counts nothing, so that it can be made anew at any time.
    pub(super) const fn is_empty(&self) -> bool {
        match self {
            Self::Sliding(window) => window.is_empty(),
            Self::Day(day) => day.is_empty(),
        }
    }
}
