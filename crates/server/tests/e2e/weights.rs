//! Embedded models out of GGUF files, and quantised as they are loaded.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use silica_testkit::TestServer;

use crate::support::{MODEL, bare, body, chat, shipped_models};
use crate::till::put;

fn gguf_fixture(name: &str) -> PathBuf {
    let fixtures = "../engine-candle/tests/fixtures/gguf";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixtures).join(name);
    path.canonicalize().unwrap()
}

/// A server with the model in the catalogue.
async fn with_model() -> TestServer {
    let server = bare().start().await;
    let model = json!({ "id": MODEL, "type": "text", "sub_type": "chat" });
    put(&server, "/models", &model).await;
    server
}

fn deployment(replica: &Value) -> Value {
    let mut replica = replica.clone();
    replica["engine"] = json!("candle");
    json!({ "name": "tiny", "models": [MODEL], "replicas": [replica] })
}

/// What the operator is told of a deployment that cannot be.
async fn refused(server: &TestServer, replica: &Value) -> String {
    let deployment = deployment(replica);
    let (status, body) = server.admin(Method::PUT, "/deployments", Some(&deployment)).await;
    assert_eq!(status, 400, "{body}");
    body["message"].as_str().unwrap().to_owned()
}

/// Asks for a sum; greedy, so that the answer is the same in every run.
async fn sum(server: &TestServer, left: u32, right: u32) -> String {
    let mut question = chat(&format!("What is {left} + {right}?"));
    question["max_tokens"] = json!(200);
    question["temperature"] = json!(0);
    let answer = server.chat(&server.api_key(), &question).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let message = body(answer).await["choices"][0]["message"].clone();
    message["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_context_beyond_the_memory_is_refused_with_what_it_needs() {
    let server = bare()
        .environment("SILICA__ENGINE__KV_CACHE_MB", "1")
        .environment("SILICA__ENGINE__CONTEXT_LENGTH", "2000")
        .start()
        .await;
    let model = json!({ "id": MODEL, "type": "text", "sub_type": "chat" });
    put(&server, "/models", &model).await;
    let told = refused(&server, &json!({ "path": shipped_models().join("tiny-chat") })).await;
    assert!(
        told.contains("2000 tokens need") && told.contains("engine.kv_cache_mb = 1 has room for"),
        "{told}"
    );
}

#[tokio::test]
async fn the_demo_model_still_adds_when_it_is_quantised_to_8_bits() {
    let server = with_model().await;
    let replica = json!({ "path": shipped_models().join("tiny-chat"), "quantize": "q8_0" });
    let stored = put(&server, "/deployments", &deployment(&replica)).await;
    assert_eq!(stored["replicas"][0]["quantize"], "q8_0");
    let log = server.log();
    assert!(log.contains("Q8_0"), "the log names the weights: {log}");
    let mut right = 0;
    for (left, other) in [
        (27, 48),
        (3, 4),
        (19, 22),
        (50, 17),
        (66, 33),
        (8, 71),
        (42, 42),
        (91, 6),
    ] {
        let answer = sum(&server, left, other).await;
        right += usize::from(answer.contains(&(left + other).to_string()));
    }
    // In f32 it is right in 99 of 100.
    assert!(right >= 7, "{right} of 8 sums are right");
}

#[tokio::test]
async fn the_configuration_quantises_what_a_deployment_leaves_open() {
    let server = bare().config("[engine]\nquantize = \"q4_0\"\n").start().await;
    let model = json!({ "id": MODEL, "type": "text", "sub_type": "chat" });
    put(&server, "/models", &model).await;
    let folder = shipped_models().join("tiny-chat");
    put(&server, "/deployments", &deployment(&json!({ "path": folder }))).await;
    assert!(server.log().contains("Q4_0"), "{}", server.log());
    let plain = json!({ "path": folder, "quantize": "none" });
    put(&server, "/deployments", &deployment(&plain)).await;
    let last = server.log();
    let last = last.lines().rfind(|line| line.contains("model loaded")).unwrap();
    assert!(last.contains("F32") && !last.contains("Q4_0"), "{last}");
}

#[tokio::test]
async fn a_gguf_file_is_served_by_its_path_and_nothing_is_written_beside_it() {
    let server = with_model().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.gguf");
    fs::copy(gguf_fixture("qwen3/model-q8_0.gguf"), &file).unwrap();
    put(&server, "/deployments", &deployment(&json!({ "path": file }))).await;
    let answer = body(server.chat(&server.api_key(), &chat("Hello")).await).await;
    // Its weights are random numbers: that there is an answer, in its own tokens, is all there is to say.
    let usage = &answer["usage"];
    assert!(usage["prompt_tokens"].as_u64().unwrap() > 5, "{answer}");
    assert!(usage["completion_tokens"].as_u64().unwrap() > 0, "{answer}");
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[tokio::test]
async fn what_cannot_be_loaded_is_refused_with_the_file_and_the_reason() {
    let server = with_model().await;
    let folder = tempfile::tempdir().unwrap();
    let refusal = refused(&server, &json!({ "path": folder.path(), "quantize": "q3_k" })).await;
    assert!(
        refusal.contains("replicas[0].quantize") && refusal.contains("known are none, q8_0, q4_0"),
        "{refusal}"
    );
    // The demo model's header with a single column for weights.
    let file = gguf_fixture("tiny-chat-text.gguf");
    let refusal = refused(&server, &json!({ "path": file })).await;
    assert!(
        refusal.contains("tiny-chat-text.gguf") && refusal.contains("tensor token_embd.weight has shape"),
        "{refusal}"
    );
    let cut = folder.path().join("cut.gguf");
    let whole = fs::read(gguf_fixture("qwen3/model-q8_0.gguf")).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let refusal = refused(&server, &json!({ "path": cut })).await;
    assert!(
        refusal.contains("cut.gguf") && refusal.contains("truncated"),
        "{refusal}"
    );
}
