//! Raw texts continued, whole and streamed.

use http::Method;
use serde_json::{Value, json};
use silica_engine::scripted::ChatScript;
use silica_engine::{
    ChatEventKind, Continuation, Delta, EngineError, FinishReason, TextLogprob, TopLogprob, WireRoute,
};
use silica_types::TokenCount;

use super::support::{Answer, App};

async fn complete(app: &App, model: &str, fields: Value) -> Answer {
    let mut body = json!({"model": format!("silica/{model}"), "prompt": "Once"});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    app.post("/completions", &body).await
}

/// The body with its random id replaced.
fn redacted(answer: &Answer) -> String {
    let text = answer.text();
    let first = text.find("\"id\":\"").unwrap() + 6;
    text.replace(&text[first..first + 32], "[id]")
}

#[tokio::test]
async fn an_answer_has_the_contract_s_shape() {
    let app = App::new().await;
    let answer = complete(&app, "plain", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    insta::assert_json_snapshot!(answer.json(), { ".id" => "[id]" });
}

#[tokio::test]
async fn frames_have_the_contract_s_bytes() {
    let app = App::new().await;
    let answer = complete(&app, "plain", json!({"stream": true})).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    insta::assert_snapshot!(redacted(&answer));
}

#[tokio::test]
async fn the_prompt_is_all_that_the_model_sees_and_nothing_is_penalised() {
    let app = App::new().await;
    complete(
        &app,
        "plain",
        json!({"prompt": ["Once"], "suffix": "", "stop": ["\n"]}),
    )
    .await;
    let request = app.engine.requests().remove(0);
    assert_eq!(request.continuation, Continuation::Text("Once".to_owned()));
    assert_eq!(request.max_tokens, TokenCount(512));
    insta::assert_debug_snapshot!(request.sampling);
    let wire = request.wire.unwrap();
    assert_eq!((wire.route, wire.streams), (WireRoute::Completions, false));
    assert_eq!(wire.model.as_str(), "silica/plain");
    assert!(wire.body.starts_with(b"{\"model\""));
}

#[tokio::test]
async fn a_suffix_asks_for_what_stands_in_the_gap() {
    let app = App::new().await;
    let fields = json!({"prompt": "def f(", "suffix": "return x"});
    assert_eq!(complete(&app, "full", fields.clone()).await.status, 200);
    let gap = Continuation::FillInMiddle {
        prefix: "def f(".to_owned(),
        suffix: "return x".to_owned(),
    };
    assert_eq!(app.engine.requests()[0].continuation, gap);
    let refused = complete(&app, "plain", fields).await;
    assert_eq!(refused.json()["code"], 20031);
}

#[tokio::test]
async fn an_echo_begins_each_choice_with_the_prompt() {
    let app = App::new().await;
    let script = || {
        ChatScript::started(TokenCount(1))
            .content(1, " b")
            .content(0, " a")
            .finished(0, FinishReason::Stop)
            .finished(1, FinishReason::Length)
    };
    app.engine.push(script());
    let answer = complete(&app, "plain", json!({"echo": true, "n": 2}))
        .await
        .json();
    assert_eq!(answer["choices"][0]["text"], "Once a");
    assert_eq!(answer["choices"][1]["text"], "Once b");
    assert_eq!(answer["choices"][1]["finish_reason"], "length");
    app.engine.push(script());
    let streamed = complete(&app, "plain", json!({"echo": true, "n": 2, "stream": true})).await;
    insta::assert_snapshot!(redacted(&streamed));
}

#[tokio::test]
async fn log_probabilities_are_lists() {
    let app = App::new().await;
    let token = |text: &str, logprob| TopLogprob {
        text: text.to_owned(),
        bytes: text.as_bytes().to_vec(),
        logprob,
    };
    let piece = |text: &str| Delta::Content {
        text: text.to_owned(),
        logprobs: vec![TextLogprob {
            token: token(text, -0.5),
            top: vec![token(text, -0.5), token("other", -1.5), token("other", -2.5)],
        }],
    };
    let script = || {
        ChatScript::started(TokenCount(1))
            .delta(0, piece("北京"))
            .delta(0, piece("!"))
            .finished(0, FinishReason::Stop)
    };
    app.engine.push(script());
    let answer = complete(&app, "plain", json!({"logprobs": 2})).await;
    assert_eq!(app.engine.requests()[0].logprobs, Some(2));
    insta::assert_json_snapshot!(answer.json()["choices"]);
    app.engine.push(script());
    let streamed = complete(&app, "plain", json!({"logprobs": 2, "stream": true})).await;
    assert!(
        streamed.text().contains(r#""text_offset":[2]"#),
        "{}",
        streamed.text()
    );
}

#[tokio::test]
async fn what_an_engine_wrote_goes_through_as_it_is() {
    let app = App::new().await;
    let forwarded = |bytes: &'static str, end| ChatEventKind::Forwarded {
        bytes: bytes.into(),
        has_text: true,
        end,
    };
    let end = Some(FinishReason::Stop);
    app.engine
        .push(ChatScript::default().event(forwarded("{\"odd\":1}", end)));
    assert_eq!(complete(&app, "plain", json!({})).await.text(), "{\"odd\":1}");
    let script = ChatScript::default()
        .event(forwarded("data: {\"a\":1}\n\n", None))
        .event(forwarded("data: {\"b\":2}\n\n", end));
    app.engine.push(script);
    let streamed = complete(&app, "plain", json!({"stream": true})).await;
    assert_eq!(
        streamed.text(),
        "data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: [DONE]\n\n"
    );
}

#[tokio::test]
async fn a_failure_ends_a_stream_without_done() {
    let app = App::new().await;
    let half = || {
        ChatScript::started(TokenCount(1))
            .content(0, "half")
            .fail(|| EngineError::failed("secret"))
    };
    app.engine.push(half());
    let streamed = complete(&app, "plain", json!({"stream": true})).await;
    let last = r#"data: {"error":{"code":50507,"message":"Request failed: Unknown error."}}"#;
    assert_eq!(streamed.text().trim_end().lines().last().unwrap(), last);
    app.engine.push(half());
    let whole = complete(&app, "plain", json!({})).await;
    whole.assert_error(500, 50507, "Request failed: Unknown error.");
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = App::new().await;
    let tokens = "prompt: Token ids are not supported; send the text";
    for (fields, code, text) in [
        (json!({"model": null}), 20013, "model: Field required"),
        (json!({"prompt": null}), 20016, "prompt: Field required"),
        (
            json!({"prompt": ""}),
            20016,
            "prompt: String should have at least 1 character",
        ),
        (
            json!({"prompt": []}),
            20016,
            "prompt: List should have at least 1 item after validation",
        ),
        (
            json!({"prompt": ["a", "b"]}),
            20015,
            "prompt: List should have at most 1 item after validation",
        ),
        (json!({"prompt": [1, 2]}), 20015, tokens),
        (json!({"prompt": [[1], [2]]}), 20015, tokens),
        (
            json!({"prompt": [null]}),
            20015,
            "prompt.0: Input should be a valid string",
        ),
        (
            json!({"prompt": {"text": "a"}}),
            20015,
            "prompt: Input should be a valid string",
        ),
        (
            json!({"max_tokens": 0}),
            20015,
            "max_tokens: Input should be greater than or equal to 1",
        ),
        (json!({"n": 129}), 20081, "n must be at most 128."),
        (
            json!({"best_of": 2}),
            20015,
            "best_of: Value error, `best_of` must equal `n`",
        ),
        (
            json!({"logprobs": 21}),
            20015,
            "logprobs: Input should be less than or equal to 20",
        ),
        (
            json!({"logprobs": true}),
            20015,
            "logprobs: Input should be a valid integer",
        ),
        (
            json!({"echo": true, "suffix": "a"}),
            20015,
            "echo: Value error, `echo` cannot be combined with `suffix` or `logprobs`",
        ),
        (
            json!({"stop": [1]}),
            20015,
            "stop.0: Input should be a valid string",
        ),
        (
            json!({"model": "absent"}),
            20012,
            "Model does not exist. Please check it carefully.",
        ),
    ] {
        complete(&app, "plain", fields)
            .await
            .assert_error(400, code, text);
    }
    assert!(app.engine.requests().is_empty());
    let fields = json!({"n": 1, "best_of": 1, "logprobs": false, "user": "a", "repetition_penalty": 1.1});
    assert_eq!(complete(&app, "plain", fields).await.status, 200);
}

#[tokio::test]
async fn the_route_is_served_without_v1_too() {
    let app = App::new().await;
    let body = r#"{"model":"silica/plain","prompt":"a"}"#;
    let answer = app.send(app.request(Method::POST, "/completions", body)).await;
    assert_eq!(answer.json()["choices"][0]["text"], "Hello");
}
