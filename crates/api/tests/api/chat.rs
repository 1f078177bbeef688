//! Chats answered in one piece, and what reaches the engine.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use silica_engine::scripted::ChatScript;
use silica_engine::{
    AnswerForm, Continuation, Delta, EngineError, Feature, FinishReason, Role, TextLogprob, ToolChoice,
    TopLogprob,
};
use silica_types::TokenCount;

use super::support::{App, chat};

#[tokio::test]
async fn an_answer_has_the_contract_s_shape() {
    let app = App::new().await;
    let answer = app.chat(&chat("silica/plain", &json!({}))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    let body = answer.json();
    let id = body["id"].as_str().unwrap();
    assert!(
        id.len() == 32
            && id
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    );
    insta::assert_json_snapshot!(body, { ".id" => "[id]" });
}

#[tokio::test]
async fn reasoning_tools_and_choices_are_collected() {
    let app = App::new().await;
    let started = Delta::ToolCallStarted {
        index: 0,
        id: "c1".to_owned(),
        name: "weather".to_owned(),
    };
    let fragment = |text: &str| Delta::ToolCallArguments {
        index: 0,
        fragment: text.to_owned(),
    };
    app.engine.push(
        ChatScript::started(TokenCount(7))
            .reasoning(0, "Think")
            .content(1, "B")
            .reasoning(0, "ing")
            .delta(0, started)
            .delta(0, fragment("{\"city\":"))
            .delta(0, fragment("\"北京\"}"))
            .finished(1, FinishReason::Length)
            .finished(0, FinishReason::ToolCalls),
    );
    let answer = app.chat(&chat("silica/full", &json!({"n": 2}))).await;
    insta::assert_json_snapshot!(answer.json(), { ".id" => "[id]" });
}

#[tokio::test]
async fn log_probabilities_have_openai_s_form() {
    let app = App::new().await;
    let token = |text: &str, logprob| TopLogprob {
        text: text.to_owned(),
        bytes: text.as_bytes().to_vec(),
        logprob,
    };
    let logprobs = vec![TextLogprob {
        token: token("Hi", -0.5),
        top: vec![token("Hi", -0.5), token("Ho", -1.5)],
    }];
    let delta = Delta::Content {
        text: "Hi".to_owned(),
        logprobs,
    };
    app.engine.push(
        ChatScript::started(TokenCount(1))
            .delta(0, delta)
            .finished(0, FinishReason::Stop),
    );
    let answer = app
        .chat(&chat(
            "silica/plain",
            &json!({"logprobs": true, "top_logprobs": 2}),
        ))
        .await;
    assert_eq!(app.engine.requests()[0].logprobs, Some(2));
    insta::assert_json_snapshot!(answer.json()["choices"]);
}

#[tokio::test]
async fn an_answer_of_many_log_probabilities_is_whole() {
    let app = App::new().await;
    let token = || TopLogprob {
        text: "a".to_owned(),
        bytes: vec![b'a'],
        logprob: -0.5,
    };
    let logprob = || TextLogprob {
        token: token(),
        top: vec![token(); 5],
    };
    let delta = Delta::Content {
        text: "a".repeat(1000),
        logprobs: (0..1000).map(|_| logprob()).collect(),
    };
    app.engine.push(
        ChatScript::started(TokenCount(1))
            .delta(0, delta)
            .finished(0, FinishReason::Stop),
    );
    let asks = json!({"logprobs": true, "top_logprobs": 5});
    let answer = app.chat(&chat("silica/plain", &asks)).await.json();
    let tokens = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len(), 1000);
    assert!(
        tokens
            .iter()
            .all(|token| token["top_logprobs"].as_array().unwrap().len() == 5)
    );
}

#[tokio::test]
async fn the_defaults_are_those_of_february_2025() {
    let app = App::new().await;
    app.chat(&chat("silica/plain", &json!({}))).await;
    insta::assert_debug_snapshot!(app.requests());
}

#[tokio::test]
async fn every_parameter_reaches_the_engine() {
    let app = App::new().await;
    let fields = json!({
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "assistant", "content": "thought away", "reasoning_content": "not fed back"},
            {"role": "assistant", "content": null, "reasoning_content": "fed back",
             "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": "none", "max_tokens": 3, "stop": "end", "temperature": 0, "top_p": 0.5, "top_k": -1,
        "min_p": 0.1, "frequency_penalty": 0, "presence_penalty": 1, "logit_bias": {"5": -1}, "n": 1, "seed": 7,
        "enable_thinking": true, "thinking_budget": 256,
    });
    assert_eq!(app.chat(&chat("silica/full", &fields)).await.status, 200);
    let request = &app.engine.requests()[0];
    assert_eq!(request.messages[0].role, Role::System);
    assert_eq!(request.messages[1].reasoning, None);
    assert_eq!(request.messages[2].reasoning.as_deref(), Some("fed back"));
    assert_eq!(request.messages[3].tool_call_id.as_deref(), Some("c1"));
    assert_eq!(request.tool_choice, ToolChoice::None);
    assert_eq!((request.max_tokens, request.choices), (TokenCount(3), 1));
    assert_eq!(request.thinking.enabled, Some(true));
    insta::assert_debug_snapshot!(request.sampling);
}

#[tokio::test]
async fn continuations_are_prefix_or_gap() {
    let app = App::new().await;
    let cases = [
        (json!({"prefix": "a"}), Continuation::Prefix("a".to_owned())),
        (json!({"prefix": "", "suffix": ""}), Continuation::None),
        (
            json!({"extra_body": {"prefix": "a", "suffix": "b"}}),
            Continuation::FillInMiddle {
                prefix: "a".to_owned(),
                suffix: "b".to_owned(),
            },
        ),
        (
            json!({"suffix": "b"}),
            Continuation::FillInMiddle {
                prefix: String::new(),
                suffix: "b".to_owned(),
            },
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(app.chat(&chat("silica/full", &fields)).await.status, 200);
        assert_eq!(app.engine.requests().last().unwrap().continuation, expected);
    }
}

#[tokio::test]
async fn the_route_is_served_without_v1_too() {
    let app = App::new().await;
    let body = chat("silica/plain", &json!({})).to_string();
    let answer = app
        .send(app.request(Method::POST, "/chat/completions", body))
        .await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello");
}

#[tokio::test]
async fn a_failure_in_the_middle_is_an_error_and_not_half_an_answer() {
    let app = App::new().await;
    app.engine.push(
        ChatScript::started(TokenCount(1))
            .content(0, "half")
            .fail(|| EngineError::failed("secret cause")),
    );
    let answer = app.chat(&chat("silica/plain", &json!({}))).await;
    answer.assert_error(500, 50507, "Request failed: Unknown error.");
    app.engine
        .push(ChatScript::started(TokenCount(1)).content(0, "half"));
    let answer = app.chat(&chat("silica/plain", &json!({}))).await;
    answer.assert_error(500, 50507, "Request failed: Unknown error.");
}

#[tokio::test]
async fn forms_and_choices_reach_the_engine() {
    let app = App::new().await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let form = json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": schema.clone()}});
    let bare = json!({"type": "json_schema", "json_schema": {"name": "a"}});
    let any = AnswerForm::JsonSchema(Arc::new(json!({"type": "object"})));
    for (format, expected) in [
        (json!({"type": "text"}), AnswerForm::Text),
        (json!({"type": "json_object"}), AnswerForm::JsonObject),
        (form, AnswerForm::JsonSchema(Arc::new(schema))),
        (bare, any),
    ] {
        let request = chat("silica/full", &json!({"response_format": format}));
        assert_eq!(app.chat(&request).await.status, 200);
        assert_eq!(app.engine.requests().pop().unwrap().form, expected);
    }
    let tools = json!([{"type": "function", "function": {"name": "f", "strict": true}}]);
    let named = json!({"type": "function", "function": {"name": "f"}});
    for (choice, expected) in [
        (json!("auto"), ToolChoice::Auto),
        (json!("none"), ToolChoice::None),
        (json!("required"), ToolChoice::Required),
        (named, ToolChoice::Named("f".to_owned())),
    ] {
        let fields = json!({"tools": tools, "tool_choice": choice, "parallel_tool_calls": false});
        assert_eq!(app.chat(&chat("silica/full", &fields)).await.status, 200);
        let request = app.engine.requests().pop().unwrap();
        assert_eq!(request.tool_choice, expected);
        assert!(request.tools[0].strict && !request.parallel_calls);
    }
}

#[tokio::test]
async fn a_form_that_cannot_be_kept_is_refused_with_the_reason_also_within_the_answer() {
    let app = App::new().await;
    for (feature, code) in [
        (Feature::JsonMode, 20024),
        (Feature::ForcedCalls, 20037),
        (Feature::StrictTools, 20037),
    ] {
        let error = move || EngineError::Unconstrainable {
            feature,
            reason: "it is too large".to_owned(),
        };
        let within = ChatScript::started(TokenCount(1)).content(0, "half").fail(error);
        for script in [ChatScript::refusal(error), within] {
            app.engine.push(script);
            let answer = app.chat(&chat("silica/full", &json!({}))).await;
            answer.assert_error(400, code, "it is too large");
        }
    }
}
