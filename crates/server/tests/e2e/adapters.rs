//! Adapters on top of the demo model: deployments that share its engine, through the started binary.

mod made;

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::TestServer;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub(crate) use self::made::write_adapter;
use self::made::write_merged;
use crate::support::{SOON, bare, body, chat, shipped_models};
use crate::till::put;

/// Deploys an embedded model under its own name.
async fn deploy(server: &TestServer, name: &str, path: &Path, adapter: Option<&Path>) {
    let model = json!({ "id": name, "type": "text", "sub_type": "chat" });
    put(server, "/models", &model).await;
    let stored = put(server, "/deployments", &deployment(name, path, adapter)).await;
    let adapter = adapter.map(|folder| folder.display().to_string());
    assert_eq!(stored["replicas"][0]["adapter"].as_str(), adapter.as_deref());
}

fn deployment(name: &str, path: &Path, adapter: Option<&Path>) -> Value {
    let mut replica = json!({ "engine": "candle", "path": path });
    if let Some(adapter) = adapter {
        replica["adapter"] = json!(adapter);
    }
    json!({ "name": name, "models": [name], "replicas": [replica] })
}

/// What a model says; greedy, so that it says the same each time.
async fn answer(server: &TestServer, model: &str) -> Value {
    let mut question = chat("What is 27 + 48?");
    question["model"] = json!(model);
    question["max_tokens"] = json!(48);
    question["temperature"] = json!(0);
    let answer = server.chat(&server.api_key(), &question).await;
    let status = answer.status();
    let answer = body(answer).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["model"], model);
    json!({ "message": answer["choices"][0]["message"], "tokens": answer["usage"]["completion_tokens"] })
}

/// How often the log says something.
fn logged(server: &TestServer, text: &str) -> usize {
    server.log().lines().filter(|line| line.contains(text)).count()
}

fn adapter(seed: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_adapter(folder.path(), seed);
    folder
}

#[tokio::test]
async fn adapters_share_the_engine_of_their_model_and_answer_as_merged_weights() {
    let server = bare().start().await;
    let base = shipped_models().join("tiny-chat");
    let (first, second) = (adapter(1), adapter(2));
    deploy(&server, "t/base", &base, None).await;
    deploy(&server, "t/first", &base, Some(first.path())).await;
    deploy(&server, "t/second", &base, Some(second.path())).await;
    let plain = answer(&server, "t/base").await;
    let adapted = answer(&server, "t/first").await;
    let other = answer(&server, "t/second").await;
    assert_ne!(plain, adapted);
    assert_ne!(plain, other);
    assert_ne!(adapted, other);
    assert_eq!(logged(&server, "model loaded"), 1, "{}", server.log());
    assert_eq!(logged(&server, "adapter.folder="), 2, "{}", server.log());
    // All at once, in the same passes.
    let together = tokio::join!(
        answer(&server, "t/first"),
        answer(&server, "t/base"),
        answer(&server, "t/second"),
    );
    assert_eq!(together, (adapted.clone(), plain.clone(), other.clone()));

    let merged = tempfile::tempdir().unwrap();
    write_merged(merged.path(), first.path());
    deploy(&server, "t/merged", merged.path(), None).await;
    assert_eq!(answer(&server, "t/merged").await, adapted);
    assert_eq!(logged(&server, "model loaded"), 2, "the merged one is another");

    // The engine lives on for the adapters, and the model alone joins it again.
    let (status, _) = server.admin(Method::DELETE, "/deployments/t%2Fbase", None).await;
    assert!((200..300).contains(&status), "{status}");
    let mut gone = chat("Hello");
    gone["model"] = json!("t/base");
    let gone = server.chat(&server.api_key(), &gone).await;
    assert_eq!(gone.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer(&server, "t/first").await, adapted);
    assert_eq!(answer(&server, "t/second").await, other);
    deploy(&server, "t/base", &base, None).await;
    assert_eq!(answer(&server, "t/base").await, plain);
    assert_eq!(logged(&server, "model loaded"), 2, "{}", server.log());
}

#[tokio::test]
async fn replicas_without_adapters_have_engines_of_their_own_and_files_that_changed_are_read_again() {
    let server = bare().start().await;
    let root = tempfile::tempdir().unwrap();
    let base = root.path().join("base");
    fs::create_dir(&base).unwrap();
    for entry in fs::read_dir(shipped_models().join("tiny-chat")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, base.join(path.file_name().unwrap())).unwrap();
    }
    put(
        &server,
        "/models",
        &json!({ "id": "t/two", "type": "text", "sub_type": "chat" }),
    )
    .await;
    let replica = json!({ "engine": "candle", "path": base });
    let two = json!({ "name": "t/two", "models": ["t/two"], "replicas": [replica, replica] });
    put(&server, "/deployments", &two).await;
    assert_eq!(logged(&server, "model loaded"), 2);
    let (first, second) = (adapter(1), adapter(2));
    deploy(&server, "t/first", &base, Some(first.path())).await;
    assert_eq!(logged(&server, "model loaded"), 2);
    let before = answer(&server, "t/first").await;
    // Other weights in the same place: what runs has the old ones, what comes gets the new ones.
    write_merged(&base, second.path());
    deploy(&server, "t/again", &base, Some(first.path())).await;
    assert_eq!(logged(&server, "model loaded"), 3);
    assert_ne!(answer(&server, "t/again").await, before);
    assert_eq!(answer(&server, "t/first").await, before);
}

#[tokio::test]
async fn an_adapter_that_cannot_be_added_is_refused_with_the_file_and_the_reason() {
    let server = bare().start().await;
    let base = shipped_models().join("tiny-chat");
    let good = adapter(1);
    deploy(&server, "t/good", &base, Some(good.path())).await;
    let refused = async |sub_type: &str, path: &Path, adapter: &Path| {
        let model = json!({ "id": "t/bad", "type": "text", "sub_type": sub_type });
        put(&server, "/models", &model).await;
        let bad = deployment("t/bad", path, Some(adapter));
        let (status, body) = server.admin(Method::PUT, "/deployments", Some(&bad)).await;
        assert_eq!(status, 400, "{body}");
        body["message"].as_str().unwrap().to_owned()
    };
    let told = refused("chat", &base, Path::new("/nowhere/adapter")).await;
    assert!(
        told.contains("/nowhere/adapter/adapter_config.json: the file is missing"),
        "{told}"
    );
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine-candle/tests/fixtures");
    let fixtures = fixtures.canonicalize().unwrap();
    let other = fixtures.join("lora/qwen3-patterns");
    let told = refused("chat", &base, &other).await;
    assert!(
        told.contains("adapter_model.safetensors") && told.contains("and the adapter for this model?"),
        "{told}"
    );
    let told = refused("chat", &fixtures.join("mixtral"), good.path()).await;
    assert!(
        told.contains("adapters are not supported for models of the family Mixtral"),
        "{told}"
    );
    let told = refused("embedding", &shipped_models().join("tiny-embed"), good.path()).await;
    assert!(
        told.contains("adapters are for models that chat") && told.contains("is loaded to embed"),
        "{told}"
    );
    assert_eq!(
        logged(&server, "model loaded"),
        1,
        "weights are read for none of them"
    );
    answer(&server, "t/good").await;
}

#[tokio::test]
async fn an_adapter_that_breaks_keeps_its_deployment_out_says_why_and_comes_back() {
    let server = bare().start().await;
    let key = server.api_key();
    let base = shipped_models().join("tiny-chat");
    let (good, broken) = (adapter(1), adapter(2));
    deploy(&server, "t/good", &base, Some(good.path())).await;
    deploy(&server, "t/broken", &base, Some(broken.path())).await;
    let weights = broken.path().join("adapter_model.safetensors");
    let away = broken.path().join("away");
    let stopped = server.stop().await;
    fs::rename(&weights, &away).unwrap();
    let again = bare()
        .data_of(stopped)
        .environment("SILICA__MODELS__ON_LOAD_ERROR", "skip")
        .start()
        .await;
    let state = async |name: &str| {
        let (status, listed) = again.admin(Method::GET, "/replicas", None).await;
        assert_eq!(status, 200, "{listed}");
        let mut states = listed["data"].as_array().unwrap().iter();
        let found = states.find(|state| state["deployment"] == name);
        found.unwrap().clone()
    };
    let broken = state("t/broken").await;
    assert_eq!(broken["in_force"], false);
    let problem = broken["problem"].as_str().unwrap();
    assert!(
        problem.contains(&format!("{}: the file is missing", weights.display())),
        "{problem}"
    );
    assert_eq!(state("t/good").await["in_force"], true);
    let question =
        json!({ "model": "t/good", "messages": [{ "role": "user", "content": "Hello" }], "max_tokens": 4 });
    assert_eq!(again.chat(&key, &question).await.status(), StatusCode::OK);
    fs::rename(&away, &weights).unwrap();
    // It is tried again with growing pauses.
    let deadline = Instant::now() + 6 * SOON;
    while state("t/broken").await["in_force"] == false {
        assert!(Instant::now() < deadline, "{}", again.log());
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(state("t/broken").await.get("problem"), None);
    assert_eq!(logged(&again, "model loaded"), 1, "{}", again.log());
}
