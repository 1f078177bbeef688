//! The first start on an empty data folder, and the second one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::{Method, StatusCode};

use crate::support::{MODEL, bare, server};

#[tokio::test]
async fn the_first_start_prints_one_key_and_the_second_none() {
    let first = server().start().await;
    let printed = first.stdout();
    assert_eq!(printed.matches("sk-").count(), 1, "{printed}");
    for part in [
        first.base_url(),
        first.admin_url(),
        "operator@localhost",
        "admin.key",
        MODEL,
    ] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    let api_key = first.api_key();
    assert_eq!(first.get("/v1/models", &api_key).await.status(), StatusCode::OK);
    assert!(!first.log().contains(&api_key), "the key is in no log");
    let admin_key = first.admin_key();

    let second = server().data_of(first.stop().await).start().await;
    assert_eq!(
        second.stdout(),
        format!("Silica is ready on {}\n", second.base_url())
    );
    assert_eq!(second.admin_key(), admin_key);
    let models = second.get("/v1/models", &api_key).await.text().await.unwrap();
    assert!(models.contains(MODEL), "{models}");
}

#[tokio::test]
async fn the_admin_key_file_is_its_owners_only() {
    let server = bare().start().await;
    let mode = |name: &str| {
        fs::metadata(server.data().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("admin.key"), 0o600);
    assert_eq!(mode("."), 0o700);
}

#[tokio::test]
async fn an_admin_key_from_the_environment_is_taken_and_leaves_no_file() {
    let key = "k".repeat(40);
    let server = bare().environment("SILICA_ADMIN_KEY", &*key).start().await;
    assert!(!server.data().join("admin.key").exists());
    let url = format!("{}/admin/v1/models", server.admin_url());
    let client = reqwest::Client::builder().build().unwrap();
    let good = client
        .request(Method::GET, &url)
        .bearer_auth(&key)
        .send()
        .await
        .unwrap();
    assert_eq!(good.status(), StatusCode::OK);
    let bad = client
        .request(Method::GET, &url)
        .bearer_auth("j".repeat(40))
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_operators_address_can_be_configured() {
    let server = bare()
        .config("[admin]\noperator_email = \"ops@example.com\"\n")
        .start()
        .await;
    let (status, accounts) = server.admin(Method::GET, "/accounts", None).await;
    assert_eq!(status, 200);
    assert_eq!(accounts["data"][0]["email"], "ops@example.com");
}
