//! Faults of requests, each with its code and its text.

use serde_json::{Value, json};
use silica_protocol::openai::chat::ChatCompletionRequest;
use silica_protocol::{ApiError, RequestBody as _};

pub(super) fn refusal(body: &str) -> (u32, String) {
    let ApiError { code, message } = ChatCompletionRequest::from_json(body).expect_err(body);
    (code.number(), message.into_owned())
}

/// A valid request with one field replaced.
fn with(field: &str, value: Value) -> String {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[field] = value;
    body.to_string()
}

pub(super) fn assert_refused(field: &str, value: Value, code: u32, text: &str) {
    assert_eq!(refusal(&with(field, value)), (code, text.to_owned()), "{field}");
}

#[test]
fn bodies_that_are_no_json_object() {
    assert_eq!(
        refusal("").1,
        "The request body is not valid JSON (line 1, column 0)."
    );
    assert_eq!(
        refusal("{\"model\":").1,
        "The request body is not valid JSON (line 1, column 9)."
    );
    assert_eq!(
        refusal("{} {}").1,
        "The request body is not valid JSON (line 1, column 4)."
    );
    for body in ["[]", "null", "\"text\"", "1"] {
        assert_eq!(
            refusal(body),
            (20015, "Input should be a valid dictionary".to_owned()),
            "{body}"
        );
    }
}

#[test]
fn required_fields_have_codes_of_their_own() {
    assert_eq!(refusal("{}"), (20013, "model: Field required".to_owned()));
    assert_eq!(refusal(r#"{"model":null,"messages":[]}"#).0, 20013);
    assert_eq!(
        refusal(r#"{"model":"m"}"#),
        (20014, "messages: Field required".to_owned())
    );
    assert_refused(
        "messages",
        json!([]),
        20014,
        "messages: List should have at least 1 item after validation",
    );
    assert_refused(
        "model",
        json!(""),
        20015,
        "The parameter is invalid. Please check again.",
    );
    assert_refused("model", json!(7), 20015, "model: Input should be a valid string");
}

#[test]
fn wrong_types_name_the_field_and_what_it_should_be() {
    let cases = [
        (
            "max_tokens",
            json!("10"),
            "max_tokens: Input should be a valid integer",
        ),
        (
            "max_tokens",
            json!(1.5),
            "max_tokens: Input should be a valid integer",
        ),
        (
            "max_completion_tokens",
            json!([]),
            "max_completion_tokens: Input should be a valid integer",
        ),
        (
            "temperature",
            json!("hot"),
            "temperature: Input should be a valid number",
        ),
        ("top_k", json!("5"), "top_k: Input should be a valid number"),
        ("stream", json!("yes"), "stream: Input should be a valid boolean"),
        ("stream", json!(1), "stream: Input should be a valid boolean"),
        (
            "stop",
            json!({}),
            "stop: Input should be a valid string or a list of strings",
        ),
        ("stop", json!(["a", 1]), "stop.1: Input should be a valid string"),
        ("seed", json!("x"), "seed: Input should be a valid integer"),
        ("n", json!(true), "n: Input should be a valid integer"),
        ("logprobs", json!(3), "logprobs: Input should be a valid boolean"),
        (
            "logit_bias",
            json!([1]),
            "logit_bias: Input should be a valid dictionary",
        ),
        (
            "logit_bias",
            json!({"hello": 1}),
            "logit_bias: Keys should be token ids",
        ),
        (
            "stream_options",
            json!(true),
            "stream_options: Input should be a valid dictionary",
        ),
        (
            "stream_options",
            json!({"include_usage": 1}),
            "stream_options.include_usage: Input should be a valid boolean",
        ),
        (
            "response_format",
            json!("json"),
            "response_format: Input should be a valid dictionary",
        ),
        (
            "response_format",
            json!({}),
            "response_format.type: Field required",
        ),
        (
            "enable_thinking",
            json!("no"),
            "enable_thinking: Input should be a valid boolean",
        ),
        ("prefix", json!(1), "prefix: Input should be a valid string"),
        (
            "extra_body",
            json!({"suffix": []}),
            "extra_body.suffix: Input should be a valid string",
        ),
    ];
    for (field, value, text) in cases {
        assert_refused(field, value, 20015, text);
    }
}

#[test]
fn numbers_out_of_range() {
    let cases = [
        ("max_tokens", json!(0), "greater than or equal to 1"),
        ("temperature", json!(-0.1), "greater than or equal to 0"),
        ("temperature", json!(2.1), "less than or equal to 2"),
        ("top_p", json!(0), "greater than 0"),
        ("top_p", json!(1.01), "less than or equal to 1"),
        ("min_p", json!(-1), "greater than or equal to 0"),
        ("frequency_penalty", json!(2.5), "less than or equal to 2"),
        ("presence_penalty", json!(-3), "greater than or equal to -2"),
        ("logit_bias", json!({"1": 101}), "less than or equal to 100"),
        ("n", json!(0), "greater than or equal to 1"),
        ("top_logprobs", json!(21), "less than or equal to 20"),
        ("thinking_budget", json!(127), "greater than or equal to 128"),
        ("thinking_budget", json!(32769), "less than or equal to 32768"),
    ];
    for (field, value, range) in cases {
        assert_refused(field, value, 20015, &format!("{field}: Input should be {range}"));
    }
}

#[test]
fn values_with_rules_of_their_own() {
    let top_k = "top_k must be -1 or between 1 and 100.";
    for value in [json!(0), json!(-2), json!(101), json!(1.5)] {
        assert_refused("top_k", value, 20060, top_k);
    }
    assert_refused("n", json!(21), 20081, "n must be at most 20.");
    let stop = json!(["a", "b", "c", "d", "e"]);
    assert_refused(
        "stop",
        stop,
        20015,
        "stop: List should have at most 4 items after validation",
    );
    let top_logprobs = "top_logprobs: Value error, `logprobs` must be true";
    assert_refused("top_logprobs", json!(2), 20015, top_logprobs);
}

#[test]
fn messages_with_faults() {
    let cases = [
        (json!("Hi"), 20015, "messages: Input should be a valid list"),
        (
            json!(["Hi"]),
            20015,
            "messages.0: Input should be a valid dictionary",
        ),
        (
            json!([{"role": "user"}]),
            20015,
            "messages.0.content: Field required",
        ),
        (
            json!([{"role": "user", "content": null}]),
            20015,
            "messages.0.content: Field required",
        ),
        (
            json!([{"role": "user", "content": 7}]),
            20015,
            "messages.0.content: Input should be a valid string or a list of parts",
        ),
        (
            json!([{"role": "user", "content": []}]),
            20015,
            "messages.0.content: List should have at least 1 item after validation",
        ),
        (
            json!([{"role": "user", "content": [{"text": "a"}]}]),
            20015,
            "messages.0.content.0.type: Field required",
        ),
        (
            json!([{"role": "user", "content": [{"type": "text"}]}]),
            20015,
            "messages.0.content.0.text: Field required",
        ),
        (
            json!([{"role": "user", "content": [{"type": "file"}]}]),
            20029,
            "messages.0.content.0.type: Input should be 'text' or 'image_url'",
        ),
        (
            json!([{"role": "pirate", "content": "a"}]),
            20015,
            "messages.0.role: Input should be 'system', 'user', 'assistant' or 'tool'",
        ),
        (
            json!([{"role": 1, "content": "a"}]),
            20015,
            "messages.0.role: Input should be a valid string",
        ),
        (
            json!([{"role": "user", "content": "a"}, {"role": "tool", "content": "b", "tool_call_id": "c"}]),
            20015,
            "\"messages\" in request are illegal: Message has tool role, but there was no previous assistant message with a tool call!..",
        ),
        (
            json!([{"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}]),
            20015,
            "messages.0.tool_calls.0.id: Field required",
        ),
        (
            json!([{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}]),
            20015,
            "messages.0.tool_calls.0.function.arguments: Input should be a valid string",
        ),
    ];
    for (value, code, text) in cases {
        assert_refused("messages", value, code, text);
    }
}

#[test]
fn tools_with_faults() {
    let function = |name: &str| json!({"type": "function", "function": {"name": name}});
    let cases = [
        (json!({}), "tools: Input should be a valid list"),
        (
            json!([{"function": {"name": "f"}}]),
            "tools.0.type: Field required",
        ),
        (
            json!([{"type": "retrieval", "function": {"name": "f"}}]),
            "tools.0.type: Input should be 'function'",
        ),
        (json!([{"type": "function"}]), "tools.0.function: Field required"),
        (
            json!([function("a b")]),
            "tools.0.function.name: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            json!([function("f"), function(&"x".repeat(65))]),
            "tools.1.function.name: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            json!([{"type": "function", "function": {"name": "f", "parameters": "x"}}]),
            "tools.0.function.parameters: Input should be a valid dictionary",
        ),
        (
            json!([{"type": "function", "function": {"name": "f", "strict": "x"}}]),
            "tools.0.function.strict: Input should be a valid boolean",
        ),
        (
            Value::Array(vec![function("f"); 129]),
            "tools: List should have at most 128 items after validation",
        ),
    ];
    for (value, text) in cases {
        assert_refused("tools", value, 20015, text);
    }
    assert_refused(
        "tool_choice",
        json!("maybe"),
        20015,
        "tool_choice: Input should be 'none', 'auto', 'required' or a function",
    );
    assert_refused(
        "tool_choice",
        json!({"type": "function"}),
        20015,
        "tool_choice.function: Field required",
    );
}

#[test]
fn large_trees_are_refused_before_they_are_built() {
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(600_000));
    for (schema, text) in [
        (deep, "tools.0.function.parameters: Input is nested too deeply"),
        (
            wide,
            "tools.0.function.parameters: Schemas should have at most 1048576 bytes together",
        ),
    ] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"content":"a"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#
        );
        assert_eq!(refusal(&body), (20015, text.to_owned()));
    }
}

#[test]
fn ten_megabytes_of_nesting_are_answered_at_once() {
    let depth = 5_000_000;
    let open = "[".repeat(depth);
    let nested = format!("{open}{}", "]".repeat(depth));
    assert_eq!(refusal(&nested).0, 20015);
    assert_eq!(refusal(&open).0, 20015);
    let messages = format!(r#"{{"model":"m","messages":{nested}}}"#);
    assert_eq!(
        refusal(&messages).1,
        "messages.0: Input should be a valid dictionary"
    );
    let content = format!(r#"{{"model":"m","messages":[{{"content":{nested}}}]}}"#);
    assert_eq!(
        refusal(&content).1,
        "messages.0.content.0: Input should be a valid dictionary"
    );
}

#[test]
fn lone_surrogates_are_no_text() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"\ud800"}]}"#;
    assert_eq!(
        refusal(body).1,
        "messages.0.content: Input should be a valid string"
    );
}
