//! The end of a server: running streams finish, or are cut at the limit.

use std::time::Instant;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use silica_testkit::{Signal, TestServer};

use crate::support::{SOON, endless_chat, server};

/// Starts a stream and waits for its first bytes.
async fn running_stream(server: &TestServer, body: &Value) -> Response {
    let mut response = server.chat(&server.api_key(), body).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.chunk().await.unwrap().is_some());
    response
}

/// Waits until the server has taken notice of a signal; a second one before that would be the same.
async fn stopping(server: &TestServer) {
    let ready = format!("{}/readyz", server.admin_url());
    let deadline = Instant::now() + SOON;
    while reqwest::get(&ready).await.unwrap().status() != StatusCode::SERVICE_UNAVAILABLE {
        assert!(Instant::now() < deadline, "/readyz stays good");
    }
}

#[tokio::test]
async fn an_idle_server_ends_at_once_and_well() {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let mut server = server().start().await;
        // A kept-alive connection without a request must not hold it up.
        server.get("/v1/models", &server.api_key()).await;
        server.signal(signal);
        assert!(server.ended(SOON).await.success());
        assert!(!server.data().join("addresses.json").exists());
    }
}

#[tokio::test]
async fn a_running_stream_finishes_and_nothing_new_is_accepted() {
    let mut server = server().start().await;
    // Long enough to be running when the signal comes, short enough to be awaited.
    let mut body = endless_chat(2);
    body["max_tokens"] = 500.into();
    let stream = running_stream(&server, &body).await;
    server.signal(Signal::Terminate);
    stopping(&server).await;
    let refused = reqwest::get(format!("{}/healthz", server.base_url())).await;
    assert!(refused.is_err(), "a new connection was accepted");
    let rest = stream.text().await.expect("the whole stream");
    assert!(rest.ends_with("data: [DONE]\n\n"));
    assert!(server.ended(SOON).await.success());
}

#[tokio::test]
async fn a_stream_is_cut_when_the_grace_period_is_over() {
    let mut server = server()
        .config("[server]\nshutdown_grace = \"100ms\"\n")
        .start()
        .await;
    let stream = running_stream(&server, &endless_chat(16)).await;
    server.signal(Signal::Terminate);
    let rest = stream.text().await;
    assert!(rest.is_err(), "a cut stream must not look complete");
    assert!(server.ended(SOON).await.success());
    assert!(
        server.log().contains("the grace period is over"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = server().start().await;
    let stream = running_stream(&server, &endless_chat(16)).await;
    server.signal(Signal::Interrupt);
    stopping(&server).await;
    let started = Instant::now();
    server.signal(Signal::Interrupt);
    assert!(server.ended(SOON).await.success());
    assert!(started.elapsed() < SOON, "the grace period is 30 s");
    assert!(server.log().contains("signalled again"), "{}", server.log());
    drop(stream);
}
