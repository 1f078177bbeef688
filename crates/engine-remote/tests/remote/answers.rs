//! Calls that go well.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use silica_engine::{
    ChatEngine as _, ChatEventKind, Continuation, EngineError, Feature, FinishReason, Message, Role,
    Sampling, Thinking, Tool, ToolCall, Usage,
};
use silica_engine_remote::RemoteOptions;
use silica_testkit::{UpstreamOutcome, UpstreamScript, UsageFrames};
use silica_types::{TokenCount, UsageSource};

use super::support::{call, engine, options, request, script, tell, upstream};

#[tokio::test]
async fn an_answer_comes_whole_with_the_usage_that_the_upstream_reports() {
    let (upstream, options) = upstream().await;
    let script = UpstreamScript {
        cached: 4,
        tokens: 5,
        reasoning: 2,
        ..script("whole")
    };
    let told = call(&options, request(&script)).await.unwrap();
    assert_eq!(told.text(0), "t2 t3 t4 ");
    assert!(told.is_finished() && told.error.is_none());
    assert_eq!(told.events[0].kind, ChatEventKind::Started);
    assert_eq!(
        told.usage(),
        Usage {
            prompt: TokenCount(35),
            cached: TokenCount(4),
            completion: TokenCount(5),
            reasoning: TokenCount(2),
            source: UsageSource::Engine,
        }
    );
    let call = &upstream.calls()[0];
    assert_eq!((call.produced, call.outcome), (5, UpstreamOutcome::Finished));
}

#[tokio::test]
async fn max_tokens_ends_an_answer_unless_the_upstream_ignores_it() {
    let (_upstream, options) = upstream().await;
    for (ignores_max_tokens, tokens, reason) in [
        (false, 100, FinishReason::Length),
        (true, 120, FinishReason::Stop),
    ] {
        let script = UpstreamScript {
            tokens: 120,
            ignores_max_tokens,
            ..script("long")
        };
        let told = call(&options, request(&script)).await.unwrap();
        assert_eq!(told.usage().completion, TokenCount(tokens));
        let last = &told.events.last().unwrap().kind;
        assert_eq!(
            *last,
            ChatEventKind::Finished {
                choice: 0,
                reason,
                stop: None
            }
        );
    }
}

#[tokio::test]
async fn an_upstream_that_never_ends_is_cut_off_and_its_answer_is_complete() {
    let (upstream, options) = upstream().await;
    for (usage, source) in [
        (UsageFrames::Last, UsageSource::Estimated),
        (UsageFrames::Every, UsageSource::Engine),
    ] {
        let script = UpstreamScript {
            tokens: u32::MAX / 2,
            ignores_max_tokens: true,
            usage,
            ..script(&format!("endless-{source:?}"))
        };
        let mut request = request(&script);
        request.choices = 2;
        let engine = engine(&options);
        let mut stream = engine.chat(request).await.unwrap();
        let (mut tokens, mut finished, mut usage) = (0, Vec::new(), Usage::default());
        while let Some(event) = stream.next().await {
            let event = event.unwrap();
            usage = event.usage;
            match event.kind {
                ChatEventKind::Started => {}
                ChatEventKind::Delta { .. } => tokens += 1,
                ChatEventKind::Finished { choice, reason, .. } => finished.push((choice, reason)),
                ChatEventKind::Forwarded { .. } => unreachable!("nothing was forwarded"),
            }
        }
        assert_eq!(finished, [(0, FinishReason::Length), (1, FinishReason::Length)]);
        // Two frames were the roles of the choices.
        assert_eq!(tokens, 4 * 200 + 1024 - 2);
        assert!((tokens..=tokens + 1).contains(&usage.completion.get()));
        assert_eq!(usage.source, source);
        // The connection is closed although the stream is still held.
        upstream
            .call_until(&script.marker, |call| call.outcome == UpstreamOutcome::Left)
            .await;
        drop(stream);
    }
}

#[tokio::test]
async fn several_choices_come_interleaved_and_are_counted_together() {
    let (_upstream, options) = upstream().await;
    let mut request = request(&script("choices"));
    request.choices = 3;
    let told = call(&options, request).await.unwrap();
    for choice in 0..3 {
        assert_eq!(told.text(choice), "t0 t1 t2 t3 t4 ");
    }
    assert_eq!(told.usage().completion, TokenCount(15));
    let finished = told
        .events
        .iter()
        .filter(|event| matches!(event.kind, ChatEventKind::Finished { .. }));
    assert_eq!(finished.count(), 3);
}

#[tokio::test]
async fn usage_counts_from_the_first_frame_when_every_frame_has_it() {
    let (_upstream, options) = upstream().await;
    let script = UpstreamScript {
        usage: UsageFrames::Every,
        ..script("every")
    };
    let told = call(&options, request(&script)).await.unwrap();
    assert!(
        told.events
            .iter()
            .all(|event| event.usage.prompt == TokenCount(35) && event.usage.source == UsageSource::Engine)
    );
    assert_eq!(told.usage().completion, TokenCount(5));
}

#[tokio::test]
async fn usage_that_never_comes_is_estimated() {
    let (_upstream, options) = upstream().await;
    let script = UpstreamScript {
        usage: UsageFrames::None,
        ..script("none")
    };
    let prompt = script.to_string().len().div_ceil(4) + 4;
    let told = call(&options, request(&script)).await.unwrap();
    assert!(told.is_finished());
    assert_eq!(told.usage().source, UsageSource::Estimated);
    assert_eq!(told.usage().completion, TokenCount(5));
    assert_eq!(told.usage().prompt.get() as usize, prompt);
}

#[tokio::test]
async fn usage_that_comes_late_is_waited_for_but_not_for_ever() {
    let (_upstream, options) = upstream().await;
    let late = |delay| UpstreamScript {
        usage_delay: delay,
        ..script("late")
    };
    let told = call(&options, request(&late(Duration::from_millis(50))))
        .await
        .unwrap();
    assert_eq!(told.usage().source, UsageSource::Engine);

    let options = RemoteOptions {
        usage_limit: Duration::from_millis(50),
        ..options
    };
    let told = call(&options, request(&late(Duration::from_mins(1))))
        .await
        .unwrap();
    assert!(told.is_finished() && told.error.is_none());
    assert_eq!(told.usage().source, UsageSource::Estimated);
}

#[tokio::test]
async fn calls_one_after_the_other_use_one_connection() {
    let (upstream, options) = upstream().await;
    let engine = engine(&options);
    for marker in ["first", "second", "third"] {
        tell(&engine, request(&script(marker))).await.unwrap();
    }
    let peers: Vec<_> = upstream.requests().iter().map(|request| request.peer).collect();
    assert_eq!(peers, [peers[0]; 3]);
}

#[tokio::test]
async fn a_plain_request_says_no_more_than_it_must() {
    let (upstream, options) = upstream().await;
    let request = request(&script("plain"));
    let text = request.messages[0].content.clone();
    call(&options, request).await.unwrap();
    let seen = &upstream.requests()[0];
    assert_eq!(seen.authorization.as_deref(), Some("Bearer sk-upstream"));
    assert_eq!(
        seen.body,
        json!({
            "model": "upstream-model",
            "messages": [{"role": "user", "content": text}],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_tokens": 100,
            "temperature": 0.0,
            "top_p": 1.0,
        })
    );
}

#[tokio::test]
async fn usage_in_every_frame_is_asked_for_where_the_operator_says_so() {
    let (upstream, options) = upstream().await;
    let options = RemoteOptions {
        continuous_usage: true,
        ..options
    };
    call(&options, request(&script("continuous"))).await.unwrap();
    let asked = &upstream.requests()[0].body["stream_options"];
    assert_eq!(
        *asked,
        json!({"include_usage": true, "continuous_usage_stats": true})
    );
}

#[tokio::test]
async fn everything_that_a_request_can_say_is_passed_on() {
    let (upstream, options) = upstream().await;
    let mut request = request(&script("full"));
    let text = request.messages[0].content.clone();
    request.messages.extend([
        Message {
            role: Role::Assistant,
            reasoning: Some("hm".to_owned()),
            tool_calls: vec![ToolCall {
                id: "a".to_owned(),
                name: "f".to_owned(),
                arguments: "{}".to_owned(),
            }],
            ..Message::default()
        },
        Message {
            role: Role::Tool,
            content: "7".to_owned(),
            tool_call_id: Some("a".to_owned()),
            ..Message::default()
        },
    ]);
    request.tools = vec![Tool {
        name: "f".to_owned(),
        description: Some("finds".to_owned()),
        parameters: Some(json!({"type": "object"})),
        strict: false,
    }];
    request.sampling = Sampling {
        temperature: 0.7,
        top_p: 0.9,
        top_k: Some(50),
        min_p: 0.1,
        frequency_penalty: 0.5,
        presence_penalty: -0.5,
        logit_bias: vec![(7, -100.0)],
        seed: Some(u64::MAX),
    };
    request.stop = vec!["END".to_owned()];
    request.choices = 2;
    request.logprobs = Some(3);
    request.thinking.enabled = Some(false);
    call(&options, request).await.unwrap();
    // Single precision as text and back: the wire says 0.7, not 0.699999988.
    assert_eq!(
        upstream.requests()[0].body,
        json!({
            "model": "upstream-model",
            "messages": [
                {"role": "user", "content": text},
                {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ]},
                {"role": "tool", "content": "7", "tool_call_id": "a"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_tokens": 100,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 50,
            "min_p": 0.1,
            "frequency_penalty": 0.5,
            "presence_penalty": -0.5,
            "logit_bias": {"7": -100.0},
            "seed": u64::MAX,
            "n": 2,
            "stop": ["END"],
            "logprobs": true,
            "top_logprobs": 3,
            "tools": [{"type": "function", "function": {
                "name": "f", "description": "finds", "parameters": {"type": "object"},
            }}],
            "chat_template_kwargs": {"enable_thinking": false},
        })
    );
}

#[tokio::test]
async fn what_a_call_may_cost_is_known_before_it_runs() {
    let (upstream, options) = upstream().await;
    let engine = engine(&options);
    let mut request = request(&script("size"));
    request.messages[0].content = "x".repeat(1_000_000);
    request.choices = 2;
    let prepared = engine.prepare(Arc::new(request)).await.unwrap();
    assert_eq!(prepared.prompt_tokens(), TokenCount(500_000 + 16 + 32));
    assert_eq!(prepared.prompt_limit(), TokenCount(1_000_000 + 16 + 32));
    assert_eq!(prepared.completion_limit(), TokenCount(200));
    assert_eq!(prepared.prompt_source(), UsageSource::Estimated);
    assert!(upstream.calls().is_empty());
}

#[tokio::test]
async fn what_the_wire_has_no_common_word_for_is_refused() {
    let engine = engine(&options("http://127.0.0.1:9/v1"));
    let plain = request(&script("refused"));
    let mut with_budget = plain.clone();
    with_budget.thinking = Thinking {
        enabled: None,
        budget: Some(TokenCount(128)),
    };
    let mut with_prefix = plain.clone();
    with_prefix.continuation = Continuation::Prefix("x".to_owned());
    let mut with_gap = plain;
    with_gap.continuation = Continuation::FillInMiddle {
        prefix: "x".to_owned(),
        suffix: "y".to_owned(),
    };
    for (request, feature) in [
        (with_budget, Feature::ThinkingBudget),
        (with_prefix, Feature::Prefix),
        (with_gap, Feature::FillInMiddle),
    ] {
        let refused = engine.prepare(Arc::new(request)).await.err();
        assert!(matches!(refused, Some(EngineError::Unsupported(it)) if it == feature));
    }
}
