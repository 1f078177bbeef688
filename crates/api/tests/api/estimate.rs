//! What requests would cost.

use serde_json::{Value, json};

use super::support::App;

fn asked(endpoint: &str, request: &Value) -> Value {
    json!({"endpoint": endpoint, "request": request})
}

#[tokio::test]
async fn texts_are_counted_and_priced_and_nothing_is_taken() {
    let app = App::new().await;
    app.add_texts(Some("3")).await;
    app.charge(1);
    let request = json!({"model": "silica/embed", "input": ["a", "b"]});
    let answer = app.post("/estimate", &asked("/v1/embeddings", &request)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let estimate = answer.json();
    assert_eq!(
        (&estimate["object"], &estimate["model"], &estimate["endpoint"]),
        (
            &json!("estimate"),
            &json!("silica/embed"),
            &json!("/v1/embeddings")
        )
    );
    let likely = &estimate["likely"];
    let tokens = likely["prompt_tokens"].as_u64().unwrap();
    assert!(tokens > 0, "{estimate}");
    let line = &likely["lines"][0];
    assert_eq!(
        (&line["unit"], &line["count"], &line["price"], &line["per"]),
        (&json!("input"), &json!(tokens), &json!("3"), &json!(1_000_000))
    );
    assert_eq!(line["amount"], likely["total"]);
    let documents = json!({"model": "silica/rerank", "query": "q", "documents": ["a"]});
    let answer = app.post("/estimate", &asked("rerank", &documents)).await;
    assert_eq!(answer.json()["endpoint"], "/v1/rerank", "{}", answer.text());
    assert!(app.engine.requests().is_empty(), "nothing ran");
}

#[tokio::test]
async fn a_free_answer_of_any_dialect_costs_nothing_and_has_its_size() {
    let app = App::new().await;
    let messages = json!([{"role": "user", "content": "Hello"}]);
    for (endpoint, request) in [
        (
            "/v1/chat/completions",
            json!({"messages": messages, "max_tokens": 7, "n": 3}),
        ),
        (
            "/v1/completions",
            json!({"prompt": "Hello", "max_tokens": 7, "n": 3}),
        ),
        ("/v1/messages", json!({"messages": messages, "max_tokens": 21})),
        (
            "/v1/responses",
            json!({"input": "Hello", "max_output_tokens": 21}),
        ),
    ] {
        let mut request = request;
        request["model"] = json!("silica/full");
        let answer = app.post("/estimate", &asked(endpoint, &request)).await;
        assert_eq!(answer.status, 200, "{endpoint}: {}", answer.text());
        let estimate = answer.json();
        assert_eq!(estimate["endpoint"], endpoint);
        assert_eq!(estimate["price_version"], Value::Null);
        assert_eq!(estimate["reserved"]["completion_tokens"], 21, "{estimate}");
        assert_eq!(
            (&estimate["reserved"]["lines"], &estimate["reserved"]["total"]),
            (&json!([]), &json!("0.00"))
        );
    }
    assert!(app.engine.requests().is_empty(), "nothing ran");
}

#[tokio::test]
async fn what_its_endpoint_would_refuse_is_refused() {
    let app = App::new().await;
    let messages = json!([{"role": "user", "content": "Hello"}]);
    for (endpoint, request, code) in [
        ("/v1/images", json!({"model": "silica/full"}), 20015),
        ("/v1/chat/completions", json!({"model": "silica/full"}), 20014),
        (
            "/v1/chat/completions",
            json!({"model": "no/such", "messages": messages}),
            20012,
        ),
        (
            "/v1/embeddings",
            json!({"model": "silica/full", "input": "a"}),
            20012,
        ),
        (
            "/v1/chat/completions",
            json!({"model": "silica/plain", "messages": messages, "response_format": {"type": "json_object"}}),
            20024,
        ),
    ] {
        let answer = app.post("/estimate", &asked(endpoint, &request)).await;
        assert_eq!(answer.json()["code"], code, "{endpoint}: {}", answer.text());
    }
}
