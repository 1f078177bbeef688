//! Texts as vectors.

use http::Method;
use serde_json::{Value, json};
use silica_engine::{EngineError, WireRoute};
use silica_types::TokenCount;

use super::support::{Answer, App};

async fn app() -> App {
    let app = App::new().await;
    app.add_texts(None).await;
    app
}

async fn embed(app: &App, fields: Value) -> Answer {
    let mut body = json!({"model": "silica/embed", "input": "Hello"});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    app.post("/embeddings", &body).await
}

#[tokio::test]
async fn vectors_come_as_numbers_in_the_order_of_the_texts() {
    let app = app().await;
    let answer = embed(&app, json!({"input": ["a", "bcd"], "user": "x"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    insta::assert_json_snapshot!(answer.json());
    let request = &app.texts.state().embeds[0];
    assert_eq!((request.inputs.len(), request.dimensions), (2, None));
    let wire = request.wire.as_ref().unwrap();
    assert_eq!((wire.route, wire.streams), (WireRoute::Embeddings, false));
    assert_eq!(wire.model.as_str(), "silica/embed");
}

#[tokio::test]
async fn base64_is_that_of_the_same_floats() {
    let app = app().await;
    let fields = json!({"input": "ab", "encoding_format": "base64", "dimensions": 2});
    let answer = embed(&app, fields).await.json();
    // 2.0 and 1.0 as little-endian floats.
    assert_eq!(
        answer["data"],
        json!([{"object": "embedding", "embedding": "AAAAQAAAgD8=", "index": 0}])
    );
    assert_eq!(app.texts.state().embeds[0].dimensions, Some(2));
}

#[tokio::test]
async fn large_answers_are_whole() {
    let app = app().await;
    let answer = embed(&app, json!({"input": vec!["a"; 32], "dimensions": 4096}))
        .await
        .json();
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), 32);
    assert!(
        data.iter()
            .all(|item| item["embedding"].as_array().unwrap().len() == 4096)
    );
}

#[tokio::test]
async fn what_an_engine_wrote_goes_through_as_it_is() {
    let app = app().await;
    app.texts.state().forwarded = Some("{\"data\":[1.10]}".into());
    let answer = embed(&app, json!({"dimensions": 64})).await;
    assert_eq!(answer.text(), "{\"data\":[1.10]}");
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = app().await;
    let tokens = "input: Token ids are not supported; send the text";
    let batch = "input batch size 33 > maximum allowed batch size 32";
    for (fields, status, code, text) in [
        (json!({"model": null}), 400, 20013, "model: Field required"),
        (
            json!({"model": ""}),
            400,
            20015,
            "The parameter is invalid. Please check again.",
        ),
        (json!({"input": null}), 400, 20018, "input: Field required"),
        (
            json!({"input": []}),
            400,
            20018,
            "input: List should have at least 1 item after validation",
        ),
        (
            json!({"input": ""}),
            400,
            20015,
            "input: String should have at least 1 character",
        ),
        (
            json!({"input": ["a", ""]}),
            400,
            20015,
            "input.1: String should have at least 1 character",
        ),
        (
            json!({"input": ["a", null]}),
            400,
            20015,
            "input.1: Input should be a valid string",
        ),
        (json!({"input": [1, 2]}), 400, 20015, tokens),
        (json!({"input": [[1]]}), 400, 20015, tokens),
        (
            json!({"input": 5}),
            400,
            20015,
            "input: Input should be a valid string or a list of strings",
        ),
        (json!({"input": vec!["a"; 33]}), 413, 20042, batch),
        (
            json!({"encoding_format": "int8"}),
            400,
            20015,
            "encoding_format: Input should be 'float' or 'base64'",
        ),
        (
            json!({"dimensions": 0}),
            400,
            20015,
            "dimensions: Input should be greater than or equal to 1",
        ),
        (
            json!({"dimensions": "64"}),
            400,
            20015,
            "dimensions: Input should be a valid integer",
        ),
        (
            json!({"model": "silica/plain"}),
            400,
            20012,
            "Model does not exist. Please check it carefully.",
        ),
    ] {
        embed(&app, fields).await.assert_error(status, code, text);
    }
    assert!(app.texts.state().embeds.is_empty());
    assert_eq!(embed(&app, json!({"input": vec!["a"; 32]})).await.status, 200);
}

#[tokio::test]
async fn texts_that_do_not_fit_are_too_large() {
    let app = app().await;
    app.texts.state().refusal = Some(|| EngineError::ContextExceeded {
        prompt: TokenCount(600),
        limit: TokenCount(512),
    });
    let answer = embed(&app, json!({})).await;
    answer.assert_error(413, 20042, "input must have less than 512 tokens");
}

#[tokio::test]
async fn an_embedding_model_does_not_chat() {
    let app = app().await;
    let body = json!({"model": "silica/embed", "messages": [{"role": "user", "content": "a"}]});
    assert_eq!(app.chat(&body).await.json()["code"], 20012);
}

#[tokio::test]
async fn the_units_are_the_tokens_of_the_texts() {
    let app = App::new().await;
    app.add_texts(Some("1000000")).await;
    let refused = embed(&app, json!({})).await;
    refused.assert_error(403, 30001, "Sorry, your account balance is insufficient");
    app.charge(100);
    assert_eq!(embed(&app, json!({"input": ["Hello", "you"]})).await.status, 200);
    let rerank = json!({"model": "silica/rerank", "query": "ab", "documents": ["cde", "f"]});
    assert_eq!(app.post("/rerank", &rerank).await.status, 200);
    let info = app.get("/v1/user/info").await.json();
    // Eight tokens, then six, at 1 CNY each.
    assert_eq!(info["data"]["totalBalance"], "86.00", "{info}");
}

#[tokio::test]
async fn the_route_is_served_without_v1_too() {
    let app = app().await;
    let body = r#"{"model":"silica/embed","input":"a"}"#;
    let answer = app.send(app.request(Method::POST, "/embeddings", body)).await;
    assert_eq!(answer.json()["data"][0]["embedding"], json!([1.0, 0.5, -1.0]));
}
