//! Any course of calls: never more than the limit in any window.

use proptest::prelude::*;

use super::super::sliding::Sliding;
use super::*;

const MINUTE: u64 = 60_000;

/// Gaps between calls in milliseconds: bursts, breaks, and what lies around the borders.
fn any_gap() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..500_u64,
        3 => 500..20_000_u64,
        2 => 59_000..63_000_u64,
        1 => 60_000..400_000_u64,
    ]
}

fn after(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The largest sum of what was admitted in any window, its ends included.
fn largest_window(admitted: &[(u64, u64)], length: u64) -> u64 {
    let window = |begin: &(u64, u64)| {
        let within = admitted
            .iter()
            .filter(|(at, _)| (begin.0..=begin.0 + length).contains(at));
        within.map(|(_, amount)| amount).sum()
    };
    admitted.iter().map(window).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn never_more_than_the_limit_in_any_minute(
        limit in 1..200_u64,
        calls in prop::collection::vec((any_gap(), 1..300_u64), 1..120),
    ) {
        let mut window = Sliding::minute(limit, Duration::ZERO);
        let (mut now, mut admitted) = (0, Vec::new());
        for (gap, need) in calls {
            now += gap;
            window.refresh(limit, after(now));
            if window.wait(need, after(now)).is_none() {
                let (_, amount) = window.take(need);
                admitted.push((now, amount));
            }
        }
        prop_assert!(largest_window(&admitted, MINUTE) <= limit);
    }

    #[test]
    fn never_more_than_the_limit_in_any_hour(
        limit in 1..50_u64,
        gaps in prop::collection::vec(0..400_000_u64, 1..120),
    ) {
        let mut window = Sliding::hour(limit, Duration::ZERO);
        let (mut now, mut admitted) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            window.refresh(limit, after(now));
            if window.wait(1, after(now)).is_none() {
                let (_, amount) = window.take(1);
                admitted.push((now, amount));
            }
        }
        prop_assert!(largest_window(&admitted, 60 * MINUTE) <= limit);
    }

    /// Corrections down give room back and never too much: what calls used in the windows of their
    /// begins stays within the limit.
    #[test]
    fn corrections_never_open_more_than_the_limit(
        limit in 1..200_u64,
        calls in prop::collection::vec((any_gap(), 1..300_u64, 0..=100_u64, 0..5_usize), 1..100),
    ) {
        let mut window = Sliding::minute(limit, Duration::ZERO);
        let (mut now, mut used, mut running) = (0, Vec::new(), Vec::new());
        for (gap, need, percent, ends) in calls {
            now += gap;
            window.refresh(limit, after(now));
            if window.wait(need, after(now)).is_none() {
                let (slot, amount) = window.take(need);
                used.push((now, amount * percent / 100));
                running.push((slot, amount, amount * percent / 100));
            }
            for _ in 0..ends.min(running.len()) {
                let (slot, amount, used) = running.remove(0);
                window.correct(slot, amount, used);
            }
        }
        prop_assert!(largest_window(&used, MINUTE) <= limit);
    }

    /// Whatever engines report: over a long time no more than the limit a window is admitted, and
    /// what was above it was paid before anything else.
    #[test]
    fn what_is_used_above_the_limit_is_paid_by_waiting(
        limit in 1..200_u64,
        calls in prop::collection::vec((any_gap(), 1..300_u64, 0..1_000_u64), 1..60),
    ) {
        let mut window = Sliding::minute(limit, Duration::ZERO);
        let (mut now, mut sum, mut last) = (0, 0, None);
        for (gap, need, used) in calls {
            now += gap;
            window.refresh(limit, after(now));
            if window.wait(need, after(now)).is_none() {
                // All before this one fit into the windows since the first, and the next.
                if last.is_some() {
                    let windows = now / MINUTE + 1;
                    prop_assert!(sum <= limit * windows, "{sum} in {windows} windows of {limit}");
                }
                let (slot, amount) = window.take(need);
                window.correct(slot, amount, used);
                sum += used;
                last = Some(now);
            }
        }
    }

    #[test]
    fn a_call_is_admitted_when_it_was_told_to_come_back_and_not_long_before(
        limit in 1..200_u64,
        calls in prop::collection::vec((any_gap(), 1..300_u64, 0..2_000_u64), 1..40),
        need in 1..300_u64,
    ) {
        let course = || {
            let mut window = Sliding::minute(limit, Duration::ZERO);
            let mut now = 0;
            for (gap, need, used) in &calls {
                now += gap;
                window.refresh(limit, after(now));
                if window.wait(*need, after(now)).is_none() {
                    let (slot, amount) = window.take(*need);
                    window.correct(slot, amount, *used);
                }
            }
            (window, now)
        };
        let (mut window, now) = course();
        if let Some(wait) = window.wait(need, after(now)) {
            let then = after(now) + wait;
            window.refresh(limit, then);
            prop_assert_eq!(window.wait(need, then), None);
            let (mut early, _) = course();
            let before = then.saturating_sub(after(1)).max(after(now));
            early.refresh(limit, before);
            prop_assert!(early.wait(need, before).is_some());
        }
    }

    /// Leaping over a long break gives what walking through it gives.
    #[test]
    fn a_long_break_is_the_same_as_many_short_ones(
        limit in 1..50_u64,
        calls in prop::collection::vec((0..5_000_u64, 1..60_u64, 0..1_500_u64), 1..20),
        pause in 0..40 * MINUTE,
    ) {
        let course = || {
            let mut window = Sliding::minute(limit, Duration::ZERO);
            let mut now = 0;
            for (gap, need, used) in &calls {
                now += gap;
                window.refresh(limit, after(now));
                let (slot, amount) = window.take((*need).min(window.remaining()));
                window.correct(slot, amount, *used);
            }
            (window, now)
        };
        let (mut leaping, now) = course();
        let (mut walking, _) = course();
        for step in 0..=pause / 1_000 {
            walking.refresh(limit, after(now + step * 1_000));
        }
        walking.refresh(limit, after(now + pause));
        leaping.refresh(limit, after(now + pause));
        prop_assert_eq!(format!("{leaping:?}"), format!("{walking:?}"));
    }

    /// The header's promise: at the reset the window is whole, and before it is not.
    #[test]
    fn a_window_is_whole_at_its_reset_and_not_before(
        limit in 1..200_u64,
        calls in prop::collection::vec((0..30_000_u64, 1..300_u64, 0..2_000_u64), 1..20),
    ) {
        let mut window = Sliding::minute(limit, Duration::ZERO);
        let mut now = 0;
        for (gap, need, used) in calls {
            now += gap;
            window.refresh(limit, after(now));
            if window.wait(need, after(now)).is_none() {
                let (slot, amount) = window.take(need);
                window.correct(slot, amount, used);
            }
        }
        let reset = window.reset(after(now));
        if !reset.is_zero() {
            let before = (after(now) + reset).saturating_sub(after(1));
            window.refresh(limit, before.max(after(now)));
            prop_assert!(!window.is_empty());
        }
        window.refresh(limit, after(now) + reset);
        prop_assert!(window.is_empty());
    }
}

#[test]
fn absurd_usage_does_not_keep_anyone_busy() {
    let mut window = Sliding::minute(1, Duration::ZERO);
    let (slot, amount) = window.take(1);
    window.correct(slot, amount, u64::MAX);
    // A thousand years: walked through slot by slot this would take minutes.
    window.refresh(1, Duration::from_hours(24 * 365_000));
    assert!(window.wait(1, Duration::from_hours(24 * 365_000)).is_some());
    window.refresh(0, Duration::from_hours(24 * 365_001));
    assert_eq!(window.remaining(), 0);
}
