//! What the tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use silica_testkit::{ServerBuilder, TestServer};
use tempfile::TempDir;

/// The model that ships with Silica.
pub(crate) const MODEL: &str = "silica/tiny-chat";

/// The folder of the models that ship with Silica.
pub(crate) fn shipped_models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .canonicalize()
        .expect("the models folder")
}

/// A server without a model.
pub(crate) fn bare() -> ServerBuilder {
    let nothing = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench");
    TestServer::of(env!("CARGO_BIN_EXE_silica")).models(&nothing)
}

/// A server with the shipped models.
pub(crate) fn server() -> ServerBuilder {
    TestServer::of(env!("CARGO_BIN_EXE_silica")).models(&shipped_models())
}

/// A copy of the shipped model that a test may damage; the path is that of the model's own folder.
pub(crate) fn copied_model() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let copy = root.path().join("tiny-chat");
    fs::create_dir(&copy).expect("a folder for the copy");
    for entry in fs::read_dir(shipped_models().join("tiny-chat")).expect("the shipped model") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, copy.join(path.file_name().expect("a name"))).expect("a copied file");
    }
    (root, copy)
}

/// A chat of one user message.
pub(crate) fn chat(content: &str) -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": content }], "max_tokens": 16 })
}

/// A streamed chat that does not end before its 1,900 tokens per choice: the tokens that would
/// end it can never be drawn.
pub(crate) fn endless_chat(choices: u32) -> Value {
    let path = shipped_models().join("tiny-chat/generation_config.json");
    let config: Value =
        serde_json::from_str(&fs::read_to_string(path).expect("generation_config.json")).expect("JSON");
    let ends = config["eos_token_id"].as_array().expect("a list of ids");
    let bias: serde_json::Map<String, Value> = ends.iter().map(|id| (id.to_string(), json!(-100))).collect();
    json!({
        "model": MODEL,
        "messages": [{ "role": "user", "content": "Write a short story." }],
        "max_tokens": 1900,
        "n": choices,
        "logit_bias": bias,
        "stream": true,
    })
}

/// Reads an answer's JSON body.
pub(crate) async fn body(response: Response) -> Value {
    let text = response.text().await.expect("a whole body");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// How long something may take that a person would call immediate.
pub(crate) const SOON: Duration = Duration::from_secs(5);
