//! What holds for every request text.

use proptest::prelude::*;
use serde_json::{Value, json};
use silica_protocol::openai::chat::ChatCompletionRequest;
use silica_protocol::{ErrorCode, RequestBody as _};

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "n",
    "seed",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "prefix",
    "suffix",
    "extra_body",
    "enable_thinking",
    "thinking_budget",
    "role",
    "content",
    "type",
    "text",
    "function",
    "name",
    "parameters",
    "tool_calls",
    "id",
    "arguments",
    "json_schema",
    "include_usage",
    "other",
];
const TEXTS: &[&str] = &[
    "user",
    "tool",
    "assistant",
    "text",
    "function",
    "auto",
    "json_object",
    "",
    "深圳",
    "1",
];

/// JSON values made of the request's own words, so that many get past the first checks.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..130).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(TEXTS).prop_map(Value::from),
        "SECRET[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(FIELDS), inner), 0..6).prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

fn request() -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec((prop::sample::select(FIELDS), value()), 0..4);
    changes.prop_map(|changes| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        for (field, value) in changes {
            body[field] = value;
        }
        body
    })
}

/// Reads a text; whatever is refused must have a client's code and repeat nothing.
fn read(text: &str) -> Result<(), TestCaseError> {
    match ChatCompletionRequest::from_json(text) {
        Ok(request) => {
            prop_assert!(!request.model.is_empty() && !request.messages.is_empty());
            prop_assert!(request.n.is_none_or(|n| (1..=20).contains(&n)));
            prop_assert!(request.stop.len() <= 4 && request.stop.iter().all(|text| !text.is_empty()));
            prop_assert!(
                request
                    .temperature
                    .is_none_or(|value| (0.0..=2.0).contains(&value))
            );
        }
        Err(error) => {
            prop_assert!(ErrorCode::ALL.contains(&error.code));
            prop_assert!(error.code.status().is_client_error());
            prop_assert!(!error.message.contains("SECRET"), "{}", error.message);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        read(&text)?;
    }

    #[test]
    fn any_json_is_read_or_refused_without_repeating_it(value in value()) {
        read(&value.to_string())?;
    }

    #[test]
    fn any_change_of_a_request_is_read_or_refused_without_repeating_it(request in request()) {
        read(&request.to_string())?;
    }

    #[test]
    fn truncated_requests_are_refused(request in request(), cut in 0.0..1.0_f64) {
        let text = request.to_string();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let end = (0..=(text.len() as f64 * cut) as usize).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let read = ChatCompletionRequest::from_json(&text[..end]);
        prop_assert_eq!(read.unwrap_err().code.number(), 20015);
    }
}
