//! How much of everything a request may have.

use serde_json::{Value, json};
use silica_protocol::RequestBody as _;
use silica_protocol::openai::chat::ChatCompletionRequest;

use super::refused::{assert_refused, refusal};

/// A body with these messages.
fn body_with(messages: &str) -> String {
    format!(r#"{{"model":"m","messages":[{messages}]}}"#)
}

#[test]
fn a_stop_text_has_at_most_a_kilobyte() {
    let text = "é".repeat(512);
    let body = |stop: &Value| json!({"model": "m", "messages": [{"content": "a"}], "stop": stop}).to_string();
    let read = ChatCompletionRequest::from_json(&body(&json!(text))).unwrap();
    assert_eq!(read.stop, std::slice::from_ref(&text));
    for (stop, place) in [
        (json!(text.clone() + "a"), "stop"),
        (json!(["a", text + "a"]), "stop.1"),
    ] {
        let refused = (20015, format!("{place}: String should have at most 1024 bytes"));
        assert_eq!(refusal(&body(&stop)), refused);
    }
}

#[test]
fn a_biased_token_has_one_spelling_and_its_last_bias_counts() {
    for key in ["05", "+5", " 5", "-0", "", "4294967296"] {
        assert_refused(
            "logit_bias",
            json!({key: 1}),
            20015,
            "logit_bias: Keys should be token ids",
        );
    }
    let body = r#"{"model":"m","messages":[{"content":"a"}],"logit_bias":{"5":1,"0":2,"5":3}}"#;
    let read = ChatCompletionRequest::from_json(body).unwrap();
    assert_eq!(read.logit_bias, [(0, 2.0), (5, 3.0)]);
    let repeated = r#""5":1,"#.repeat(2000);
    let body = format!(r#"{{"model":"m","messages":[{{"content":"a"}}],"logit_bias":{{{repeated}"5":4}}}}"#);
    assert_eq!(
        ChatCompletionRequest::from_json(&body).unwrap().logit_bias,
        [(5, 4.0)]
    );
}

#[test]
fn there_are_at_most_65536_messages() {
    let most = vec![r#"{"content":"a"}"#; 65_536].join(",");
    let read = ChatCompletionRequest::from_json(&body_with(&most)).unwrap();
    assert_eq!(read.messages.len(), 65_536);
    assert_eq!(
        refusal(&body_with(&format!(r#"{most},{{"content":"a"}}"#))),
        (
            20015,
            "messages: List should have at most 65536 items after validation".to_owned()
        )
    );
}

#[test]
fn a_turn_has_at_most_128_tool_calls() {
    let turn = |calls: usize| {
        let calls = vec![r#"{"id":"a","function":{"name":"f"}}"#; calls].join(",");
        body_with(&format!(r#"{{"role":"assistant","tool_calls":[{calls}]}}"#))
    };
    let read = ChatCompletionRequest::from_json(&turn(128)).unwrap();
    assert_eq!(read.messages[0].tool_calls.len(), 128);
    assert_eq!(
        refusal(&turn(129)),
        (
            20015,
            "messages.0.tool_calls: List should have at most 128 items after validation".to_owned()
        )
    );
}

#[test]
fn called_functions_are_named_like_tools() {
    for name in [String::new(), "a b".to_owned(), "a".repeat(65)] {
        let call = json!({"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": name}}]});
        assert_eq!(
            refusal(&body_with(&call.to_string())),
            (
                20015,
                "messages.0.tool_calls.0.function.name: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"
                    .to_owned()
            )
        );
    }
}

#[test]
fn the_arguments_of_all_calls_share_one_megabyte() {
    let turn = |bytes: usize| {
        let function = json!({"name": "f", "arguments": "1".repeat(bytes)});
        json!({"role": "assistant", "tool_calls": [{"id": "a", "function": function}]}).to_string()
    };
    let half = turn(512 * 1024);
    ChatCompletionRequest::from_json(&body_with(&format!("{half},{half}"))).unwrap();
    assert_eq!(
        refusal(&body_with(&format!("{half},{half},{}", turn(1)))),
        (
            20015,
            "messages.2.tool_calls.0.function.arguments: Arguments should have at most 1048576 bytes together"
                .to_owned()
        )
    );
}
