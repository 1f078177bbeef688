//! Keys: revoked ones stop within a second.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::TestServer;

use crate::support::bare;

/// Makes a key of the operator's account; returns its path in the operator API and its text.
pub(crate) async fn new_key(server: &TestServer) -> (String, String) {
    let (_, accounts) = server.admin(Method::GET, "/accounts", None).await;
    let account = accounts["data"][0]["id"].as_str().expect("an account").to_owned();
    let keys = format!("/accounts/{account}/keys");
    let (status, key) = server
        .admin(Method::POST, &keys, Some(&json!({ "description": "test" })))
        .await;
    assert!((200..300).contains(&status), "{key}");
    let text = |field: &str| key[field].as_str().expect("a text").to_owned();
    (format!("{keys}/{}", text("id")), text("key"))
}

/// Waits until a key is refused.
pub(crate) async fn refused_within(server: &TestServer, key: &str, limit: Duration) {
    let started = Instant::now();
    while server.get("/v1/models", key).await.status() != StatusCode::UNAUTHORIZED {
        assert!(started.elapsed() < limit, "the key still works after {limit:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_deleted_key_is_refused_within_a_second() {
    let server = bare().start().await;
    let (path, key) = new_key(&server).await;
    assert_eq!(server.get("/v1/models", &key).await.status(), StatusCode::OK);
    let (status, answer) = server.admin(Method::DELETE, &path, None).await;
    assert!((200..300).contains(&status), "{answer}");
    refused_within(&server, &key, Duration::from_secs(1)).await;
    assert_eq!(
        server.get("/v1/models", &server.api_key()).await.status(),
        StatusCode::OK,
        "others go on"
    );
}

#[tokio::test]
async fn a_disabled_account_is_refused_until_it_is_enabled() {
    let server = bare().start().await;
    let (path, key) = new_key(&server).await;
    let account = path.split("/keys/").next().unwrap();
    let set = async |status: &str| {
        let (code, answer) = server
            .admin(Method::PATCH, account, Some(&json!({ "status": status })))
            .await;
        assert_eq!(code, 200, "{answer}");
    };
    set("disabled").await;
    let refused = server.get("/v1/models", &key).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["code"], 30002);
    set("normal").await;
    assert_eq!(server.get("/v1/models", &key).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_key_bound_to_addresses_works_from_there_only() {
    let server = bare().start().await;
    let (path, key) = new_key(&server).await;
    let bind = async |address: &str| {
        let limits = json!({ "limits": { "ips": [address] } });
        let (code, answer) = server.admin(Method::PATCH, &path, Some(&limits)).await;
        assert_eq!(code, 200, "{answer}");
    };
    bind("127.0.0.0/8").await;
    assert_eq!(server.get("/v1/models", &key).await.status(), StatusCode::OK);
    bind("192.0.2.7").await;
    let refused = server.get("/v1/models", &key).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["code"], 30013);
}
