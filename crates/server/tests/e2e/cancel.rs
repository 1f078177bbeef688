//! A client that leaves stops its generation.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use silica_testkit::TestServer;

use crate::support::{SOON, chat, endless_chat, server};

/// Waits until the engine has dropped `sequences` sequences and shows that it computes no more.
async fn assert_stopped(server: &TestServer, sequences: f64) {
    server
        .metric_until("silica_engine_cancelled_total", SOON, |count| count >= sequences)
        .await;
    server
        .metric_until("silica_engine_sequences", SOON, |count| count == 0.0)
        .await;
    let steps = server.metric("silica_engine_steps_total").await;
    assert!(steps < 1900.0, "stopped before the end, not at it: {steps} steps");
    for _ in 0..20 {
        let later = server.metric("silica_engine_steps_total").await;
        assert!(
            (later - steps).abs() < f64::EPSILON,
            "still computing: {steps}, then {later} steps"
        );
    }
    // A sequence that somebody waits for is still computed.
    assert_eq!(
        server.chat(&server.api_key(), &chat("Hello")).await.status(),
        StatusCode::OK
    );
    assert!(server.metric("silica_engine_steps_total").await > steps);
}

#[tokio::test]
async fn dropping_a_stream_stops_the_engine() {
    let server = server().start().await;
    let mut response = server.chat(&server.api_key(), &endless_chat(4)).await;
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    assert_stopped(&server, 4.0).await;
    assert!((server.metric("silica_calls_total").await - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn leaving_before_a_plain_answer_stops_the_engine() {
    let server = server().start().await;
    let mut body = endless_chat(4);
    body["stream"] = false.into();
    let api_key = server.api_key();
    let request = server.chat(&api_key, &body);
    let left = tokio::select! {
        _ = request => false,
        _ = server.metric_until("silica_engine_steps_total", SOON, |steps| steps > 0.0) => true,
    };
    assert!(left, "the answer came before the first look at the counter");
    assert_stopped(&server, 4.0).await;
}

#[tokio::test]
async fn resetting_one_http2_stream_stops_its_engine_and_not_its_neighbour() {
    let server = server().start().await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let ask = async |body: Value| {
        let request = client.post(format!("{}/v1/chat/completions", server.base_url()));
        request
            .bearer_auth(server.api_key())
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    let mut short = endless_chat(1);
    short["max_tokens"] = 300.into();
    let mut leaving = ask(endless_chat(2)).await;
    let mut staying = ask(short).await;
    assert!(leaving.chunk().await.unwrap().is_some());
    assert!(staying.chunk().await.unwrap().is_some());
    drop(leaving);
    server
        .metric_until("silica_engine_cancelled_total", SOON, |count| count >= 2.0)
        .await;
    let rest = tokio::time::timeout(Duration::from_mins(1), staying.text())
        .await
        .unwrap()
        .unwrap();
    assert!(rest.ends_with("data: [DONE]\n\n"));
}
