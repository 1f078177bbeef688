//! Health checks: who takes calls, and how long an engine is asked.

use std::sync::Arc;

use futures::StreamExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use silica_engine::EngineError;
use silica_engine::scripted::{ChatScript, ScriptedChatEngine};
use silica_gateway::{BreakerState, Health};
use silica_platform::NewReplica;

use super::support::{Fixture, Log, Manner, ScriptedProbe, replica};

/// A model `m` on two replicas, the first of which is asked for its health and answers so.
struct Pair {
    fixture: Fixture,
    probe: Arc<ScriptedProbe>,
    first: ScriptedChatEngine,
    second: ScriptedChatEngine,
}

impl Pair {
    async fn new(manner: Manner) -> Self {
        let fixture = Fixture::new().await;
        fixture.model("m", |_| {}).await;
        let first = fixture.loader.engine("a", ChatScript::answer(&["a"]));
        let second = fixture.loader.engine("b", ChatScript::answer(&["b"]));
        let probe = fixture.loader.probe("a");
        probe.answer(manner);
        fixture
            .deploy("d", &["m"], vec![replica("a"), replica("b")])
            .await;
        // From here on only the checks have timers that the tests wait for.
        tokio::time::pause();
        fixture.gateway.reconcile().await.unwrap();
        Self {
            fixture,
            probe,
            first,
            second,
        }
    }

    fn health(&self) -> Health {
        self.fixture.states()[0].health
    }

    async fn until(&self, health: Health) {
        while self.health() != health {
            self.probe.asked_again(1).await;
            tokio::task::yield_now().await;
        }
    }

    async fn call(&self) {
        let events: Vec<_> = self.fixture.chat("m").await.unwrap().collect().await;
        assert!(events.iter().all(Result::is_ok), "{events:?}");
    }

    fn calls(&self) -> (usize, usize) {
        (self.first.requests().len(), self.second.requests().len())
    }
}

#[tokio::test]
async fn a_replica_that_is_not_there_at_the_start_is_a_warning_and_takes_no_calls() {
    let (log, _guard) = Log::collect();
    let pair = Pair::new(Manner::Ill).await;
    assert!(pair.fixture.gateway.is_ready(), "nothing waits for it");
    pair.until(Health::Unhealthy).await;
    pair.call().await;
    assert_eq!(pair.calls(), (0, 1));
    assert!(log.text().contains("WARN") && log.text().contains("replica 0 of d does not answer"));
    pair.probe.answer(Manner::Well);
    pair.until(Health::Healthy).await;
    pair.call().await;
    assert_eq!(pair.calls(), (1, 1));
    assert!(log.text().contains("replica 0 of d answers"));
}

#[tokio::test]
async fn one_failure_in_between_is_forgiven_and_two_are_not() {
    let pair = Pair::new(Manner::Well).await;
    pair.until(Health::Healthy).await;
    pair.probe.answer(Manner::Ill);
    pair.probe.asked_again(1).await;
    tokio::task::yield_now().await;
    assert_eq!(pair.health(), Health::Healthy);
    pair.until(Health::Unhealthy).await;
    pair.call().await;
    assert_eq!(pair.calls(), (0, 1));
}

#[tokio::test]
async fn a_replica_that_says_nothing_is_ill() {
    let pair = Pair::new(Manner::Silent).await;
    pair.until(Health::Unhealthy).await;
}

#[tokio::test]
async fn an_ill_replica_is_better_than_none() {
    let pair = Pair::new(Manner::Ill).await;
    pair.until(Health::Unhealthy).await;
    pair.second.push(ChatScript::refusal(|| EngineError::Unavailable));
    pair.call().await;
    assert_eq!(pair.calls(), (1, 1));
}

#[tokio::test]
async fn a_replica_that_is_back_begins_with_a_closed_breaker() {
    let pair = Pair::new(Manner::Well).await;
    pair.until(Health::Healthy).await;
    for _ in 0..3 {
        pair.first.push(ChatScript::refusal(|| EngineError::Unavailable));
    }
    for _ in 0..3 {
        pair.call().await;
    }
    let breaker = |pair: &Pair| pair.fixture.states()[0].breaker;
    assert_ne!(breaker(&pair), BreakerState::Closed);
    pair.probe.answer(Manner::Ill);
    pair.until(Health::Unhealthy).await;
    assert_ne!(breaker(&pair), BreakerState::Closed);
    pair.probe.answer(Manner::Well);
    pair.until(Health::Healthy).await;
    assert_eq!(breaker(&pair), BreakerState::Closed);
}

#[tokio::test]
async fn an_engine_is_asked_once_however_its_deployment_changes_and_until_it_is_dropped() {
    let pair = Pair::new(Manner::Well).await;
    pair.until(Health::Healthy).await;
    let holders = Arc::strong_count(&pair.probe);
    // The database has timers of its own.
    tokio::time::resume();
    let heavier = NewReplica {
        weight: Some(7),
        drain: true,
        ..replica("a")
    };
    pair.fixture
        .deploy("d", &["m"], vec![heavier, replica("b")])
        .await;
    pair.fixture.gateway.reconcile().await.unwrap();
    assert_eq!(pair.fixture.loader.loads(), 2, "nothing was loaded anew");
    assert_eq!(pair.health(), Health::Healthy, "nor forgotten");
    assert_eq!(Arc::strong_count(&pair.probe), holders, "nor asked by two");
    pair.fixture.platform.delete_deployment("d").await.unwrap();
    pair.fixture.gateway.reconcile().await.unwrap();
    // The test and the loader hold it still.
    while Arc::strong_count(&pair.probe) > 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn closing_the_gateway_ends_the_checks() {
    let pair = Pair::new(Manner::Silent).await;
    pair.fixture.gateway.close().await;
    let asked = pair.probe.asked();
    tokio::time::advance(std::time::Duration::from_hours(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(pair.probe.asked(), asked);
    pair.call().await;
}

#[tokio::test]
async fn health_is_shown_in_the_metrics_while_the_replica_is_there() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let pair = Pair::new(Manner::Ill).await;
    pair.until(Health::Unhealthy).await;
    let shows = |line: &str| {
        let metrics = recorder.handle().render();
        assert!(metrics.lines().any(|shown| shown == line), "{line}\n{metrics}");
    };
    shows(r#"silica_replica_healthy{deployment="d",replica="0"} 0"#);
    shows(r#"silica_replica_healthy{deployment="d",replica="1"} 1"#);
    shows(r#"silica_replica_breaker_open{deployment="d",replica="0"} 0"#);
    tokio::time::resume();
    pair.fixture.platform.delete_deployment("d").await.unwrap();
    pair.fixture.gateway.reconcile().await.unwrap();
    shows(r#"silica_replica_healthy{deployment="d",replica="0"} NaN"#);
}
