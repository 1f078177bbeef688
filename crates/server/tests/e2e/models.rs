//! Model folders that cannot be served, at start and later.

use std::fs;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::json;
use silica_testkit::TestServer;

use crate::support::{MODEL, bare, body, chat, copied_model};

fn with_models(root: &Path) -> silica_testkit::ServerBuilder {
    TestServer::of(env!("CARGO_BIN_EXE_silica")).models(root)
}

/// Starts on a folder whose file `name` was damaged; returns the complaint.
async fn complaint_about(name: &str, damage: impl FnOnce(&Path)) -> String {
    let (root, folder) = copied_model();
    damage(&folder.join(name));
    let refused = with_models(root.path()).refused().await;
    assert!(!refused.status.success());
    assert!(
        !refused.stdout.contains("sk-"),
        "no key was made for a server that never ran"
    );
    let line = refused.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(
        line.starts_with("silica: ") && line.contains(&folder.join(name).display().to_string()),
        "{line}"
    );
    line
}

#[tokio::test]
async fn a_missing_file_is_named_at_start() {
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        complaint_about(name, |path| fs::remove_file(path).unwrap()).await;
    }
}

#[tokio::test]
async fn a_truncated_file_is_named_at_start() {
    let line = complaint_about("model.safetensors", |path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(fs::metadata(path).unwrap().len() / 2).unwrap();
    });
    assert!(line.await.contains("truncated"));
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        complaint_about(name, |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.get(..text.len() / 2).unwrap()).unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn a_start_that_failed_half_way_is_still_the_first() {
    let (root, folder) = copied_model();
    let tokenizer = fs::read(folder.join("tokenizer.json")).unwrap();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let data = with_models(root.path()).refused().await.data;
    fs::write(folder.join("tokenizer.json"), tokenizer).unwrap();
    let server = with_models(root.path()).data_of(data).start().await;
    assert_eq!(
        server.chat(&server.api_key(), &chat("Hello")).await.status(),
        StatusCode::OK
    );
}

/// Gemma's template has no place for a system message, and says so.
#[tokio::test]
async fn a_message_that_the_chat_template_refuses_is_a_bad_request_in_its_words() {
    let (root, folder) = copied_model();
    let template = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
        {% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
        <|im_start|>assistant\n";
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    let server = with_models(root.path()).start().await;
    let key = server.api_key();
    assert_eq!(server.chat(&key, &chat("Hello")).await.status(), StatusCode::OK);
    let mut refused = chat("Hello");
    refused["messages"] = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": "Hello" },
    ]);
    let refused = server.chat(&key, &refused).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let told = body(refused).await;
    assert_eq!(told["message"], "System role not supported", "{told}");
}

#[tokio::test]
async fn a_model_that_moved_is_named_at_the_next_start() {
    let (root, folder) = copied_model();
    let server = with_models(root.path()).start().await;
    let data = server.stop().await;
    fs::rename(&folder, root.path().join("moved")).unwrap();
    let refused = with_models(root.path()).data_of(data).refused().await;
    let line = refused.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(
        line.contains(&format!("the model {} does not exist", folder.display())),
        "{line}"
    );
}

#[tokio::test]
async fn a_damaged_model_can_be_skipped() {
    let (root, folder) = copied_model();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let server = with_models(root.path())
        .environment("SILICA__MODELS__ON_LOAD_ERROR", "skip")
        .start()
        .await;
    assert!(server.log().contains("tokenizer.json"));
    let models = body(server.get("/v1/models", &server.api_key()).await).await;
    assert_eq!(models["data"], json!([]));
}

#[tokio::test]
async fn a_model_deployed_by_the_operator_answers_at_once_and_one_removed_no_longer() {
    let (_root, folder) = copied_model();
    let server = bare().start().await;
    let model = json!({ "id": MODEL, "type": "text", "sub_type": "chat" });
    assert_eq!(server.admin(Method::PUT, "/models", Some(&model)).await.0, 200);
    let deployment = |path: &Path| json!({ "name": "tiny", "models": [MODEL], "replicas": [{ "engine": "candle", "path": path }] });
    let (status, refusal) = server
        .admin(
            Method::PUT,
            "/deployments",
            Some(&deployment(Path::new("/nowhere"))),
        )
        .await;
    assert_eq!(status, 400, "{refusal}");
    assert!(
        refusal["message"].as_str().unwrap().contains("/nowhere"),
        "{refusal}"
    );
    assert_eq!(
        server.chat(&server.api_key(), &chat("Hello")).await.status(),
        StatusCode::BAD_REQUEST
    );

    let (status, answer) = server
        .admin(Method::PUT, "/deployments", Some(&deployment(&folder)))
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        server.chat(&server.api_key(), &chat("Hello")).await.status(),
        StatusCode::OK
    );

    let (status, _) = server.admin(Method::DELETE, "/deployments/tiny", None).await;
    assert!((200..300).contains(&status));
    assert_eq!(
        server.chat(&server.api_key(), &chat("Hello")).await.status(),
        StatusCode::BAD_REQUEST
    );
}
