//! What is refused, and in which words.

use serde_json::{Value, json};

use super::send;
use crate::api::support::App;

/// A field that is wrong, and the code and text of its refusal.
fn faults() -> Vec<(Value, u32, &'static str)> {
    vec![
        (json!({"model": null}), 20013, "model: Field required"),
        (
            json!({"model": ""}),
            20015,
            "The parameter is invalid. Please check again.",
        ),
        (json!({"input": null}), 20018, "input: Field required"),
        (
            json!({"input": []}),
            20018,
            "input: List should have at least 1 message after validation",
        ),
        (
            json!({"input": 5}),
            20015,
            "input: Input should be a valid string or a list of items",
        ),
        (
            json!({"previous_response_id": "resp_1"}),
            20015,
            "previous_response_id: Value error, no responses are stored here: send the whole conversation in `input`",
        ),
        (
            json!({"conversation": {"id": "conv_1"}}),
            20015,
            "conversation: Value error, no conversations are stored here: send the whole conversation in `input`",
        ),
        (
            json!({"prompt": {"id": "pmpt_1"}}),
            20015,
            "prompt: Value error, no prompts are stored here: send `instructions` and `input`",
        ),
        (
            json!({"background": true}),
            20015,
            "background: Value error, background mode is not supported: use `stream`",
        ),
        (
            json!({"store": "yes"}),
            20015,
            "store: Input should be a valid boolean",
        ),
        (
            json!({"truncation": "some"}),
            20015,
            "truncation: Input should be 'auto' or 'disabled'",
        ),
        (
            json!({"max_output_tokens": 0}),
            20015,
            "max_output_tokens: Input should be greater than or equal to 1",
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
            json!({"top_logprobs": 21}),
            20015,
            "top_logprobs: Input should be less than or equal to 20",
        ),
        (
            json!({"include": "all"}),
            20015,
            "include: Input should be a valid list",
        ),
        (
            json!({"reasoning": {"effort": "enormous"}}),
            20015,
            "reasoning.effort: Input should be 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max'",
        ),
        (
            json!({"text": {"format": {"type": "xml"}}}),
            20015,
            "text.format.type: Input should be 'text', 'json_object' or 'json_schema'",
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "a"}}}),
            20015,
            "text.format.schema: Field required",
        ),
        (
            json!({"metadata": {"a": 5}}),
            20015,
            "metadata: Values should be valid strings",
        ),
    ]
}

/// Tools and choices among them that are wrong.
fn faulty_tools() -> Vec<(Value, u32, &'static str)> {
    vec![
        (
            json!({"tools": [{"type": "web_search"}]}),
            20015,
            "tools.0.type: Input should be 'function'",
        ),
        (
            json!({"tools": [{"type": "function"}]}),
            20015,
            "tools.0.name: Field required",
        ),
        (
            json!({"tools": [{"type": "function", "name": "a b"}]}),
            20015,
            "tools.0.name: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            json!({"tool_choice": "maybe"}),
            20015,
            "tool_choice: Input should be 'none', 'auto', 'required', a function or allowed tools",
        ),
        (
            json!({"tool_choice": {"type": "mcp"}}),
            20015,
            "tool_choice.type: Input should be 'function' or 'allowed_tools'",
        ),
        (
            json!({"tool_choice": {"type": "allowed_tools", "mode": "none", "tools": []}}),
            20015,
            "tool_choice.mode: Input should be 'auto' or 'required'",
        ),
    ]
}

/// A conversation that is wrong, and the code and text of its refusal.
fn faulty_input() -> Vec<(Value, u32, &'static str)> {
    let part = |role, part: Value| json!({"role": role, "content": [part]});
    vec![
        (json!({"content": "a"}), 20015, "input.0.role: Field required"),
        (
            json!({"role": "tool", "content": "a"}),
            20015,
            "input.0.role: Input should be 'user', 'assistant', 'system' or 'developer'",
        ),
        (json!({"role": "user"}), 20015, "input.0.content: Field required"),
        (
            part("user", json!({"type": "text", "text": "a"})),
            20029,
            "input.0.content.0.type: Input should be 'input_text' or 'input_image'",
        ),
        (
            part("user", json!({"type": "input_file", "file_id": "f"})),
            20029,
            "input.0.content.0.type: Input should be 'input_text' or 'input_image'",
        ),
        (
            part("user", json!({"type": "input_image", "file_id": "f"})),
            20015,
            "input.0.content.0.image_url: Field required",
        ),
        (
            part("assistant", json!({"type": "input_image", "image_url": "a"})),
            20029,
            "input.0.content.0.type: Input should be 'output_text' or 'refusal'",
        ),
        (
            json!({"type": "item_reference", "id": "msg_1"}),
            20015,
            "input.0.type: Value error, no items are stored here: send the item itself",
        ),
        (
            json!({"type": "web_search_call", "id": "ws_1"}),
            20029,
            "input.0.type: Input should be 'message', 'reasoning', 'function_call' or 'function_call_output'",
        ),
        (
            json!({"type": "function_call", "call_id": "c", "name": "f"}),
            20015,
            "input.0.arguments: Field required",
        ),
        (
            json!({"type": "function_call_output", "call_id": "c", "output": "a"}),
            20015,
            "input.0.call_id: Value error, there is no earlier `function_call` item with this id",
        ),
    ]
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::new().await;
    let conversations = faulty_input()
        .into_iter()
        .map(|(item, code, text)| (json!({"input": [item]}), code, text));
    for (fields, code, text) in faults().into_iter().chain(faulty_tools()).chain(conversations) {
        send(&app, "plain", fields).await.assert_error(400, code, text);
    }
    assert!(app.engine.requests().is_empty());
}

#[tokio::test]
async fn what_has_a_limit_is_refused_beyond_it() {
    let app = App::new().await;
    let tool = |index: usize| json!({"type": "function", "name": format!("f{index}")});
    let tools: Vec<Value> = (0..129).map(tool).collect();
    let answer = send(&app, "full", json!({"tools": tools})).await;
    answer.assert_error(
        400,
        20015,
        "tools: List should have at most 128 items after validation",
    );
    let answer = send(&app, "full", json!({"tools": tools[..128]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pairs = |count: usize| -> Value {
        (0..count)
            .map(|index| (index.to_string(), json!("x")))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    assert_eq!(
        send(&app, "plain", json!({"metadata": pairs(16)})).await.status,
        200
    );
    for (metadata, text) in [
        (
            pairs(17),
            "metadata: Dictionary should have at most 16 items after validation",
        ),
        (
            json!({"k".repeat(65): "x"}),
            "metadata: Keys should have at most 64 characters",
        ),
        (
            json!({"k": "é".repeat(513)}),
            "metadata: Values should have at most 512 characters",
        ),
    ] {
        let answer = send(&app, "plain", json!({"metadata": metadata})).await;
        answer.assert_error(400, 20015, text);
    }
    let items = vec![json!({"role": "user", "content": "a"}); 65_537];
    let answer = send(&app, "plain", json!({"input": items})).await;
    answer.assert_error(
        400,
        20015,
        "input.65536: There should be at most 65536 items and parts together",
    );
}

#[tokio::test]
async fn a_missing_key_and_an_unknown_model_are_told_as_everywhere() {
    let app = App::new().await;
    let answer = send(&app, "absent", json!({})).await;
    answer.assert_error(400, 20012, "Model does not exist. Please check it carefully.");
    let mut request = app.request(http::Method::POST, "/v1/responses", "{}");
    request.headers_mut().remove("authorization");
    app.send(request)
        .await
        .assert_error(401, 30014, "Token is invalid.");
}
