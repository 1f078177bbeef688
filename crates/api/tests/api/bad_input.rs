//! Every kind of bad input: the contract's error, at once, and a log without the content.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};
use http::{Method, Request};
use serde_json::{Value, json};
use silica_api::{ApiConfig, BodyLimits};
use silica_engine::EngineError;
use silica_engine::scripted::{ChatScript, Gate};
use silica_types::TokenCount;

use super::support::{App, Log, chat};

#[tokio::test]
async fn a_missing_a_blank_and_a_wrong_key() {
    let app = App::new().await;
    for header in [
        None,
        Some(""),
        Some("Bearer "),
        Some("Bearer sk-wrong"),
        Some("Basic sk-wrong"),
    ] {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let answer = app.send(request.body(Body::from("not even JSON")).unwrap()).await;
        answer.assert_error(401, 30014, "Token is invalid.");
        assert!(
            answer.header("www-authenticate").starts_with("Bearer realm="),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn a_disabled_account_and_models_that_cannot_be_called() {
    let app = App::new().await;
    let unknown = "Model does not exist. Please check it carefully.";
    for (model, status, code, text) in [
        ("absent", 400, 20012, unknown),
        ("silica/undeployed", 400, 20012, unknown),
        ("silica/off", 403, 30003, "Model disabled."),
    ] {
        app.chat(&chat(model, &json!({})))
            .await
            .assert_error(status, code, text);
    }
    app.disable_account().await;
    let answer = app.chat(&chat("silica/plain", &json!({}))).await;
    answer.assert_error(403, 30002, "The account is disabled.");
    assert!(app.engine.requests().is_empty());
}

#[tokio::test]
async fn bodies_that_are_no_request() {
    let app = App::new().await;
    let malformed = app.chat_text("{\"model\": secret}").await;
    malformed.assert_error(
        400,
        20015,
        "The request body is not valid JSON (line 1, column 11).",
    );
    let not_utf8 = app.chat_text(b"{\"model\":\"\xff\xfe\"}".to_vec()).await;
    not_utf8.assert_error(400, 20015, "The request body is not valid UTF-8.");
    app.chat_text("").await.assert_error(
        400,
        20015,
        "The request body is not valid JSON (line 1, column 0).",
    );
    app.chat_text("{}")
        .await
        .assert_error(400, 20013, "model: Field required");
    app.chat(&json!({"model": "silica/plain"}))
        .await
        .assert_error(400, 20014, "messages: Field required");
    let empty = app.chat(&chat("silica/plain", &json!({"messages": []}))).await;
    empty.assert_error(
        400,
        20014,
        "messages: List should have at least 1 item after validation",
    );
    let typed = app
        .chat(&chat("silica/plain", &json!({"max_tokens": "many"})))
        .await;
    typed.assert_error(400, 20015, "max_tokens: Input should be a valid integer");
}

#[tokio::test]
async fn features_that_a_model_does_not_have() {
    let app = App::new().await;
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example"}}]}]);
    let json_mode = json!({"type": "json_object"});
    let cases: [(&str, Value, u32, &str); 11] = [
        (
            "plain",
            json!({"response_format": json_mode}),
            20024,
            "Json mode is not supported for this model.",
        ),
        (
            "full",
            json!({"response_format": {"type": "json_schema"}}),
            20015,
            "response_format.json_schema: Field required",
        ),
        (
            "plain",
            json!({"tools": tools}),
            20037,
            "Function call is not supported for this model.",
        ),
        (
            "plain",
            json!({"tools": tools, "tool_choice": "required"}),
            20037,
            "Function call is not supported for this model.",
        ),
        (
            "plain",
            json!({"prefix": "a"}),
            20030,
            "Prefix continuation is not supported for this model.",
        ),
        (
            "plain",
            json!({"prefix": "a", "suffix": "b"}),
            20031,
            "FIM completion is not supported for this model.",
        ),
        (
            "full",
            json!({"suffix": "b", "response_format": json_mode}),
            20032,
            "FIM completion cannot be combined with json mode.",
        ),
        (
            "full",
            json!({"prefix": "a", "response_format": json_mode}),
            20033,
            "Prefix continuation cannot be combined with json mode.",
        ),
        (
            "full",
            json!({"messages": image}),
            20041,
            "The model is not a VLM (Vision Language Model). Please use text-only prompts.",
        ),
        (
            "plain",
            json!({"enable_thinking": false}),
            20015,
            "Value error, current model does not support parameter `enable_thinking`.",
        ),
        (
            "plain",
            json!({"thinking_budget": 128}),
            20015,
            "Value error, current model does not support parameter `thinking_budget`.",
        ),
    ];
    for (model, fields, code, text) in cases {
        let answer = app.chat(&chat(&format!("silica/{model}"), &fields)).await;
        answer.assert_error(400, code, text);
    }
    assert!(app.engine.requests().is_empty());
}

#[tokio::test]
async fn strict_tools_need_a_model_with_tools() {
    let app = App::new().await;
    let tools = json!([{"type": "function", "function": {"name": "f", "strict": true}}]);
    let request = chat("silica/plain", &json!({"tools": tools}));
    let unsupported = "Function call is not supported for this model.";
    app.chat(&request).await.assert_error(400, 20037, unsupported);
    assert!(app.engine.requests().is_empty());
}

#[tokio::test]
async fn requests_of_many_messages_are_checked_and_mapped_like_others() {
    let app = App::new().await;
    let message = json!({"role": "user", "content": "Hello"});
    let messages = vec![message; 2000];
    let mut request = chat("silica/plain", &json!({"messages": messages}));
    assert_eq!(app.chat(&request).await.status, 200);
    assert_eq!(app.engine.requests()[0].messages.len(), 2000);
    request["response_format"] = json!({"type": "json_object"});
    assert_eq!(app.chat(&request).await.status, 400);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context() {
    let app = App::new().await;
    let refusal = || EngineError::ContextExceeded {
        prompt: TokenCount(235_121),
        limit: TokenCount(65_536),
    };
    for stream in [false, true] {
        app.engine.push(ChatScript::refusal(refusal));
        let answer = app.chat(&chat("silica/plain", &json!({"stream": stream}))).await;
        answer.assert_error(
            400,
            20015,
            "length of prompt_tokens (235121) must be less than max_seq_len (65536).",
        );
    }
}

#[tokio::test]
async fn oversized_bodies_are_refused_announced_or_not() {
    let app = App::with_config(small_bodies()).await;
    let text = "The request body must have at most 1000 bytes.";
    app.chat_text("x".repeat(1001))
        .await
        .assert_error(413, 20042, text);
    let pieces = (0..20).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 100])));
    app.chat_text(Body::from_stream(stream::iter(pieces)))
        .await
        .assert_error(413, 20042, text);
    let fits = chat("silica/plain", &json!({"user": "x".repeat(800)})).to_string();
    assert!(fits.len() <= 1000);
    assert_eq!(app.chat_text(fits).await.status, 200);
}

fn small_bodies() -> ApiConfig {
    let body = BodyLimits {
        max_bytes: 1000,
        max_total_bytes: 1_000_000,
        timeout: Duration::from_secs(30),
    };
    ApiConfig {
        body,
        ..ApiConfig::default()
    }
}

#[tokio::test]
async fn an_oversized_body_is_read_so_that_its_sender_sees_the_answer() {
    let app = App::with_config(small_bodies()).await;
    let (sent, seen) = tokio::sync::oneshot::channel();
    let mut sent = Some(sent);
    let pieces = stream::iter((0..20).map(|_| Bytes::from_static(&[b'x'; 100])));
    let end = stream::once(async move {
        sent.take().unwrap().send(()).unwrap();
        Bytes::new()
    });
    let body = Body::from_stream(pieces.chain(end).map(Ok::<_, Infallible>));
    assert_eq!(app.chat_text(body).await.status, 413);
    assert_eq!(seen.await, Ok(()));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time() {
    let app = App::new().await;
    tokio::time::pause();
    let pieces =
        stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"{")) }).chain(stream::pending());
    let answer = app.chat_text(Body::from_stream(pieces)).await;
    answer.assert_error(408, 20015, "The request body did not arrive in time.");
}

#[tokio::test]
async fn ten_megabytes_of_nesting_are_refused_and_the_server_goes_on() {
    let app = App::new().await;
    let nested = "[".repeat(10 * 1024 * 1024);
    let begun = Instant::now();
    assert_eq!(app.chat_text(nested).await.status, 400);
    // A second in a build with optimisation, as the benchmark measures it; here only: not minutes.
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(app.chat(&chat("silica/plain", &json!({}))).await.status, 200);
}

#[tokio::test]
async fn nothing_of_a_request_or_an_answer_is_logged() {
    let (log, _guard) = Log::collect();
    let app = App::new().await;
    app.engine.push(ChatScript::answer(&["XSECRET answer"]));
    let secret = [json!({"role": "user", "content": "XSECRET prompt", "name": "XSECRET"})];
    app.chat(&chat(
        "silica/plain",
        &json!({"messages": secret, "stop": "XSECRET"}),
    ))
    .await;
    app.chat(&chat(
        "silica/plain",
        &json!({"messages": secret, "max_tokens": "XSECRET"}),
    ))
    .await;
    app.chat(&chat("XSECRET", &json!({"messages": secret}))).await;
    app.chat_text("{\"XSECRET\": XSECRET}").await;
    app.get("/v1/XSECRET?a=XSECRET").await;
    app.get("/v1/models/XSECRET?type=XSECRET").await;
    let wrong = Request::builder()
        .uri("/v1/models")
        .header("authorization", "Bearer XSECRET");
    app.send(wrong.body(Body::empty()).unwrap()).await;
    let log = log.text();
    assert!(!log.contains("XSECRET"), "{log}");
    assert!(!log.contains(&app.key), "{log}");
    for code in [20015, 20012, 20011, 30014] {
        assert!(
            log.contains(&format!("request refused with {code}")),
            "{code} in {log}"
        );
    }
    assert!(log.contains("outcome=\"complete\""), "{log}");
}

#[tokio::test]
async fn large_bodies_share_a_bound_that_small_ones_do_not_meet() {
    let mut config = ApiConfig::default();
    config.body.max_total_bytes = 100 * 1024;
    let app = App::with_config(config).await;
    let large = |bytes| {
        json!({"model": "silica/plain", "messages": [{"role": "user", "content": "x".repeat(bytes)}]})
            .to_string()
    };
    // A body that is on its way holds what has come of it.
    let whole = large(90 * 1024);
    let (begin, rest) = whole.split_at(80 * 1024);
    let gate = Gate::closed();
    let waiting = gate.clone();
    let rest = Bytes::from(rest.to_owned());
    let slow = stream::once(std::future::ready(Ok::<_, Infallible>(Bytes::from(
        begin.to_owned(),
    ))))
    .chain(stream::once(async move {
        waiting.wait().await;
        Ok(rest)
    }));
    let slow = app.chat_text(Body::from_stream(slow));
    futures::pin_mut!(slow);
    assert!(futures::poll!(slow.as_mut()).is_pending());
    let refused = app.chat_text(large(70 * 1024)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_u64()),
        (503, Some(50508))
    );
    assert_eq!(app.chat_text(large(10)).await.status, 200);
    gate.open();
    assert_eq!(slow.await.status, 200);
    assert_eq!(app.chat_text(large(70 * 1024)).await.status, 200);

    // One that waits for its engine, which may want it as it came, holds all of it.
    let gate = Gate::closed();
    let asked = app.engine.requests().len();
    app.engine.push(ChatScript::answer(&["late"]).start_gate(&gate));
    let waiting = app.chat_text(large(90 * 1024));
    futures::pin_mut!(waiting);
    while app.engine.requests().len() == asked {
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(app.chat_text(large(70 * 1024)).await.status, 503);
    gate.open();
    assert_eq!(waiting.await.status, 200);
    assert_eq!(app.chat_text(large(70 * 1024)).await.status, 200);
}
