//! Trace ids, CORS, compression and metrics.

use axum::body::Body;
use http::{Method, Request};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use silica_api::{ApiConfig, CorsOrigins};
use silica_engine::scripted::ChatScript;

use super::support::{Answer, App, chat};

const TRACE: &str = "x-siliconcloud-trace-id";

async fn models_with(app: &App, headers: &[(&str, &str)]) -> Answer {
    let mut request = app.request(Method::GET, "/v1/models", Body::empty());
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    app.send(request).await
}

#[tokio::test]
async fn the_trace_id_is_the_caller_s_or_the_trace_parent_s_or_new() {
    let app = App::new().await;
    let parent = (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    let own = models_with(&app, &[("x-trace-id", "My-Trace.7"), parent]).await;
    assert_eq!(own.header(TRACE), "My-Trace.7");
    assert_eq!(
        models_with(&app, &[parent]).await.header(TRACE),
        "0af7651916cd43dd8448eb211c80319c"
    );
    let unusable = models_with(&app, &[("x-trace-id", "two words"), ("traceparent", "00-1-2-3")]).await;
    assert!(unusable.header(TRACE).starts_with("ti_"));
    assert_ne!(unusable.header(TRACE), models_with(&app, &[]).await.header(TRACE));
}

#[tokio::test]
async fn browsers_may_call_from_anywhere_and_read_the_trace_id() {
    let app = App::new().await;
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/v1/chat/completions")
        .header("origin", "https://chat.example.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = app.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "authorization,content-type"
    );
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    let refused = app.send(
        Request::get("/v1/models")
            .header("origin", "https://a.example")
            .body(Body::empty())
            .unwrap(),
    );
    let refused = refused.await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    let exposed: Vec<&str> = refused
        .header("access-control-expose-headers")
        .split(',')
        .collect();
    for name in [
        TRACE,
        "retry-after",
        "x-ratelimit-limit-requests",
        "x-ratelimit-reset-tokens",
    ] {
        assert!(exposed.contains(&name), "{name} in {exposed:?}");
    }
}

#[tokio::test]
async fn configured_origins_are_the_only_ones() {
    let cors = CorsOrigins::parse(&["https://a.example".to_owned()]).unwrap();
    let app = App::with_config(ApiConfig {
        cors,
        ..ApiConfig::default()
    })
    .await;
    let allowed = models_with(&app, &[("origin", "https://a.example")]).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://a.example");
    let other = models_with(&app, &[("origin", "https://b.example")]).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn large_json_is_compressed_and_streams_never_are() {
    let app = App::new().await;
    let text = "word ".repeat(1000);
    for encoding in ["gzip", "zstd"] {
        for stream in [false, true] {
            app.engine.push(ChatScript::answer(&[&text]));
            let body = chat("silica/plain", &json!({"stream": stream})).to_string();
            let mut request = app.request(Method::POST, "/v1/chat/completions", body);
            request
                .headers_mut()
                .insert("accept-encoding", encoding.parse().unwrap());
            let answer = app.send(request).await;
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.header("content-encoding"),
                if stream { "" } else { encoding }
            );
            assert_eq!(answer.body.len() < text.len(), !stream);
        }
    }
    let small = models_with(&app, &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), "");
}

#[tokio::test]
async fn requests_are_counted_by_pattern_and_status() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let app = App::new().await;
    app.get("/v1/models").await;
    app.get("/v1/models/some/name").await;
    app.get("/v1/made-up-by-a-client").await;
    app.chat(&chat("silica/plain", &json!({"stream": true}))).await;
    let metrics = recorder.handle().render();
    for line in [
        r#"silica_http_requests_total{route="/v1/models",status="200"} 1"#,
        r#"silica_http_requests_total{route="/v1/models/{*id}",status="404"} 1"#,
        r#"silica_http_requests_total{route="unmatched",status="404"} 1"#,
        r#"silica_http_requests_total{route="/v1/chat/completions",status="200"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(metrics.contains("silica_http_request_seconds"));
    assert!(!metrics.contains("made-up"), "{metrics}");
}
