//! The seven metrics, and a limit for each.

use silica_types::code_enum;

use super::LimitMetrics;
use crate::KeyLimits;

code_enum! {
    /// What a limit counts, and over what time.
    Metric, "limit metric", {
        /// Requests per minute.
        Rpm = "RPM",
        /// Requests per hour.
        Rph = "RPH",
        /// Requests per day.
        Rpd = "RPD",
        /// Tokens per minute.
        Tpm = "TPM",
        /// Tokens per day.
        Tpd = "TPD",
        /// Images (or videos) per minute.
        Ipm = "IPM",
        /// Images (or videos) per day.
        Ipd = "IPD",
    }
}

/// How many metrics there are.
pub(super) const METRICS: usize = Metric::ALL.len();

/// The time that a metric counts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The last 60 seconds, at every moment.
    Minute,
    /// The last 3600 seconds, at every moment.
    Hour,
    /// The calendar day in the configured zone.
    Day,
}

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Requests, when they begin.
    Requests,
    /// Tokens, reserved at the begin and corrected at the end.
    Tokens,
    /// Images or videos, likewise.
    Images,
}

impl Metric {
    /// Returns the time that it counts over.
    pub const fn span(self) -> Span {
        match self {
            Self::Rpm | Self::Tpm | Self::Ipm => Span::Minute,
            Self::Rph => Span::Hour,
            Self::Rpd | Self::Tpd | Self::Ipd => Span::Day,
        }
    }

    /// Returns what it counts.
    pub const fn counted(self) -> Counted {
        match self {
            Self::Rpm | Self::Rph | Self::Rpd => Counted::Requests,
            Self::Tpm | Self::Tpd => Counted::Tokens,
            Self::Ipm | Self::Ipd => Counted::Images,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// A limit for each metric, or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSet([Option<u64>; METRICS]);

impl LimitSet {
    /// Limits nothing.
    pub const NONE: Self = Self([None; METRICS]);

    /// Returns the limit of a metric; `None` is no limit, zero refuses everything.
    pub const fn get(&self, metric: Metric) -> Option<u64> {
        self.0[metric.index()]
    }

    /// Returns the set with another limit for one metric.
    #[must_use]
    pub const fn with(mut self, metric: Metric, limit: Option<u64>) -> Self {
        self.0[metric.index()] = limit;
        self
    }

    /// Returns the lower limit of both sets for each metric.
    #[must_use]
    pub fn tightest(mut self, other: Self) -> Self {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine = match (*mine, others) {
                (Some(one), Some(another)) => Some(one.min(another)),
                (one, another) => one.or(another),
            };
        }
        self
    }

    /// Whether no metric is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::NONE
    }
}

/// -1 and absent are no limit. Other negative numbers, which validation never lets through, count
/// as zero: a broken row must not lift a limit.
impl From<LimitMetrics> for LimitSet {
    fn from(metrics: LimitMetrics) -> Self {
        let limit = |number: Option<i64>| {
            number
                .filter(|number| *number != -1)
                .map(|number| u64::try_from(number).unwrap_or(0))
        };
        Self(metrics.named().map(|(_, number)| limit(number)))
    }
}

/// The metrics among a key's own limits.
impl From<&KeyLimits> for LimitSet {
    fn from(limits: &KeyLimits) -> Self {
        Self::NONE
            .with(Metric::Rpm, limits.requests_per_minute)
            .with(Metric::Tpm, limits.tokens_per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_number_refuses_rather_than_lifts_the_limit() {
        let metrics = LimitMetrics {
            tokens_per_minute: Some(-7),
            ..LimitMetrics::default()
        };
        assert_eq!(LimitSet::from(metrics), LimitSet::NONE.with(Metric::Tpm, Some(0)));
    }

    #[test]
    fn the_tightest_of_two_sets_takes_each_metrics_lower_limit() {
        let one = LimitSet::NONE
            .with(Metric::Rpm, Some(5))
            .with(Metric::Tpm, Some(9));
        let other = LimitSet::NONE
            .with(Metric::Rpm, Some(7))
            .with(Metric::Rpd, Some(100));
        let expected = one.with(Metric::Rpd, Some(100));
        assert_eq!(one.tightest(other), expected);
        assert_eq!(other.tightest(one), expected);
        assert!(LimitSet::NONE.tightest(LimitSet::NONE).is_unlimited());
    }

    #[test]
    fn names_and_numbers_of_metrics_agree_with_the_rules() {
        let names = LimitMetrics::default().named().map(|(name, _)| name);
        assert_eq!(
            Metric::ALL
                .iter()
                .map(|metric| metric.as_str())
                .collect::<Vec<_>>(),
            names
        );
    }

    #[test]
    fn a_keys_own_limits_are_requests_and_tokens_per_minute() {
        let limits = KeyLimits {
            requests_per_minute: Some(3),
            ..KeyLimits::default()
        };
        assert_eq!(LimitSet::from(&limits), LimitSet::NONE.with(Metric::Rpm, Some(3)));
    }
}
