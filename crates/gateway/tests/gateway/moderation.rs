//! What is refused before and after an engine's work, and what it costs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt as _;
use serde_json::json;
use silica_engine::scripted::{ChatScript, Gate, ScriptedChatEngine};
use silica_engine::{
    AnswerForm, ChatEvent, ChatEventKind, ChatRequest, Delta, FinishReason, Judgements, Message,
    ModerationError, ModerationRequest, Moderator, ToolCall,
};
use silica_gateway::{Delivery, GatewayError, Moderation, ModerationOptions, ModerationStage, OnFailure};
use silica_moderation::WordList;
use silica_platform::{BucketKind, CallStatus, UsageEvent};
use silica_types::{Money, TokenCount};

use super::support::{Fixture, replica, request, yuan_a_token};

/// Refuses what has the word `secret` in it.
struct Judge {
    words: WordList,
    asked: Mutex<Vec<Vec<String>>>,
    /// Why it judges nothing, if it does not.
    fails: Option<fn() -> ModerationError>,
    /// Waited for before each answer.
    gate: Option<Gate>,
    /// Questions that were asked and not answered.
    waiting: Arc<AtomicUsize>,
}

/// Counts a question until it is over.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Judge {
    fn new() -> Self {
        Self {
            words: WordList::new("secret").unwrap(),
            asked: Mutex::default(),
            fails: None,
            gate: None,
            waiting: Arc::default(),
        }
    }
}

#[async_trait]
impl Moderator for Judge {
    async fn refuses(&self, texts: Vec<String>) -> Result<bool, ModerationError> {
        self.asked.lock().unwrap().push(texts.clone());
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(Arc::clone(&self.waiting));
        if let Some(gate) = &self.gate {
            gate.wait().await;
        }
        if let Some(failure) = self.fails {
            return Err(failure());
        }
        self.words.refuses(texts).await
    }

    fn reach(&self) -> usize {
        self.words.reach()
    }

    async fn judge(&self, request: ModerationRequest) -> Result<Judgements, ModerationError> {
        self.words.judge(request).await
    }
}

/// A gateway whose model costs one CNY a token, with a customer who has 100.
async fn moderated(
    judge: Judge,
    on_failure: OnFailure,
    script: ChatScript,
) -> (Fixture, ScriptedChatEngine, Arc<Judge>) {
    let fixture = Fixture::new().await;
    fixture.model("m", |model| model.price = yuan_a_token()).await;
    let engine = fixture.loader.engine("a", script);
    fixture.deploy("d", &["m"], vec![replica("a")]).await;
    fixture.gateway.reconcile().await.unwrap();
    fixture.bucket(BucketKind::Charge, 100);
    let judge = Arc::new(judge);
    fixture.gateway.moderate(Moderation::new(ModerationOptions {
        moderator: Arc::clone(&judge) as Arc<dyn Moderator>,
        input: true,
        output: true,
        on_failure,
        window: 1,
        overlap: 1,
        most_requests: 1,
    }));
    (fixture, engine, judge)
}

fn saying(content: &str) -> ChatRequest {
    let content = content.to_owned();
    let message = Message {
        content,
        ..Message::default()
    };
    ChatRequest {
        messages: vec![message],
        ..request()
    }
}

async fn settled(fixture: &Fixture) -> UsageEvent {
    loop {
        let mut events = fixture.events().await;
        if let Some(event) = events.pop() {
            assert!(events.is_empty(), "{events:?}");
            return event;
        }
        tokio::task::yield_now().await;
    }
}

fn texts(events: &[Result<ChatEvent, GatewayError>]) -> String {
    let texts = events
        .iter()
        .filter_map(|event| match &event.as_ref().ok()?.kind {
            ChatEventKind::Delta {
                delta: Delta::Content { text, .. },
                ..
            } => Some(text.as_str()),
            _ => None,
        });
    texts.collect()
}

const INPUT: ModerationStage = ModerationStage::Input;
const OUTPUT: ModerationStage = ModerationStage::Output;

#[tokio::test]
async fn a_refused_prompt_reaches_no_engine_and_costs_nothing() {
    let (fixture, engine, _) = moderated(Judge::new(), OnFailure::Refuse, ChatScript::answer(&["a"])).await;
    let in_form = ChatRequest {
        form: AnswerForm::JsonSchema(Arc::new(json!({"description": "a secret"}))),
        ..saying("hello")
    };
    for request in [saying("tell me a Secret"), in_form] {
        let refused = fixture.chat_with("m", request).await.unwrap_err();
        assert!(matches!(refused, GatewayError::Moderated(INPUT)), "{refused:?}");
    }
    assert_eq!(engine.requests().len(), 0);
    assert_eq!((fixture.events().await, fixture.total_yuan()), (vec![], 100));
}

#[tokio::test]
async fn a_refused_answer_in_one_piece_costs_nothing() {
    let script = ChatScript::answer(&["a sec", "ret"]);
    let (fixture, engine, judge) = moderated(Judge::new(), OnFailure::Refuse, script).await;
    let call = fixture
        .chat_as("m", saying("hello"), Delivery::Whole)
        .await
        .unwrap();
    let events: Vec<_> = call.collect().await;
    assert!(
        matches!(events.as_slice(), [Err(GatewayError::Moderated(OUTPUT))]),
        "{events:?}"
    );
    assert_eq!(
        judge.asked.lock().unwrap().last().unwrap(),
        &["a secret"],
        "judged at once"
    );
    assert_eq!(engine.requests().len(), 1);
    assert_eq!((fixture.events().await, fixture.total_yuan()), (vec![], 100));
}

#[tokio::test]
async fn what_passes_is_what_the_engine_said() {
    let script = || {
        ChatScript::started(TokenCount(10))
            .reasoning(0, "hm")
            .content(0, "one ")
            .content(0, "two")
            .finished(0, FinishReason::Stop)
    };
    let (plain, _engine) = Fixture::with_script(script()).await;
    let expected: Vec<_> = plain.chat("m").await.unwrap().map(Result::unwrap).collect().await;
    for delivery in [Delivery::Streamed, Delivery::Whole] {
        let (fixture, ..) = moderated(Judge::new(), OnFailure::Refuse, script()).await;
        let call = fixture.chat_as("m", saying("hello"), delivery).await.unwrap();
        let events: Vec<_> = call.map(Result::unwrap).collect().await;
        assert_eq!(events, expected);
        assert_eq!(settled(&fixture).await.amount, Money::from_yuan(13).unwrap());
    }
}

#[tokio::test]
async fn a_stream_that_is_refused_midway_is_cut_and_costs_what_was_let_through() {
    let gate = Gate::closed();
    let mut script = ChatScript::started(TokenCount(10));
    for _ in 0..50 {
        script = script.content(0, "0123456789");
    }
    let script = script
        .content(0, " a sec")
        .content(0, "ret")
        .content(0, &"x".repeat(100));
    let script = script.wait(&gate).content(0, "never");
    let (fixture, engine, _) = moderated(Judge::new(), OnFailure::Refuse, script).await;
    let events: Vec<_> = fixture
        .chat_with("m", saying("hello"))
        .await
        .unwrap()
        .collect()
        .await;
    assert!(
        matches!(events.last(), Some(Err(GatewayError::Moderated(OUTPUT)))),
        "{events:?}"
    );
    engine.wait_for_cancelled(1).await;
    let let_through = texts(&events);
    assert!(
        !let_through.contains('s') && let_through.len() > 300,
        "{let_through}"
    );
    let tokens = let_through.len() / 10;
    let event = settled(&fixture).await;
    assert_eq!(
        event.amount,
        Money::from_yuan(10 + i64::try_from(tokens).unwrap()).unwrap()
    );
    assert_eq!(event.status, CallStatus::Failed);
}

#[tokio::test]
async fn a_stream_that_is_refused_at_once_has_not_begun_and_costs_nothing() {
    let script = ChatScript::answer(&["sec", "ret"]);
    let (fixture, ..) = moderated(Judge::new(), OnFailure::Refuse, script).await;
    let events: Vec<_> = fixture
        .chat_with("m", saying("hello"))
        .await
        .unwrap()
        .collect()
        .await;
    assert!(
        matches!(events.as_slice(), [Err(GatewayError::Moderated(OUTPUT))]),
        "{events:?}"
    );
    assert_eq!((fixture.events().await, fixture.total_yuan()), (vec![], 100));
}

#[tokio::test]
async fn what_an_engine_said_before_it_failed_is_judged_and_sent() {
    let broken = |text: &str| {
        let script = ChatScript::started(TokenCount(10)).content(0, text);
        script.fail(|| silica_engine::EngineError::Unavailable)
    };
    let (fixture, engine, _) = moderated(Judge::new(), OnFailure::Refuse, broken("fine")).await;
    let events: Vec<_> = fixture
        .chat_with("m", saying("hello"))
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(texts(&events), "fine");
    assert!(
        matches!(events.last(), Some(Err(GatewayError::Engine(_)))),
        "{events:?}"
    );
    engine.push(broken("secret"));
    let events: Vec<_> = fixture
        .chat_with("m", saying("hello"))
        .await
        .unwrap()
        .collect()
        .await;
    assert!(
        matches!(events.as_slice(), [Err(GatewayError::Moderated(OUTPUT))]),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_judgement_and_pays_what_was_produced() {
    let gate = Gate::closed();
    let judge = Judge {
        gate: Some(gate.clone()),
        ..Judge::new()
    };
    let (fixture, engine, judge) = moderated(judge, OnFailure::Refuse, ChatScript::answer(&["a", "b"])).await;
    {
        let starting = fixture.chat_with("m", saying("hello"));
        futures::pin_mut!(starting);
        assert!(futures::poll!(starting.as_mut()).is_pending());
        assert_eq!(judge.waiting.load(Ordering::SeqCst), 1);
    }
    assert_eq!(judge.waiting.load(Ordering::SeqCst), 0);
    assert_eq!(engine.requests().len(), 0);
    gate.pass(1);
    let mut call = fixture.chat_with("m", saying("hello")).await.unwrap();
    assert!(futures::poll!(call.next()).is_pending());
    assert_eq!(judge.waiting.load(Ordering::SeqCst), 1);
    drop(call);
    assert_eq!(judge.waiting.load(Ordering::SeqCst), 0);
    let event = settled(&fixture).await;
    assert_eq!(event.status, CallStatus::Cancelled);
    assert_eq!(event.amount, Money::from_yuan(12).unwrap());
}

#[tokio::test]
async fn without_a_judgement_texts_pass_or_not_as_the_operator_wants() {
    let away = || Judge {
        fails: Some(|| ModerationError::unavailable("away")),
        ..Judge::new()
    };
    let script = || ChatScript::answer(&["a"]);
    let (fixture, engine, _) = moderated(away(), OnFailure::Refuse, script()).await;
    let refused = fixture.chat_with("m", saying("hello")).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Unmoderated(_)), "{refused:?}");
    assert_eq!((engine.requests().len(), fixture.total_yuan()), (0, 100));
    let (fixture, ..) = moderated(away(), OnFailure::Allow, script()).await;
    let events: Vec<_> = fixture
        .chat_with("m", saying("hello"))
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(texts(&events), "a");
}

#[tokio::test]
async fn texts_that_cannot_be_judged_never_pass() {
    let judge = Judge {
        fails: Some(|| ModerationError::Invalid("too long".to_owned())),
        ..Judge::new()
    };
    let (fixture, engine, _) = moderated(judge, OnFailure::Allow, ChatScript::answer(&["a"])).await;
    let refused = fixture.chat_with("m", saying("hello")).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Unmoderated(_)), "{refused:?}");
    assert_eq!((engine.requests().len(), fixture.total_yuan()), (0, 100));
}

#[tokio::test]
async fn a_word_that_json_spells_out_is_found_in_calls_and_in_answers() {
    let spelled = r#"{"to":"\u0073ecre\u0074"}"#;
    let script = ChatScript::answer(&[spelled]);
    let (fixture, engine, _) = moderated(Judge::new(), OnFailure::Refuse, script).await;
    let mut earlier = saying("hello");
    if let Some(message) = earlier.messages.first_mut() {
        message.tool_calls.push(ToolCall {
            id: "1".to_owned(),
            name: "f".to_owned(),
            arguments: spelled.to_owned(),
        });
    }
    let refused = fixture.chat_with("m", earlier).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Moderated(INPUT)), "{refused:?}");
    assert_eq!(engine.requests().len(), 0);
    for delivery in [Delivery::Streamed, Delivery::Whole] {
        let call = fixture.chat_as("m", saying("hello"), delivery).await.unwrap();
        let events: Vec<_> = call.collect().await;
        assert!(
            matches!(events.as_slice(), [Err(GatewayError::Moderated(OUTPUT))]),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn what_an_engine_forwards_although_it_has_to_be_read_goes_to_nobody() {
    let forwarded = ChatEventKind::Forwarded {
        bytes: "data: {}\n\n".into(),
        has_text: true,
        end: Some(FinishReason::Stop),
    };
    for on_failure in [OnFailure::Refuse, OnFailure::Allow] {
        let script = ChatScript::started(TokenCount(10)).event(forwarded.clone());
        let (fixture, ..) = moderated(Judge::new(), on_failure, script).await;
        let events: Vec<_> = fixture
            .chat_with("m", saying("hello"))
            .await
            .unwrap()
            .collect()
            .await;
        assert!(
            matches!(events.as_slice(), [Err(GatewayError::Unmoderated(_))]),
            "{events:?}"
        );
    }
}
