//! Traces of calls at a collector.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::{TestServer, Upstream};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::support::{SOON, bare};

const MODEL_ID: &str = "test/traced";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector that keeps what it is sent.
struct Collector {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
    /// The header `api-key` of the last body.
    key: Arc<Mutex<Option<String>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let bodies = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&bodies);
        let key = Arc::<Mutex<Option<String>>>::default();
        let last = Arc::clone(&key);
        let take = post(move |headers: HeaderMap, body: Bytes| {
            let key = headers.get("api-key").and_then(|key| key.to_str().ok());
            *last.lock().unwrap_or_else(PoisonError::into_inner) = key.map(str::to_owned);
            let body = serde_json::from_slice(&body).expect("JSON");
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            async { StatusCode::OK }
        });
        let router = Router::new().route("/v1/traces", take);
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, bodies, key }
    }

    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every span so far.
    fn spans(&self) -> Vec<Value> {
        let bodies = self.bodies();
        let scopes = bodies
            .iter()
            .map(|body| &body["resourceSpans"][0]["scopeSpans"][0]["spans"]);
        scopes
            .flat_map(|spans| spans.as_array().cloned().unwrap_or_default())
            .collect()
    }

    async fn until_spans(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + SOON;
        while self.spans().len() < count {
            assert!(Instant::now() < deadline, "{:?}", self.spans());
            sleep(Duration::from_millis(20)).await;
        }
        self.spans()
    }
}

/// The value of a span's attribute.
fn attribute(span: &Value, key: &str) -> Option<Value> {
    let attributes = span["attributes"].as_array()?;
    let found = attributes.iter().find(|attribute| attribute["key"] == key)?;
    found["value"].as_object()?.values().next().cloned()
}

/// Deploys the model at these servers, the first one first.
async fn deploy(server: &TestServer, urls: &[String]) {
    let model = json!({ "id": MODEL_ID, "type": "text", "sub_type": "chat" });
    assert_eq!(server.admin(Method::PUT, "/models", Some(&model)).await.0, 200);
    let replicas: Vec<Value> = urls
        .iter()
        .map(|url| {
            json!({ "engine": "openai", "url": url, "allow_private": true, "api_key": "sk-upstream",
                // A replica that is not there is to be found by a call, not by a look at its health.
                "health_path": "" })
        })
        .collect();
    let deployment =
        json!({ "name": "traced", "models": [MODEL_ID], "replicas": replicas, "policy": "round-robin" });
    let (status, body) = server.admin(Method::PUT, "/deployments", Some(&deployment)).await;
    assert_eq!(status, 200, "{body}");
}

async fn chat(server: &TestServer, traceparent: Option<&str>) -> StatusCode {
    let body = json!({ "model": MODEL_ID, "messages": [{ "role": "user", "content": "Who is geheim?" }] });
    let request = server.request(Method::POST, "/v1/chat/completions");
    let request = request.bearer_auth(server.api_key()).json(&body);
    let request = match traceparent {
        Some(header) => request.header("traceparent", header),
        None => request,
    };
    let response = request.send().await.expect("an answer");
    let status = response.status();
    response.text().await.expect("a whole answer");
    status
}

#[tokio::test]
async fn a_call_is_a_span_of_its_callers_trace_with_a_child_for_each_attempt() {
    let (collector, upstream) = (Collector::start().await, Upstream::start().await);
    let server = bare()
        .environment("SILICA__TELEMETRY__OTLP_ENDPOINT", &collector.url)
        .start()
        .await;
    let gone = "http://127.0.0.1:1/v1".to_owned();
    deploy(&server, &[gone, upstream.base_url()]).await;
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(
        chat(&server, Some(&format!("00-{TRACE}-{PARENT}-00"))).await,
        StatusCode::OK
    );
    assert_eq!(chat(&server, Some(&sampled)).await, StatusCode::OK);
    assert_eq!(chat(&server, None).await, StatusCode::OK);
    let spans = collector.until_spans(5).await;

    let calls: Vec<&Value> = spans
        .iter()
        .filter(|span| span["name"] == format!("chat {MODEL_ID}"))
        .collect();
    assert_eq!(calls.len(), 2, "one caller did not want to be traced: {spans:#?}");
    let call = calls[0];
    assert_eq!(
        (&call["traceId"], &call["parentSpanId"]),
        (&json!(TRACE), &json!(PARENT))
    );
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("silica")),
        ("gen_ai.request.model", json!(MODEL_ID)),
        ("gen_ai.usage.input_tokens", json!("10")),
        ("gen_ai.usage.output_tokens", json!("5")),
        (
            "gen_ai.response.finish_reasons",
            json!({ "values": [{ "stringValue": "stop" }] }),
        ),
        ("silica.outcome", json!("complete")),
        ("silica.trace_id", json!(TRACE)),
        ("silica.deployment", json!("traced")),
        ("silica.replica", json!("1")),
        ("server.address", json!("127.0.0.1")),
    ] {
        let found = attribute(call, key);
        assert_eq!(
            found.map(|found| found
                .get("values")
                .map_or(found.clone(), |values| json!({ "values": values }))),
            Some(value),
            "{key}"
        );
    }
    let attempts: Vec<&Value> = spans
        .iter()
        .filter(|span| span["name"] == "attempt traced")
        .collect();
    assert!(
        attempts
            .iter()
            .all(|attempt| calls.iter().any(|call| call["spanId"] == attempt["parentSpanId"]))
    );
    let outcomes: Vec<_> = attempts
        .iter()
        .map(|attempt| attribute(attempt, "error.type"))
        .collect();
    assert!(
        outcomes.contains(&None) && outcomes.contains(&Some(json!("unavailable"))),
        "{attempts:#?}"
    );
    let own = calls[1];
    assert!(own.get("parentSpanId").is_none());
    let ours = attribute(own, "silica.trace_id").expect("our trace id");
    assert_eq!(
        ours.as_str().expect("a text"),
        format!("ti_{}", own["traceId"].as_str().expect("a text"))
    );
    for body in collector.bodies() {
        let text = body.to_string();
        assert!(!text.contains("geheim") && !text.contains("sk-"), "{text}");
    }
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end() {
    let (collector, upstream) = (Collector::start().await, Upstream::start().await);
    let server = bare()
        .environment("SILICA__TELEMETRY__OTLP_ENDPOINT", &collector.url)
        .start()
        .await;
    deploy(&server, &[upstream.base_url()]).await;
    assert_eq!(chat(&server, None).await, StatusCode::OK);
    server.stop().await;
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_a_warning_and_no_call() {
    let upstream = Upstream::start().await;
    let server = bare()
        .environment("SILICA__TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:1")
        .start()
        .await;
    deploy(&server, &[upstream.base_url()]).await;
    for _ in 0..3 {
        assert_eq!(chat(&server, None).await, StatusCode::OK);
    }
    let dropped = "silica_traces_dropped_total";
    server.metric_until(dropped, SOON, |value| value >= 3.0).await;
    assert_eq!(
        server.log().matches("traces cannot be sent").count(),
        1,
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn the_collector_gets_its_headers_and_nobody_sees_them() {
    let (collector, upstream) = (Collector::start().await, Upstream::start().await);
    let server = bare()
        .environment("SILICA__TELEMETRY__OTLP_ENDPOINT", &collector.url)
        .environment("SILICA__TELEMETRY__OTLP_HEADERS", "api-key=ge%20heim")
        .environment("SILICA__LOG__LEVEL", "trace")
        .start()
        .await;
    deploy(&server, &[upstream.base_url()]).await;
    assert_eq!(chat(&server, None).await, StatusCode::OK);
    collector.until_spans(2).await;
    let key = collector.key.lock().unwrap().clone();
    assert_eq!(key.as_deref(), Some("ge heim"));
    let said = server.log() + &server.stdout();
    assert!(!said.contains("ge heim") && !said.contains("ge%20heim"), "{said}");
    let refused = bare()
        .environment("SILICA__TELEMETRY__OTLP_HEADERS", "geheim")
        .refused()
        .await;
    let said = refused.stderr;
    assert!(
        said.contains("OTLP_HEADERS") && !said.contains("geheim"),
        "{said}"
    );
}
