//! Models that embed and rank in the store: `silica models`.

use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use silica_testkit::ModelHub;
use tokio::process::Command;

use super::{assert_near, fixture, good, numbers, texts, vectors};
use crate::support::bare;

async fn models(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silica"));
    command.arg("models").args(arguments).arg("--data").arg(data);
    command
        .env_clear()
        .env("SILICA__MODELS__HUB_ALLOW_PRIVATE", "true");
    command.output().await.expect("the command runs")
}

async fn said(data: &Path, arguments: &[&str]) -> String {
    let output = models(data, arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn an_embedding_model_of_a_hub_brings_its_pooling_and_is_served_as_one() {
    let hub = ModelHub::start().await;
    let name = "xlmr-cls";
    hub.put_folder("org/embedder", &fixture(name));
    let server = bare().start().await;
    let arguments = [
        "add",
        "org/embedder",
        "--hub",
        &hub.hugging_face(),
        "--deploy",
        "--json",
    ];
    let added: Value = serde_json::from_str(&said(server.data(), &arguments).await).unwrap();
    assert_eq!(
        (&added["facts"]["sub_type"], &added["facts"]["architecture"]),
        (&json!("embedding"), &json!("xlm-roberta"))
    );
    let files = added["files"].as_array().unwrap();
    assert!(
        files.iter().any(|file| file["name"] == "1_Pooling/config.json"),
        "{added}"
    );
    let shown = said(server.data(), &["show", "org/embedder", "--verify"]).await;
    assert!(
        shown.contains("made for      embedding") && shown.contains("128 tokens"),
        "{shown}"
    );
    let key = server.api_key();
    let request = json!({"model": "org/embedder", "input": texts(name)["texts"]});
    // A server follows within a second.
    while server
        .get("/v1/models?sub_type=embedding", &key)
        .await
        .text()
        .await
        .unwrap()
        .contains("\"data\":[]")
    {
        tokio::task::yield_now().await;
    }
    let request = until_served(&server, &key, request).await;
    assert_near(&vectors(&request), &numbers(name, "vectors"), name);
}

/// The answer, once the deployment is loaded.
async fn until_served(server: &silica_testkit::TestServer, key: &str, request: Value) -> Value {
    let path = if request.get("query").is_some() {
        "/v1/rerank"
    } else {
        "/v1/embeddings"
    };
    loop {
        let call = server.request(Method::POST, path).bearer_auth(key).json(&request);
        if call.send().await.unwrap().status().is_success() {
            return good(server, key, path, &request).await;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_ranking_model_with_the_files_of_a_chat_model_is_served_as_a_person_says() {
    let server = bare().start().await;
    let name = "qwen3-rerank";
    let folder = fixture(name).display().to_string();
    let told = said(
        server.data(),
        &["add", &folder, "--name", "org/judge", "--sub-type", "reranker"],
    )
    .await;
    assert!(
        told.contains("--sub-type reranker") && told.contains("\"sub_type\":\"reranker\""),
        "{told}"
    );
    said(server.data(), &["deploy", "org/judge", "--sub-type", "reranker"]).await;
    let mut request = texts(name);
    request["model"] = "org/judge".into();
    let answer = until_served(&server, &server.api_key(), request).await;
    let best = answer["results"][0]["relevance_score"].as_f64().unwrap();
    let expected = numbers(name, "scores").into_iter().fold(0.0, f64::max);
    assert!((best - expected).abs() < 1e-3, "{best} is not {expected}");
}
