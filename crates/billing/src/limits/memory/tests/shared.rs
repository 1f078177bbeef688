//! Many threads at once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Calls `work` in eight threads, each with its number.
fn in_threads(work: impl Fn(u64) + Sync) {
    std::thread::scope(|threads| {
        for number in 0..8 {
            let work = &work;
            threads.spawn(move || work(number));
        }
    });
}

#[test]
fn threads_together_never_pass_a_limit() {
    let (counters, admitted) = (MemoryCounters::new(), AtomicU64::new(0));
    let (here, own) = (
        scope(model(1, "a/b"), [(Metric::Rpm, 1_000)]),
        scope(key(1), [(Metric::Rpm, 1_000)]),
    );
    in_threads(|number| {
        // Scopes in any order: nobody waits for anybody for ever.
        let scopes = if number % 2 == 0 {
            [here.clone(), own.clone()]
        } else {
            [own.clone(), here.clone()]
        };
        for _ in 0..500 {
            if counters.begin_at(&scopes, second(0.0)).is_ok() {
                admitted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(admitted.into_inner(), 1_000);
    assert_eq!(counters.remaining(&here, second(0.0)), 0);
    assert_eq!(counters.remaining(&own, second(0.0)), 0);
}

#[test]
fn all_that_threads_take_and_correct_adds_up() {
    let counters = MemoryCounters::new();
    let scope = scope(
        model(1, "a/b"),
        [(Metric::Tpm, 1_000_000), (Metric::Tpd, 1_000_000)],
    );
    in_threads(|number| {
        for call in 0..500 {
            let taken = counters.take_at(&scope, tokens(100), second(0.0)).unwrap();
            let used = if call % 2 == 0 { number } else { 150 };
            counters.correct(taken, tokens(used), second(1.0));
        }
    });
    let used = (0..8).map(|number| 250 * number + 250 * 150).sum::<u64>();
    let remaining: Vec<u64> = counters
        .standing_at(&scope, second(1.0))
        .iter()
        .map(|standing| standing.remaining)
        .collect();
    assert_eq!(remaining, [1_000_000 - used; 2]);
}
