//! Calendar days, and clocks that jump.

use proptest::prelude::*;

use super::*;

/// A moment on a day, so many hours after the start.
fn on(date: &str, hours: u64) -> Moment {
    Moment {
        monotonic: Duration::from_hours(hours),
        day: day(date),
        until_midnight: Duration::from_secs(90),
    }
}

fn rpd(limit: u64) -> [Scope; 1] {
    [scope(model(1, "a/b"), [(Metric::Rpd, limit)])]
}

fn tpd(limit: u64) -> Scope {
    scope(model(1, "a/b"), [(Metric::Tpd, limit)])
}

#[test]
fn a_day_is_whole_again_at_midnight() {
    let (counters, scopes) = (MemoryCounters::new(), rpd(2));
    counters.begin_at(&scopes, on("2025-02-13", 0)).unwrap();
    counters.begin_at(&scopes, on("2025-02-13", 1)).unwrap();
    let refusal = counters.begin_at(&scopes, on("2025-02-13", 2)).unwrap_err();
    assert_eq!(
        (refusal.metric, refusal.retry_after),
        (Metric::Rpd, Duration::from_secs(90))
    );
    counters.begin_at(&scopes, on("2025-02-14", 2)).unwrap();
    counters.begin_at(&scopes, on("2025-02-14", 2)).unwrap();
    assert!(counters.begin_at(&scopes, on("2025-02-14", 2)).is_err());
}

#[test]
fn a_clock_set_back_over_midnight_allows_nothing_twice() {
    let (counters, scopes) = (MemoryCounters::new(), rpd(2));
    counters.begin_at(&scopes, on("2025-02-14", 0)).unwrap();
    counters.begin_at(&scopes, on("2025-02-13", 0)).unwrap();
    assert!(counters.begin_at(&scopes, on("2025-02-13", 1)).is_err());
    assert!(counters.begin_at(&scopes, on("2025-02-14", 2)).is_err());
    counters.begin_at(&scopes, on("2025-02-15", 25)).unwrap();
}

#[test]
fn a_clock_that_was_a_year_ahead_costs_one_day_at_most() {
    let (counters, scopes) = (MemoryCounters::new(), rpd(1));
    counters.begin_at(&scopes, on("2026-02-13", 0)).unwrap();
    assert!(counters.begin_at(&scopes, on("2025-02-13", 23)).is_err());
    counters.begin_at(&scopes, on("2025-02-14", 24)).unwrap();
    assert!(counters.begin_at(&scopes, on("2025-02-14", 25)).is_err());
    counters.begin_at(&scopes, on("2025-02-15", 48)).unwrap();
}

#[test]
fn minutes_do_not_care_about_the_calendar() {
    let counters = MemoryCounters::new();
    let scopes = [scope(model(1, "a/b"), [(Metric::Rpm, 1)])];
    counters.begin_at(&scopes, on("2025-02-13", 0)).unwrap();
    assert!(counters.begin_at(&scopes, on("2030-01-01", 0)).is_err());
    assert!(counters.begin_at(&scopes, on("2020-01-01", 0)).is_err());
}

#[test]
fn tokens_used_above_the_limit_are_paid_by_the_days_to_come() {
    let (counters, scope) = (MemoryCounters::new(), tpd(100));
    let taken = counters
        .take_at(&scope, tokens(1_000), on("2025-02-13", 0))
        .unwrap();
    counters.correct(taken, tokens(250), on("2025-02-13", 0));
    let refusal = counters
        .take_at(&scope, tokens(60), on("2025-02-13", 1))
        .unwrap_err();
    assert_eq!(
        refusal.retry_after,
        Duration::from_secs(90) + Duration::from_hours(48)
    );
    assert_eq!(counters.remaining(&scope, on("2025-02-14", 24)), 0);
    assert_eq!(counters.remaining(&scope, on("2025-02-15", 48)), 50);
    assert_eq!(counters.remaining(&scope, on("2025-02-16", 72)), 100);
}

#[test]
fn days_without_a_call_pay_debt_as_well() {
    let (counters, scope) = (MemoryCounters::new(), tpd(100));
    let taken = counters
        .take_at(&scope, tokens(100), on("2025-02-13", 0))
        .unwrap();
    counters.correct(taken, tokens(1_050), on("2025-02-13", 0));
    assert_eq!(counters.remaining(&scope, on("2025-02-22", 9 * 24)), 0);
    assert_eq!(counters.remaining(&scope, on("2025-02-23", 10 * 24)), 50);
}

#[test]
fn a_call_that_ends_on_the_next_day_counts_there_only_what_it_used_beyond() {
    let (counters, scope) = (MemoryCounters::new(), tpd(100));
    let less = counters.take_at(&scope, tokens(50), on("2025-02-13", 0)).unwrap();
    let more = counters.take_at(&scope, tokens(50), on("2025-02-13", 0)).unwrap();
    counters.correct(less, tokens(0), on("2025-02-14", 1));
    assert_eq!(counters.remaining(&scope, on("2025-02-14", 1)), 100);
    counters.correct(more, tokens(70), on("2025-02-14", 1));
    assert_eq!(counters.remaining(&scope, on("2025-02-14", 1)), 80);
}

#[test]
fn a_restart_finds_the_days_counts_again() {
    let (counters, subject) = (MemoryCounters::new(), model(1, "a/b"));
    let today = day("2025-02-13");
    counters.install_day(subject.clone(), today, 2, tokens(70));
    // Told twice, for example with what another table knows: the higher number counts.
    counters.install_day(subject.clone(), today, 1, tokens(10));
    let all = scope(subject, [(Metric::Rpd, 3), (Metric::Tpd, 100), (Metric::Ipd, 5)]);
    let remaining: Vec<u64> = counters
        .standing_at(&all, on("2025-02-13", 0))
        .iter()
        .map(|standing| standing.remaining)
        .collect();
    assert_eq!(remaining, [1, 30, 5]);
    counters.begin_at(&rpd(3), on("2025-02-13", 0)).unwrap();
    assert!(counters.begin_at(&rpd(3), on("2025-02-13", 0)).is_err());
    assert_eq!(counters.remaining(&tpd(100), on("2025-02-14", 1)), 100);
}

proptest! {
    /// However the clock jumps within a day of real time, each day gives its limit once: when it
    /// is first reached.
    #[test]
    fn clocks_that_jump_allow_nothing_twice(
        limit in 1..6_u64,
        dates in prop::collection::vec(1..=9_i32, 1..80),
    ) {
        let (counters, scopes) = (MemoryCounters::new(), rpd(limit));
        let (mut admitted, mut days, mut latest) = (0, 0, 0);
        for (minute, date) in (0_u64..).zip(dates) {
            let at = Moment {
                monotonic: Duration::from_mins(minute),
                ..on(&format!("2025-02-0{date}"), 0)
            };
            days += u64::from(date > latest);
            latest = latest.max(date);
            admitted += u64::from(counters.begin_at(&scopes, at).is_ok());
            prop_assert!(admitted <= limit * days, "{admitted} in {days} days");
        }
    }

    /// Wherever the clock has been, a day after it is right again so are the limits.
    #[test]
    fn a_clock_that_is_right_again_costs_one_day_at_most(years in prop::collection::vec(1..=2_999_i32, 1..10)) {
        let (counters, scopes) = (MemoryCounters::new(), rpd(1));
        for year in years {
            let _ = counters.begin_at(&scopes, on(&format!("{year:04}-02-13"), 0));
        }
        prop_assert!(counters.begin_at(&scopes, on("2025-02-14", 24)).is_ok());
    }
}
