//! What is refused, and in which form.

use http::Method;
use serde_json::{Value, json};
use silica_api::ApiConfig;
use silica_engine::EngineError;
use silica_engine::scripted::ChatScript;
use silica_protocol::ErrorDialect;

use super::send;
use crate::api::support::App;

#[tokio::test]
async fn errors_have_both_forms_whatever_the_dialect() {
    for dialect in [ErrorDialect::Year2026, ErrorDialect::February2025] {
        let config = ApiConfig {
            dialect,
            ..ApiConfig::default()
        };
        let app = App::with_config(config).await;
        let answer = send(&app, "absent", json!({})).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
        assert!(!answer.header("x-siliconcloud-trace-id").is_empty());
        let text = "Model does not exist. Please check it carefully.";
        let expected = json!({
            "type": "error", "error": {"type": "invalid_request_error", "message": text},
            "code": 20012, "message": text, "data": null,
        });
        assert_eq!(answer.json(), expected);
        let mut request = app.request(Method::POST, "/messages", "{}");
        request.headers_mut().remove("authorization");
        let answer = app.send(request).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        let answer = app.get("/v1/messages").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
        assert_eq!(answer.json()["type"], "error");
        let answer = app.get("/v1/messages/batches").await;
        assert_eq!(answer.json()["error"]["type"], "not_found_error");
    }
}

#[tokio::test]
async fn an_engine_that_is_busy_says_when_to_come_back() {
    let app = App::new().await;
    app.engine.push(ChatScript::refusal(|| EngineError::QueueFull));
    let answer = send(&app, "plain", json!({"stream": true})).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
}

/// A field that is wrong, and the code and text of its refusal.
fn faults() -> Vec<(Value, u32, &'static str)> {
    vec![
        (json!({"model": null}), 20013, "model: Field required"),
        (json!({"messages": null}), 20014, "messages: Field required"),
        (
            json!({"messages": []}),
            20014,
            "messages: List should have at least 1 item after validation",
        ),
        (json!({"max_tokens": null}), 20015, "max_tokens: Field required"),
        (
            json!({"max_tokens": 0}),
            20015,
            "max_tokens: Input should be greater than or equal to 1",
        ),
        (
            json!({"stop_sequences": "a"}),
            20015,
            "stop_sequences: Input should be a valid list",
        ),
        (
            json!({"stop_sequences": ["a", "b", "c", "d", "e"]}),
            20015,
            "stop_sequences: List should have at most 4 items after validation",
        ),
        (
            json!({"temperature": 2.5}),
            20015,
            "temperature: Input should be less than or equal to 2",
        ),
        (
            json!({"top_p": 0}),
            20015,
            "top_p: Input should be greater than 0",
        ),
        (
            json!({"top_k": -2}),
            20015,
            "top_k: Input should be greater than or equal to 1",
        ),
        (
            json!({"system": 5}),
            20015,
            "system: Input should be a valid string or a list of blocks",
        ),
        (
            json!({"system": [{"type": "image"}]}),
            20029,
            "system.0.type: Input should be 'text'",
        ),
        (
            json!({"tools": [{"name": "f"}]}),
            20015,
            "tools.0.input_schema: Field required",
        ),
        (
            json!({"tools": [{"name": "a b", "input_schema": {}}]}),
            20015,
            "tools.0.name: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            20015,
            "tools.0.type: Input should be 'custom'",
        ),
        (
            json!({"tool_choice": {"type": "maybe"}}),
            20015,
            "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'",
        ),
        (
            json!({"tool_choice": {"type": "tool"}}),
            20015,
            "tool_choice.name: Field required",
        ),
        (
            json!({"thinking": {"type": "enabled"}}),
            20084,
            "thinking.budget_tokens: Field required",
        ),
        (
            json!({"thinking": {"type": "sometimes"}}),
            20085,
            "thinking.type must be enabled or disabled.",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 0}}),
            20086,
            "thinking.budget_tokens must be a positive integer.",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 9}}),
            20015,
            "Value error, current model does not support parameter `enable_thinking`.",
        ),
    ]
}

#[tokio::test]
async fn a_prefix_cannot_be_combined_with_a_form() {
    let app = App::new().await;
    let turns = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]);
    let form = json!({"format": {"type": "json_schema", "schema": {}}});
    let answer = send(&app, "full", json!({"messages": turns, "output_config": form})).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["code"], 20033);
}

/// A conversation that is wrong, and the code and text of its refusal.
fn faulty_messages() -> Vec<(Value, u32, &'static str)> {
    let block = |role, block: Value| json!([{"role": role, "content": [block]}]);
    vec![
        (
            json!([{"content": "a"}]),
            20015,
            "messages.0.role: Field required",
        ),
        (
            json!([{"role": "tool", "content": "a"}]),
            20015,
            "messages.0.role: Input should be 'user', 'assistant' or 'system'",
        ),
        (
            json!([{"role": "user"}]),
            20015,
            "messages.0.content: Field required",
        ),
        (
            json!([{"role": "user", "content": 5}]),
            20015,
            "messages.0.content: Input should be a valid string or a list of blocks",
        ),
        (
            block("user", json!({"text": "a"})),
            20015,
            "messages.0.content.0.type: Field required",
        ),
        (
            block("user", json!({"type": "text"})),
            20015,
            "messages.0.content.0.text: Field required",
        ),
        (
            block("user", json!({"type": "document"})),
            20029,
            "messages.0.content.0.type: Input should be 'text', 'image' or 'tool_result'",
        ),
        (
            block("user", json!({"type": "tool_use"})),
            20029,
            "messages.0.content.0.type: Input should be 'text', 'image' or 'tool_result'",
        ),
        (
            block("user", json!({"type": "tool_result", "tool_use_id": "x"})),
            20015,
            "messages.0.content.0.tool_use_id: Value error, there is no earlier `tool_use` block with this id",
        ),
        (
            block("assistant", json!({"type": "image"})),
            20029,
            "messages.0.content.0.type: Input should be 'text', 'thinking', 'redacted_thinking' or 'tool_use'",
        ),
        (
            block("assistant", json!({"type": "tool_use", "id": "a", "name": "f"})),
            20015,
            "messages.0.content.0.input: Field required",
        ),
        (
            block(
                "assistant",
                json!({"type": "tool_use", "id": "a", "name": "f", "input": "{}"}),
            ),
            20015,
            "messages.0.content.0.input: Input should be a valid dictionary",
        ),
    ]
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::new().await;
    let conversations = faulty_messages()
        .into_iter()
        .map(|(messages, code, text)| (json!({"messages": messages}), code, text));
    for (fields, code, text) in faults().into_iter().chain(conversations) {
        let answer = send(&app, "plain", fields).await;
        let body = answer.json();
        assert_eq!((&body["code"], &body["message"]), (&json!(code), &json!(text)));
        assert_eq!(
            body["error"],
            json!({"type": "invalid_request_error", "message": text})
        );
        assert_eq!(answer.status, 400);
    }
    assert!(app.engine.requests().is_empty());
}
