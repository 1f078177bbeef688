//! Models with experts and with latent attention out of GGUF files compute what they compute out of
//! the safetensors that the files were made from (`tools/gguf/make_experts.py`).

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use silica_engine_candle::{
    Decoder, Dtype, GgufModel, LogitsOf, ModelConfig, Precision, Quantization, Span, inspect,
};
use tokenizers::Tokenizer;

/// Tokens in the vocabulary of all fixtures.
const VOCABULARY: u32 = 400;
/// How far the logits of a quarter of the positions may be from those of the weights as they were, as a
/// share of them (root mean square), with weights in 8 bits, and those of half of them twice as far. Rows
/// of 32 large random weights make more of rounding than real ones do.
const TOLERANCE: f32 = 0.08;

/// Mixtral's rows of queries and keys are in another order; `deepseek-v2` has the heads' matrices in
/// one, `deepseek-v3` apart.
const FIXTURES: [&str; 5] = ["mixtral", "qwen2-moe", "qwen3-moe", "deepseek-v2", "deepseek-v3"];

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

/// Logits of all positions of a fixed text, computed as one prompt.
fn logits(model: &Path, precision: impl Into<Precision>) -> Vec<f32> {
    let tokens: Vec<u32> = (0..60_u32)
        .map(|index| index.wrapping_mul(2_654_435_761).wrapping_add(77) % VOCABULARY)
        .collect();
    let decoder = Decoder::load(model, precision, None).unwrap();
    let mut cache = decoder.new_cache().unwrap();
    let span = Span {
        tokens: &tokens,
        cache: cache.view(),
        rope_length: tokens.len(),
        logits: LogitsOf::All,
    };
    let logits = decoder.forward(&mut [span]).unwrap().unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

fn quantised(quantize: Quantization) -> Precision {
    Precision {
        dtype: Dtype::F32,
        quantize: Some(quantize),
    }
}

#[track_caller]
fn assert_same_bits(left: &[f32], right: &[f32]) {
    let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|value| value.to_bits()).collect() };
    assert!(!left.is_empty() && left.iter().all(|value| value.is_finite()));
    assert!(bits(left) == bits(right), "the logits differ");
}

#[test]
fn the_configuration_is_the_original_one() {
    for name in FIXTURES {
        let original = ModelConfig::read(&fixture(name)).unwrap();
        let model = GgufModel::open(&fixture(name).join("model-f16.gguf")).unwrap();
        assert_eq!(model.config().unwrap(), original, "{name}");
    }
}

#[test]
fn texts_become_the_tokens_of_the_original_tokenizer() {
    for name in FIXTURES {
        let folder = tempfile::tempdir().unwrap();
        let model = GgufModel::open(&fixture(name).join("model-f16.gguf")).unwrap();
        model.write_files(folder.path()).unwrap();
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
fn weights_without_blocks_give_every_bit_of_the_original_output() {
    for name in FIXTURES {
        let expected = logits(&fixture(name), Dtype::F32);
        let gguf = fixture(name).join("model-f16.gguf");
        assert_same_bits(&logits(&gguf, Dtype::F32), &expected);
    }
}

#[test]
fn quantising_at_load_gives_every_bit_of_the_file_of_that_quantisation() {
    for (name, quantize, file) in [
        ("qwen3-moe", Quantization::Q8_0, "model-q8_0.gguf"),
        ("qwen3-moe", Quantization::Q4_0, "model-q4_0.gguf"),
        ("deepseek-v3", Quantization::Q8_0, "model-q8_0.gguf"),
    ] {
        let expected = logits(&fixture(name).join(file), Dtype::F32);
        assert_same_bits(&logits(&fixture(name), quantised(quantize)), &expected);
        let gguf = fixture(name).join("model-f16.gguf");
        assert_same_bits(&logits(&gguf, quantised(quantize)), &expected);
    }
}

#[test]
fn eight_bits_stay_near_the_original() {
    for name in ["mixtral", "qwen3-moe", "deepseek-v2", "deepseek-v3"] {
        let original = logits(&fixture(name), Dtype::F32);
        let rounded = logits(&fixture(name), quantised(Quantization::Q8_0));
        let width = VOCABULARY as usize;
        let rows = rounded.chunks_exact(width).zip(original.chunks_exact(width));
        let size = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
        let share = |(rounded, original): (&[f32], &[f32])| {
            let differences = size(&mut rounded.iter().zip(original).map(|(left, right)| left - right));
            (differences / size(&mut original.iter().copied())).sqrt()
        };
        let mut shares: Vec<f32> = rows.map(share).collect();
        shares.sort_unstable_by(f32::total_cmp);
        assert!(shares[0] > 0.0, "{name}: weights are rounded");
        // Where another expert is chosen for want of bits, the logits of what follows are others.
        assert!(shares[shares.len() / 4] < TOLERANCE, "{name}: {shares:?}");
        assert!(shares[shares.len() / 2] < 2.0 * TOLERANCE, "{name}: {shares:?}");
    }
}

/// The matrix that is turned at load is rounded anew, where the file has it in one with the others.
#[test]
fn heads_in_one_matrix_may_be_quantised() {
    let folder = fixture("deepseek-v2");
    let decoder = Decoder::load(&folder, quantised(Quantization::Q8_0), None).unwrap();
    assert!(decoder.weight_formats().contains("Q8_0"));
    let plain = Decoder::load(&folder, Dtype::F32, None).unwrap();
    let share = plain.weight_bytes() / decoder.weight_bytes();
    assert_eq!(share, 3, "34 of 128 bytes, less the routers");
}

#[test]
fn inspecting_finds_experts_and_heads() {
    for (name, parameters) in [("mixtral", "mixtral"), ("deepseek-v3", "deepseek-v3")] {
        let folder = tempfile::tempdir().unwrap();
        let target = |file: &str| folder.path().join(file);
        fs::copy(fixture(name).join("model-f16.gguf"), target("model.gguf")).unwrap();
        fs::copy(fixture(name).join("config.json"), target("config.json")).unwrap();
        let found = inspect(folder.path()).unwrap();
        assert_eq!(found.shape.family, parameters);
        // Of another number of experts than the configuration says.
        let config = fs::read_to_string(target("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        for field in ["num_local_experts", "n_routed_experts"] {
            if config.get(field).is_some() {
                config[field] = 6.into();
            }
        }
        fs::write(target("config.json"), config.to_string()).unwrap();
        let refused = inspect(folder.path()).unwrap_err().to_string();
        assert!(
            refused.contains("_exps.weight has shape [4, ") || refused.contains("ffn_gate_inp"),
            "{refused}"
        );
    }
}
