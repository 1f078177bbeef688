//! Folders of every family are known for what they are without being loaded.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, safetensors};
use silica_engine_candle::{Decoder, Dtype, LoadError, LogitsOf, ModelKind, Span, inspect};
use tempfile::TempDir;

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

/// A copy of a fixture whose tensors are changed.
fn rewritten(name: &str, change: impl Fn(&mut HashMap<String, Tensor>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let original = fixture(name);
    fs::copy(original.join("config.json"), folder.path().join("config.json")).unwrap();
    let mut tensors = safetensors::load(original.join("model.safetensors"), &Device::Cpu).unwrap();
    change(&mut tensors);
    safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    folder
}

fn logits(folder: &Path) -> Vec<f32> {
    let decoder = Decoder::load(folder, Dtype::F32, None).unwrap();
    let mut cache = decoder.new_cache().unwrap();
    let span = Span {
        tokens: &[1, 2, 3, 5, 8, 13],
        cache: cache.view(),
        rope_length: 6,
        logits: LogitsOf::All,
    };
    let logits = decoder.forward(&mut [span]).unwrap().unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

/// Published files of DeepSeek-V3 have there what predicts further tokens.
#[test]
fn tensors_behind_the_last_layer_change_nothing() {
    let name = "deepseek-v3";
    let extended = rewritten(name, |tensors| {
        let own: Vec<_> = tensors
            .iter()
            .filter_map(|(name, tensor)| {
                Some((name.strip_prefix("model.layers.2.")?.to_owned(), tensor.clone()))
            })
            .collect();
        assert!(own.len() > 10);
        for (name, tensor) in own {
            tensors.insert(format!("model.layers.3.{name}"), tensor);
        }
        for (from, to) in [
            ("model.embed_tokens.weight", "embed_tokens.weight"),
            ("model.norm.weight", "enorm.weight"),
            ("model.norm.weight", "hnorm.weight"),
            ("lm_head.weight", "shared_head.head.weight"),
        ] {
            let tensor = tensors[from].clone();
            tensors.insert(format!("model.layers.3.{to}"), tensor);
        }
    });
    let (original, extended) = (fixture(name), extended.path());
    assert_eq!(inspect(extended).unwrap(), inspect(&original).unwrap());
    assert_eq!(logits(extended), logits(&original));
}

/// Some models of the first generation are saved so, and their files do not say it.
#[test]
fn telechat_without_a_head_has_the_table_of_its_embeddings_for_it() {
    let without_word = |folder: &Path| {
        let path = folder.join("config.json");
        let text = fs::read_to_string(&path).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config.as_object_mut().unwrap().remove("tie_word_embeddings");
        fs::write(path, config.to_string()).unwrap();
    };
    let table = |tensors: &HashMap<String, Tensor>| tensors["transformer.word_embeddings.weight"].clone();
    let headless = rewritten("telechat", |tensors| {
        tensors.remove("lm_head.weight").unwrap();
    });
    without_word(headless.path());
    let same = rewritten("telechat", |tensors| {
        let table = table(tensors);
        tensors.insert("lm_head.weight".to_owned(), table);
    });
    without_word(same.path());
    assert_eq!(logits(headless.path()), logits(same.path()));
    inspect(headless.path()).unwrap();
    let untied = rewritten("telechat", |_| {});
    without_word(untied.path());
    assert_eq!(logits(untied.path()), logits(&fixture("telechat")));
    assert_ne!(logits(untied.path()), logits(headless.path()));
}
