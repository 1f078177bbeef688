//! Calls that move to another replica, and those that must not.

use futures::StreamExt as _;
use silica_engine::EngineError;
use silica_engine::scripted::{ChatScript, Gate, ScriptedChatEngine};
use silica_gateway::GatewayError;
use silica_platform::{BucketKind, NewDeployment};
use silica_types::{Money, TokenCount};

use super::support::{Fixture, replica, yuan_a_token};

fn answers() -> ChatScript {
    ChatScript::answer(&["a", "b"])
}

fn fails() -> EngineError {
    EngineError::failed("the tensor is on fire")
}

/// A model `m` on two replicas, the first with this script; a token costs one CNY.
async fn pair(first: ChatScript, policy: &str) -> (Fixture, ScriptedChatEngine, ScriptedChatEngine) {
    let fixture = Fixture::new().await;
    fixture
        .model("m", |model| {
            model.price = yuan_a_token();
        })
        .await;
    fixture.bucket(BucketKind::Charge, 10_000);
    let (first, second) = (
        fixture.loader.engine("a", first),
        fixture.loader.engine("b", answers()),
    );
    let new = NewDeployment {
        name: "d".to_owned(),
        models: vec!["m".to_owned()],
        policy: Some(policy.to_owned()),
        replicas: vec![replica("a"), replica("b")],
        ..NewDeployment::default()
    };
    let deployment = fixture.platform.check_deployment(new).unwrap();
    fixture.platform.put_deployment(deployment).await.unwrap();
    fixture.gateway.reconcile().await.unwrap();
    (fixture, first, second)
}

#[tokio::test]
async fn a_fault_before_the_first_event_moves_the_call_and_is_billed_once() {
    let faults = [
        ChatScript::refusal(|| EngineError::Unavailable),
        ChatScript::refusal(|| EngineError::QueueFull),
        ChatScript::refusal(fails),
        // The stream begins and ends, or fails, before it has said anything.
        ChatScript::default().fail(fails),
        ChatScript::default(),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let (fixture, first, second) = pair(fault, "least-busy").await;
        let events: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
        assert!(events.iter().all(Result::is_ok), "{number}: {events:?}");
        assert_eq!(
            (first.requests().len(), second.requests().len()),
            (1, 1),
            "{number}"
        );
        let booked = fixture.events().await;
        assert_eq!(booked.len(), 1, "{number}");
        assert_eq!(booked[0].amount, Money::from_yuan(12).unwrap(), "{number}");
    }
}

#[tokio::test]
async fn a_fault_after_the_first_event_moves_nothing_and_is_billed_for_what_was_sent() {
    let script = ChatScript::started(TokenCount(3)).content(0, "a").fail(fails);
    let (fixture, _first, second) = pair(script, "least-busy").await;
    let events: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    assert_eq!(events.len(), 3);
    assert!(events[2].is_err());
    assert_eq!(second.requests().len(), 0);
    assert_eq!(fixture.events().await[0].amount, Money::from_yuan(4).unwrap());
}

#[tokio::test]
async fn a_fault_of_the_request_moves_nothing() {
    let script = ChatScript::refusal(|| EngineError::InvalidRequest("no".to_owned()));
    let (fixture, _first, second) = pair(script, "least-busy").await;
    assert!(matches!(
        fixture.chat("m").await,
        Err(GatewayError::Engine(EngineError::InvalidRequest(_)))
    ));
    assert_eq!(second.requests().len(), 0);
    assert_eq!(fixture.events().await, []);
}

#[tokio::test]
async fn when_every_replica_fails_the_last_error_comes_and_nothing_is_billed() {
    let (fixture, first, second) = pair(ChatScript::refusal(fails), "least-busy").await;
    second.push(ChatScript::refusal(|| EngineError::Unavailable));
    assert!(matches!(
        fixture.chat("m").await,
        Err(GatewayError::Engine(EngineError::Unavailable))
    ));
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    assert_eq!(fixture.events().await, []);
    assert_eq!(fixture.total_yuan(), 10_000);
}

#[tokio::test]
async fn a_replica_that_fails_again_and_again_is_left_alone_and_tried_later() {
    let (fixture, first, second) = pair(ChatScript::refusal(fails), "least-busy").await;
    // After the set-up: the database's own timers must not run ahead of it.
    tokio::time::pause();
    for _ in 0..6 {
        let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    }
    assert_eq!((first.requests().len(), second.requests().len()), (3, 6));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    first.push(answers());
    for _ in 0..3 {
        first.push(answers());
        let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    }
    assert_eq!(
        (first.requests().len(), second.requests().len()),
        (6, 6),
        "healed"
    );
}

#[tokio::test]
async fn a_call_whose_time_is_over_takes_no_trial_from_another() {
    let (fixture, first, second) = pair(ChatScript::refusal(fails), "least-busy").await;
    let gate = Gate::closed();
    tokio::time::pause();
    for _ in 0..3 {
        second.push(ChatScript::refusal(fails));
    }
    for _ in 0..3 {
        assert!(fixture.chat("m").await.is_err());
    }
    assert_eq!((first.requests().len(), second.requests().len()), (3, 3));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    first.push(ChatScript::refusal(fails).start_gate(&gate));
    let (answer, ()) = tokio::join!(fixture.chat("m"), async {
        while first.requests().len() < 4 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(std::time::Duration::from_mins(5)).await;
        gate.open();
    });
    assert!(answer.is_err(), "no second attempt after five minutes");
    let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    assert_eq!(
        (first.requests().len(), second.requests().len()),
        (4, 4),
        "the other has its trial"
    );
}

#[tokio::test]
async fn round_robin_takes_turns() {
    let (fixture, first, second) = pair(answers(), "round-robin").await;
    for _ in 0..6 {
        let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    }
    assert_eq!((first.requests().len(), second.requests().len()), (3, 3));
}

#[tokio::test]
async fn weights_share_the_calls_out() {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    let (light, heavy) = (
        fixture.loader.engine("a", answers()),
        fixture.loader.engine("b", answers()),
    );
    let mut heavier = replica("b");
    heavier.weight = Some(3);
    let new = NewDeployment {
        name: "d".to_owned(),
        models: vec!["m".to_owned()],
        policy: Some("weighted".to_owned()),
        replicas: vec![replica("a"), heavier],
        ..NewDeployment::default()
    };
    let deployment = fixture.platform.check_deployment(new).unwrap();
    fixture.platform.put_deployment(deployment).await.unwrap();
    fixture.gateway.reconcile().await.unwrap();
    for _ in 0..8 {
        let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    }
    assert_eq!((light.requests().len(), heavy.requests().len()), (2, 6));
}
