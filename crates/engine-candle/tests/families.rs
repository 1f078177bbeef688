//! Folders of every family are known for what they are without being loaded.

use std::fs;
use std::path::{Path, PathBuf};

use silica_engine_candle::{LoadError, ModelKind, inspect};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

#[test]
fn a_folder_of_each_family_is_a_chat_model_with_all_its_tensors() {
    for (name, heads, kv_heads, context) in [
        ("mistral", 4, 2, 256),
        ("glm", 4, 2, 256),
        ("glm4", 4, 2, 256),
        ("gemma2", 4, 2, 256),
        // 32 positions, stretched by 4.
        ("internlm2", 4, 2, 128),
        ("chatglm", 4, 2, 256),
        ("telechat", 4, 2, 256),
    ] {
        let summary = inspect(&fixture(name)).unwrap();
        let shape = &summary.shape;
        assert_eq!((shape.kind, shape.family), (ModelKind::Chat, name));
        assert_eq!(
            (shape.heads, shape.kv_heads, shape.context_length),
            (heads, kv_heads, context),
            "{name}"
        );
        assert_eq!(
            (summary.number_format.as_str(), summary.is_gguf),
            ("F16", false),
            "{name}"
        );
        assert_eq!((shape.vocabulary, shape.hidden_size), (144, 64), "{name}");
    }
}

/// Another number of key heads makes other parts of a packed tensor.
#[test]
fn packed_tensors_of_another_size_are_named() {
    for (name, field, value, tensor) in [
        (
            "internlm2",
            "num_key_value_heads",
            4,
            "model.layers.0.attention.wqkv.weight",
        ),
        (
            "chatglm",
            "multi_query_group_num",
            4,
            "transformer.encoder.layers.0.self_attention.query_key_value.weight",
        ),
        (
            "chatglm",
            "ffn_hidden_size",
            32,
            "transformer.encoder.layers.0.mlp.dense_h_to_4h.weight",
        ),
        (
            "telechat",
            "num_key_value_heads",
            4,
            "transformer.h.0.self_attention.key_value.weight",
        ),
        (
            "glm",
            "intermediate_size",
            32,
            "model.layers.0.mlp.gate_up_proj.weight",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let original = fixture(name);
        let text = fs::read_to_string(original.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config[field] = value.into();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let weights = "model.safetensors";
        fs::copy(original.join(weights), folder.path().join(weights)).unwrap();
        let refused = inspect(folder.path()).unwrap_err();
        assert!(
            matches!(&refused, LoadError::WrongShape { name, .. } if name == tensor),
            "{name}: {refused}"
        );
    }
}
