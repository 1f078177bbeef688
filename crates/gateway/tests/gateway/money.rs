//! Reserve, run, settle: what a call costs, however it ends.

use std::panic::AssertUnwindSafe;

use futures::{FutureExt as _, StreamExt as _};
use silica_engine::scripted::{ChatScript, Gate, ScriptedChatEngine};
use silica_engine::{EngineError, FinishReason};
use silica_gateway::{Delivery, GatewayError};
use silica_platform::{
    BucketKind, CallStatus, LimitMetrics, Limits, Metric, NewModel, Price, Refusal, UsageEvent,
};
use silica_types::{Money, TokenCount, UsageSource};

use super::support::{Fixture, replica, request, yuan_a_token};

/// A gateway with one model `m` that costs one CNY for each token, in and out; `change` has the
/// last word on it.
async fn priced(script: ChatScript, change: impl FnOnce(&mut NewModel)) -> (Fixture, ScriptedChatEngine) {
    let fixture = Fixture::new().await;
    fixture
        .model("m", |model| {
            model.price = yuan_a_token();
            change(model);
        })
        .await;
    let engine = fixture.loader.engine("a", script);
    fixture.deploy("d", &["m"], vec![replica("a")]).await;
    fixture.gateway.reconcile().await.unwrap();
    (fixture, engine)
}

fn yuan(amount: i64) -> Money {
    Money::from_yuan(amount).unwrap()
}

fn refusal(error: &GatewayError) -> &Refusal {
    match error {
        GatewayError::Refused(refusal) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

fn metric_of(error: &GatewayError) -> Metric {
    match refusal(error) {
        Refusal::Limit(limit) => limit.metric,
        other => panic!("refused by {other:?}"),
    }
}

async fn only_event(fixture: &Fixture) -> UsageEvent {
    let mut events = fixture.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

#[tokio::test]
async fn a_complete_call_is_in_the_journal_before_its_last_event() {
    let (fixture, _engine) = priced(ChatScript::answer(&["a", "b"]), |_| {}).await;
    let voucher = fixture.bucket(BucketKind::Voucher, 1);
    let gift = fixture.bucket(BucketKind::Gift, 4);
    let charge = fixture.bucket(BucketKind::Charge, 100);
    let mut call = fixture.chat("m").await.unwrap();
    for _ in 0..3 {
        call.next().await.unwrap().unwrap();
    }
    assert_eq!(fixture.events().await, []);
    call.next().await.unwrap().unwrap();
    let event = only_event(&fixture).await;
    assert_eq!(event.id, call.id());
    assert_eq!(
        (event.account, event.key),
        (fixture.caller.account, fixture.caller.key)
    );
    assert_eq!(
        (event.units.prompt_tokens, event.units.completion_tokens),
        (10, 2)
    );
    assert_eq!((event.amount, event.shortfall), (yuan(12), Money::ZERO));
    let parts: Vec<_> = event
        .parts
        .iter()
        .map(|part| (part.bucket, part.amount))
        .collect();
    assert_eq!(parts, [(voucher, yuan(1)), (gift, yuan(4)), (charge, yuan(7))]);
    assert_eq!(event.status, CallStatus::Complete);
    assert!(call.next().await.is_none());
    drop(call);
    assert_eq!(fixture.events().await.len(), 1, "settled once");
    assert_eq!(fixture.total_yuan(), 93);
}

#[tokio::test]
async fn a_call_that_the_client_leaves_is_billed_for_what_was_sent() {
    let gate = Gate::closed();
    let script = ChatScript::started(TokenCount(3))
        .content(0, "a")
        .content(0, "b")
        .wait(&gate)
        .content(0, "c");
    let (fixture, _engine) = priced(script, |_| {}).await;
    fixture.bucket(BucketKind::Charge, 100);
    let mut call = fixture.chat("m").await.unwrap();
    for _ in 0..3 {
        call.next().await.unwrap().unwrap();
    }
    assert!(futures::poll!(call.next()).is_pending());
    drop(call);
    settled(&fixture).await;
    let event = only_event(&fixture).await;
    assert_eq!((event.amount, event.status), (yuan(5), CallStatus::Cancelled));
    assert_eq!(fixture.total_yuan(), 95);
}

/// Waits until something was committed; a dropped call has nobody to wait for it.
async fn settled(fixture: &Fixture) {
    fixture.meter.journal().committed().await;
}

#[tokio::test]
async fn a_call_that_the_client_leaves_unanswered_is_billed_for_what_was_begun() {
    let gate = Gate::closed();
    let script = ChatScript::answer(&["a"])
        .spending(TokenCount(3))
        .start_gate(&gate);
    let (fixture, engine) = priced(script, |_| {}).await;
    fixture.bucket(BucketKind::Charge, 100);
    {
        let starting = fixture.chat("m");
        futures::pin_mut!(starting);
        assert!(futures::poll!(starting.as_mut()).is_pending());
    }
    settled(&fixture).await;
    let event = only_event(&fixture).await;
    assert_eq!((event.amount, event.status), (yuan(3), CallStatus::Cancelled));
    assert_eq!(event.source, UsageSource::Estimated);
    assert_eq!(fixture.total_yuan(), 97);
    // An engine that fails owes its work; the client does not.
    engine.push(ChatScript::refusal(|| EngineError::QueueFull).spending(TokenCount(3)));
    assert!(fixture.chat("m").await.is_err());
    assert_eq!(fixture.total_yuan(), 97);
}

#[tokio::test]
async fn what_never_began_costs_nothing_and_leaves_no_event() {
    let gate = Gate::closed();
    let (fixture, engine) = priced(ChatScript::answer(&["a"]).start_gate(&gate), |_| {}).await;
    fixture.bucket(BucketKind::Charge, 17);
    {
        let starting = fixture.chat("m");
        futures::pin_mut!(starting);
        assert!(futures::poll!(starting.as_mut()).is_pending());
        let refused = fixture.chat("m").await.unwrap_err();
        assert!(
            matches!(refusal(&refused), Refusal::Balance(_)),
            "the first call holds the whole balance"
        );
    }
    engine.push(ChatScript::refusal(|| EngineError::QueueFull));
    assert!(matches!(
        fixture.chat("m").await,
        Err(GatewayError::Engine(EngineError::QueueFull))
    ));
    engine.push(ChatScript::default().fail(|| EngineError::Unavailable));
    assert!(matches!(
        fixture.chat("m").await,
        Err(GatewayError::Engine(EngineError::Unavailable))
    ));
    assert_eq!(fixture.events().await, []);
    assert_eq!(fixture.total_yuan(), 17);
    engine.push(ChatScript::answer(&["a"]));
    assert!(fixture.chat("m").await.is_ok(), "everything was given back");
}

#[tokio::test]
async fn a_failure_in_the_middle_is_billed_for_what_was_sent() {
    let script = ChatScript::started(TokenCount(3))
        .content(0, "a")
        .fail(|| EngineError::Unavailable);
    let (fixture, _engine) = priced(script, |_| {}).await;
    fixture.bucket(BucketKind::Charge, 100);
    let events: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    assert!(events.last().unwrap().is_err());
    settled(&fixture).await;
    let event = only_event(&fixture).await;
    assert_eq!((event.amount, event.status), (yuan(4), CallStatus::Failed));
}

#[tokio::test]
async fn a_failure_that_leaves_the_client_nothing_costs_nothing() {
    let script = ChatScript::started(TokenCount(3))
        .content(0, "a")
        .fail(|| EngineError::Unavailable);
    let (fixture, _engine) = priced(script, |_| {}).await;
    fixture.bucket(BucketKind::Charge, 100);
    let call = fixture.chat_as("m", request(), Delivery::Whole).await.unwrap();
    let events: Vec<_> = call.collect().await;
    assert!(events.last().unwrap().is_err());
    assert_eq!(fixture.events().await, []);
    assert_eq!(fixture.total_yuan(), 100);
}

#[tokio::test]
async fn a_panic_around_a_call_settles_it() {
    let gate = Gate::closed();
    let script = ChatScript::started(TokenCount(3)).content(0, "a").wait(&gate);
    let (fixture, _engine) = priced(script, |_| {}).await;
    fixture.bucket(BucketKind::Charge, 100);
    let mut call = fixture.chat("m").await.unwrap();
    let handler = async move {
        call.next().await.unwrap().unwrap();
        call.next().await.unwrap().unwrap();
        panic!("a bug in a handler");
    };
    let panicked: Result<(), _> = AssertUnwindSafe(handler).catch_unwind().await;
    assert!(panicked.is_err());
    settled(&fixture).await;
    assert_eq!(only_event(&fixture).await.amount, yuan(4));
    assert_eq!(fixture.total_yuan(), 96);
}

#[tokio::test]
async fn an_empty_wallet_is_refused_before_the_engine_is_asked() {
    let (fixture, engine) = priced(ChatScript::answer(&["a"]), |_| {}).await;
    let empty = fixture.chat("m").await.unwrap_err();
    assert!(matches!(refusal(&empty), Refusal::Balance(_)));
    fixture.bucket(BucketKind::Gift, 16);
    let one_yuan_short = fixture.chat("m").await.unwrap_err();
    assert!(matches!(refusal(&one_yuan_short), Refusal::Balance(_)));
    assert_eq!(engine.requests().len(), 0);
    assert_eq!(fixture.total_yuan(), 16);
}

#[tokio::test]
async fn vouchers_and_gifts_do_not_pay_a_charge_only_model() {
    let (fixture, _engine) = priced(ChatScript::answer(&["a"]), |model| model.charge_only = true).await;
    fixture.bucket(BucketKind::Voucher, 100);
    fixture.bucket(BucketKind::Gift, 100);
    let refused = fixture.chat("m").await.unwrap_err();
    assert!(matches!(refusal(&refused), Refusal::Balance(_)));
    let charge = fixture.bucket(BucketKind::Charge, 100);
    let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    let event = only_event(&fixture).await;
    let parts: Vec<_> = event
        .parts
        .iter()
        .map(|part| (part.bucket, part.amount))
        .collect();
    assert_eq!(parts, [(charge, yuan(11))]);
}

#[tokio::test]
async fn a_free_model_needs_no_balance_and_stands_in_the_ledger() {
    let free = |model: &mut NewModel| model.price = Price::default();
    let (fixture, _engine) = priced(ChatScript::answer(&["a"]), free).await;
    let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    let event = only_event(&fixture).await;
    assert_eq!((event.amount, event.parts.len()), (Money::ZERO, 0));
    assert_eq!(event.units.tokens(), 11);
}

#[tokio::test]
async fn usage_above_the_reservation_takes_what_is_there_and_books_the_rest_as_shortfall() {
    let long = ["x"; 30];
    let (fixture, _engine) = priced(ChatScript::answer(&long), |_| {}).await;
    let charge = fixture.bucket(BucketKind::Charge, 25);
    let _: Vec<_> = fixture.chat("m").await.unwrap().collect().await;
    let event = only_event(&fixture).await;
    assert_eq!((event.amount, event.shortfall), (yuan(40), yuan(15)));
    let [part] = event.parts.as_slice() else {
        panic!("{event:?}")
    };
    assert_eq!((part.bucket, part.amount), (charge, yuan(25)));
    assert_eq!(fixture.total_yuan(), 0);
}

fn limited(metrics: LimitMetrics) -> impl FnOnce(&mut NewModel) {
    move |model| {
        model.price = Price::default();
        model.limits = Some(Limits::Metrics(metrics));
    }
}

#[tokio::test]
async fn failed_requests_count_against_the_request_limits() {
    let metrics = LimitMetrics {
        requests_per_minute: Some(3),
        ..LimitMetrics::default()
    };
    let refuses = ChatScript::refusal(|| EngineError::InvalidRequest("no".to_owned()));
    let (fixture, engine) = priced(refuses, limited(metrics)).await;
    for _ in 0..3 {
        assert!(matches!(fixture.chat("m").await, Err(GatewayError::Engine(_))));
    }
    assert_eq!(metric_of(&fixture.chat("m").await.unwrap_err()), Metric::Rpm);
    assert_eq!(engine.requests().len(), 3);
}

#[tokio::test]
async fn token_limits_hold_the_worst_case_and_keep_what_was_used() {
    let metrics = LimitMetrics {
        tokens_per_minute: Some(40),
        ..LimitMetrics::default()
    };
    let (fixture, _engine) = priced(ChatScript::answer(&["a"]), limited(metrics)).await;
    let first = fixture.chat("m").await.unwrap();
    let second = fixture.chat("m").await.unwrap();
    // 17 tokens each are held; a third call does not fit.
    assert_eq!(metric_of(&fixture.chat("m").await.unwrap_err()), Metric::Tpm);
    let _: Vec<_> = first.collect().await;
    // 11 of the first 17 were used: 28 are taken now.
    assert_eq!(metric_of(&fixture.chat("m").await.unwrap_err()), Metric::Tpm);
    drop(second);
    // The second never began: 11 are taken, and 17 more fit.
    assert!(fixture.chat("m").await.is_ok());
}

#[tokio::test]
async fn two_choices_are_reserved_and_settled_together() {
    let script = ChatScript::started(TokenCount(1))
        .content(0, "a")
        .finished(0, FinishReason::Stop)
        .content(1, "b")
        .finished(1, FinishReason::Stop);
    let (fixture, _engine) = priced(script, |_| {}).await;
    fixture.bucket(BucketKind::Charge, 32);
    let mut two = request();
    two.choices = 2;
    let short = fixture.chat_with("m", two.clone()).await.unwrap_err();
    assert!(matches!(refusal(&short), Refusal::Balance(_)));
    fixture.bucket(BucketKind::Gift, 1);
    let _: Vec<_> = fixture.chat_with("m", two).await.unwrap().collect().await;
    assert_eq!(only_event(&fixture).await.amount, yuan(3));
}
