//! The frames of streamed answers, byte for byte.

use axum::body::{Body, Bytes};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use silica_engine::scripted::{ChatScript, Gate};
use silica_engine::{Delta, EngineError, FinishReason};
use silica_types::TokenCount;

use super::support::{Answer, App, chat};

async fn stream(app: &App, model: &str, fields: Value) -> Answer {
    let mut body = chat(model, &fields);
    body["stream"] = json!(true);
    app.chat(&body).await
}

/// The body with its random id replaced.
fn redacted(answer: &Answer) -> String {
    let text = answer.text();
    let first: Value =
        serde_json::from_str(text.lines().next().unwrap().strip_prefix("data: ").unwrap()).unwrap();
    let id = first["id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    text.replace(id, "[id]")
}

#[tokio::test]
async fn frames_have_the_contract_s_bytes() {
    let app = App::new().await;
    let answer = stream(
        &app,
        "silica/plain",
        json!({"stream_options": {"include_usage": true}}),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    assert!(!answer.header("x-siliconcloud-trace-id").is_empty());
    insta::assert_snapshot!(redacted(&answer));
}

#[tokio::test]
async fn reasoning_goes_beside_the_content() {
    let app = App::new().await;
    let script = ChatScript::started(TokenCount(4))
        .reasoning(0, "Hm")
        .content(0, "Yes");
    app.engine.push(script.finished(0, FinishReason::Length));
    insta::assert_snapshot!(redacted(&stream(&app, "silica/full", json!({})).await));
}

#[tokio::test]
async fn tool_calls_come_in_pieces() {
    let app = App::new().await;
    let started = |index, name: &str| Delta::ToolCallStarted {
        index,
        id: format!("c{index}"),
        name: name.to_owned(),
    };
    let fragment = |index, text: &str| Delta::ToolCallArguments {
        index,
        fragment: text.to_owned(),
    };
    app.engine.push(
        ChatScript::started(TokenCount(4))
            .delta(0, started(0, "weather"))
            .delta(0, fragment(0, "{\"city\":"))
            .delta(0, fragment(0, "\"北京\"}"))
            .delta(0, started(1, "now"))
            .finished(0, FinishReason::ToolCalls),
    );
    insta::assert_snapshot!(redacted(&stream(&app, "silica/full", json!({})).await));
}

#[tokio::test]
async fn each_choice_has_its_first_and_its_last_frame() {
    let app = App::new().await;
    let script = ChatScript::started(TokenCount(4)).content(1, "b").content(0, "a");
    app.engine.push(
        script
            .finished(1, FinishReason::Stop)
            .finished(0, FinishReason::Stop),
    );
    insta::assert_snapshot!(redacted(&stream(&app, "silica/plain", json!({"n": 2})).await));
}

#[tokio::test]
async fn an_error_before_the_first_event_has_its_status() {
    let app = App::new().await;
    app.engine.push(ChatScript::refusal(|| EngineError::QueueFull));
    let answer = stream(&app, "silica/plain", json!({})).await;
    answer.assert_error(503, 50505, "Model service overloaded. Please try again later.");
    assert_eq!(answer.header("retry-after"), "1");
    app.engine
        .push(ChatScript::default().fail(|| EngineError::Unavailable));
    let answer = stream(&app, "silica/plain", json!({})).await;
    answer.assert_error(503, 50508, "System is too busy now. Please try again later.");
}

#[tokio::test]
async fn an_error_after_it_ends_the_stream_without_done() {
    let app = App::new().await;
    for script in [
        ChatScript::started(TokenCount(4))
            .content(0, "half")
            .fail(|| EngineError::failed("secret cause")),
        ChatScript::started(TokenCount(4)).content(0, "half"),
    ] {
        app.engine.push(script);
        let answer = stream(&app, "silica/plain", json!({})).await;
        assert_eq!(answer.status, 200);
        let last = answer.text().trim_end().lines().last().unwrap();
        assert_eq!(
            last,
            r#"data: {"error":{"code":50507,"message":"Request failed: Unknown error."}}"#
        );
        assert!(!answer.text().contains("[DONE]"));
    }
}

#[tokio::test]
async fn frames_leave_as_soon_as_their_token_is_there() {
    let app = App::new().await;
    let gate = Gate::closed();
    app.engine.push(
        ChatScript::started(TokenCount(4))
            .content(0, "now")
            .wait(&gate)
            .finished(0, FinishReason::Stop),
    );
    let request = chat("silica/plain", &json!({"stream": true})).to_string();
    let response = app
        .respond(app.request(Method::POST, "/v1/chat/completions", request))
        .await;
    let mut body: Body = response.into_body();
    let text = |data: Bytes| String::from_utf8(data.to_vec()).unwrap();
    let first = text(body.frame().await.unwrap().unwrap().into_data().unwrap());
    assert!(
        first.contains(r#""role":"assistant""#) && first.contains(r#""content":"now""#),
        "{first}"
    );
    gate.open();
    let last = text(body.frame().await.unwrap().unwrap().into_data().unwrap());
    assert!(last.ends_with("data: [DONE]\n\n"), "{last}");
    assert!(body.frame().await.is_none());
}
