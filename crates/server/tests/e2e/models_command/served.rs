//! Models that are added, served, and removed again.

use std::fs;
use std::path::Path;
use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::TestServer;

use super::{command, complaint, hub, json, run, said};
use crate::support::{MODEL, SOON, bare, body, chat, shipped_models};

/// Waits until the demo model answers, and checks that it does so with words of its own: it adds digit by digit.
async fn answers(server: &TestServer, api_key: &str) {
    let answer = answer_soon(server, api_key, &chat("What is 27 + 48?")).await;
    let message = &answer["choices"][0]["message"];
    let said = format!("{}{}", message["content"], message["reasoning_content"]);
    assert!(said.contains("7+8"), "{answer}");
}

/// The answer to a question whose model is about to be deployed.
pub(super) async fn answer_soon(server: &TestServer, api_key: &str, question: &Value) -> Value {
    let deadline = Instant::now() + 4 * SOON;
    loop {
        let response = server.chat(api_key, question).await;
        if response.status() == StatusCode::OK {
            return body(response).await;
        }
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn model_of_a_hub_is_added_beside_a_server_answers_and_is_removed() {
    let hub = hub().await;
    let server = bare().start().await;
    let (data, api_key) = (server.data(), server.api_key());
    let refused = server.chat(&api_key, &chat("Hello")).await.status();
    assert_eq!(refused, StatusCode::BAD_REQUEST, "the model is not there yet");

    let address = hub.hugging_face();
    let added = run(data, &["add", MODEL, "--hub", &address, "--deploy"]).await;
    let told = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(
        added.status.success()
            && told.contains("Added silica/tiny-chat: qwen3, 4.7M parameters, safetensors F16"),
        "{added:?}"
    );
    assert!(told.contains("is deployed"), "{told}");
    let progress = String::from_utf8_lossy(&added.stderr).into_owned();
    assert!(
        progress.contains("5 files, 9.1 MiB") && progress.contains("model.safetensors is there"),
        "{progress}"
    );
    answers(&server, &api_key).await;

    let shown = json(data, &["show", MODEL, "--verify", "--json"]).await;
    assert_eq!(shown["damaged"], json!([]));
    assert_eq!(shown["facts"]["context_length"], 2048);
    assert_eq!(shown["origin"]["commit"], silica_testkit::HUB_COMMIT);
    let listed = said(data, &["list"]).await;
    assert!(
        listed.contains("silica/tiny-chat") && listed.contains("c0ffee0000c0"),
        "{listed}"
    );

    let refused = complaint(data, &["remove", MODEL]).await;
    assert_eq!(
        refused,
        "silica: silica/tiny-chat is served by silica/tiny-chat; delete that first, or use --force"
    );
    let (status, _) = server
        .admin(Method::DELETE, "/deployments/silica%2Ftiny-chat", None)
        .await;
    assert!((200..300).contains(&status), "{status}");
    assert!(
        said(data, &["remove", MODEL])
            .await
            .starts_with("Removed silica/tiny-chat: 9.1 MiB")
    );
    assert_eq!(json(data, &["list", "--json"]).await, json!([]));
    assert!(!data.join("models/silica").exists());
}

#[tokio::test]
async fn model_that_is_deployed_before_any_server_answers_after_the_first_start() {
    let hub = hub().await;
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let added = run(
        &data,
        &["add", MODEL, "--hub", &hub.model_scope(), "--quiet", "--json"],
    )
    .await;
    assert!(added.status.success() && added.stderr.is_empty(), "{added:?}");
    assert!(said(&data, &["deploy", MODEL]).await.contains("is deployed"));
    assert!(
        said(&data, &["deploy", MODEL])
            .await
            .contains("is served already")
    );
    let server = bare().data_at(&data).start().await;
    answers(&server, &server.api_key()).await;
}

#[tokio::test]
async fn folder_is_served_by_the_two_requests_that_add_prints() {
    let server = bare().start().await;
    let folder = shipped_models().join("tiny-chat");
    let source = folder.display().to_string();
    let told = said(server.data(), &["add", &source, "--name", MODEL]).await;
    let bodies: Vec<Value> = told
        .lines()
        .filter_map(|line| line.split_once(" -d '")?.1.strip_suffix('\''))
        .map(|body| serde_json::from_str(body).unwrap())
        .collect();
    for (path, body) in ["/models", "/deployments"].iter().zip(&bodies) {
        let (status, answer) = server.admin(Method::PUT, path, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
    }
    answers(&server, &server.api_key()).await;
    let path = bodies[1]["replicas"][0]["path"].as_str().unwrap();
    assert!(Path::new(path).starts_with(server.data().canonicalize().unwrap()));
}

#[tokio::test]
async fn gguf_of_a_hub_becomes_a_model_folder() {
    let hub = hub().await;
    let gguf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../engine-candle/tests/fixtures/gguf/qwen2/model-f16.gguf");
    hub.put("org/gguf", "tiny-f16.gguf", fs::read(&gguf).unwrap());
    hub.put("org/gguf", "tiny-q8.gguf", fs::read(&gguf).unwrap());
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let address = hub.hugging_face();
    let refused = complaint(&data, &["add", "org/gguf", "--hub", &address]).await;
    assert!(
        refused.contains("choose one with --file: tiny-f16.gguf, tiny-q8.gguf"),
        "{refused}"
    );
    let arguments = [
        "add",
        "org/gguf",
        "--hub",
        &address,
        "--file",
        "tiny-f16.gguf",
        "--json",
    ];
    let added = json(&data, &arguments).await;
    assert_eq!(
        (
            &added["facts"]["format"],
            &added["facts"]["quantisation"],
            &added["origin"]["file"]
        ),
        (&json!("gguf"), &json!("F16"), &json!("tiny-f16.gguf"))
    );
    let local = json(&data, &["add", gguf.to_str().unwrap(), "--json"]).await;
    assert_eq!(local["id"], "local/model-f16");
    let shown = said(&data, &["show", "local/model-f16"]).await;
    assert!(
        shown.contains("architecture  qwen2") && shown.contains("model.gguf"),
        "{shown}"
    );
}

#[tokio::test]
async fn gguf_file_is_added_beside_a_server_and_answers() {
    let server = bare().start().await;
    let gguf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../engine-candle/tests/fixtures/gguf/qwen3/model-q8_0.gguf");
    let source = gguf.to_str().unwrap();
    let arguments = ["add", source, "--name", "test/gguf", "--deploy"];
    let told = said(server.data(), &arguments).await;
    assert!(
        told.contains("Added test/gguf: qwen3") && told.contains("gguf Q8_0"),
        "{told}"
    );
    let mut question = chat("Hello");
    question["model"] = json!("test/gguf");
    let answer = answer_soon(&server, &server.api_key(), &question).await;
    // Its weights are random numbers: that it answers in its own tokens is all there is to say.
    assert!(
        answer["usage"]["completion_tokens"].as_u64().unwrap() > 0,
        "{answer}"
    );
}

#[tokio::test]
async fn damage_is_found_and_what_another_deployment_serves_is_not_taken_over() {
    let server = bare().start().await;
    let data = server.data();
    let folder = shipped_models().join("tiny-chat").display().to_string();
    said(data, &["add", &folder, "--name", MODEL, "--deploy"]).await;
    let file = data.join("models").join(MODEL).join("generation_config.json");
    fs::write(&file, "{}").unwrap();
    let damaged = complaint(data, &["show", MODEL, "--verify"]).await;
    assert!(
        damaged.contains("silica/tiny-chat is damaged: generation_config.json: it has 2 bytes"),
        "{damaged}"
    );
    assert!(
        said(data, &["remove", MODEL, "--force"])
            .await
            .starts_with("Removed")
    );
    said(data, &["add", &folder, "--name", "other/tiny"]).await;
    let model = json!({ "id": "other/tiny", "type": "text", "sub_type": "chat" });
    assert_eq!(server.admin(Method::PUT, "/models", Some(&model)).await.0, 200);
    let elsewhere = json!({ "name": "elsewhere", "models": ["other/tiny"], "replicas": [
        { "engine": "openai", "url": "http://127.0.0.1:9/v1", "allow_private": true, "health_path": "" }] });
    let (status, answer) = server.admin(Method::PUT, "/deployments", Some(&elsewhere)).await;
    assert_eq!(status, 200, "{answer}");
    let refused = complaint(data, &["deploy", "other/tiny"]).await;
    assert!(
        refused.contains("the deployment elsewhere is there already for other/tiny"),
        "{refused}"
    );
}

#[tokio::test]
async fn upstream_keys_survive_a_deployment_made_by_the_command() {
    let server = bare().start().await;
    let model = json!({ "id": "test/remote", "type": "text", "sub_type": "chat" });
    assert_eq!(server.admin(Method::PUT, "/models", Some(&model)).await.0, 200);
    let upstream = silica_testkit::Upstream::start().await;
    let remote = json!({ "name": "remote", "models": ["test/remote"], "replicas": [
        { "engine": "openai", "url": upstream.base_url(), "allow_private": true, "api_key": "geheim", "health_path": "" }] });
    assert_eq!(
        server.admin(Method::PUT, "/deployments", Some(&remote)).await.0,
        200
    );
    let folder = shipped_models().join("tiny-chat").display().to_string();
    let added = command(server.data(), &["add", &folder, "--name", MODEL, "--deploy"], &[])
        .output()
        .await
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    let again = bare().data_of(server.stop().await).start().await;
    // The first start's key was shown in the log of that start only.
    let (_, key) = crate::keys::new_key(&again).await;
    let mut request = chat("Hello");
    request["model"] = json!("test/remote");
    assert_eq!(again.chat(&key, &request).await.status(), StatusCode::OK);
    assert_eq!(
        upstream.requests()[0].header("authorization"),
        Some("Bearer geheim")
    );
    answers(&again, &key).await;
}
