//! Requests and answers that pass through as they came.

use std::sync::Arc;

use serde_json::{Value, json};
use silica_engine::{
    ChatEngine as _, ChatEventKind, ChatRequest, EngineError, FinishReason, WireRequest, WireRoute,
};
use silica_engine_remote::RemoteOptions;
use silica_protocol::MemberSpans;
use silica_testkit::{
    FirstFrame, LineEnds, UpstreamFault, UpstreamOutcome, UpstreamRoute, UpstreamScript, UsageFrames,
};
use silica_types::{MediaParts, ModelName, TokenCount, UsageSource};

use super::support::{LONG, Told, call, cause, engine, request, script, upstream};

/// A request that carries its client's own body.
fn wired(script: &UpstreamScript, route: WireRoute, streams: bool, more: &Value) -> ChatRequest {
    let mut body = json!({"zeta": [1, 2.50], "model": "vendor/public", "stream": streams});
    match route {
        WireRoute::Completions => body["prompt"] = script.to_string().into(),
        _ => body["messages"] = json!([{"role": "user", "content": script.to_string()}]),
    }
    let more = more.as_object().expect("more members").clone();
    body.as_object_mut().expect("an object").extend(more);
    let mut request = request(script);
    let body = body.to_string();
    request.wire = Some(WireRequest {
        members: MemberSpans::in_body(&body).unwrap().into(),
        body: body.into(),
        route,
        id: "answer-1".to_owned(),
        model: ModelName::new("vendor/public").unwrap(),
        media: MediaParts::default(),
        streams,
        is_read: false,
    });
    request
}

fn chat(script: &UpstreamScript, streams: bool) -> ChatRequest {
    wired(script, WireRoute::ChatCompletions, streams, &json!({}))
}

/// All bytes for the client.
fn forwarded(told: &Told) -> String {
    let bytes = told.events.iter().map(|event| match &event.kind {
        ChatEventKind::Forwarded { bytes, .. } => bytes.to_vec(),
        kind => panic!("not forwarded: {kind:?}"),
    });
    String::from_utf8(bytes.collect::<Vec<_>>().concat()).unwrap()
}

fn frames(told: &Told) -> Vec<Value> {
    let text = forwarded(told);
    let blocks = text.split_terminator("\n\n");
    let data = blocks.map(|block| block.strip_prefix("data: ").expect("an event of data"));
    data.map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

fn text(frames: &[Value]) -> String {
    let texts = frames.iter().map(|frame| &frame["choices"][0]);
    let texts = texts.map(|choice| choice["delta"]["content"].as_str().or(choice["text"].as_str()));
    texts.map(Option::unwrap_or_default).collect()
}

#[tokio::test]
async fn the_engine_gets_what_the_client_wrote_but_for_three_members() {
    let (upstream, options) = upstream().await;
    let more = json!({"unknown": {"model": "kept"}, "temperature": 0.30});
    let request = wired(&script("wire"), WireRoute::ChatCompletions, true, &more);
    call(&options, request.clone()).await.unwrap();
    let mut expected: Value = serde_json::from_slice(&request.wire.unwrap().body).unwrap();
    expected["model"] = "upstream-model".into();
    expected["max_tokens"] = 100.into();
    expected["stream_options"] = json!({"include_usage": true});
    let seen = &upstream.requests()[0];
    assert_eq!(seen.body, expected);
    assert_eq!(
        seen.header("accept-encoding"),
        Some("identity"),
        "nothing packed is asked for"
    );
    assert_eq!(seen.header("accept"), Some("text/event-stream"));
}

#[tokio::test]
async fn media_are_reserved_for_by_their_number_and_not_by_their_bytes() {
    let (_upstream, options) = upstream().await;
    let mut request = chat(&script("media"), true);
    let limit = async |request: &ChatRequest| {
        let prepared = engine(&options).prepare(Arc::new(request.clone())).await;
        prepared.unwrap().prompt_limit().get()
    };
    let plain = limit(&request).await;
    let bytes = 100_000;
    request.wire.as_mut().unwrap().body = format!("{{\"x\":\"{}\"}}", "i".repeat(bytes)).into();
    assert!(limit(&request).await > 100_000);
    request.wire.as_mut().unwrap().media = MediaParts {
        images: 1,
        bytes,
        ..MediaParts::default()
    };
    let with_image = limit(&request).await;
    assert!((16_384..=16_384 + plain).contains(&with_image), "{with_image}");
}

#[tokio::test]
async fn an_answer_in_one_piece_is_asked_for_and_forwarded_with_our_names_in_it() {
    let (upstream, options) = upstream().await;
    let script = UpstreamScript {
        cached: 4,
        ..script("whole")
    };
    let told = call(&options, chat(&script, false)).await.unwrap();
    let answer: Value = serde_json::from_str(&forwarded(&told)).unwrap();
    assert_eq!(answer["id"], "answer-1");
    assert_eq!(answer["model"], "vendor/public");
    assert_eq!(answer["choices"][0]["message"]["content"], "t0 t1 t2 t3 t4 ");
    assert_eq!(answer["usage"]["completion_tokens"], 5);
    let usage = told.usage();
    assert_eq!((usage.prompt, usage.cached), (TokenCount(35), TokenCount(4)));
    assert_eq!(
        (usage.completion, usage.source),
        (TokenCount(5), UsageSource::Engine)
    );
    let seen = &upstream.calls()[0];
    assert!(!seen.is_streamed, "{seen:?}");
    assert_eq!(seen.outcome, UpstreamOutcome::Finished);
    assert!(upstream.requests()[0].body.get("stream_options").is_none());
}

#[tokio::test]
async fn completions_of_text_are_forwarded_to_their_own_route() {
    let (upstream, options) = upstream().await;
    let request = wired(&script("text"), WireRoute::Completions, true, &json!({}));
    let told = call(&options, request).await.unwrap();
    assert_eq!(text(&frames(&told)), "t0 t1 t2 t3 t4 ");
    let request = wired(&script("text"), WireRoute::Completions, false, &json!({}));
    let told = call(&options, request).await.unwrap();
    let answer: Value = serde_json::from_str(&forwarded(&told)).unwrap();
    assert_eq!(answer["choices"][0]["text"], "t0 t1 t2 t3 t4 ");
    assert!(
        upstream
            .calls()
            .iter()
            .all(|call| call.route == UpstreamRoute::Completions)
    );
}

#[tokio::test]
async fn a_stream_of_any_shape_is_forwarded_as_the_contract_has_it() {
    let (_upstream, options) = upstream().await;
    let usual = script("shape");
    for script in [
        usual.clone(),
        UpstreamScript {
            ends: LineEnds::CrLf,
            ..usual.clone()
        },
        UpstreamScript {
            ends: LineEnds::Cr,
            split: 2,
            ..usual.clone()
        },
        UpstreamScript {
            comments: true,
            split: 5,
            ..usual.clone()
        },
        UpstreamScript {
            split: 1,
            ..usual.clone()
        },
        UpstreamScript {
            first: FirstFrame::RoleOnly,
            ..usual.clone()
        },
        UpstreamScript {
            first: FirstFrame::NoChoices,
            ..usual.clone()
        },
        UpstreamScript {
            first: FirstFrame::Token,
            omits_done: true,
            ..usual.clone()
        },
        UpstreamScript {
            usage: UsageFrames::Every,
            ..usual.clone()
        },
        UpstreamScript {
            usage: UsageFrames::Finish,
            ..usual.clone()
        },
        UpstreamScript {
            usage: UsageFrames::Null,
            ..usual.clone()
        },
        UpstreamScript {
            usage: UsageFrames::None,
            ..usual.clone()
        },
    ] {
        let told = call(&options, chat(&script, true)).await.unwrap();
        assert!(told.error.is_none(), "{script}: {told:?}");
        let frames = frames(&told);
        assert_eq!(text(&frames), "t0 t1 t2 t3 t4 ", "{script}");
        for frame in &frames {
            assert_eq!(frame["id"], "answer-1", "{script}: {frame}");
            assert_eq!(frame["model"], "vendor/public", "{script}: {frame}");
            assert_eq!(
                frame["choices"].as_array().map(Vec::len),
                Some(1),
                "{script}: {frame}"
            );
        }
        let last = frames.last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], "stop", "{script}: {last}");
        assert_eq!(last["usage"]["completion_tokens"], 5, "{script}: {last}");
        let end = &told.events.last().unwrap().kind;
        assert!(
            matches!(
                end,
                ChatEventKind::Forwarded {
                    end: Some(FinishReason::Stop),
                    ..
                }
            ),
            "{script}: {end:?}"
        );
        let is_counted = !matches!(script.usage, UsageFrames::None | UsageFrames::Null);
        let source = if is_counted {
            UsageSource::Engine
        } else {
            UsageSource::Estimated
        };
        assert_eq!(told.usage().source, source, "{script}");
    }
}

#[tokio::test]
async fn what_is_no_answer_in_one_piece_is_a_fault() {
    let (upstream, options) = upstream().await;
    let options = RemoteOptions {
        whole_limit: std::time::Duration::from_millis(300),
        ..options
    };
    for fault in [
        UpstreamFault::Html,
        UpstreamFault::Empty,
        UpstreamFault::Bomb,
        UpstreamFault::Report(0),
        UpstreamFault::Garble(0),
        UpstreamFault::Noise(0),
        UpstreamFault::Truncate(0),
        UpstreamFault::Cut(0),
        UpstreamFault::Cut(1),
        UpstreamFault::Stall(1),
        UpstreamFault::Hang,
        UpstreamFault::Chatter(0),
        UpstreamFault::Endless(0),
    ] {
        let marker = format!("whole-{fault}");
        let script = UpstreamScript {
            fault,
            ..script(&marker)
        };
        let refused = call(&options, chat(&script, false)).await.unwrap_err();
        let told = match &refused {
            EngineError::AnswerTooLong { .. } => {
                assert_eq!(fault, UpstreamFault::Endless(0));
                refused.to_string()
            }
            refused => cause(refused).to_string(),
        };
        assert!(!told.contains("script"), "the engine's own words: {told}");
        // The connection is gone, however much was still to come.
        upstream
            .call_until(&marker, |call| call.outcome != UpstreamOutcome::Running)
            .await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_keeps_what_was_forwarded() {
    let (_upstream, options) = upstream().await;
    let options = RemoteOptions {
        stall_limit: std::time::Duration::from_millis(200),
        ..options
    };
    assert_eq!(options.first_frame_limit, LONG);
    for fault in [
        UpstreamFault::Cut(2),
        UpstreamFault::Stall(2),
        UpstreamFault::Report(2),
        UpstreamFault::Garble(2),
        UpstreamFault::End(2),
        UpstreamFault::Truncate(2),
        UpstreamFault::Noise(2),
        UpstreamFault::Chatter(2),
        UpstreamFault::Endless(2),
    ] {
        let script = UpstreamScript {
            fault,
            ..script("broken")
        };
        let told = call(&options, chat(&script, true)).await.unwrap();
        let is_silence = matches!(fault, UpstreamFault::Stall(_) | UpstreamFault::Chatter(_));
        assert!(
            match told.error {
                Some(EngineError::TimedOut(_)) => is_silence,
                Some(EngineError::Failed(_)) => !is_silence,
                _ => false,
            },
            "{fault}: {told:?}"
        );
        assert_eq!(text(&frames(&told)), "t0 t1 ", "{fault}");
        assert_eq!(told.usage().completion, TokenCount(2), "{fault}");
        let ends = told
            .events
            .iter()
            .filter(|event| matches!(event.kind, ChatEventKind::Forwarded { end: Some(_), .. }));
        assert_eq!(ends.count(), 0, "{fault}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_word_says_nothing() {
    let (_upstream, options) = upstream().await;
    let options = RemoteOptions {
        first_frame_limit: std::time::Duration::from_millis(200),
        ..options
    };
    for fault in [
        UpstreamFault::Cut(0),
        UpstreamFault::Stall(0),
        UpstreamFault::Report(0),
        UpstreamFault::Garble(0),
        UpstreamFault::End(0),
        UpstreamFault::Chatter(0),
    ] {
        for first in [FirstFrame::Role, FirstFrame::RoleOnly, FirstFrame::NoChoices] {
            let script = UpstreamScript {
                fault,
                first,
                ..script("wordless")
            };
            let mut plain = chat(&script, true);
            plain.wire = None;
            for request in [chat(&script, true), plain] {
                let told = call(&options, request).await.unwrap();
                assert!(told.error.is_some(), "{fault} {first:?}: {told:?}");
                assert!(told.events.is_empty(), "{fault} {first:?}: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_in_one_piece_costs_its_prompt_once_the_engine_has_the_request() {
    let (upstream, options) = upstream().await;
    let script = UpstreamScript {
        fault: UpstreamFault::Hang,
        ..script("left")
    };
    let engine = engine(&options);
    let prepared = engine.prepare(Arc::new(chat(&script, false))).await.unwrap();
    let spent = prepared.spent().expect("a cost");
    let mut starting = prepared.start();
    assert_eq!(spent.usage(), None, "nothing was sent");
    tokio::select! {
        _ = &mut starting => panic!("it hangs"),
        _ = upstream.call_until("left", |_| true) => {}
    }
    drop(starting);
    let usage = spent.usage().expect("the prompt");
    assert_eq!(usage.source, UsageSource::Estimated);
    assert!(
        usage.prompt > TokenCount::ZERO && usage.completion == TokenCount::ZERO,
        "{usage:?}"
    );

    let nobody = super::support::options("http://127.0.0.1:1/v1");
    let prepared = super::support::engine(&nobody)
        .prepare(Arc::new(chat(&script, false)))
        .await
        .unwrap();
    let spent = prepared.spent().expect("a cost");
    assert!(prepared.start().await.is_err());
    assert_eq!(spent.usage(), None);
}
