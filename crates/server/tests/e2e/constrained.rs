//! JSON forms and forced calls of the model that ships: whatever it would say, it keeps to them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::TestServer;

use crate::support::{MODEL, body, chat, server};

fn place_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 20},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city", "days", "unit"],
        "additionalProperties": false,
    })
}

fn weather() -> Value {
    json!({"type": "function", "function": {"name": "forecast", "parameters": place_schema()}})
}

fn sum() -> Value {
    let parameters = json!({"type": "object", "properties": {"of": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}}, "required": ["of"], "additionalProperties": false});
    json!({"type": "function", "function": {"name": "sum", "parameters": parameters}})
}

/// A request for up to 200 tokens with these fields.
fn asked(content: &str, fields: &Value) -> Value {
    let mut request = chat(content);
    request["max_tokens"] = 200.into();
    for (key, value) in fields.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

/// The message and the reason of its end, of an answer in one piece or streamed.
async fn ask(server: &TestServer, request: &Value, streams: bool) -> (Value, String) {
    let mut request = request.clone();
    request["stream"] = streams.into();
    let response = server.chat(&server.api_key(), &request).await;
    assert_eq!(response.status(), StatusCode::OK);
    if !streams {
        let answer = body(response).await;
        let choice = &answer["choices"][0];
        return (
            choice["message"].clone(),
            choice["finish_reason"].as_str().unwrap().to_owned(),
        );
    }
    let text = response.text().await.unwrap();
    let (mut message, mut reason) = (json!({"content": "", "tool_calls": []}), String::new());
    for frame in text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|frame| *frame != "[DONE]")
    {
        let frame: Value = serde_json::from_str(frame).unwrap();
        let choice = &frame["choices"][0];
        add(&mut message, &choice["delta"]);
        reason.push_str(choice["finish_reason"].as_str().unwrap_or_default());
    }
    assert!(text.ends_with("data: [DONE]\n\n"));
    (message, reason)
}

fn add(message: &mut Value, delta: &Value) {
    let content = message["content"].as_str().unwrap().to_owned();
    message["content"] = (content + delta["content"].as_str().unwrap_or_default()).into();
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        let calls = message["tool_calls"].as_array_mut().unwrap();
        let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
        if index == calls.len() {
            calls.push(json!({"function": {"name": call["function"]["name"], "arguments": ""}}));
        }
        let arguments = calls[index]["function"]["arguments"].as_str().unwrap().to_owned();
        calls[index]["function"]["arguments"] =
            (arguments + call["function"]["arguments"].as_str().unwrap_or_default()).into();
    }
}

fn assert_is_place(text: &str) {
    let place: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(place.as_object().unwrap().len(), 3, "{text}");
    assert!(
        place["city"]
            .as_str()
            .is_some_and(|city| city.chars().count() <= 20),
        "{text}"
    );
    assert!(
        place["days"]
            .as_i64()
            .is_some_and(|days| (1..=14).contains(&days)),
        "{text}"
    );
    assert!(
        ["celsius", "fahrenheit"].contains(&place["unit"].as_str().unwrap()),
        "{text}"
    );
}

#[tokio::test]
async fn forms_are_kept_at_any_temperature_plain_and_streamed() {
    let server = server().start().await;
    let schema = json!({"type": "json_schema", "json_schema": {"name": "place", "strict": true, "schema": place_schema()}});
    let mut whole = 0;
    for (seed, streams) in (0..2).flat_map(|seed| [(seed, false), (seed, true)]) {
        let warm = json!({"temperature": 1.5, "top_p": 1, "top_k": -1, "seed": seed, "response_format": schema, "frequency_penalty": 0, "enable_thinking": false});
        let (message, reason) = ask(&server, &asked("Tell me a story.", &warm), streams).await;
        if reason == "stop" {
            assert_is_place(message["content"].as_str().unwrap());
            whole += 1;
        } else {
            assert_eq!(reason, "length");
        }
        let object = json!({"temperature": 1, "seed": seed, "response_format": {"type": "json_object"}, "enable_thinking": false});
        let (message, reason) = ask(&server, &asked("Hello", &object), streams).await;
        if reason == "stop" {
            let text = message["content"].as_str().unwrap();
            assert!(serde_json::from_str::<Value>(text).unwrap().is_object(), "{text}");
            whole += 1;
        }
    }
    assert!(whole > 2, "only {whole} of 8 answers came to their end");
    let cut = json!({"response_format": schema, "max_tokens": 4, "enable_thinking": false});
    assert_eq!(ask(&server, &asked("Hello", &cut), false).await.1, "length");
}

#[tokio::test]
async fn calls_are_forced_and_forbidden_plain_and_streamed() {
    let server = server().start().await;
    let named = json!({"type": "function", "function": {"name": "forecast"}});
    let base = json!({"tools": [weather(), sum()], "temperature": 1, "frequency_penalty": 0, "enable_thinking": false});
    let with = |choice: &Value, seed: u64| {
        let mut fields = base.clone();
        fields["tool_choice"] = choice.clone();
        fields["seed"] = seed.into();
        asked("Hello", &fields)
    };
    for (seed, streams) in (0..2).flat_map(|seed| [(seed, false), (seed, true)]) {
        let (message, reason) = ask(&server, &with(&named, seed), streams).await;
        assert_eq!(reason, "tool_calls", "{message}");
        assert_eq!(message["content"].as_str().unwrap_or_default(), "");
        let calls = message["tool_calls"].as_array().unwrap();
        assert_eq!(
            (calls.len(), &calls[0]["function"]["name"]),
            (1, &json!("forecast"))
        );
        assert_is_place(calls[0]["function"]["arguments"].as_str().unwrap());
        let mut single = with(&json!("required"), seed);
        single["parallel_tool_calls"] = false.into();
        let (message, reason) = ask(&server, &single, streams).await;
        assert_eq!(reason, "tool_calls", "{message}");
        assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1);
        let weather = asked(
            "how is the weather today in beijing?",
            &json!({"tools": [weather()], "tool_choice": "none", "temperature": 0}),
        );
        let (message, reason) = ask(&server, &weather, streams).await;
        assert_ne!(reason, "tool_calls");
        assert!(
            message["tool_calls"].as_array().is_none_or(Vec::is_empty),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_other_dialects_keep_forms_and_force_calls_too() {
    let server = server().start().await;
    let post = async |path: &str, request: Value| {
        let request = server
            .request(Method::POST, path)
            .bearer_auth(server.api_key())
            .json(&request);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        body(response).await
    };
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let tool = json!({"name": "forecast", "input_schema": place_schema()});
    let answer = post("/v1/messages", json!({"model": MODEL, "max_tokens": 300, "messages": messages, "tools": [tool], "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "thinking": {"type": "disabled"}})).await;
    assert_eq!(answer["stop_reason"], "tool_use", "{answer}");
    let block = answer["content"].as_array().unwrap().last().unwrap();
    assert_is_place(&block["input"].to_string());
    let form = json!({"format": {"type": "json_schema", "schema": place_schema()}});
    let answer = post("/v1/messages", json!({"model": MODEL, "max_tokens": 300, "messages": messages, "output_config": form, "thinking": {"type": "disabled"}})).await;
    assert_is_place(answer["content"][0]["text"].as_str().unwrap());

    let format =
        json!({"format": {"type": "json_schema", "name": "place", "schema": place_schema(), "strict": true}});
    let answer = post(
        "/v1/responses",
        json!({"model": MODEL, "input": "Hello", "text": format, "reasoning": {"effort": "none"}}),
    )
    .await;
    assert_is_place(answer["output"][0]["content"][0]["text"].as_str().unwrap());
    let tool = json!({"type": "function", "name": "forecast", "parameters": place_schema(), "strict": true});
    let named = json!({"type": "function", "name": "forecast"});
    let answer = post("/v1/responses", json!({"model": MODEL, "input": "Hello", "tools": [tool], "tool_choice": named, "reasoning": {"effort": "none"}})).await;
    assert_eq!(answer["output"][0]["type"], "function_call", "{answer}");
    assert_is_place(answer["output"][0]["arguments"].as_str().unwrap());
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_with_the_reason_and_the_engine_goes_on() {
    let server = server().start().await;
    let schema = |schema: Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}});
    let deep = (0..100).fold(
        json!({"type": "string"}),
        |inner, _| json!({"type": "object", "properties": {"a": inner}, "required": ["a"]}),
    );
    let wide: serde_json::Map<String, Value> = (0..3000)
        .map(|index| {
            (
                format!("p{index}"),
                json!({"type": "string", "pattern": "^[a-z]{1,200}$"}),
            )
        })
        .collect();
    let both = json!({"allOf": (0..60).map(|index| json!({"anyOf": [{"properties": {format!("a{index}"): {"type": "string"}}}, {"properties": {format!("b{index}"): {"type": "integer"}}}]})).collect::<Vec<_>>()});
    for (fields, code, beginning) in [
        (
            schema(json!({"type": "strin"})),
            20024,
            "response_format: the schema cannot be kept: ",
        ),
        (
            schema(json!({"pattern": "(?=a)b", "type": "string"})),
            20024,
            "response_format: the schema cannot be kept: ",
        ),
        (
            json!({"tools": [weather()], "tool_choice": {"type": "function", "function": {"name": "other"}}}),
            20015,
            "tool_choice: there is no tool named 'other'",
        ),
        (
            json!({"tool_choice": "required"}),
            20015,
            "tool_choice: there are no tools to call",
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "bad", "strict": true, "parameters": {"type": "array"}}}]}),
            20037,
            "tools: the parameters of 'bad' cannot be kept: ",
        ),
        (
            json!({"response_format": {"type": "json_object"}, "prefix": "{"}),
            20033,
            "",
        ),
        (
            json!({"response_format": {"type": "json_object"}, "suffix": "}"}),
            20032,
            "",
        ),
    ] {
        let response = server.chat(&server.api_key(), &asked("Hello", &fields)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let refusal = body(response).await;
        assert_eq!(refusal["code"], code, "{refusal}");
        assert!(
            refusal["message"].as_str().unwrap().starts_with(beginning),
            "{refusal}"
        );
    }
    for large in [deep, json!({"type": "object", "properties": wide}), both] {
        let response = server
            .chat(&server.api_key(), &asked("Hello", &schema(large)))
            .await;
        let status = response.status();
        assert!(
            [StatusCode::OK, StatusCode::BAD_REQUEST].contains(&status),
            "{status}"
        );
    }
    let plain = server.chat(&server.api_key(), &chat("Hello")).await;
    assert_eq!(plain.status(), StatusCode::OK);
}
