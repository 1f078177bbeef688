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
    Decoder, Dtype, ExpertGroups, GgufModel, LogitsOf, ModelConfig, MoeConfig, Precision, Quantization, Span,
    inspect,
};
use tempfile::TempDir;
use tokenizers::Tokenizer;

/// Tokens in the vocabulary of all fixtures.
const VOCABULARY: u32 = 400;
/// How far the logits of any position may be from those of the weights as they were, as a share of them
/// (root mean square), with weights in 8 bits. Rows of 32 large random weights make more of rounding than
/// real ones do. Logits that have nothing to do with each other are apart by more than all of them.
const TOLERANCE: f32 = 0.3;

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
    for name in FIXTURES {
        for (quantize, file) in [
            (Quantization::Q8_0, "model-q8_0.gguf"),
            (Quantization::Q4_0, "model-q4_0.gguf"),
        ] {
            let file = fixture(name).join(file);
            // The keys' part of the joined matrix is turned at load, and then rounded another time.
            if name == "deepseek-v2" || !file.exists() {
                continue;
            }
            let expected = logits(&file, Dtype::F32);
            assert_same_bits(&logits(&fixture(name), quantised(quantize)), &expected);
            let gguf = fixture(name).join("model-f16.gguf");
            assert_same_bits(&logits(&gguf, quantised(quantize)), &expected);
        }
    }
}

/// A folder with the configuration of a fixture, but for that all experts compute every token, and some of its
/// files under other names. So rounding can choose no others, and every position tells how near the numbers are.
fn all_chosen(name: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(fixture(name).join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_experts_per_tok"] = 4.into();
    if let Some(groups) = config.get("n_group").cloned() {
        config["topk_group"] = groups;
    }
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    for (from, to) in files {
        fs::copy(fixture(name).join(from), folder.path().join(to)).unwrap();
    }
    let moe = ModelConfig::read(folder.path()).unwrap().moe.unwrap();
    assert_eq!((moe.chosen, moe.experts), (4, 4), "{name}");
    folder
}

/// The difference at each position, as a share of the expected logits (root mean square).
fn shares(actual: &[f32], expected: &[f32]) -> Vec<f32> {
    let width = VOCABULARY as usize;
    assert_eq!(actual.len(), expected.len());
    let size = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
    let share = |(actual, expected): (&[f32], &[f32])| {
        let differences = size(&mut actual.iter().zip(expected).map(|(left, right)| left - right));
        (differences / size(&mut expected.iter().copied())).sqrt()
    };
    let rows = actual.chunks_exact(width).zip(expected.chunks_exact(width));
    rows.map(share).collect()
}

#[track_caller]
fn assert_near(actual: &[f32], expected: &[f32]) {
    let shares = shares(actual, expected);
    // The first position sees itself alone, whatever the keys are.
    let others = &shares[1..];
    assert!(others.iter().all(|share| *share > 0.0), "weights are rounded");
    assert!(shares.iter().all(|share| *share < TOLERANCE), "{shares:?}");
}

#[test]
fn eight_bits_stay_near_the_original_at_every_position() {
    for name in FIXTURES {
        let folder = all_chosen(name, &[("model.safetensors", "model.safetensors")]);
        let original = logits(folder.path(), Dtype::F32);
        assert_near(&logits(folder.path(), quantised(Quantization::Q8_0)), &original);
    }
}

/// The matrix of the heads' keys and values is in 8 bits in the file, and that of the keys is turned and
/// rounded anew at load.
#[test]
fn heads_in_one_quantised_matrix_stay_near_the_original() {
    let name = "deepseek-v2";
    let original = all_chosen(name, &[("model.safetensors", "model.safetensors")]);
    let original = logits(original.path(), Dtype::F32);
    let gguf = all_chosen(name, &[("model-q8_0.gguf", "model.gguf")]);
    let rounded = logits(gguf.path(), Dtype::F32);
    assert_near(&rounded, &original);
    let decoder = Decoder::load(gguf.path(), Dtype::F32, None).unwrap();
    let formats: Vec<_> = decoder.weight_formats().into_iter().collect();
    assert_eq!(formats, ["F32", "Q8_0"], "the routers and all others");
    // Rounded twice, it is near what is rounded once too.
    let once = all_chosen(name, &[("model.safetensors", "model.safetensors")]);
    assert_near(&rounded, &logits(once.path(), quantised(Quantization::Q8_0)));
    // In 4 bits the keys' part gets 8 when it is rounded anew.
    let gguf = all_chosen(name, &[("model-q4_0.gguf", "model.gguf")]);
    let decoder = Decoder::load(gguf.path(), Dtype::F32, None).unwrap();
    let formats: Vec<_> = decoder.weight_formats().into_iter().collect();
    assert_eq!(formats, ["F32", "Q4_0", "Q8_0"]);
    assert!(
        logits(gguf.path(), Dtype::F32)
            .iter()
            .all(|logit| logit.is_finite())
    );
}

/// The experts' weights in 5 bits, of which none are made at load: near those in 8.
#[test]
fn experts_in_five_bits_stay_near_those_in_eight() {
    let of = |file| {
        let folder = all_chosen("qwen3-moe", &[(file, "model.gguf")]);
        logits(folder.path(), Dtype::F32)
    };
    let (five, four, eight) = (
        of("model-q5_0.gguf"),
        of("model-q4_0.gguf"),
        of("model-q8_0.gguf"),
    );
    let mean = |actual: &[f32]| {
        let shares = shares(actual, &eight);
        shares.iter().sum::<f32>() / 60.0
    };
    assert!(
        mean(&five) > 0.0 && mean(&five) < mean(&four),
        "{} and {}",
        mean(&five),
        mean(&four)
    );
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

/// The metadata of a fixture with some keys under other names, as long as those, and other values for some.
fn changed(name: &str, lost: &[&str], values: &[(&str, u32)]) -> MoeConfig {
    let mut bytes = fs::read(fixture(name).join("model-f16.gguf")).unwrap();
    let end_of = |bytes: &[u8], key: &str| {
        let mut windows = bytes.windows(key.len());
        windows.position(|window| window == key.as_bytes()).unwrap() + key.len()
    };
    for (key, value) in values {
        // Behind the number of its type.
        let start = end_of(&bytes, key) + 4;
        bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
    }
    for key in lost {
        let end = end_of(&bytes, key);
        bytes[end - 1] = b'_';
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.gguf");
    fs::write(&file, bytes).unwrap();
    *GgufModel::open(&file).unwrap().config().unwrap().moe.unwrap()
}

/// Converters did not write the groups before autumn 2025.
#[test]
fn experts_of_old_deepseek_files_are_in_the_groups_that_their_number_tells() {
    let lost = [
        "deepseek2.expert_group_count",
        "deepseek2.expert_group_used_count",
    ];
    let v3 = |experts| changed("deepseek-v3", &lost, &[("deepseek2.expert_count", experts)]).routing;
    let v2 = |experts| changed("deepseek-v2", &[], &[("deepseek2.expert_count", experts)]).routing;
    let of = |kept, best| Some(ExpertGroups { count: 8, kept, best });
    assert_eq!(v3(256).groups, of(4, 2));
    assert_eq!(v2(160).groups, of(3, 1));
    for (routing, what) in [
        (v2(64), "V2-Lite"),
        (v2(256), "softmax"),
        (v3(160), "sigmoid"),
        (v3(384), "more"),
    ] {
        assert_eq!(routing.groups, None, "{what}");
    }
    // What the file says goes before.
    let given = changed("deepseek-v3", &[], &[("deepseek2.expert_count", 256)]);
    assert_eq!(
        given.routing.groups,
        Some(ExpertGroups {
            count: 2,
            kept: 1,
            best: 2
        })
    );
}

/// As llama.cpp computes such files.
#[test]
fn experts_of_old_qwen_files_are_as_wide_as_the_dense_block_allows() {
    let inner = "qwen2moe.expert_feed_forward_length";
    let shared = "qwen2moe.expert_shared_feed_forward_length";
    let dense = ("qwen2moe.feed_forward_length", 96);
    let moe = changed("qwen2-moe", &[inner, shared], &[dense]);
    assert_eq!(
        (moe.intermediate_size, moe.shared.unwrap().intermediate_size),
        (48, 96)
    );
    let moe = changed("qwen2-moe", &[shared], &[dense]);
    assert_eq!(
        (moe.intermediate_size, moe.shared.unwrap().intermediate_size),
        (32, 96)
    );
    let moe = changed("qwen3-moe", &["qwen3moe.expert_feed_forward_length"], &[]);
    assert_eq!((moe.intermediate_size, moe.shared), (16, None));
}
