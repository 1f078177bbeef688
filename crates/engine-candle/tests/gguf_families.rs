//! Files of the architectures that llama.cpp's converter rearranges, made of the parity fixtures
//! (`tools/gguf/make_families.py`), compute what those do, which `parity.rs` compares with the reference.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use silica_engine_candle::{
    Decoder, Dtype, Family, GGUF_WEIGHTS, GgufModel, LogitsOf, ModelConfig, Precision, Quantization,
    RopeScaling, Span,
};
use tempfile::TempDir;

const FAMILIES: [&str; 6] = ["mistral", "internlm2", "chatglm", "glm", "glm4", "gemma2"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn file(name: &str, kind: &str) -> PathBuf {
    fixtures().join("gguf").join(format!("{name}-{kind}.gguf"))
}

/// A folder with the fixture's own configuration, and a GGUF as its weights.
fn folder(name: &str, kind: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(file(name, kind), folder.path().join(GGUF_WEIGHTS)).unwrap();
    let config = fixtures().join(name).join("config.json");
    fs::copy(config, folder.path().join("config.json")).unwrap();
    folder
}

/// Logits of all positions of a fixed text, computed as one prompt.
fn logits(model: &Path, precision: impl Into<Precision>) -> Vec<u32> {
    let decoder = Decoder::load(model, precision, None).unwrap();
    let tokens: Vec<u32> = (0..60_u32).map(|index| index * 37 % 144).collect();
    let mut cache = decoder.new_cache().unwrap();
    let span = Span {
        tokens: &tokens,
        cache: cache.view(),
        rope_length: tokens.len(),
        logits: LogitsOf::All,
    };
    let logits = decoder.forward(&mut [span]).unwrap().unwrap();
    let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    assert!(logits.iter().all(|logit| logit.is_finite()));
    logits.into_iter().map(f32::to_bits).collect()
}

#[test]
fn weights_without_blocks_give_every_bit_of_the_original_output() {
    for name in FAMILIES {
        let original = logits(&fixtures().join(name), Dtype::F32);
        let gguf = logits(folder(name, "f16").path(), Dtype::F32);
        assert!(gguf == original, "{name}: the logits differ");
    }
}

#[test]
fn quantised_files_give_every_bit_of_the_original_quantised_at_load() {
    for name in FAMILIES {
        let precision = Precision {
            dtype: Dtype::F32,
            quantize: Some(Quantization::Q4_0),
        };
        let original = logits(&fixtures().join(name), precision);
        let gguf = logits(folder(name, "q4_0").path(), Dtype::F32);
        assert!(gguf == original, "{name}: the logits differ");
    }
}

#[test]
fn files_by_themselves_have_the_original_configuration_as_far_as_they_say() {
    for name in FAMILIES {
        let original = ModelConfig::read(&fixtures().join(name)).unwrap();
        let model = GgufModel::open(&file(name, "f16")).unwrap();
        let mut config = model.config().unwrap();
        match name {
            // The architecture has either layout, and the file no trace of which it was.
            "chatglm" => {
                assert_eq!((config.family, model.architecture()), (Family::Glm, "chatglm"));
                (config.family, config.layout) = (original.family, original.layout);
            }
            // llama.cpp computes no `dynamic` scaling.
            "internlm2" => {
                assert_eq!(config.rope.scaling, RopeScaling::Default);
                config.rope.scaling = original.rope.scaling.clone();
                config.context_length = original.context_length;
            }
            // Fixed by the size of the model, which none of the fixtures has.
            "gemma2" => {
                assert!((config.scores.factor - 1.0 / 32.0_f64.sqrt()).abs() < 1e-12);
                config.scores.factor = original.scores.factor;
            }
            _ => {}
        }
        assert_eq!(config, original, "{name}");
        if !matches!(name, "internlm2" | "gemma2") {
            let alone = logits(&file(name, "f16"), Dtype::F32);
            assert!(
                alone == logits(&fixtures().join(name), Dtype::F32),
                "{name}: the logits differ"
            );
        }
    }
}
