//! Folders that cannot be served are refused with the file and the reason named, never with a
//! panic.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support: what fails here is a failed test"
)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use silica_engine_candle::{CandleEngine, CandleOptions, LoadError, inspect};
use tempfile::TempDir;

/// A writable copy of a fixture.
struct Folder(TempDir);

impl Folder {
    fn copy(fixture: &str) -> Self {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(fixture);
        let target = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(source).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), target.path().join(entry.file_name())).unwrap();
        }
        Self(target)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn load(&self) -> Result<CandleEngine, LoadError> {
        CandleEngine::load(
            self.0.path(),
            CandleOptions {
                threads: Some(1),
                ..CandleOptions::default()
            },
        )
    }

    /// The error of loading, with its causes; asserts that the first line names `file`.
    fn refusal(&self, file: &str) -> String {
        let Err(error) = self.load() else {
            panic!("the folder was accepted")
        };
        let mut text = error.to_string();
        assert!(
            text.contains(&self.path(file).display().to_string()),
            "{text} does not name {file}"
        );
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Rewrites a weight file with one tensor changed or, for `None`, left out.
    fn rewrite(
        &self,
        file: &str,
        tensor: &str,
        change: impl Fn(&TensorView<'_>) -> Option<(Vec<usize>, Vec<u8>)>,
    ) {
        let bytes = fs::read(self.path(file)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut kept = Vec::new();
        for (name, view) in tensors.tensors() {
            let changed = if name == tensor {
                change(&view)
            } else {
                Some((view.shape().to_vec(), view.data().to_vec()))
            };
            if let Some((shape, data)) = changed {
                kept.push((name, view.dtype(), shape, data));
            }
        }
        let views = kept
            .iter()
            .map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
        safetensors::serialize_to_file(views, None, &self.path(file)).unwrap();
    }
}

fn truncate(path: &Path, length: u64) {
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
}

#[test]
fn a_missing_folder() {
    let Err(error) = CandleEngine::load(Path::new("/nonexistent/model"), CandleOptions::default()) else {
        panic!("the folder was accepted")
    };
    assert_eq!(
        error.to_string(),
        "/nonexistent/model/config.json: the file is missing"
    );
}

#[test]
fn a_missing_configuration() {
    let folder = Folder::copy("qwen2");
    fs::remove_file(folder.path("config.json")).unwrap();
    assert!(folder.refusal("config.json").contains("missing"));
}

#[test]
fn a_malformed_configuration() {
    let folder = Folder::copy("qwen2");
    fs::write(folder.path("config.json"), "{\n  \"vocab_size\": 3,\n  oops\n}").unwrap();
    assert!(folder.refusal("config.json").contains("line 3"));
}

#[test]
fn an_incomplete_configuration() {
    let folder = Folder::copy("qwen2");
    fs::write(
        folder.path("config.json"),
        "{\"architectures\": [\"Qwen2ForCausalLM\"]}",
    )
    .unwrap();
    assert!(folder.refusal("config.json").contains("vocab_size"));
}

#[test]
fn an_unknown_architecture() {
    let folder = Folder::copy("qwen2");
    let text = fs::read_to_string(folder.path("config.json")).unwrap();
    fs::write(
        folder.path("config.json"),
        text.replace("Qwen2ForCausalLM", "RwkvForCausalLM"),
    )
    .unwrap();
    assert!(folder.refusal("config.json").contains("`RwkvForCausalLM`"));
}

#[test]
fn missing_weights() {
    let folder = Folder::copy("qwen2");
    fs::remove_file(folder.path("model.safetensors")).unwrap();
    assert!(folder.refusal("model.safetensors").contains("missing"));
}

#[test]
fn a_missing_shard() {
    let folder = Folder::copy("llama-sharded-bf16");
    fs::remove_file(folder.path("model-00002-of-00002.safetensors")).unwrap();
    assert!(
        folder
            .refusal("model-00002-of-00002.safetensors")
            .contains("missing")
    );
}

#[test]
fn a_malformed_index() {
    let folder = Folder::copy("llama-sharded-bf16");
    fs::write(folder.path("model.safetensors.index.json"), "{\"weight_map\": 3}").unwrap();
    assert!(folder.refusal("model.safetensors.index.json").contains("line 1"));
}

#[test]
fn an_index_that_points_out_of_the_folder() {
    let folder = Folder::copy("llama-sharded-bf16");
    fs::write(
        folder.path("model.safetensors.index.json"),
        r#"{"weight_map": {"x": "../x.safetensors"}}"#,
    )
    .unwrap();
    assert!(
        folder
            .refusal("model.safetensors.index.json")
            .contains("../x.safetensors")
    );
}

#[test]
fn an_index_without_a_needed_tensor() {
    let folder = Folder::copy("llama-sharded-bf16");
    let index = r#"{"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}"#;
    fs::write(folder.path("model.safetensors.index.json"), index).unwrap();
    assert!(
        folder
            .refusal("model.safetensors.index.json")
            .contains("model.embed_tokens.weight")
    );
}

#[test]
fn a_truncated_weight_file() {
    let folder = Folder::copy("qwen2");
    let path = folder.path("model.safetensors");
    let length = fs::metadata(&path).unwrap().len();
    for shorter in [0, 5, 8, 100, length / 2, length - 1] {
        truncate(&path, shorter);
        let text = folder.refusal("model.safetensors");
        assert!(text.contains(&format!("has {shorter} bytes")), "{text}");
        fs::copy(Folder::copy("qwen2").path("model.safetensors"), &path).unwrap();
    }
}

#[test]
fn a_damaged_weight_header() {
    let folder = Folder::copy("qwen2");
    let path = folder.path("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes[9] = b'!';
    fs::write(&path, &bytes).unwrap();
    assert!(
        folder
            .refusal("model.safetensors")
            .contains("header is not valid")
    );
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(folder.refusal("model.safetensors").contains("limit of 100 MB"));
}

#[test]
fn a_missing_tensor() {
    let folder = Folder::copy("qwen2");
    folder.rewrite("model.safetensors", "model.layers.1.mlp.up_proj.weight", |_| None);
    assert!(
        folder
            .refusal("model.safetensors")
            .contains("model.layers.1.mlp.up_proj.weight is missing")
    );
}

#[test]
fn a_tensor_of_the_wrong_shape() {
    let folder = Folder::copy("qwen2");
    folder.rewrite("model.safetensors", "model.norm.weight", |view| {
        Some((
            vec![view.shape()[0] / 2],
            view.data()[..view.data().len() / 2].to_vec(),
        ))
    });
    let text = folder.refusal("model.safetensors");
    assert!(
        text.contains("model.norm.weight has shape [24], the configuration asks for [48]"),
        "{text}"
    );
}

/// What a look at the headers lets pass, loading must not miss.
#[test]
fn inspecting_finds_every_tensor_that_is_missing() {
    for fixture in ["qwen2", "qwen3", "llama", "qwen2-moe", "deepseek-v3"] {
        let whole = Folder::copy(fixture);
        inspect(whole.0.path()).unwrap();
        let bytes = fs::read(whole.path("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert!(tensors.len() > 20, "{fixture}");
        for name in tensors.names() {
            let folder = Folder::copy(fixture);
            folder.rewrite("model.safetensors", name, |_| None);
            let Err(error) = inspect(folder.0.path()) else {
                panic!("{fixture} was accepted without {name}")
            };
            assert!(
                error.to_string().ends_with(&format!("tensor {name} is missing")),
                "{error}"
            );
        }
    }
}

#[test]
fn a_configuration_of_another_model() {
    let folder = Folder::copy("qwen2");
    let text = fs::read_to_string(folder.path("config.json")).unwrap();
    fs::write(
        folder.path("config.json"),
        text.replace("\"vocab_size\": 144", "\"vocab_size\": 200"),
    )
    .unwrap();
    assert!(folder.refusal("model.safetensors").contains("[200, 48]"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever byte of the header or configuration is flipped: an error or a model, never a panic.
    #[test]
    fn flipped_bytes_never_panic(position in 0_usize..3000, bit in 0_u32..8, in_weights: bool) {
        let folder = Folder::copy("qwen2-f16");
        let path = folder.path(if in_weights { "model.safetensors" } else { "config.json" });
        let mut bytes = fs::read(&path).unwrap();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        drop(folder.load());
    }
}
