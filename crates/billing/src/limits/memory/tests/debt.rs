//! Tokens: reserving, correcting, and what is used above the limit.

use super::*;

fn tpm(limit: u64) -> Scope {
    scope(model(1, "a/b"), [(Metric::Tpm, limit)])
}

#[test]
fn what_a_call_does_not_use_is_given_back() {
    let (counters, scope) = (MemoryCounters::new(), tpm(100));
    let taken = counters.take_at(&scope, tokens(80), second(0.0)).unwrap();
    assert!(counters.take_at(&scope, tokens(21), second(1.0)).is_err());
    counters.correct(taken, tokens(30), second(2.0));
    assert_eq!(counters.remaining(&scope, second(2.0)), 70);
    let taken = counters.take_at(&scope, tokens(70), second(3.0)).unwrap();
    counters.correct(taken, Need::NOTHING, second(3.0));
    assert_eq!(counters.remaining(&scope, second(3.0)), 70);
}

#[test]
fn a_refused_call_takes_nothing_from_any_metric() {
    let counters = MemoryCounters::new();
    let scopes = [
        scope(model(1, "a/b"), [(Metric::Tpm, 100), (Metric::Tpd, 1_000)]),
        scope(key(1), [(Metric::Tpm, 50)]),
    ];
    let _first = ready(counters.take(&scopes, tokens(40), second(0.0))).unwrap();
    let refusal = ready(counters.take(&scopes, tokens(40), second(0.0))).unwrap_err();
    assert_eq!(refusal.subject, SubjectKind::Key);
    assert_eq!(counters.remaining(&scopes[0], second(0.0)), 60);
    assert_eq!(counters.standing_at(&scopes[0], second(0.0))[1].remaining, 960);
}

#[test]
fn a_call_larger_than_the_limit_enters_an_empty_window_and_blocks_as_many_as_it_was_large() {
    let (counters, scope) = (MemoryCounters::new(), tpm(100));
    let taken = counters.take_at(&scope, tokens(350), second(0.0)).unwrap();
    assert_eq!(taken.parts[0].amount, 100);
    counters.correct(taken, tokens(350), second(5.0));
    // 100 of it fill the first window, 100 the second, 100 the third, 50 the fourth.
    for (at, wait) in [(10.0, 234), (61.0, 183), (122.0, 122), (182.9, 62), (243.9, 1)] {
        let refusal = counters.take_at(&scope, tokens(51), second(at)).unwrap_err();
        assert_eq!(refusal.retry_after, Duration::from_secs(wait), "at {at}");
    }
    assert_eq!(counters.remaining(&scope, second(244.0)), 100);
}

#[test]
fn a_call_larger_than_the_limit_waits_for_an_empty_window() {
    let (counters, scope) = (MemoryCounters::new(), tpm(100));
    let _small = counters.take_at(&scope, tokens(1), second(0.0)).unwrap();
    let refusal = counters.take_at(&scope, tokens(1_000), second(30.0)).unwrap_err();
    assert_eq!(refusal.retry_after, Duration::from_secs(31));
    let _large = counters.take_at(&scope, tokens(1_000), second(61.0)).unwrap();
}

#[test]
fn a_call_that_ends_after_its_slot_slid_out_counts_only_what_it_used_beyond() {
    let (counters, scope) = (MemoryCounters::new(), tpm(100));
    let less = counters.take_at(&scope, tokens(50), second(0.0)).unwrap();
    let more = counters.take_at(&scope, tokens(50), second(0.0)).unwrap();
    counters.correct(less, tokens(10), second(100.0));
    assert_eq!(counters.remaining(&scope, second(100.0)), 100);
    counters.correct(more, tokens(70), second(100.0));
    assert_eq!(counters.remaining(&scope, second(100.0)), 80);
}

#[test]
fn what_was_used_beyond_counts_even_when_the_subject_was_forgotten() {
    let (counters, scope) = (MemoryCounters::new(), tpm(100));
    let taken = counters.take_at(&scope, tokens(50), second(0.0)).unwrap();
    let other = super::scope(key(2), [(Metric::Rpm, 10_000)]);
    for quarter in 0..300_u32 {
        let at = second(62.0 + 0.25 * f64::from(quarter));
        counters.begin_at(std::slice::from_ref(&other), at).unwrap();
    }
    assert_eq!(counters.subjects(), 1);
    counters.correct(taken, tokens(250), second(200.0));
    assert_eq!(counters.remaining(&scope, second(200.0)), 0);
    assert_eq!(counters.remaining(&scope, second(261.0)), 0);
    assert_eq!(counters.remaining(&scope, second(322.0)), 100);
}

#[test]
fn room_that_is_given_back_is_taken_by_debt_first() {
    let (counters, scope) = (MemoryCounters::new(), tpm(100));
    let one = counters.take_at(&scope, tokens(50), second(0.0)).unwrap();
    let two = counters.take_at(&scope, tokens(50), second(0.0)).unwrap();
    counters.correct(one, tokens(90), second(1.0));
    counters.correct(two, tokens(0), second(1.0));
    assert_eq!(counters.remaining(&scope, second(1.0)), 10);
}

#[test]
fn images_are_counted_like_tokens() {
    let counters = MemoryCounters::new();
    let scope = scope(model(1, "a/b"), [(Metric::Ipm, 2), (Metric::Ipd, 400)]);
    let images = |images| Need { tokens: 0, images };
    let taken = counters.take_at(&scope, images(4), second(0.0)).unwrap();
    counters.correct(taken, images(4), second(0.0));
    assert!(counters.take_at(&scope, images(1), second(61.0)).is_err());
    let remaining: Vec<u64> = counters
        .standing_at(&scope, second(122.0))
        .iter()
        .map(|standing| standing.remaining)
        .collect();
    assert_eq!(remaining, [2, 396]);
}
