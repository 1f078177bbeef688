//! Percentiles of measured durations.

use std::time::Duration;

/// Durations in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Durations(Vec<Duration>);

impl FromIterator<Duration> for Durations {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

impl Durations {
    /// The smallest measured value that at least `percent` of all values do not exceed (nearest
    /// rank, no interpolation: the result is a value that occurred). `None` without values.
    pub(super) fn percentile(&self, percent: u8) -> Option<Duration> {
        let rank = (self.0.len() * usize::from(percent.min(100))).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn milliseconds(values: impl IntoIterator<Item = u64>) -> Durations {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let values = milliseconds((1..=100).rev());
        assert_eq!(values.percentile(50), Some(Duration::from_millis(50)));
        assert_eq!(values.percentile(99), Some(Duration::from_millis(99)));
        assert_eq!(values.percentile(100), Some(Duration::from_millis(100)));
        let values = milliseconds([15, 20, 35, 40, 50]);
        assert_eq!(values.percentile(30), Some(Duration::from_millis(20)));
        assert_eq!(values.percentile(0), Some(Duration::from_millis(15)));
    }

    #[test]
    fn one_value_is_every_percentile_and_none_has_none() {
        assert_eq!(milliseconds([7]).percentile(99), Some(Duration::from_millis(7)));
        assert_eq!(milliseconds([]).percentile(50), None);
    }

    proptest! {
        #[test]
        fn at_least_the_share_lies_at_or_below(values in prop::collection::vec(0_u64..1000, 1..200), percent in 0_u8..=100) {
            let durations = milliseconds(values.clone());
            let border = durations.percentile(percent).unwrap();
            let below = values.iter().filter(|value| Duration::from_millis(**value) <= border).count();
            prop_assert!(below * 100 >= values.len() * usize::from(percent));
        }
    }
}
