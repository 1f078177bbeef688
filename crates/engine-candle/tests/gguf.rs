//! GGUF files give the same configuration and the same tokens as what they were made from
//! (tools/gguf).

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use silica_engine_candle::{Family, GgufModel, ModelConfig};
use tempfile::TempDir;
use tokenizers::Tokenizer;

const FIXTURES: [&str; 5] = ["qwen2", "qwen3", "llama2", "llama3", "nemo"];

/// A text, and the ids that the original tokenizer makes of it.
#[derive(Deserialize)]
struct Expected {
    text: String,
    ids: Vec<u32>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/gguf")
        .join(name)
}

/// A folder with the files made from a GGUF.
fn imported(name: &str, file: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = GgufModel::open(&fixture(name).join(file)).unwrap();
    model.write_files(folder.path()).unwrap();
    folder
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn the_configuration_is_the_original_one() {
    for name in FIXTURES {
        let mut original = ModelConfig::read(&fixture(name)).unwrap();
        if name == "nemo" {
            // Without a window they are the same, and the file has no trace of which it was.
            assert_eq!(original.family, Family::Mistral);
            original.family = Family::Llama;
        }
        let folder = imported(name, "model-f16.gguf");
        assert_eq!(ModelConfig::read(folder.path()).unwrap(), original, "{name}");
    }
}

#[test]
fn texts_become_the_tokens_of_the_original_tokenizer() {
    for name in FIXTURES {
        let folder = imported(name, "model-f16.gguf");
        let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
        let expected = fs::read(fixture(name).join("tokens.json")).unwrap();
        let expected: Vec<Expected> = serde_json::from_slice(&expected).unwrap();
        for Expected { text, ids } in expected {
            let encoding = tokenizer.encode(text.as_str(), false).unwrap();
            assert_eq!(encoding.get_ids(), ids, "{name}: {text:?}");
        }
    }
}

#[test]
fn only_models_that_begin_texts_with_a_token_get_one() {
    let first = |name| {
        let folder = imported(name, "model-f16.gguf");
        let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
        let encoding = tokenizer.encode("a", true).unwrap();
        encoding.get_tokens()[0].clone()
    };
    assert_eq!(first("llama2"), "<s>");
    assert_eq!(first("llama3"), "<|begin_of_text|>");
    assert_eq!(first("nemo"), "<s>");
    assert_eq!(first("qwen2"), "a");
}

#[test]
fn template_and_special_tokens_are_carried_over() {
    let folder = imported("qwen3", "model-q8_0.gguf");
    let settings = json(&folder.path().join("tokenizer_config.json"));
    assert_eq!(settings["eos_token"], "<|im_end|>");
    assert!(settings["bos_token"].is_null());
    let template = settings["chat_template"].as_str().unwrap();
    assert!(template.contains("<|im_start|>{{ message.role }}"), "{template}");
    // The end of a document ends an answer too, though the file names one end only.
    let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    let ends = ["<|im_end|>", "<|endoftext|>"].map(|text| tokenizer.token_to_id(text).unwrap());
    let generation = json(&folder.path().join("generation_config.json"));
    assert_eq!(generation["eos_token_id"], serde_json::json!(ends));
}

#[test]
fn fillers_are_no_tokens() {
    let folder = imported("llama2", "model-f16.gguf");
    let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.token_to_id("[PAD399]"), None);
    assert_eq!(tokenizer.id_to_token(399), None);
}

#[test]
fn the_file_says_what_it_is() {
    for (file, quantisation) in [
        ("model-f16.gguf", "F16"),
        ("model-q8_0.gguf", "Q8_0"),
        ("model-q4_0.gguf", "Q4_0"),
    ] {
        let model = GgufModel::open(&fixture("qwen3").join(file)).unwrap();
        assert_eq!(model.quantisation(), quantisation);
        assert_eq!((model.architecture(), model.name()), ("qwen3", Some("qwen3")));
        assert_eq!(model.parameters(), parameters(&fixture("qwen3")));
    }
}

fn parameters(folder: &Path) -> u64 {
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let sizes = tensors
        .iter()
        .map(|(_, tensor)| tensor.shape().iter().product::<usize>() as u64);
    sizes.sum()
}

#[test]
fn files_that_are_there_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
    let model = GgufModel::open(&fixture("qwen2").join("model-f16.gguf")).unwrap();
    model.write_files(folder.path()).unwrap();
    let kept = fs::read_to_string(folder.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(kept, "{}");
    assert!(folder.path().join("tokenizer.json").is_file());
}

#[test]
fn a_tokenizer_that_the_file_brings_along_is_taken_as_it_is() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = fixtures.join("tests/fixtures/gguf/tiny-chat-text.gguf");
    let original = fixtures.join("../../models/tiny-chat");
    let folder = tempfile::tempdir().unwrap();
    GgufModel::open(&file)
        .unwrap()
        .write_files(folder.path())
        .unwrap();
    let pair = |name: &str| (json(&folder.path().join(name)), json(&original.join(name)));
    let (tokenizer, expected) = pair("tokenizer.json");
    assert_eq!(tokenizer, expected);
    let (settings, expected) = pair("tokenizer_config.json");
    assert_eq!(settings["eos_token"], expected["eos_token"]);
    assert_eq!(settings["chat_template"], expected["chat_template"]);
    let (generation, expected) = pair("generation_config.json");
    assert_eq!(generation["eos_token_id"], expected["eos_token_id"]);
    let (config, expected) = (ModelConfig::read(folder.path()), ModelConfig::read(&original));
    assert_eq!(config.unwrap(), expected.unwrap());
}
