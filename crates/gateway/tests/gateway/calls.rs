//! One call: its events, its end, its account.

use futures::StreamExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use silica_engine::scripted::{ChatScript, Gate};
use silica_engine::{
    ChatEventKind, Continuation, EngineError, Feature, FinishReason, Priority, Tool, ToolChoice,
};
use silica_gateway::GatewayError;
use silica_platform::{AccountChanges, ModelFeature, ModelStatus, NewAccount, NewKey, UsageLevel};
use silica_types::TokenCount;

use super::support::{Fixture, Log, replica, request};

fn scripted_failure() -> EngineError {
    EngineError::failed("the tensor is on fire")
}

#[tokio::test]
async fn a_complete_call_is_booked_once_with_its_tokens_and_without_its_content() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let (log, _guard) = Log::collect();
    let (fixture, _engine) = Fixture::with_script(ChatScript::answer(&["my ", "secret"])).await;
    let events: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(Result::is_ok));
    let metrics = recorder.handle().render();
    assert!(
        metrics.contains(r#"silica_calls_total{model="m",route="chat",outcome="complete"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"silica_tokens_total{model="m",kind="prompt"} 10"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"silica_tokens_total{model="m",kind="completion"} 2"#),
        "{metrics}"
    );
    assert!(metrics.contains("silica_first_token_seconds"), "{metrics}");
    assert!(!metrics.contains("cancelled"), "{metrics}");
    let log = log.text();
    let summaries: Vec<_> = log.lines().filter(|line| line.contains("outcome=")).collect();
    assert_eq!(summaries.len(), 1, "{log}");
    for part in [
        "outcome=\"complete\"",
        "trace.id=trace-1",
        "completion_tokens=2",
        "account.id=",
        "key.id=",
    ] {
        assert!(summaries[0].contains(part), "{part} in {log}");
    }
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_call_dropped_in_the_middle_stops_the_engine_and_is_booked_as_cancelled() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let gate = Gate::closed();
    let script = ChatScript::started(TokenCount(3))
        .content(0, "a")
        .wait(&gate)
        .content(0, "b");
    let (fixture, engine) = Fixture::with_script(script).await;
    let mut call = fixture.chat("m").await.unwrap();
    assert!(call.next().await.unwrap().is_ok());
    assert!(call.next().await.unwrap().is_ok());
    assert!(futures::poll!(call.next()).is_pending());
    drop(call);
    assert_eq!(engine.cancelled(), 1);
    let metrics = recorder.handle().render();
    assert!(
        metrics.contains(r#"silica_calls_total{model="m",route="chat",outcome="cancelled"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"silica_tokens_total{model="m",kind="completion"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_call_dropped_while_it_waits_to_start_is_cancelled() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let gate = Gate::closed();
    let (fixture, engine) = Fixture::with_script(ChatScript::answer(&["a"]).start_gate(&gate)).await;
    {
        let starting = fixture.chat("m");
        futures::pin_mut!(starting);
        assert!(futures::poll!(starting.as_mut()).is_pending());
    }
    assert_eq!(engine.cancelled(), 1);
    let metrics = recorder.handle().render();
    assert!(
        metrics.contains(r#"silica_calls_total{model="m",route="chat",outcome="cancelled"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_failure_in_the_stream_ends_it_and_is_logged_with_its_cause() {
    let (log, _guard) = Log::collect();
    let script = ChatScript::started(TokenCount(3))
        .content(0, "a")
        .fail(scripted_failure);
    let (fixture, _engine) = Fixture::with_script(script).await;
    let events: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    assert_eq!(events.len(), 3);
    assert!(matches!(
        events[2],
        Err(GatewayError::Engine(EngineError::Failed(_)))
    ));
    let log = log.text();
    assert!(log.contains("the engine failed: the tensor is on fire"), "{log}");
    assert_eq!(log.matches("outcome=\"failed\"").count(), 1, "{log}");
}

#[tokio::test]
async fn an_answer_that_ends_before_its_choices_are_finished_is_an_error() {
    let script = ChatScript::started(TokenCount(3))
        .content(0, "a")
        .finished(0, FinishReason::Stop);
    let (fixture, _engine) = Fixture::with_script(script).await;
    let mut two = request();
    two.choices = 2;
    let events: Vec<_> = fixture.chat_with("m", two).await.unwrap().collect().await;
    assert!(matches!(events.last(), Some(Err(GatewayError::Cut))));
}

#[tokio::test]
async fn a_refusal_of_the_engine_comes_before_any_event() {
    let refusal = || EngineError::ContextExceeded {
        prompt: TokenCount(9),
        limit: TokenCount(8),
    };
    let (fixture, _engine) = Fixture::with_script(ChatScript::refusal(refusal)).await;
    let error = fixture.chat("m").await.unwrap_err();
    assert!(matches!(
        error,
        GatewayError::Engine(EngineError::ContextExceeded { .. })
    ));
}

#[tokio::test]
async fn models_that_cannot_be_called() {
    let (fixture, engine) = Fixture::with_script(ChatScript::answer(&["a"])).await;
    fixture.model("undeployed", |_| {}).await;
    assert!(matches!(
        fixture.chat("absent").await,
        Err(GatewayError::UnknownModel)
    ));
    assert!(matches!(
        fixture.chat("undeployed").await,
        Err(GatewayError::UnknownModel)
    ));
    fixture
        .model("m", |model| model.status = ModelStatus::Disabled)
        .await;
    assert!(matches!(
        fixture.chat("m").await,
        Err(GatewayError::ModelDisabled)
    ));
    fixture.model("m", |_| {}).await;
    fixture.deploy("later", &["undeployed"], vec![replica("a")]).await;
    assert!(matches!(
        fixture.chat("undeployed").await,
        Err(GatewayError::NotLoaded)
    ));
    assert!(engine.requests().is_empty());
}

#[tokio::test]
async fn features_that_the_catalogue_does_not_grant_never_reach_the_engine() {
    let (fixture, engine) = Fixture::with_script(ChatScript::answer(&["a"])).await;
    let tool = Tool {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict: false,
    };
    let mut requests = [request(), request(), request(), request()];
    requests[0].tools = vec![tool.clone()];
    requests[1].continuation = Continuation::Prefix("a".to_owned());
    requests[2].continuation = Continuation::FillInMiddle {
        prefix: "a".to_owned(),
        suffix: "b".to_owned(),
    };
    requests[3].thinking.enabled = Some(false);
    let features = [
        Feature::Tools,
        Feature::Prefix,
        Feature::FillInMiddle,
        Feature::Thinking,
    ];
    for (request, expected) in requests.iter().zip(features) {
        let error = fixture.chat_with("m", request.clone()).await.unwrap_err();
        assert!(
            matches!(error, GatewayError::Unsupported(feature) if feature == expected),
            "{error:?}"
        );
    }
    assert!(engine.requests().is_empty());
    // Tools that are not to be used need no support.
    let hidden = silica_engine::ChatRequest {
        tools: vec![tool],
        tool_choice: ToolChoice::None,
        ..request()
    };
    assert!(fixture.chat_with("m", hidden).await.is_ok());
    let all = [
        ModelFeature::Tools,
        ModelFeature::Prefix,
        ModelFeature::Fim,
        ModelFeature::Reasoning,
    ];
    fixture.model("m", |model| model.features = all.to_vec()).await;
    for request in requests {
        assert!(fixture.chat_with("m", request).await.is_ok());
    }
}

#[tokio::test]
async fn the_usage_level_of_the_account_is_the_priority_in_the_engine() {
    let (mut fixture, engine) = Fixture::with_script(ChatScript::answer(&["a"])).await;
    let new = NewAccount {
        email: "ada@example.org".to_owned(),
        name: "Ada".to_owned(),
    };
    let account = fixture.platform.create_account(new).await.unwrap();
    let key = fixture
        .platform
        .create_key(account.id, NewKey::default())
        .await
        .unwrap();
    fixture.caller = fixture.platform.identify(key.key.expose(), None).await.unwrap();
    for (level, priority) in [(UsageLevel::L0, 0), (UsageLevel::L3, 3), (UsageLevel::L5, 5)] {
        let changes = AccountChanges {
            level_override: Some(Some(level)),
            ..AccountChanges::default()
        };
        fixture
            .platform
            .update_account(account.id, changes)
            .await
            .unwrap();
        drop(fixture.chat("m").await.unwrap());
        let asked = engine.requests().pop().unwrap();
        assert_eq!(asked.priority, Priority(priority));
        assert_eq!(asked.account, Some(account.id));
    }
}

#[tokio::test]
async fn max_tokens_is_cut_to_the_context() {
    let (fixture, engine) = Fixture::with_script(ChatScript::answer(&["a"])).await;
    fixture.model("m", |model| model.context_length = Some(512)).await;
    let mut large = request();
    large.max_tokens = TokenCount(u32::MAX);
    drop(fixture.chat_with("m", large).await.unwrap());
    assert_eq!(engine.requests()[0].max_tokens, TokenCount(512));
}

#[tokio::test]
async fn a_full_replica_refuses_and_a_finished_call_gives_its_seat_back() {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    fixture.loader.engine("a", ChatScript::answer(&["a"]));
    let single = silica_platform::NewReplica {
        max_concurrency: Some(1),
        ..replica("a")
    };
    fixture.deploy("d", &["m"], vec![single]).await;
    fixture.gateway.reconcile().await.unwrap();
    let mut first = fixture.chat("m").await.unwrap();
    assert!(matches!(fixture.chat("m").await, Err(GatewayError::Overloaded)));
    // The seat is free with the last event, before the body is dropped.
    while !matches!(
        first.next().await.unwrap().unwrap().kind,
        ChatEventKind::Finished { .. }
    ) {}
    let second = fixture.chat("m").await.unwrap();
    assert!(first.next().await.is_none());
    drop(second);
    assert!(fixture.chat("m").await.is_ok());
}

#[tokio::test]
async fn calls_go_to_the_replica_with_the_least_load_for_its_weight() {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    let light = fixture.loader.engine("light", ChatScript::answer(&["a"]));
    let heavy = fixture.loader.engine("heavy", ChatScript::answer(&["a"]));
    let weighted = silica_platform::NewReplica {
        weight: Some(3),
        ..replica("heavy")
    };
    fixture
        .deploy("d", &["m"], vec![replica("light"), weighted])
        .await;
    fixture.gateway.reconcile().await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..8 {
        calls.push(fixture.chat("m").await.unwrap());
    }
    assert_eq!((light.requests().len(), heavy.requests().len()), (2, 6));
}
