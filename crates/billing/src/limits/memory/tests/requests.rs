//! Requests per minute, hour and day; several scopes; what clients are told.

use super::*;

#[test]
fn the_request_after_the_last_allowed_one_waits_for_the_first_to_slide_out() {
    let counters = MemoryCounters::new();
    let scopes = [scope(model(1, "a/b"), [(Metric::Rpm, 3)])];
    for at in [0.0, 20.0, 40.0] {
        counters.begin_at(&scopes, second(at)).unwrap();
    }
    let refusal = counters.begin_at(&scopes, second(41.5)).unwrap_err();
    let expected = LimitReached {
        metric: Metric::Rpm,
        limit: 3,
        retry_after: Duration::from_secs(20),
        subject: SubjectKind::Model,
    };
    assert_eq!(refusal, expected);
    assert_eq!(refusal.to_string(), "RPM limit of 3 reached, retry after 20 s");
    assert!(counters.begin_at(&scopes, second(60.9)).is_err());
    counters.begin_at(&scopes, second(61.0)).unwrap();
    assert!(
        counters.begin_at(&scopes, second(61.0)).is_err(),
        "one slid out, not three"
    );
}

#[test]
fn a_refused_request_counts_on_nothing() {
    let counters = MemoryCounters::new();
    let both = [
        scope(
            model(1, "a/b"),
            [(Metric::Rpm, 10), (Metric::Rph, 10), (Metric::Rpd, 10)],
        ),
        scope(key(1), [(Metric::Rpm, 1)]),
    ];
    counters.begin_at(&both, second(0.0)).unwrap();
    let refusal = counters.begin_at(&both, second(1.0)).unwrap_err();
    assert_eq!((refusal.metric, refusal.subject), (Metric::Rpm, SubjectKind::Key));
    let remaining: Vec<u64> = counters
        .standing_at(&both[0], second(1.0))
        .iter()
        .map(|standing| standing.remaining)
        .collect();
    assert_eq!(remaining, [9, 9, 9]);
}

#[test]
fn the_first_metric_in_the_order_of_the_documentation_is_named() {
    let counters = MemoryCounters::new();
    let scopes = [scope(
        model(1, "a/b"),
        [(Metric::Rpd, 1), (Metric::Rph, 1), (Metric::Rpm, 2)],
    )];
    counters.begin_at(&scopes, second(0.0)).unwrap();
    assert_eq!(
        counters.begin_at(&scopes, second(0.0)).unwrap_err().metric,
        Metric::Rph
    );
}

#[test]
fn an_hour_slides_like_a_minute() {
    let counters = MemoryCounters::new();
    let scopes = [scope(model(1, "a/b"), [(Metric::Rph, 2)])];
    counters.begin_at(&scopes, second(0.0)).unwrap();
    counters.begin_at(&scopes, second(1_800.0)).unwrap();
    let refusal = counters.begin_at(&scopes, second(3_599.0)).unwrap_err();
    assert_eq!(refusal.retry_after, Duration::from_secs(31));
    assert!(counters.begin_at(&scopes, second(3_629.9)).is_err());
    counters.begin_at(&scopes, second(3_630.0)).unwrap();
}

#[test]
fn accounts_models_and_keys_are_counted_apart() {
    let counters = MemoryCounters::new();
    for subject in [model(1, "a/b"), model(1, "a/c"), model(2, "a/b"), key(1), key(2)] {
        let scopes = [scope(subject, [(Metric::Rpm, 1)])];
        counters.begin_at(&scopes, second(0.0)).unwrap();
        assert!(counters.begin_at(&scopes, second(0.0)).is_err());
    }
}

#[test]
fn any_number_of_scopes_is_counted_each_on_its_own() {
    let counters = MemoryCounters::new();
    let scopes: Vec<Scope> = (0..40)
        .map(|number| scope(key(number), [(Metric::Rpm, 2)]))
        .collect();
    counters.begin_at(&scopes, second(0.0)).unwrap();
    counters.begin_at(&scopes[20..], second(0.0)).unwrap();
    for (number, scope) in scopes.iter().enumerate() {
        let remaining = u64::from(number < 20);
        assert_eq!(
            counters.remaining(scope, second(0.0)),
            remaining,
            "scope {number}"
        );
    }
}

#[test]
fn nothing_is_admitted_to_a_limit_of_zero() {
    let counters = MemoryCounters::new();
    let scope = scope(
        model(1, "a/b"),
        [
            (Metric::Rpm, 0),
            (Metric::Rpd, 0),
            (Metric::Tpm, 0),
            (Metric::Tpd, 0),
        ],
    );
    assert!(
        counters
            .begin_at(std::slice::from_ref(&scope), second(0.0))
            .is_err()
    );
    let refusal = counters.take_at(&scope, tokens(1), second(0.0)).unwrap_err();
    assert_eq!(refusal.metric, Metric::Tpm);
    assert!(refusal.retry_after >= Duration::from_mins(1));
    counters
        .take_at(&scope, Need::NOTHING, second(0.0))
        .map(drop)
        .unwrap();
}

#[test]
fn standings_say_what_is_left_and_when_all_is_back() {
    let counters = MemoryCounters::new();
    let scope = scope(
        model(1, "a/b"),
        [(Metric::Rpm, 5), (Metric::Tpm, 100), (Metric::Rpd, 7)],
    );
    let untouched = counters.standing_at(&scope, second(0.0));
    assert!(untouched.iter().all(|standing| standing.reset.is_zero()));
    counters
        .begin_at(std::slice::from_ref(&scope), second(1.0))
        .unwrap();
    counters
        .begin_at(std::slice::from_ref(&scope), second(4.0))
        .unwrap();
    let _taken = counters.take_at(&scope, tokens(30), second(4.0)).unwrap();
    let standing = |metric, limit, remaining, reset| Standing {
        metric,
        limit,
        remaining,
        reset: Duration::from_secs(reset),
    };
    let expected = [
        standing(Metric::Rpm, 5, 3, 60),
        standing(Metric::Rpd, 7, 5, 3 * 60 * 60),
        standing(Metric::Tpm, 100, 70, 60),
    ];
    assert_eq!(counters.standing_at(&scope, second(5.0)), expected);
}

#[test]
fn a_lower_limit_holds_at_once_and_a_higher_one_too() {
    let counters = MemoryCounters::new();
    let begin = |limit| counters.begin_at(&[scope(model(1, "a/b"), [(Metric::Rpm, limit)])], second(0.0));
    for _ in 0..5 {
        begin(5).unwrap();
    }
    assert!(begin(3).is_err());
    assert!(begin(5).is_err());
    begin(6).unwrap();
}

#[test]
fn a_monotonic_time_that_arrives_late_changes_nothing() {
    let counters = MemoryCounters::new();
    let scopes = [scope(model(1, "a/b"), [(Metric::Rpm, 2)])];
    counters.begin_at(&scopes, second(10.0)).unwrap();
    counters.begin_at(&scopes, second(9.0)).unwrap();
    assert!(counters.begin_at(&scopes, second(9.5)).is_err());
    assert!(
        counters.begin_at(&scopes, second(70.5)).is_err(),
        "it counts where it was seen"
    );
    counters.begin_at(&scopes, second(71.0)).unwrap();
}

#[test]
fn idle_subjects_are_forgotten() {
    let counters = MemoryCounters::new();
    for account in 0..2_000 {
        let scopes = [scope(model(account, "a/b"), [(Metric::Rpm, 5), (Metric::Tpm, 5)])];
        counters.begin_at(&scopes, second(0.0)).unwrap();
        let _taken = counters.take_at(&scopes[0], tokens(3), second(0.0)).unwrap();
    }
    assert_eq!(counters.subjects(), 2_000);
    // One caller that goes on is enough to sweep all the others away.
    let busy = [scope(model(9_999, "a/b"), [(Metric::Rpm, 10_000)])];
    for quarter in 0..300_u32 {
        counters
            .begin_at(&busy, second(62.0 + 0.25 * f64::from(quarter)))
            .unwrap();
    }
    assert_eq!(counters.subjects(), 1);
}
