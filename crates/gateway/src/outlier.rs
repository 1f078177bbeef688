//! Passive outlier ejection: a replica that fails too large a share of its calls is left alone.
//!
//! The breaker sees failures in a row; a replica that fails every other call never has three of
//! them. As in Envoy's outlier detection, the share of failures over the last while decides, and
//! each ejection lasts longer than the one before.

use std::time::Duration;

use tokio::time::Instant;

/// The calls that count are those of the last `SLICES` times `SLICE`, by slices.
const SLICES: usize = 6;
const SLICE: Duration = Duration::from_secs(5);
/// Fewer calls than this say nothing.
const LEAST_CALLS: u32 = 20;
/// How long the first ejection lasts, and the longest.
const FIRST_EJECTION: Duration = Duration::from_secs(10);
const LONGEST_EJECTION: Duration = Duration::from_mins(5);

/// How a replica has done of late, and whether it is ejected for that.
#[derive(Debug, Default)]
pub(crate) struct Outlier {
    /// The newest last.
    slices: [Slice; SLICES],
    /// When the newest slice began; `None` before the first call.
    newest: Option<Instant>,
    ejection: Option<Ejection>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Slice {
    calls: u32,
    failures: u32,
}

#[derive(Debug)]
struct Ejection {
    until: Instant,
    length: Duration,
}

impl Outlier {
    /// Counts a call that the replica answered to its end.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.count(now, 0);
    }

    /// Counts a call that the replica failed. True when it fails more than half of its calls and
    /// is not ejected; whether it is then to be ejected depends on its siblings.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.count(now, 1);
        let (calls, failures) = self.slices.iter().fold((0_u32, 0_u32), |sum, slice| {
            (
                sum.0.saturating_add(slice.calls),
                sum.1.saturating_add(slice.failures),
            )
        });
        calls >= LEAST_CALLS && failures > calls / 2 && self.ejected_for(now).is_none()
    }

    /// Ejects the replica and forgets its calls; returns for how long. Soon after another ejection
    /// (sooner than the longest lasts) it is for twice as long.
    pub(crate) fn eject(&mut self, now: Instant) -> Duration {
        let length = match &self.ejection {
            Some(last) if now < last.until + LONGEST_EJECTION => (last.length * 2).min(LONGEST_EJECTION),
            Some(_) | None => FIRST_EJECTION,
        };
        let until = now + length;
        *self = Self {
            ejection: Some(Ejection { until, length }),
            ..Self::default()
        };
        length
    }

    /// How long the replica stays ejected; `None` when it is not.
    pub(crate) fn ejected_for(&self, now: Instant) -> Option<Duration> {
        let ejection = self.ejection.as_ref()?;
        let left = ejection.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn count(&mut self, now: Instant, failures: u32) {
        self.turn(now);
        if let Some(slice) = self.slices.last_mut() {
            slice.calls = slice.calls.saturating_add(1);
            slice.failures = slice.failures.saturating_add(failures);
        }
    }

    /// Drops the slices that are too old.
    fn turn(&mut self, now: Instant) {
        let newest = *self.newest.get_or_insert(now);
        let passed = now.saturating_duration_since(newest).as_secs() / SLICE.as_secs();
        let slices = usize::try_from(passed).unwrap_or(SLICES).min(SLICES);
        if slices == 0 {
            return;
        }
        self.slices.rotate_left(slices % SLICES);
        for slice in self.slices.iter_mut().rev().take(slices) {
            *slice = Slice::default();
        }
        self.newest = Some(newest + Duration::from_secs(passed * SLICE.as_secs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    /// Plays calls at `now`, each `true` a success; says whether the last one asks for an ejection.
    fn play(outlier: &mut Outlier, now: Instant, calls: &[bool]) -> bool {
        let mut asks = false;
        for succeeds in calls {
            asks = if *succeeds {
                outlier.succeeded(now);
                false
            } else {
                outlier.failed(now)
            };
        }
        asks
    }

    #[test]
    fn more_than_half_of_at_least_twenty_calls_must_fail() {
        let now = Instant::now();
        assert!(!play(&mut Outlier::default(), now, &[false; 19]));
        assert!(play(&mut Outlier::default(), now, &[false; 20]));
        assert!(
            !play(&mut Outlier::default(), now, &[true, false].repeat(50)),
            "half is not more than half"
        );
        assert!(play(
            &mut Outlier::default(),
            now,
            &[true, false, false].repeat(50)
        ));
    }

    #[test]
    fn calls_of_more_than_half_a_minute_ago_are_forgotten() {
        let (mut outlier, now) = (Outlier::default(), Instant::now());
        play(&mut outlier, now, &[false; 19]);
        assert!(!play(&mut outlier, now + WINDOW, &[false]));
        let (mut outlier, now) = (Outlier::default(), Instant::now());
        play(&mut outlier, now, &[false; 10]);
        assert!(!play(&mut outlier, now + WINDOW / 2, &[false; 9]));
        assert!(
            play(&mut outlier, now + WINDOW / 2, &[false]),
            "the window slides"
        );
        assert!(
            !play(&mut outlier, now + WINDOW, &[false]),
            "the first ten are out"
        );
        assert!(!play(&mut outlier, now + WINDOW * 1_000_000, &[false; 19]));
    }

    #[test]
    fn an_ejection_ends_and_the_next_is_twice_as_long_up_to_five_minutes() {
        let (mut outlier, mut now) = (Outlier::default(), Instant::now());
        let mut expected = FIRST_EJECTION;
        for _ in 0..8 {
            assert!(play(&mut outlier, now, &[false; 20]));
            assert_eq!(outlier.eject(now), expected);
            assert!(!play(&mut outlier, now, &[false; 20]), "ejected already");
            assert_eq!(outlier.ejected_for(now), Some(expected));
            now += expected;
            assert_eq!(outlier.ejected_for(now), None);
            expected = (expected * 2).min(LONGEST_EJECTION);
        }
        assert_eq!(
            outlier.eject(now + LONGEST_EJECTION),
            FIRST_EJECTION,
            "a good while since"
        );
    }
}
