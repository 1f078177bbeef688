//! Clients that leave, over real connections: nothing may keep the engine busy.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use http::Method;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use silica_engine::scripted::{ChatScript, Gate};
use silica_types::TokenCount;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::support::tcp::{read_until, serve};
use super::support::{App, chat};

async fn post(app: &App, address: SocketAddr, body: &Value) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: silica\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        app.key,
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body.as_bytes()).await.unwrap();
    connection
}

async fn assert_cancelled(app: &App) {
    let cancelled = timeout(Duration::from_secs(10), app.engine.wait_for_cancelled(1));
    cancelled.await.expect("the engine is told that its client left");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_stream_cancels_the_call() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let app = App::new().await;
    let gate = Gate::closed();
    app.engine.push(
        ChatScript::started(TokenCount(3))
            .content(0, "first")
            .wait(&gate)
            .content(0, "never"),
    );
    serve(&app, async |address| {
        let mut connection = post(&app, address, &chat("silica/plain", &json!({"stream": true}))).await;
        read_until(&mut connection, "first").await;
        drop(connection);
        assert_cancelled(&app).await;
    })
    .await;
    let metrics = recorder.handle().render();
    assert!(
        metrics.contains(r#"silica_calls_total{model="silica/plain",route="chat",outcome="cancelled"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_its_whole_answer_cancels_the_call() {
    let app = App::new().await;
    let gate = Gate::closed();
    app.engine.push(
        ChatScript::started(TokenCount(3))
            .content(0, "first")
            .wait(&gate)
            .content(0, "never"),
    );
    serve(&app, async |address| {
        let connection = post(&app, address, &chat("silica/plain", &json!({}))).await;
        timeout(Duration::from_secs(10), async {
            while app.engine.requests().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        drop(connection);
        assert_cancelled(&app).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_its_prompt_waits_cancels_the_call() {
    let app = App::new().await;
    let gate = Gate::closed();
    app.engine.push(ChatScript::answer(&["never"]).start_gate(&gate));
    serve(&app, async |address| {
        let connection = post(&app, address, &chat("silica/plain", &json!({"stream": true}))).await;
        timeout(Duration::from_secs(10), async {
            while app.engine.requests().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        drop(connection);
        assert_cancelled(&app).await;
    })
    .await;
}

/// A stream of two pieces with a closed gate between them, its first piece read.
async fn half_read(app: &App, gate: &Gate) -> axum::body::BodyDataStream {
    app.engine.push(
        ChatScript::started(TokenCount(3))
            .content(0, "first")
            .wait(gate)
            .content(0, "second"),
    );
    let body = chat("silica/plain", &json!({"stream": true})).to_string();
    let request = app.request(Method::POST, "/v1/chat/completions", body);
    let mut frames = app.respond(request).await.into_body().into_data_stream();
    let first = frames.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("first"));
    frames
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_call() {
    let app = App::new().await;
    tokio::time::pause();
    let mut frames = half_read(&app, &Gate::closed()).await;
    let begun = Instant::now();
    app.engine.wait_for_cancelled(1).await;
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert!(
        frames.next().await.unwrap().is_err(),
        "the answer must not look complete"
    );
}

#[tokio::test]
async fn a_client_that_waits_for_a_slow_model_keeps_its_call() {
    let app = App::new().await;
    tokio::time::pause();
    let gate = Gate::closed();
    let mut frames = half_read(&app, &gate).await;
    let waited = timeout(Duration::from_mins(10), frames.next()).await;
    assert!(waited.is_err());
    gate.open();
    let second = frames.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&second).contains("second"));
}
