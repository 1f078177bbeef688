//! The first start on an empty data folder, and the second one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::{Method, StatusCode};

use silica_testkit::{Signal, TestServer};

use crate::support::{MODEL, SOON, bare, server};

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

/// Whether the one key in `printed`, if there is one, opens `server`.
async fn opens(server: &TestServer, printed: &str) -> bool {
    let Some(start) = printed.find("sk-") else {
        return false;
    };
    let key = printed[start..].split_whitespace().next().unwrap();
    server.get("/v1/models", key).await.status() == StatusCode::OK
}

#[tokio::test]
async fn a_first_start_that_is_killed_never_loses_the_key() {
    for wait_for_the_key in [false, true, true] {
        let first = bare().start_without_waiting().await;
        while wait_for_the_key && !first.stdout().contains("sk-") {
            tokio::task::yield_now().await;
        }
        let printed_before = first.stdout();
        let second = bare().data_of(first.kill().await).start().await;
        let works = opens(&second, &second.stdout()).await || opens(&second, &printed_before).await;
        assert!(works, "{printed_before}\n{}", second.stdout());
    }
}

#[tokio::test]
async fn a_first_start_that_is_signalled_never_loses_the_key() {
    for signal in [Signal::Interrupt, Signal::Terminate] {
        let mut first = bare().start_without_waiting().await;
        first.signal(signal);
        assert!(first.ended(SOON).await.success());
        let printed_before = first.stdout();
        let second = bare().data_of(first.into_stopped()).start().await;
        let printed = format!("{printed_before}{}", second.stdout());
        assert_eq!(printed.matches("sk-").count(), 1, "{printed}");
        assert!(opens(&second, &printed).await, "{printed}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_printed_fails_the_start_and_the_next_one_prints_another() {
    let refused = bare().stdout("/dev/full").refused().await;
    assert!(!refused.status.success());
    assert!(
        refused
            .stderr
            .contains("the first API key cannot be shown: No space left"),
        "{}",
        refused.stderr
    );
    let second = bare().data_of(refused.data).start().await;
    assert!(opens(&second, &second.stdout()).await);
}

#[tokio::test]
async fn an_empty_admin_key_file_is_filled() {
    let server = bare().data_file("admin.key", "").start().await;
    assert_eq!(server.admin_key().len(), 64);
    assert_eq!(server.admin(Method::GET, "/models", None).await.0, 200);
}

#[tokio::test]
async fn an_admin_key_file_that_others_may_read_is_warned_of() {
    let server = bare()
        .data_file("admin.key", &format!("{}\n", "k".repeat(40)))
        .start()
        .await;
    assert!(server.log().contains("run: chmod 600 "), "{}", server.log());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_folder_is_refused() {
    let first = bare().start().await;
    let refused = bare().data_beside(&first).refused().await;
    assert!(
        refused.stderr.contains(&format!(
            "another server uses the data folder {}",
            first.data().display()
        )),
        "{}",
        refused.stderr
    );
    assert!(first.data().join("addresses.json").exists());
}
