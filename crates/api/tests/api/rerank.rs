//! Documents in order.

use http::Method;
use serde_json::{Value, json};
use silica_engine::WireRoute;

use super::support::{Answer, App};

async fn app() -> App {
    let app = App::new().await;
    app.add_texts(None).await;
    app
}

async fn rerank(app: &App, fields: Value) -> Answer {
    let mut body = json!({"model": "silica/rerank", "query": "Which?", "documents": ["a", "b", "c"]});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    app.post("/rerank", &body).await
}

#[tokio::test]
async fn results_have_the_contract_s_shape() {
    let app = app().await;
    let answer = rerank(&app, json!({"top_n": null, "instruction": "x"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    insta::assert_json_snapshot!(answer.json(), { ".id" => "[id]" });
    let request = &app.texts.state().reranks[0];
    assert_eq!((request.top_n, request.overlap_tokens), (None, None));
    assert_eq!(request.instruction.as_deref(), Some("x"));
    assert_eq!(request.wire.as_ref().unwrap().route, WireRoute::Rerank);
}

#[tokio::test]
async fn documents_come_back_when_asked_for() {
    let app = app().await;
    let fields = json!({
        "documents": ["a", {"text": "b", "title": "x"}], "top_n": 1, "return_documents": true,
        "max_chunks_per_doc": 4, "overlap_tokens": 80,
    });
    let answer = rerank(&app, fields).await.json();
    let best = json!([{"document": {"text": "b"}, "index": 1, "relevance_score": 0.125}]);
    assert_eq!(answer["results"], best);
    let request = &app.texts.state().reranks[0];
    assert_eq!(
        (request.max_chunks_per_document, request.overlap_tokens),
        (Some(4), Some(80))
    );
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let app = app().await;
    for (fields, code, text) in [
        (json!({"model": null}), 20013, "model: Field required"),
        (json!({"query": null}), 20019, "query: Field required"),
        (
            json!({"query": ""}),
            20019,
            "query: String should have at least 1 character",
        ),
        (json!({"documents": null}), 20020, "documents: Field required"),
        (
            json!({"documents": []}),
            20015,
            "List should have at least 1 item after validation",
        ),
        (
            json!({"documents": "a"}),
            20015,
            "documents: Input should be a valid list",
        ),
        (
            json!({"documents": ["a", 1]}),
            20015,
            "documents.1: Input should be a valid string",
        ),
        (
            json!({"documents": [{"title": "a"}]}),
            20015,
            "documents.0.text: Field required",
        ),
        (
            json!({"top_n": 0}),
            20015,
            "top_n: Input should be greater than or equal to 1",
        ),
        (
            json!({"overlap_tokens": 81}),
            20015,
            "overlap_tokens: Input should be less than or equal to 80",
        ),
        (
            json!({"max_chunks_per_doc": 0}),
            20015,
            "max_chunks_per_doc: Input should be greater than or equal to 1",
        ),
        (
            json!({"return_documents": "yes"}),
            20015,
            "return_documents: Input should be a valid boolean",
        ),
        (
            json!({"model": "silica/embed"}),
            20012,
            "Model does not exist. Please check it carefully.",
        ),
    ] {
        rerank(&app, fields).await.assert_error(400, code, text);
    }
    assert!(app.texts.state().reranks.is_empty());
}

#[tokio::test]
async fn the_route_is_served_without_v1_too() {
    let app = app().await;
    let body = r#"{"model":"silica/rerank","query":"a","documents":["a"]}"#;
    let answer = app.send(app.request(Method::POST, "/rerank", body)).await;
    assert_eq!(answer.json()["results"][0]["index"], 0);
}
