//! Two servers on one PostgreSQL database.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use silica_testkit::database;

use crate::keys::{new_key, refused_within};
use crate::support::{MODEL, chat, server};

#[tokio::test]
async fn servers_on_one_postgresql_share_keys_models_and_revocations() {
    let database = database::postgres().await;
    let on_it = || server().environment("SILICA__DATABASE__URL", database.url_text());
    let first = on_it().start().await;
    let second = on_it().start().await;
    assert!(
        !second.stdout().contains("sk-"),
        "the operator was made by the first server"
    );

    let (path, key) = new_key(&first).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(1);
    while second.get("/v1/models", &key).await.status() != StatusCode::OK {
        assert!(
            std::time::Instant::now() < deadline,
            "a new key works on the other server within a second"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        second
            .get("/v1/models", &key)
            .await
            .text()
            .await
            .unwrap()
            .contains(MODEL)
    );
    assert_eq!(second.chat(&key, &chat("Hello")).await.status(), StatusCode::OK);

    let (status, _) = first.admin(Method::DELETE, &path, None).await;
    assert!((200..300).contains(&status));
    refused_within(&second, &key, Duration::from_secs(1)).await;
}
