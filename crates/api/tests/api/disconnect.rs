//! Clients that leave, over real connections: nothing may keep the engine busy.

use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use silica_engine::scripted::{ChatScript, Gate};
use silica_types::TokenCount;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

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
        metrics.contains(r#"silica_calls_total{model="silica/plain",outcome="cancelled"} 1"#),
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
