//! Which replica a call goes to.

use std::time::Duration;

use futures::StreamExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use silica_engine::scripted::{ChatScript, Gate, ScriptedChatEngine};
use silica_engine::{EngineError, Message, Role};
use silica_gateway::{BreakerState, Call, GatewayError, ReplicaState};
use silica_platform::{BucketKind, NewDeployment, NewReplica};
use silica_types::{Money, TokenCount};

use super::support::{Fixture, replica, request, yuan_a_token};

fn answers() -> ChatScript {
    ChatScript::answer(&["a", "b"])
}

fn limited(seconds: Option<u64>) -> ChatScript {
    ChatScript::refusal(move || EngineError::RateLimited {
        retry_after: seconds.map(Duration::from_secs),
    })
}

/// Stores and loads a deployment with one change to it.
async fn put(fixture: &Fixture, change: impl FnOnce(&mut NewDeployment)) {
    let mut new = NewDeployment {
        name: "d".to_owned(),
        models: vec!["m".to_owned()],
        replicas: vec![replica("a"), replica("b")],
        ..NewDeployment::default()
    };
    change(&mut new);
    let deployment = fixture.platform.check_deployment(new).unwrap();
    fixture.platform.put_deployment(deployment).await.unwrap();
    fixture.gateway.reconcile().await.unwrap();
}

/// A model `m` on replicas `a` and `b`, whose engines answer unless told otherwise.
async fn pair() -> (Fixture, ScriptedChatEngine, ScriptedChatEngine) {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    let first = fixture.loader.engine("a", answers());
    let second = fixture.loader.engine("b", answers());
    put(&fixture, |_| {}).await;
    (fixture, first, second)
}

async fn finish(call: Call) {
    let events: Vec<_> = call.collect().await;
    assert!(events.iter().all(Result::is_ok), "{events:?}");
}

fn state(fixture: &Fixture, position: usize) -> ReplicaState {
    fixture.states().swap_remove(position)
}

#[tokio::test]
async fn a_drained_replica_takes_no_new_calls_and_ends_its_running_ones() {
    let (fixture, first, second) = pair().await;
    let gate = Gate::closed();
    first.push(
        ChatScript::started(TokenCount(3))
            .wait(&gate)
            .finished(0, silica_engine::FinishReason::Stop),
    );
    let running = fixture.chat("m").await.unwrap();
    put(&fixture, |new| new.replicas[0].drain = true).await;
    for _ in 0..4 {
        finish(fixture.chat("m").await.unwrap()).await;
    }
    assert_eq!((first.requests().len(), second.requests().len()), (1, 4));
    assert_eq!(state(&fixture, 0).running, 1);
    assert!(state(&fixture, 0).drains);
    gate.open();
    finish(running).await;
    assert_eq!(state(&fixture, 0).running, 0);
    assert_eq!(fixture.loader.loads(), 2, "nothing was loaded anew");
    put(&fixture, |new| {
        for replica in &mut new.replicas {
            replica.drain = true;
        }
    })
    .await;
    assert!(matches!(fixture.chat("m").await, Err(GatewayError::Overloaded)));
}

#[tokio::test]
async fn running_calls_count_across_a_change_of_weights_and_caps() {
    let (fixture, first, second) = pair().await;
    let held = fixture.chat("m").await.unwrap();
    assert_eq!(first.requests().len(), 1);
    put(&fixture, |new| {
        new.replicas[0].weight = Some(1);
        new.replicas[0].max_concurrency = Some(1);
        new.replicas[1].max_concurrency = Some(1);
    })
    .await;
    let other = fixture.chat("m").await.unwrap();
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    assert!(matches!(fixture.chat("m").await, Err(GatewayError::Overloaded)));
    drop((held, other));
    finish(fixture.chat("m").await.unwrap()).await;
}

#[tokio::test]
async fn a_replica_that_limits_its_calls_rests_and_when_all_do_the_client_is_told() {
    let (fixture, first, second) = pair().await;
    first.push(limited(Some(20)));
    finish(fixture.chat("m").await.unwrap()).await;
    finish(fixture.chat("m").await.unwrap()).await;
    assert_eq!((first.requests().len(), second.requests().len()), (1, 2));
    second.push(limited(Some(10)));
    assert!(matches!(
        fixture.chat("m").await,
        Err(GatewayError::Engine(EngineError::RateLimited { .. }))
    ));
    let Err(GatewayError::Engine(EngineError::RateLimited { retry_after })) = fixture.chat("m").await else {
        panic!("every replica rests");
    };
    let retry_after = retry_after.unwrap();
    assert!(retry_after > Duration::from_secs(5) && retry_after <= Duration::from_secs(10));
    assert_eq!(
        (first.requests().len(), second.requests().len()),
        (1, 3),
        "and none is asked"
    );
    assert_eq!(state(&fixture, 0).breaker, BreakerState::Closed, "no fault of it");
}

#[tokio::test]
async fn a_replica_that_cuts_most_of_its_streams_is_ejected() {
    let (fixture, first, _second) = pair().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    put(&fixture, |new| new.replicas[1].drain = true).await;
    // Begins to answer each time, so that the breaker never sees failures in a row.
    for number in 0..20 {
        assert_eq!(state(&fixture, 0).ejected_for, None, "{number}");
        first.push(ChatScript::started(TokenCount(3)).content(0, "a"));
        let events: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
        assert!(
            matches!(events.last(), Some(Err(GatewayError::Cut))),
            "{events:?}"
        );
    }
    assert!(state(&fixture, 0).ejected_for.is_some());
    put(&fixture, |_| {}).await;
    assert!(state(&fixture, 0).ejected_for.is_some(), "not forgotten");
    let before = first.requests().len();
    finish(fixture.chat("m").await.unwrap()).await;
    assert_eq!(first.requests().len(), before);
    let metrics = recorder.handle().render();
    for line in [
        r#"silica_replica_calls_total{deployment="d",replica="0",outcome="failed"} 20"#,
        r#"silica_replica_calls_total{deployment="d",replica="1",outcome="answered"} 1"#,
        r#"silica_replica_ejections_total{deployment="d",replica="0"} 1"#,
        r#"silica_replica_running{deployment="d",replica="0"} 0"#,
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn the_faults_of_clients_never_count_against_a_replica() {
    let (fixture, first, second) = pair().await;
    for _ in 0..40 {
        first.push(ChatScript::refusal(|| {
            EngineError::InvalidRequest("no".to_owned())
        }));
        assert!(fixture.chat("m").await.is_err());
        // One that leaves in the middle.
        drop(fixture.chat("m").await.unwrap());
    }
    assert_eq!((first.requests().len(), second.requests().len()), (80, 0));
    let state = state(&fixture, 0);
    assert_eq!((state.breaker, state.ejected_for), (BreakerState::Closed, None));
}

#[tokio::test]
async fn a_conversation_returns_to_its_replica() {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    let names = ["a", "b", "c", "e"];
    let engines = names.map(|name| fixture.loader.engine(name, answers()));
    put(&fixture, |new| {
        new.policy = Some("prefix-affinity".to_owned());
        new.replicas = names.map(replica).into();
    })
    .await;
    let message = |role, content: String| Message {
        role,
        content,
        ..Message::default()
    };
    let mut homes = 0;
    for conversation in 0..20 {
        let mut messages = vec![
            message(Role::System, "You are kind.".to_owned()),
            message(Role::User, format!("Question {conversation}")),
        ];
        let before: Vec<usize> = engines.iter().map(|engine| engine.requests().len()).collect();
        for turn in 0..3 {
            let mut request = request();
            request.messages.clone_from(&messages);
            finish(fixture.chat_with("m", request).await.unwrap()).await;
            messages.push(message(Role::Assistant, format!("Answer {turn}")));
            messages.push(message(Role::User, format!("And {turn}?")));
        }
        let calls = engines
            .iter()
            .zip(before)
            .map(|(engine, before)| engine.requests().len() - before);
        homes += calls.filter(|calls| *calls == 3).count();
    }
    assert_eq!(homes, 20, "each conversation stayed at one replica");
    assert!(
        engines
            .iter()
            .filter(|engine| !engine.requests().is_empty())
            .count()
            > 1
    );
}

#[tokio::test]
async fn a_deployment_that_cannot_answer_hands_over_to_its_fallbacks_in_order() {
    let fixture = Fixture::new().await;
    fixture.model("m", |model| model.price = yuan_a_token()).await;
    for name in ["n", "o"] {
        fixture.model(name, |_| {}).await;
    }
    fixture.bucket(BucketKind::Charge, 10_000);
    let names = ["a", "b", "c", "e"];
    let [first, second, third, fourth] = names.map(|name| fixture.loader.engine(name, answers()));
    fixture.deploy("e", &["n"], vec![replica("c")]).await;
    fixture.deploy("f", &["o"], vec![replica("e")]).await;
    put(&fixture, |_| {}).await;
    let fails = || ChatScript::refusal(|| EngineError::Unavailable);
    let fail_all = || [&first, &second].map(|engine| engine.push(fails()));
    fail_all();
    assert!(fixture.chat("m").await.is_err(), "no fallbacks yet");
    put(&fixture, |new| {
        new.fallbacks = vec!["e".to_owned(), "f".to_owned()];
    })
    .await;
    fail_all();
    finish(fixture.chat("m").await.unwrap()).await;
    assert_eq!((third.requests().len(), fourth.requests().len()), (1, 0));
    fail_all();
    third.push(fails());
    finish(fixture.chat("m").await.unwrap()).await;
    assert_eq!((third.requests().len(), fourth.requests().len()), (2, 1));
    let booked: Vec<Money> = fixture.events().await.iter().map(|event| event.amount).collect();
    let price = Money::from_yuan(12).unwrap();
    assert_eq!(
        booked,
        [price, price],
        "by the price of the model that was asked for"
    );
}

#[tokio::test]
async fn fallbacks_answer_while_every_replica_rests() {
    let (fixture, first, second) = pair().await;
    fixture.model("n", |_| {}).await;
    let third = fixture.loader.engine("c", answers());
    fixture.deploy("e", &["n"], vec![replica("c")]).await;
    put(&fixture, |new| new.fallbacks = vec!["e".to_owned()]).await;
    first.push(limited(Some(60)));
    second.push(limited(Some(60)));
    for calls in 1..4 {
        finish(fixture.chat("m").await.unwrap()).await;
        let asked = [&first, &second, &third].map(|engine| engine.requests().len());
        assert_eq!(asked, [1, 1, calls]);
    }
}

#[tokio::test]
async fn calls_at_once_spread_by_weight_whatever_ends_first() {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    let names = ["a", "b", "c"];
    let engines = names.map(|name| fixture.loader.engine(name, answers()));
    put(&fixture, |new| {
        new.replicas = names.map(replica).into();
        new.replicas[2].weight = Some(2);
    })
    .await;
    let mut calls = Vec::new();
    for _ in 0..40 {
        calls.push(fixture.chat("m").await.unwrap());
    }
    let counts = || engines.each_ref().map(|engine| engine.requests().len());
    assert_eq!(counts(), [10, 10, 20]);
    // Every other call ends; as many new ones restore the balance.
    let mut number = 0;
    calls.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    for _ in 0..20 {
        calls.push(fixture.chat("m").await.unwrap());
    }
    let states = fixture.states();
    let running: Vec<u64> = states.iter().map(|state| state.running).collect();
    assert_eq!(running, [10, 10, 20]);
}

#[tokio::test]
async fn a_changed_engine_is_loaded_and_a_changed_cap_is_not() {
    let (fixture, _first, _second) = pair().await;
    fixture.loader.engine("c", answers());
    put(&fixture, |new| new.replicas[0].max_concurrency = Some(3)).await;
    assert_eq!(fixture.loader.loads(), 2);
    put(&fixture, |new: &mut NewDeployment| {
        new.replicas[0] = NewReplica {
            weight: Some(2),
            ..replica("c")
        };
    })
    .await;
    assert_eq!(fixture.loader.loads(), 3);
}
