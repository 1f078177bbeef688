//! The two shapes of error bodies (contract section 1.3).

use reqwest::Method;

use crate::support::{chat, server};

#[tokio::test]
async fn in_the_2026_dialect_every_error_is_an_object() {
    let server = server().start().await;
    let response = server.chat("sk-wrong", &chat("Hello")).await;
    assert_eq!(
        response.text().await.unwrap(),
        r#"{"code":30014,"message":"Token is invalid.","data":null}"#
    );
    let response = server.get("/v1/nothing", &server.api_key()).await;
    assert!(response.text().await.unwrap().starts_with(r#"{"code":"#));
}

#[tokio::test]
async fn in_the_2025_02_dialect_errors_have_their_historical_bodies() {
    let server = server().config("[errors]\ndialect = \"2025-02\"\n").start().await;
    let response = server.chat("sk-wrong", &chat("Hello")).await;
    assert_eq!(response.text().await.unwrap(), r#""Api key is invalid""#);
    let response = server
        .request(Method::POST, "/v1/chat/completions")
        .json(&chat("Hello"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), r#""Invalid token""#);
    let response = server.get("/v1/nothing", &server.api_key()).await;
    assert_eq!(
        (response.status().as_u16(), response.text().await.unwrap().trim()),
        (404, "404 page not found")
    );
    let mut unknown = chat("Hello");
    unknown["model"] = "no/such".into();
    let response = server.chat(&server.api_key(), &unknown).await;
    let expected =
        r#"{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}"#;
    assert_eq!(response.text().await.unwrap(), expected);
}
