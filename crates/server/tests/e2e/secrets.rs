//! Upstream keys at rest, and the command that replaces the master key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use silica_testkit::{TestServer, Upstream};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::support::{MODEL, bare, chat, server};

const KEY: &str = "upstream-key-geheim";
const REMOTE: &str = "test/remote";

/// Puts a model that is answered by `upstream`, which is to be shown [`KEY`].
async fn deploy(server: &TestServer, upstream: &Upstream) {
    let model = json!({"id": REMOTE, "type": "text", "sub_type": "chat"});
    let (status, body) = server.admin(Method::PUT, "/models", Some(&model)).await;
    assert_eq!(status, 200, "{body}");
    let replica = json!({
        "engine": "openai", "url": upstream.base_url(), "api_key": KEY, "allow_private": true, "health_path": "",
    });
    let deployment = json!({"name": "remote", "models": [REMOTE], "replicas": [replica]});
    let (status, body) = server.admin(Method::PUT, "/deployments", Some(&deployment)).await;
    assert_eq!(status, 200, "{body}");
    assert!(!body.to_string().contains("geheim"), "{body}");
}

/// Calls the remote model.
async fn call(server: &TestServer, api_key: &str) -> StatusCode {
    let mut request = chat("Hello");
    request["model"] = json!(REMOTE);
    server.chat(api_key, &request).await.status()
}

/// Whether the last call that reached the upstream had the key.
fn showed_the_key(upstream: &Upstream) -> bool {
    let requests = upstream.requests();
    let last = requests.last().expect("a call reached the upstream");
    last.header("authorization") == Some(&format!("Bearer {KEY}"))
}

async fn rotate(data: &Path, environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_silica"))
        .args(["secrets", "rotate", "--data"])
        .arg(data)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .await
        .expect("the command runs")
}

/// Fails when the key stands in any file of a data folder, or in the server's log.
fn assert_no_trace(server: &TestServer) {
    let log = server.log();
    assert!(!log.contains("geheim"), "{log}");
    let entries = fs::read_dir(server.data()).unwrap();
    for path in entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
    {
        let bytes = fs::read(&path).unwrap();
        assert!(
            !bytes.windows(6).any(|window| window == b"geheim"),
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn rotation_beside_a_running_server_keeps_its_upstreams_and_the_key_is_nowhere_in_clear() {
    let upstream = Upstream::start().await;
    let running = server().start().await;
    let api_key = running.api_key();
    deploy(&running, &upstream).await;
    assert_eq!(call(&running, &api_key).await, StatusCode::OK);
    assert!(showed_the_key(&upstream));
    let file = running.data().join("master-key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let mut seen = vec![fs::read_to_string(&file).unwrap()];
    for _ in 0..2 {
        let output = rotate(running.data(), &[]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains("1 upstream keys are sealed"),
            "{output:?}"
        );
        let now = fs::read_to_string(&file).unwrap();
        assert!(!seen.contains(&now) && now.lines().count() == 1);
        assert!(seen.iter().all(|key| !said.contains(key.trim())) && !said.contains(now.trim()));
        seen.push(now);
        assert_eq!(call(&running, &api_key).await, StatusCode::OK);
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // What is put after a rotation is readable after the next start.
    deploy(&running, &upstream).await;
    assert_no_trace(&running);

    let again = server().data_of(running.stop().await).start().await;
    assert_eq!(call(&again, &api_key).await, StatusCode::OK);
    assert!(showed_the_key(&upstream));
    assert_no_trace(&again);
}

#[tokio::test]
async fn start_without_the_master_key_serves_the_rest_and_says_what_to_do() {
    let upstream = Upstream::start().await;
    let running = server().start().await;
    let api_key = running.api_key();
    deploy(&running, &upstream).await;
    let stopped = running.stop().await;

    let other = "ab".repeat(32);
    let without = server()
        .data_of(stopped)
        .environment("SILICA_MASTER_KEY", &*other)
        .start()
        .await;
    assert_eq!(
        without.chat(&api_key, &chat("Hello")).await.status(),
        StatusCode::OK,
        "{MODEL}"
    );
    assert_eq!(call(&without, &api_key).await, StatusCode::SERVICE_UNAVAILABLE);
    let log = without.log();
    assert!(
        log.contains("a replica of deployment remote is not ready"),
        "{log}"
    );
    assert!(log.contains("bring that key back"), "{log}");
    assert!(upstream.requests().is_empty(), "the sealed text is never sent");
    assert_no_trace(&without);

    let with = server().data_of(without.stop().await).start().await;
    assert_eq!(call(&with, &api_key).await, StatusCode::OK);
}

#[tokio::test]
async fn key_file_that_comes_back_is_found_by_the_running_server() {
    let upstream = Upstream::start().await;
    let running = server().start().await;
    let api_key = running.api_key();
    deploy(&running, &upstream).await;
    let file = running.data().join("master-key");
    let good = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let again = server().data_of(running.stop().await).start().await;
    assert_eq!(call(&again, &api_key).await, StatusCode::SERVICE_UNAVAILABLE);
    fs::write(again.data().join("master-key"), good).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while call(&again, &api_key).await != StatusCode::OK {
        assert!(Instant::now() < deadline, "{}", again.log());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn rotation_of_a_key_from_the_environment_needs_the_new_one_there() {
    let upstream = Upstream::start().await;
    let (old, new) = ("ab".repeat(32), "cd".repeat(32));
    let with_key = |key: &str| server().environment("SILICA_MASTER_KEY", key);
    let running = with_key(&format!("{new},{old}")).start().await;
    let api_key = running.api_key();
    deploy(&running, &upstream).await;
    assert!(!running.data().join("master-key").exists());

    let refused = rotate(running.data(), &[("SILICA_MASTER_KEY", &old)]).await;
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && complaint.contains("SILICA_NEW_MASTER_KEY"),
        "{complaint}"
    );
    let same = [("SILICA_MASTER_KEY", &*old), ("SILICA_NEW_MASTER_KEY", &*old)];
    assert!(!rotate(running.data(), &same).await.status.success());
    let variables = [("SILICA_MASTER_KEY", &*old), ("SILICA_NEW_MASTER_KEY", &*new)];
    let output = rotate(running.data(), &variables).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(call(&running, &api_key).await, StatusCode::OK);

    let again = with_key(&new).data_of(running.stop().await).start().await;
    assert_eq!(call(&again, &api_key).await, StatusCode::OK);
    assert!(showed_the_key(&upstream));
}

#[tokio::test]
async fn rotation_in_a_folder_without_a_master_key_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = rotate(folder.path(), &[]).await;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && complaint.contains("master-key is gone or empty"),
        "{complaint}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn malformed_master_key_refuses_the_start_without_being_shown() {
    let refused = bare().environment("SILICA_MASTER_KEY", "geheim").refused().await;
    assert!(
        refused
            .stderr
            .contains("SILICA_MASTER_KEY: master key 1 is not 32 bytes"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("geheim"), "{}", refused.stderr);
}
