//! `silica models deploy --adapter`.

use std::fs;

use serde_json::json;

use super::served::answer_soon;
use super::{complaint, run, said};
use crate::adapters::write_adapter;
use crate::support::{MODEL, bare, chat, shipped_models};

#[tokio::test]
async fn adapter_is_deployed_beside_its_model_under_a_name_of_its_own() {
    let server = bare().start().await;
    let data = server.data();
    let folder = shipped_models().join("tiny-chat").display().to_string();
    said(data, &["add", &folder, "--name", MODEL, "--deploy"]).await;
    let root = tempfile::tempdir().unwrap();
    let legal = root.path().join("legal");
    fs::create_dir(&legal).unwrap();
    let adapter = legal.to_str().unwrap();
    let refused = complaint(data, &["deploy", MODEL, "--adapter", adapter]).await;
    assert!(
        refused.contains("legal/adapter_config.json: the file is missing"),
        "{refused}"
    );
    write_adapter(&legal, 1);
    let told = said(data, &["deploy", MODEL, "--adapter", adapter]).await;
    assert!(told.contains("silica/tiny-chat:legal is deployed"), "{told}");
    let told = said(data, &["deploy", MODEL, "--adapter", adapter]).await;
    assert!(
        told.contains("silica/tiny-chat:legal is served already"),
        "{told}"
    );
    let named = ["deploy", MODEL, "--adapter", adapter, "--name", "acme/lawyer"];
    assert!(said(data, &named).await.contains("acme/lawyer is deployed"));
    let mut answers = Vec::new();
    for model in [MODEL, "silica/tiny-chat:legal", "acme/lawyer"] {
        let mut question = chat("What is 27 + 48?");
        question["model"] = json!(model);
        question["temperature"] = json!(0);
        let answer = answer_soon(&server, &server.api_key(), &question).await;
        assert_eq!(answer["model"], model);
        answers.push(answer["choices"][0]["message"].clone());
    }
    assert_ne!(answers[0], answers[1]);
    assert_eq!(answers[1], answers[2]);
    let loads = server.log().matches("model loaded").count();
    assert_eq!(loads, 1, "{}", server.log());

    let embedder = shipped_models().join("tiny-embed").display().to_string();
    said(data, &["add", &embedder, "--name", "test/embed"]).await;
    let refused = run(data, &["deploy", "test/embed", "--adapter", adapter]).await;
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.contains("adapters are for models that chat, and test/embed is served for embedding"),
        "{refused}"
    );
}
