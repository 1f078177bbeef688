//! Conversations in the form of OpenAI's Responses API, whole and streamed.

mod refused;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use silica_engine::scripted::ChatScript;
use silica_engine::{
    AnswerForm, Delta, EngineError, FinishReason, Role, TextLogprob, Thinking, ToolChoice, TopLogprob,
};
use silica_types::TokenCount;

use super::support::{Answer, App};

async fn send(app: &App, model: &str, fields: Value) -> Answer {
    let mut body = json!({"model": format!("silica/{model}"), "input": "Hello"});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    app.post("/responses", &body).await
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

fn cut() -> ChatScript {
    ChatScript::started(TokenCount(1))
        .content(0, "a")
        .finished(0, FinishReason::Length)
}

/// The body without the digits that differ from call to call.
fn redacted(answer: &Answer) -> String {
    let text = answer.text();
    let first = text.find("resp_").unwrap() + 5;
    text.replace(&text[first..first + 32], "[id]")
}

fn redacted_json(answer: &Answer) -> Value {
    serde_json::from_str(&redacted(answer)).unwrap()
}

/// The data of each event of a stream, after a check that its name is its type and that the numbers
/// have no gaps.
fn events(answer: &Answer) -> Vec<Value> {
    let frames = answer.text().trim_end().split("\n\n");
    let events: Vec<Value> = frames
        .map(|frame| {
            let (name, data) = frame.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"], "{frame}");
            data
        })
        .collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    events
}

#[tokio::test]
async fn an_answer_has_openai_s_shape() {
    let app = App::new().await;
    let answer = send(&app, "plain", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["id"].as_str().unwrap().len(), 37);
    insta::assert_json_snapshot!(redacted_json(&answer));
    app.engine.push(everything());
    let answer = send(&app, "full", json!({})).await;
    insta::assert_json_snapshot!("every_kind_of_item", redacted_json(&answer));
}

#[tokio::test]
async fn events_have_openai_s_order() {
    let app = App::new().await;
    app.engine.push(everything());
    let answer = send(&app, "full", json!({"stream": true})).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    events(&answer);
    insta::assert_snapshot!(redacted(&answer));
}

#[tokio::test]
async fn the_last_event_of_a_stream_has_the_whole_answer() {
    let app = App::new().await;
    for script in [everything, cut] {
        app.engine.push(script());
        let whole = send(&app, "full", json!({})).await;
        app.engine.push(script());
        let streamed = send(&app, "full", json!({"stream": true})).await;
        let last = &events(&streamed).pop().unwrap()["response"];
        let id = |answer: &Value| answer["id"].as_str().unwrap().replace("resp_", "");
        let whole = whole.text().replace(&id(&whole.json()), &id(last));
        assert_eq!(serde_json::from_str::<Value>(&whole).unwrap(), *last);
    }
}

#[tokio::test]
async fn an_answer_that_its_limit_ended_is_incomplete() {
    let app = App::new().await;
    app.engine.push(cut());
    let answer = send(&app, "plain", json!({})).await.json();
    assert_eq!(answer["status"], "incomplete");
    assert_eq!(
        answer["incomplete_details"],
        json!({"reason": "max_output_tokens"})
    );
    assert_eq!(answer["output"][0]["status"], "incomplete");
    app.engine.push(cut());
    let answer = send(&app, "plain", json!({"stream": true})).await;
    let last = events(&answer).pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["status"], "incomplete");
}

#[tokio::test]
async fn a_failure_ends_a_stream_with_an_error_and_a_failed_answer() {
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
        let events = events(&answer);
        let [.., error, failed] = events.as_slice() else {
            panic!("{events:?}");
        };
        let text = "Request failed: Unknown error.";
        assert_eq!(
            (&error["type"], &error["code"], &error["message"]),
            (&json!("error"), &json!("50507"), &json!(text))
        );
        assert_eq!(failed["type"], "response.failed");
        let response = &failed["response"];
        assert_eq!(response["status"], "failed");
        assert_eq!(
            response["error"],
            json!({"code": "server_error", "message": text})
        );
        assert_eq!(response["output"][0]["status"], "incomplete");
        assert_eq!(response["output"][0]["content"][0]["text"], "half");
        assert!(!answer.text().contains("secret") && !answer.text().contains("response.completed"));
    }
}

#[tokio::test]
async fn a_failure_before_the_first_event_has_its_status() {
    let app = App::new().await;
    for stream in [false, true] {
        app.engine.push(ChatScript::refusal(|| EngineError::QueueFull));
        let answer = send(&app, "plain", json!({"stream": stream})).await;
        let text = "Model service overloaded. Please try again later.";
        answer.assert_error(503, 50505, text);
    }
}

#[tokio::test]
async fn items_become_messages_of_a_chat() {
    let app = App::new().await;
    let fields = json!({
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": "Be kind."},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Weather?"}, {"type": "input_text", "text": "Now."},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [
                {"type": "reasoning_text", "text": "Call it."}, {"type": "reasoning_text", "text": "Twice."},
            ]},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []},
            ]},
            {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "c0", "name": "weather", "arguments": "{\"city\": \"北京\"}"},
            {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c0", "output": "sunny"},
            {"type": "function_call_output", "call_id": "c1", "output": [
                {"type": "input_text", "text": "noon"}, {"type": "input_text", "text": "sharp"},
            ]},
            {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "Again."}], "encrypted_content": "x"},
            {"type": "function_call", "call_id": "c2", "name": "now", "arguments": ""},
            {"type": "function_call_output", "call_id": "c2", "output": "noon"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No more."}]},
            {"role": "user", "content": "So?"},
        ],
        "tools": [
            {"type": "function", "name": "weather", "description": "Tells it.", "parameters": {"type": "object"}, "strict": false},
            {"type": "function", "name": "now", "parameters": null, "strict": null},
        ],
        "parallel_tool_calls": false, "max_output_tokens": 30, "temperature": 0, "top_p": 0.5,
        "metadata": {"who": "me"}, "store": true, "truncation": "auto", "user": "x", "service_tier": "flex",
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"], "top_logprobs": 3,
        "reasoning": {"effort": "low", "summary": "auto"}, "text": {"format": {"type": "text"}, "verbosity": "low"},
        "background": false, "previous_response_id": null, "never_heard_of": [1],
    });
    let answer = send(&app, "full", fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    insta::assert_debug_snapshot!(app.requests());
    // What the answer repeats of the request.
    insta::assert_json_snapshot!("the_request_is_repeated", redacted_json(&answer));
}

#[tokio::test]
async fn earlier_reasoning_is_fed_back_on_turns_that_call_tools_only() {
    let app = App::new().await;
    let thought =
        json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]});
    let input = json!([
        {"role": "user", "content": "a"}, thought, {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"}, thought,
    ]);
    let answer = send(&app, "full", json!({"input": input})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let messages = app.engine.requests().remove(0).messages;
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.reasoning.is_none()));
}

#[tokio::test]
async fn reasoning_is_switched_off_where_there_is_any() {
    let app = App::new().await;
    for (model, effort, enabled) in [
        ("full", json!(null), None),
        ("full", json!({"effort": "none"}), Some(false)),
        ("full", json!({"effort": "high"}), None),
        ("full", json!({"effort": null}), None),
        ("plain", json!({"effort": "none"}), None),
        ("plain", json!({"effort": "max"}), None),
    ] {
        let answer = send(&app, model, json!({"reasoning": effort})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
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
    let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}, {"type": "function", "name": "g"}]);
    let with = |choice: Value| json!({"tools": tools, "tool_choice": choice});
    let names = |app: &App| -> Vec<String> {
        let request = app.engine.requests().pop().unwrap();
        request.tools.into_iter().map(|tool| tool.name).collect()
    };
    assert_eq!(send(&app, "plain", with(json!("none"))).await.status, 200);
    assert_eq!(app.engine.requests()[0].tool_choice, ToolChoice::None);
    let some = |mode: &str| json!({"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "g"}]});
    let answer = send(&app, "full", with(some("auto"))).await;
    assert_eq!((answer.status.as_u16(), names(&app)), (200, vec!["g".to_owned()]));
    assert_eq!(answer.json()["tool_choice"], some("auto"));
    assert_eq!(answer.json()["tools"].as_array().unwrap().len(), 2);
    for (choice, expected, tools) in [
        (json!("required"), ToolChoice::Required, vec!["f", "g"]),
        (
            json!({"type": "function", "name": "f"}),
            ToolChoice::Named("f".to_owned()),
            vec!["f", "g"],
        ),
        (some("required"), ToolChoice::Required, vec!["g"]),
    ] {
        assert_eq!(send(&app, "full", with(choice.clone())).await.status, 200);
        assert_eq!(names(&app), tools);
        assert_eq!(app.engine.requests().pop().unwrap().tool_choice, expected);
        let answer = send(&app, "plain", with(choice)).await;
        assert_eq!(answer.json()["code"], 20037, "{}", answer.text());
    }
    let strict = json!([{"type": "function", "name": "f", "parameters": {}, "strict": true}]);
    let fields = json!({"tools": strict, "parallel_tool_calls": false});
    assert_eq!(send(&app, "full", fields).await.status, 200);
    let request = app.engine.requests().pop().unwrap();
    assert!(request.tools[0].strict && !request.parallel_calls);
    let schema = json!({"type": "object"});
    for (format, expected) in [
        (json!({"type": "json_object"}), AnswerForm::JsonObject),
        (
            json!({"type": "json_schema", "name": "a", "schema": schema.clone()}),
            AnswerForm::JsonSchema(Arc::new(schema.clone())),
        ),
    ] {
        let fields = json!({"text": {"format": format}});
        let refused = send(&app, "plain", fields.clone()).await;
        refused.assert_error(400, 20024, "Json mode is not supported for this model.");
        assert_eq!(send(&app, "full", fields).await.status, 200);
        assert_eq!(app.engine.requests().pop().unwrap().form, expected);
    }
    let image = json!([{"role": "user", "content": [{"type": "input_image", "detail": "auto", "image_url": "https://example.org/a.png"}]}]);
    let answer = send(&app, "full", json!({"input": image})).await;
    assert_eq!(answer.json()["code"], 20041, "{}", answer.text());
}

#[tokio::test]
async fn log_probabilities_come_when_they_are_included() {
    let app = App::new().await;
    let token = TopLogprob {
        text: "Hi".to_owned(),
        bytes: b"Hi".to_vec(),
        logprob: -0.5,
    };
    let told = Delta::Content {
        text: "Hi".to_owned(),
        logprobs: vec![TextLogprob {
            token: token.clone(),
            top: vec![token],
        }],
    };
    let script = || {
        ChatScript::started(TokenCount(1))
            .delta(0, told.clone())
            .finished(0, FinishReason::Stop)
    };
    let fields = json!({"include": ["message.output_text.logprobs"], "top_logprobs": 1});
    app.engine.push(script());
    let answer = send(&app, "plain", fields.clone()).await.json();
    let one = json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105]});
    let mut entry = one.clone();
    entry["top_logprobs"] = json!([one]);
    assert_eq!(answer["output"][0]["content"][0]["logprobs"], json!([entry]));
    assert_eq!(app.engine.requests()[0].logprobs, Some(1));
    app.engine.push(script());
    let mut fields = fields;
    fields["stream"] = true.into();
    let events = events(&send(&app, "plain", fields).await);
    for event in ["response.output_text.delta", "response.output_text.done"] {
        let found = events.iter().find(|found| found["type"] == event).unwrap();
        assert_eq!(found["logprobs"], json!([entry]), "{event}");
    }
}

#[tokio::test]
async fn calls_that_grow_side_by_side_keep_their_arguments() {
    let app = App::new().await;
    let call = |index| Delta::ToolCallStarted {
        index,
        id: format!("c{index}"),
        name: "f".to_owned(),
    };
    let fragment = |index, text: &str| Delta::ToolCallArguments {
        index,
        fragment: text.to_owned(),
    };
    let script = ChatScript::started(TokenCount(1))
        .delta(0, call(0))
        .delta(0, call(1))
        .delta(0, fragment(0, "{}"))
        .delta(0, fragment(1, "[]"))
        .finished(0, FinishReason::ToolCalls);
    app.engine.push(script);
    let answer = send(&app, "full", json!({})).await.json();
    let arguments = |place: usize| answer["output"][place]["arguments"].clone();
    assert_eq!((arguments(0), arguments(1)), (json!("{}"), json!("[]")));
}

#[tokio::test]
async fn instructions_stand_before_the_conversation() {
    let app = App::new().await;
    let answer = send(&app, "plain", json!({"instructions": "Be brief.\n"})).await;
    assert_eq!(answer.json()["instructions"], "Be brief.\n");
    let messages = app.engine.requests().remove(0).messages;
    assert_eq!(messages[0].role, Role::System);
    assert_eq!((messages[0].content.as_str(), messages.len()), ("Be brief.\n", 2));
}

#[tokio::test]
async fn the_route_is_there_without_its_version_as_well() {
    let app = App::new().await;
    let body = r#"{"model":"silica/plain","input":"a"}"#;
    let answer = app.send(app.request(Method::POST, "/responses", body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = app.get("/v1/responses").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
    // Nothing is stored, so there is nothing to fetch.
    assert_eq!(app.get("/v1/responses/resp_1").await.status, 404);
}
