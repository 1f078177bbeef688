//! What a request would cost beside what it costs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::TestServer;

use crate::support::{MODEL, bare, body, shipped_models};
use crate::till::{Customer, customer, put};

/// A server whose demo model has a price.
async fn priced() -> TestServer {
    let server = bare().start().await;
    let model = json!({"id": MODEL, "type": "text", "sub_type": "chat",
        "price": {"input": "1000", "output": "2000"}});
    put(&server, "/models", &model).await;
    let folder = shipped_models().join("tiny-chat");
    let deployment =
        json!({"name": "tiny", "models": [MODEL], "replicas": [{"engine": "candle", "path": folder}]});
    put(&server, "/deployments", &deployment).await;
    server
}

async fn send(server: &TestServer, customer: &Customer, path: &str, request: &Value) -> Value {
    let request = server
        .request(Method::POST, path)
        .bearer_auth(&customer.key)
        .json(request);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    body(response).await
}

fn yuan(amount: &Value) -> f64 {
    amount.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_estimate_counts_as_the_call_does_and_bounds_what_it_costs() {
    let server = priced().await;
    let customer = customer(&server, "careful", "10").await;
    let question = json!([{"role": "user", "content": "What is 3 + 4?"}]);
    for (endpoint, request, prompt) in [
        (
            "/v1/chat/completions",
            json!({"model": MODEL, "messages": question, "max_tokens": 30}),
            "/usage/prompt_tokens",
        ),
        (
            "/v1/completions",
            json!({"model": MODEL, "prompt": "3 + 4 =", "max_tokens": 30}),
            "/usage/prompt_tokens",
        ),
        (
            "/v1/messages",
            json!({"model": MODEL, "messages": question, "max_tokens": 30}),
            "/usage/input_tokens",
        ),
        (
            "/v1/responses",
            json!({"model": MODEL, "input": "What is 3 + 4?", "max_output_tokens": 30}),
            "/usage/input_tokens",
        ),
    ] {
        let asked = json!({"endpoint": endpoint, "request": request});
        let estimate = send(&server, &customer, "/v1/estimate", &asked).await;
        assert_eq!(estimate["is_exact"], true, "{estimate}");
        let reserved = &estimate["reserved"];
        assert_eq!(reserved["completion_tokens"], 30);
        let tokens = reserved["prompt_tokens"].as_u64().unwrap();
        let cost = (f64::from(u32::try_from(tokens).unwrap()) * 1000.0 + 30.0 * 2000.0) / 1e6;
        assert!((yuan(&reserved["total"]) - cost).abs() < 1e-9, "{estimate}");
        let lines: f64 = reserved["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| yuan(&line["amount"]))
            .sum();
        assert!((lines - cost).abs() < 1e-8, "{estimate}");

        let answer = send(&server, &customer, endpoint, &request).await;
        let cached = answer["usage"]["cache_read_input_tokens"].as_u64().unwrap_or(0);
        assert_eq!(
            answer.pointer(prompt).unwrap().as_u64().unwrap() + cached,
            tokens,
            "{answer}"
        );
    }
}
