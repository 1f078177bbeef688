//! What both listeners answer besides the API itself.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{MODEL, bare, body, chat, server};
use crate::till::logged;

#[tokio::test]
async fn both_listeners_answer_health_and_readiness() {
    let server = bare().start().await;
    for base in [server.base_url(), server.admin_url()] {
        let health = reqwest::get(format!("{base}/healthz")).await.unwrap();
        assert_eq!(
            (health.status(), health.text().await.unwrap().as_str()),
            (StatusCode::OK, "ok")
        );
        let ready = reqwest::get(format!("{base}/readyz")).await.unwrap();
        assert_eq!(
            (ready.status(), ready.text().await.unwrap().as_str()),
            (StatusCode::OK, "ready")
        );
    }
}

#[tokio::test]
async fn metrics_and_the_operator_api_are_not_on_the_public_listener() {
    let server = bare().start().await;
    for path in ["/metrics", "/admin/v1/models"] {
        let response = server
            .request(Method::GET, path)
            .bearer_auth(server.admin_key())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(server.admin(Method::GET, "/models", None).await.0, 200);
}

#[tokio::test]
async fn unknown_paths_answer_the_contracts_404_with_a_trace_id() {
    let server = bare().start().await;
    for base in [server.base_url(), server.admin_url()] {
        let response = reqwest::get(format!("{base}/v1/nothing")).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(response.headers().contains_key("x-siliconcloud-trace-id"));
        let body = body(response).await;
        assert!(body["message"].is_string() && body["data"].is_null(), "{body}");
    }
}

#[tokio::test]
async fn health_and_the_documents_have_the_layers_of_the_api() {
    let server = bare().start().await;
    for base in [server.base_url(), server.admin_url()] {
        for path in ["/healthz", "/readyz", "/openapi.json"] {
            let response = reqwest::get(format!("{base}{path}")).await.unwrap();
            assert!(
                response.headers().contains_key("x-siliconcloud-trace-id"),
                "{base}{path}"
            );
            let client = reqwest::Client::builder().build().unwrap();
            let refused = client.put(format!("{base}{path}")).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{base}{path}");
            let refusal = body(refused).await;
            assert!(
                refusal["message"].is_string() && refusal["data"].is_null(),
                "{refusal}"
            );
        }
    }
    let from_a_page = server
        .request(Method::GET, "/healthz")
        .header("origin", "https://page.example");
    let response = from_a_page.send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn each_listener_serves_the_document_of_its_api() {
    let server = bare().start().await;
    let public = body(
        reqwest::get(format!("{}/openapi.json", server.base_url()))
            .await
            .unwrap(),
    )
    .await;
    assert!(public["openapi"].as_str().unwrap().starts_with("3."));
    assert!(public["paths"]["/v1/chat/completions"]["post"].is_object());
    let admin = body(
        reqwest::get(format!("{}/openapi.json", server.admin_url()))
            .await
            .unwrap(),
    )
    .await;
    assert!(admin["paths"]["/admin/v1/deployments"]["put"].is_object());
}

#[tokio::test]
async fn calls_are_counted_in_the_metrics() {
    let server = server().start().await;
    let answer = body(server.chat(&server.api_key(), &chat("What is 3 + 4?")).await).await;
    assert_eq!(answer["model"], MODEL);
    for (name, expected) in [
        ("silica_calls_total", 1.0),
        (
            "silica_tokens_total",
            answer["usage"]["total_tokens"].as_f64().unwrap(),
        ),
        ("silica_first_token_seconds_count", 1.0),
    ] {
        let value = server.metric(name).await;
        assert!(
            (value - expected).abs() < f64::EPSILON,
            "{name} is {value}, not {expected}"
        );
    }
    assert!(server.metric("silica_engine_steps_total").await > 0.0);
}

#[tokio::test]
async fn calls_are_counted_by_their_route() {
    let server = server().start().await;
    let question = chat("What is 3 + 4?");
    let text = json!({ "model": MODEL, "prompt": "3 + 4 =", "max_tokens": 4 });
    let input = json!({ "model": MODEL, "input": "What is 3 + 4?" });
    for (path, body) in [
        ("/v1/chat/completions", &question),
        ("/chat/completions", &question),
        ("/v1/completions", &text),
        ("/v1/messages", &question),
        ("/v1/messages/count_tokens", &question),
        ("/v1/responses", &input),
    ] {
        let request = server.request(Method::POST, path).bearer_auth(server.api_key());
        let response = request.json(body).send().await.unwrap();
        assert_eq!(
            response.status(),
            200,
            "{path}: {}",
            response.text().await.unwrap()
        );
        response.bytes().await.unwrap();
    }
    let page = reqwest::get(format!("{}/metrics", server.admin_url()))
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    for (route, count) in [
        ("chat", 2),
        ("completions", 1),
        ("messages", 1),
        ("count_tokens", 1),
        ("responses", 1),
    ] {
        let line = format!(
            "silica_calls_total{{model=\"{MODEL}\",route=\"{route}\",outcome=\"complete\"}} {count}\n"
        );
        assert!(page.contains(&line), "{line}{page}");
    }
}

#[tokio::test]
async fn a_callers_trace_id_comes_back_and_stands_in_the_log() {
    let server = server().config("[log]\nformat = \"json\"\n").start().await;
    let request = server
        .request(Method::POST, "/v1/chat/completions")
        .bearer_auth(server.api_key());
    let response = request
        .header("x-trace-id", "my-trace-7")
        .json(&chat("Hello XYZZY"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-siliconcloud-trace-id"], "my-trace-7");
    assert!(response.status().is_success());
    drop(response.bytes().await);
    // Lines are written by a thread of their own.
    logged(&server, "call of silica/tiny-chat complete").await;
    let log = server.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let summaries = lines
        .iter()
        .filter(|line| line["trace.id"] == "my-trace-7" && line["outcome"] == "complete");
    assert_eq!(summaries.count(), 1, "{log}");
    assert!(
        !log.contains("XYZZY") && !log.contains(&server.api_key()) && !log.contains("operator@localhost"),
        "{log}"
    );
}
