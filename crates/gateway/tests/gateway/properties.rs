//! What holds for every call, however it goes.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _};
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use silica_engine::scripted::ChatScript;
use silica_engine::{EngineError, FinishReason};
use silica_types::TokenCount;

use super::support::{Fixture, request};

/// How a scripted call goes on after its deltas.
#[derive(Debug, Clone, Copy)]
enum End {
    Finished,
    Failed,
    Cut,
    Refused,
}

fn script(deltas: usize, end: End) -> ChatScript {
    let script = (0..deltas).fold(ChatScript::started(TokenCount(5)), |script, _| {
        script.content(0, "x")
    });
    match end {
        End::Finished => script.finished(0, FinishReason::Stop),
        End::Failed => script.fail(|| EngineError::Unavailable),
        End::Cut => script,
        End::Refused => ChatScript::refusal(|| EngineError::QueueFull),
    }
}

#[test]
fn every_call_is_booked_exactly_once_wherever_it_is_dropped() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (fixture, engine) = runtime.block_on(Fixture::with_script(ChatScript::answer(&["a"])));
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let end = prop::sample::select(vec![End::Finished, End::Failed, End::Cut, End::Refused]);
    let cases = (0..5_usize, end, 0..8_usize);
    TestRunner::default()
        .run(&cases, |(deltas, end, reads)| {
            let before = booked(&recorder.handle().render());
            engine.push(script(deltas, end));
            let mut read = 0;
            if let Ok(mut call) = fixture.chat_with("m", request()).now_or_never().unwrap() {
                while read < reads && runtime.block_on(call.next()).is_some() {
                    read += 1;
                }
            }
            // Started, the deltas, and one more that decides.
            let whole = read == deltas + 2;
            let outcome = match end {
                End::Finished if whole => "complete",
                End::Failed | End::Cut if whole => "failed",
                End::Refused => "failed",
                End::Finished | End::Failed | End::Cut => "cancelled",
            };
            let mut expected = before;
            let line = format!("silica_calls_total{{model=\"m\",route=\"chat\",outcome=\"{outcome}\"}}");
            *expected.entry(line).or_default() += 1;
            prop_assert_eq!(booked(&recorder.handle().render()), expected);
            Ok(())
        })
        .unwrap();
}

/// The calls that were booked so far, by what became of them.
fn booked(metrics: &str) -> BTreeMap<String, u64> {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("silica_calls_total{"));
    let counted = lines.filter_map(|line| line.rsplit_once(' '));
    counted
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect()
}
