//! Conversations in Anthropic's form, whole and streamed.

mod refused;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use silica_engine::scripted::ChatScript;
use silica_engine::{AnswerForm, Continuation, Delta, EngineError, FinishReason, Role, Thinking, ToolChoice};
use silica_types::TokenCount;

use super::support::{Answer, App};

async fn send(app: &App, model: &str, fields: Value) -> Answer {
    let mut body = json!({
        "model": format!("silica/{model}"), "max_tokens": 64,
        "messages": [{"role": "user", "content": "Hello"}],
    });
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    app.post("/messages", &body).await
}

/// Reasoning, text and two calls.
fn everything() -> ChatScript {
    let call = |index, name: &str| Delta::ToolCallStarted {
        index,
        id: format!("c{index}"),
        name: name.to_owned(),
    };
    let fragment = |index, text: &str| Delta::ToolCallArguments {
        index,
        fragment: text.to_owned(),
    };
    ChatScript::started(TokenCount(7))
        .reasoning(0, "Th")
        .reasoning(0, "ink")
        .content(0, "Let me ")
        .content(0, "see.")
        .delta(0, call(0, "weather"))
        .delta(0, fragment(0, "{\"city\":"))
        .delta(0, fragment(0, "\"北京\"}"))
        .delta(0, call(1, "now"))
        .finished(0, FinishReason::ToolCalls)
}

/// The body with what differs from call to call replaced.
fn redacted(answer: &Answer) -> String {
    let text = answer.text();
    let first = text.find("msg_").unwrap();
    let text = text.replace(&text[first..first + 28], "[id]");
    let mark = "\"signature_delta\",\"signature\":\"";
    let Some(begin) = text.find(mark).map(|at| at + mark.len()) else {
        return text;
    };
    text.replace(&text[begin..begin + 10], "[signature]")
}

#[tokio::test]
async fn an_answer_has_anthropic_s_shape() {
    let app = App::new().await;
    let answer = send(&app, "plain", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 28);
    insta::assert_json_snapshot!(answer.json(), { ".id" => "[id]" });
    app.engine.push(everything());
    let answer = send(&app, "full", json!({})).await.json();
    let signature = answer["content"][0]["signature"].as_str().unwrap();
    assert!(signature.len() == 10 && signature.bytes().all(|byte| byte.is_ascii_lowercase()));
    insta::assert_json_snapshot!("every_kind_of_block", answer, { ".id" => "[id]", ".content[0].signature" => "[signature]" });
}

#[tokio::test]
async fn events_have_anthropic_s_order() {
    let app = App::new().await;
    app.engine.push(everything());
    let answer = send(&app, "full", json!({"stream": true})).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    insta::assert_snapshot!(redacted(&answer));
}

#[tokio::test]
async fn an_answer_that_its_limit_ended_says_so() {
    let app = App::new().await;
    let script = || {
        ChatScript::started(TokenCount(1))
            .content(0, "a")
            .finished(0, FinishReason::Length)
    };
    app.engine.push(script());
    assert_eq!(
        send(&app, "plain", json!({})).await.json()["stop_reason"],
        "max_tokens"
    );
    app.engine.push(script());
    let streamed = send(&app, "plain", json!({"stream": true})).await;
    assert!(
        streamed.text().contains(r#""stop_reason":"max_tokens""#),
        "{}",
        streamed.text()
    );
}

#[tokio::test]
async fn a_failure_ends_a_stream_with_an_error_and_without_message_stop() {
    let app = App::new().await;
    for script in [
        ChatScript::started(TokenCount(4))
            .content(0, "half")
            .fail(|| EngineError::failed("secret cause")),
        ChatScript::started(TokenCount(4)).content(0, "half"),
    ] {
        app.engine.push(script);
        let answer = send(&app, "plain", json!({"stream": true})).await;
        assert_eq!(answer.status, 200);
        let (_, last) = answer.text().trim_end().rsplit_once("\n\n").unwrap();
        let data = last.strip_prefix("event: error\ndata: ").unwrap();
        let error: Value = serde_json::from_str(data).unwrap();
        let detail = json!({"type": "api_error", "message": "Request failed: Unknown error."});
        assert_eq!((&error["type"], &error["error"]), (&json!("error"), &detail));
        assert!(!answer.text().contains("message_stop"));
    }
}

#[tokio::test]
async fn blocks_become_messages_of_a_chat() {
    let app = App::new().await;
    let fields = json!({
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Call it.", "signature": "abcdefghij"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "c0", "name": "weather", "input": {"city": "北京"}},
                {"type": "tool_use", "id": "c1", "name": "now", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c0", "content": [{"type": "text", "text": "sunny"}, {"type": "text", "text": "dry"}]},
                {"type": "tool_result", "tool_use_id": "c1", "is_error": true},
                {"type": "text", "text": "So?"},
            ]},
        ],
        "tools": [{"name": "weather", "description": "Tells it.", "input_schema": {"type": "object"}}, {"type": "custom", "name": "now", "input_schema": {}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "stop_sequences": ["end"], "temperature": 0, "top_p": 0.5, "top_k": 5, "metadata": {"user_id": "x"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    });
    let answer = send(&app, "full", fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    insta::assert_debug_snapshot!(app.requests());
}

#[tokio::test]
async fn an_assistant_s_turn_at_the_end_is_continued() {
    let app = App::new().await;
    let messages = json!([{"role": "user", "content": "JSON!"}, {"role": "assistant", "content": "{"}]);
    assert_eq!(
        send(&app, "full", json!({"messages": messages})).await.status,
        200
    );
    let request = app.engine.requests().remove(0);
    assert_eq!(request.continuation, Continuation::Prefix("{".to_owned()));
    assert_eq!(request.messages.len(), 1);
    let refused = send(&app, "plain", json!({"messages": messages})).await;
    assert_eq!(refused.json()["code"], 20030);
    let only = json!([{"role": "assistant", "content": "Once"}]);
    assert_eq!(send(&app, "full", json!({"messages": only})).await.status, 200);
    assert_eq!(app.engine.requests()[1].messages[0].role, Role::User);
}

#[tokio::test]
async fn thinking_is_switched_where_there_is_any() {
    let app = App::new().await;
    let disabled = json!({"thinking": {"type": "disabled"}});
    for (model, fields, enabled) in [
        ("full", json!({}), None),
        ("full", disabled.clone(), Some(false)),
        ("plain", disabled, None),
    ] {
        assert_eq!(send(&app, model, fields).await.status, 200);
        let thinking = app.engine.requests().last().unwrap().thinking;
        assert_eq!(
            thinking,
            Thinking {
                enabled,
                budget: None
            }
        );
    }
}

#[tokio::test]
async fn choices_and_forms_reach_the_engine_and_the_rest_is_demanded() {
    let app = App::new().await;
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let none = json!({"tools": tools, "tool_choice": {"type": "none"}});
    assert_eq!(send(&app, "plain", none).await.status, 200);
    assert_eq!(app.engine.requests()[0].tool_choice, ToolChoice::None);
    let named = ToolChoice::Named("f".to_owned());
    for (choice, expected, parallel) in [
        (json!({"type": "any"}), ToolChoice::Required, true),
        (
            json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}),
            named,
            false,
        ),
        (
            json!({"type": "auto", "disable_parallel_tool_use": true}),
            ToolChoice::Auto,
            false,
        ),
    ] {
        let fields = json!({"tools": tools, "tool_choice": choice});
        assert_eq!(send(&app, "full", fields.clone()).await.status, 200);
        let request = app.engine.requests().pop().unwrap();
        assert_eq!(
            (request.tool_choice, request.parallel_calls),
            (expected.clone(), parallel)
        );
        if expected.forces_call() {
            assert_eq!(send(&app, "plain", fields).await.json()["code"], 20037);
        }
    }
    let schema = json!({"type": "object"});
    let form = json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}});
    assert_eq!(send(&app, "plain", form.clone()).await.json()["code"], 20024);
    assert_eq!(send(&app, "full", form).await.status, 200);
    let form = app.engine.requests().pop().unwrap().form;
    assert_eq!(form, AnswerForm::JsonSchema(Arc::new(schema)));
    let other = json!({"output_config": {"format": {"type": "text"}}});
    let answer = send(&app, "full", other).await;
    assert_eq!(answer.json()["code"], 20015, "{}", answer.text());
    let image =
        json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAEC"}}]);
    let answer = send(
        &app,
        "plain",
        json!({"messages": [{"role": "user", "content": image}]}),
    )
    .await;
    assert_eq!(answer.json()["code"], 20041);
}

#[tokio::test]
async fn the_key_may_stand_in_a_header_of_its_own() {
    let app = App::new().await;
    let body = r#"{"model":"silica/plain","max_tokens":5,"messages":[{"role":"user","content":"a"}]}"#;
    for (path, key, status) in [
        ("/v1/messages", app.key.as_str(), 200),
        ("/messages", app.key.as_str(), 200),
        ("/v1/messages", "sk-wrong", 401),
        ("/v1/messages", "", 401),
        ("/v1/completions", app.key.as_str(), 401),
    ] {
        let mut request = app.request(Method::POST, path, body);
        request.headers_mut().remove("authorization");
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        assert_eq!(app.send(request).await.status, status, "{path} {key}");
    }
}

#[tokio::test]
async fn an_answer_says_which_of_the_request_s_texts_ended_it() {
    let app = App::new().await;
    for (told, reason, sequence) in [
        ("END", "stop_sequence", json!("END")),
        // A text of the engine's own.
        ("<|im_end|>", "end_turn", Value::Null),
    ] {
        let script = || {
            ChatScript::started(TokenCount(7))
                .content(0, "Hi")
                .stopped(0, told)
        };
        app.engine.push(script());
        let fields = json!({"stop_sequences": ["STOP", "END"]});
        let answer = send(&app, "plain", fields.clone()).await.json();
        assert_eq!(answer["stop_reason"], reason, "{answer}");
        assert_eq!(answer["stop_sequence"], sequence, "{answer}");
        app.engine.push(script());
        let mut fields = fields;
        fields["stream"] = true.into();
        let answer = send(&app, "plain", fields).await;
        let text = answer.text();
        let end = format!(r#"{{"stop_reason":"{reason}","stop_sequence":{sequence}}}"#);
        assert!(text.contains(&end), "{text}");
    }
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let app = App::new().await;
    let body = json!({"model": "silica/full", "messages": [{"role": "user", "content": "Hello, world"}]});
    let answer = app.post("/messages/count_tokens", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The scripted engine counts a token for four bytes.
    assert_eq!(answer.json(), json!({"input_tokens": 3}));
    let refused = |fields: Value| {
        let mut body = body.clone();
        for (key, value) in fields.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    for (fields, code, kind) in [
        (json!({"model": "absent"}), 20012, "invalid_request_error"),
        (json!({"messages": []}), 20014, "invalid_request_error"),
        (
            json!({"model": "silica/plain", "thinking": {"type": "enabled", "budget_tokens": 9}}),
            20015,
            "invalid_request_error",
        ),
        (json!({"model": "silica/off"}), 30003, "permission_error"),
    ] {
        let answer = app.post("/messages/count_tokens", &refused(fields)).await;
        assert_eq!(answer.json()["code"], code, "{}", answer.text());
        assert_eq!(answer.json()["error"]["type"], kind);
    }
    assert!(app.engine.requests().is_empty());
}

#[tokio::test]
async fn images_and_results_in_lists_are_read() {
    let app = App::new().await;
    let image = json!({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}});
    let turns = |result: Value| {
        json!([
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "is_error": true, "content": result}]},
        ])
    };
    let text = json!({"type": "text", "text": "a"});
    let answer = send(&app, "full", json!({"messages": turns(json!([text, text]))})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let messages = app.engine.requests().remove(0).messages;
    assert_eq!(
        (messages[2].role, messages[2].content.as_str()),
        (Role::Tool, "a\na")
    );
    for messages in [
        turns(json!([text, image])),
        json!([{"role": "user", "content": [text, image]}]),
    ] {
        let answer = send(&app, "full", json!({"messages": messages})).await;
        assert_eq!(answer.json()["code"], 20041, "{}", answer.text());
    }
}
