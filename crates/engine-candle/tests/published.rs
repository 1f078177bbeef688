//! Configurations of published models are understood. `fixtures/published` has them as they were written down from
//! the files of the repositories on Hugging Face, by hand and without the weights; settings of training
//! may be missing.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::path::{Path, PathBuf};

use silica_engine_candle::{
    ExpertGroups, Family, ModelConfig, MoeConfig, RopeScaling, RotaryPairs, RouterScores, SharedExpert,
};

/// Name, family, layers, width, width of the feed-forward block, heads, key heads, width of a head's queries,
/// tokens, context.
type Sizes = (&'static str, Family, [usize; 7], u32);

const SIZES: [Sizes; 20] = [
    (
        "yi-34b-200k",
        Family::Llama,
        [60, 7168, 20480, 56, 8, 128, 64_000],
        200_000,
    ),
    (
        "deepseek-r1-distill-qwen-7b",
        Family::Qwen2,
        [28, 3584, 18944, 28, 4, 128, 152_064],
        131_072,
    ),
    (
        "deepseek-r1-distill-llama-8b",
        Family::Llama,
        [32, 4096, 14336, 32, 8, 128, 128_256],
        131_072,
    ),
    (
        "deepseek-v2-lite",
        Family::DeepSeekV2,
        [27, 2048, 10944, 16, 16, 192, 102_400],
        163_840,
    ),
    (
        "deepseek-v2",
        Family::DeepSeekV2,
        [60, 5120, 12288, 128, 128, 192, 102_400],
        163_840,
    ),
    (
        "deepseek-v3",
        Family::DeepSeekV3,
        [61, 7168, 18432, 128, 128, 192, 129_280],
        163_840,
    ),
    (
        "glm-4-9b-chat",
        Family::ChatGlm,
        [40, 4096, 13696, 32, 2, 128, 151_552],
        131_072,
    ),
    (
        "glm-4-9b-0414",
        Family::Glm4,
        [40, 4096, 13696, 32, 2, 128, 151_552],
        32768,
    ),
    (
        "chatglm3-6b",
        Family::ChatGlm,
        [28, 4096, 13696, 32, 2, 128, 65024],
        8192,
    ),
    (
        "chatglm3-6b-32k",
        Family::ChatGlm,
        [28, 4096, 13696, 32, 2, 128, 65024],
        32768,
    ),
    (
        "internlm2_5-7b-chat",
        Family::InternLm2,
        [32, 4096, 14336, 32, 8, 128, 92544],
        65536,
    ),
    (
        "internlm2_5-7b-chat-1m",
        Family::InternLm2,
        [32, 4096, 14336, 32, 8, 128, 92544],
        655_360,
    ),
    (
        "mixtral-8x7b-instruct-v0.1",
        Family::Mixtral,
        [32, 4096, 14336, 32, 8, 128, 32000],
        32768,
    ),
    (
        "qwen1.5-moe-a2.7b",
        Family::Qwen2Moe,
        [24, 2048, 5632, 16, 16, 128, 151_936],
        8192,
    ),
    (
        "qwen3-30b-a3b",
        Family::Qwen3Moe,
        [48, 2048, 6144, 32, 4, 128, 151_936],
        40960,
    ),
    (
        "gemma-2-2b",
        Family::Gemma2,
        [26, 2304, 9216, 8, 4, 256, 256_000],
        8192,
    ),
    (
        "gemma-2-27b",
        Family::Gemma2,
        [46, 4608, 36864, 32, 16, 128, 256_000],
        8192,
    ),
    (
        "telechat2-7b",
        Family::TeleChat,
        [30, 4096, 12288, 32, 32, 128, 131_072],
        8192,
    ),
    (
        "mistral-7b-instruct-v0.3",
        Family::Mistral,
        [32, 4096, 14336, 32, 8, 128, 32768],
        32768,
    ),
    (
        "mistral-nemo-instruct-2407",
        Family::Mistral,
        [40, 5120, 14336, 32, 8, 128, 131_072],
        1_024_000,
    ),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/published")
        .join(name)
}

fn config(name: &str) -> ModelConfig {
    ModelConfig::read(&folder(name)).unwrap()
}

fn moe(name: &str) -> MoeConfig {
    *config(name).moe.unwrap()
}

#[test]
fn sizes_are_those_of_the_models() {
    for (name, family, sizes, context) in SIZES {
        let config = config(name);
        let found = [
            config.layers,
            config.hidden_size,
            config.intermediate_size,
            config.heads,
            config.kv_heads,
            config.head_dim,
            config.vocab_size,
        ];
        assert_eq!(
            (config.family, found, config.context_length),
            (family, sizes, context),
            "{name}"
        );
    }
}

#[test]
fn every_file_is_looked_at() {
    let folders = std::fs::read_dir(folder("")).unwrap().count();
    assert_eq!(folders, SIZES.len());
}

#[test]
fn positions_are_rotated_as_the_files_say() {
    for (name, theta, rotated, pairs) in [
        ("yi-34b-200k", 1e7, 128, RotaryPairs::Halves),
        ("deepseek-r1-distill-qwen-7b", 1e4, 128, RotaryPairs::Halves),
        ("deepseek-v2-lite", 1e4, 64, RotaryPairs::Neighbours),
        ("deepseek-v3", 1e4, 64, RotaryPairs::Neighbours),
        ("glm-4-9b-chat", 5e6, 64, RotaryPairs::Neighbours),
        ("glm-4-9b-0414", 1e4, 64, RotaryPairs::Neighbours),
        ("chatglm3-6b", 1e4, 64, RotaryPairs::Neighbours),
        ("chatglm3-6b-32k", 5e5, 64, RotaryPairs::Neighbours),
        ("internlm2_5-7b-chat-1m", 5e7, 128, RotaryPairs::Halves),
        ("mixtral-8x7b-instruct-v0.1", 1e6, 128, RotaryPairs::Halves),
        ("qwen1.5-moe-a2.7b", 1e6, 128, RotaryPairs::Halves),
        ("gemma-2-2b", 1e4, 256, RotaryPairs::Halves),
        ("telechat2-7b", 1e4, 128, RotaryPairs::Halves),
        ("mistral-nemo-instruct-2407", 1e6, 128, RotaryPairs::Halves),
    ] {
        let rope = config(name).rope;
        assert!((rope.theta / theta - 1.0).abs() < 1e-9, "{name}: {}", rope.theta);
        assert_eq!((rope.rotated, rope.pairs), (rotated, pairs), "{name}");
    }
}

#[test]
fn longer_contexts_are_scaled_as_the_files_say() {
    for (name, positions, wanted) in [
        ("internlm2_5-7b-chat", 32768.0, 2.0),
        ("internlm2_5-7b-chat-1m", 262_144.0, 2.5),
    ] {
        let expected = RopeScaling::Dynamic {
            factor: wanted,
            original_positions: positions,
        };
        assert_eq!(config(name).rope.scaling, expected, "{name}");
    }
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_positions: 8192.0,
    };
    assert_eq!(config("deepseek-r1-distill-llama-8b").rope.scaling, expected);
    // The logits have the square of the scale, and the rotation none of it.
    for (name, weight) in [
        ("deepseek-v2-lite", 0.707),
        ("deepseek-v2", 1.0),
        ("deepseek-v3", 1.0),
    ] {
        let config = config(name);
        let RopeScaling::Yarn(yarn) = &config.rope.scaling else {
            panic!("{name} has no yarn")
        };
        assert_eq!((yarn.factor, yarn.original_positions), (40.0, 4096.0), "{name}");
        assert!((yarn.attention_factor - 1.0).abs() < 1e-12, "{name}");
        let scale = 0.1_f64.mul_add(weight * 40.0_f64.ln(), 1.0);
        let expected = scale * scale / 192.0_f64.sqrt();
        assert!((config.scores.factor - expected).abs() < 1e-9, "{name}");
    }
    for name in [
        "yi-34b-200k",
        "glm-4-9b-chat",
        "chatglm3-6b-32k",
        "qwen3-30b-a3b",
        "mistral-nemo-instruct-2407",
    ] {
        assert_eq!(config(name).rope.scaling, RopeScaling::Default, "{name}");
    }
}

#[test]
fn only_gemma_has_windows_bounds_and_its_table_for_a_head() {
    for (name, ..) in SIZES {
        let config = config(name);
        if config.family != Family::Gemma2 {
            assert!(config.windows.iter().all(Option::is_none), "{name}");
            assert!(!config.tied_embeddings, "{name}");
            assert_eq!(
                (config.scores.soft_cap, config.logit_soft_cap),
                (None, None),
                "{name}"
            );
            continue;
        }
        let every_second =
            |(layer, window): (usize, &Option<usize>)| *window == (layer % 2 == 0).then_some(4096);
        assert!(config.windows.iter().enumerate().all(every_second), "{name}");
        assert!(
            config.tied_embeddings && config.norms.after && config.norms.unit_offset,
            "{name}"
        );
        assert_eq!(
            (config.scores.soft_cap, config.logit_soft_cap),
            (Some(50.0), Some(30.0)),
            "{name}"
        );
    }
    assert!((config("gemma-2-2b").scores.factor - 1.0 / 16.0).abs() < 1e-12);
    assert!((config("gemma-2-27b").scores.factor - 1.0 / 12.0).abs() < 1e-12);
}

#[test]
fn biases_are_where_the_families_have_them() {
    for (name, ..) in SIZES {
        let config = config(name);
        let biases = config.biases;
        let queries = matches!(config.family, Family::Qwen2 | Family::Qwen2Moe | Family::ChatGlm);
        assert_eq!(biases.qkv, queries, "{name}");
        let telechat = config.family == Family::TeleChat;
        assert_eq!(
            (biases.output, biases.down, biases.gate_up),
            (telechat, telechat, false),
            "{name}"
        );
    }
}

#[test]
fn experts_are_chosen_as_the_files_say() {
    for (name, counts, normalised, scale) in [
        ("mixtral-8x7b-instruct-v0.1", [8, 2, 14336, 32], true, 1.0),
        ("qwen1.5-moe-a2.7b", [60, 4, 1408, 24], false, 1.0),
        ("qwen3-30b-a3b", [128, 8, 768, 48], true, 1.0),
        ("deepseek-v2-lite", [64, 6, 1408, 26], false, 1.0),
        ("deepseek-v2", [160, 6, 1536, 59], false, 16.0),
        ("deepseek-v3", [256, 8, 2048, 58], true, 2.5),
    ] {
        let moe = moe(name);
        let with_experts = moe.layers.iter().filter(|has| **has).count();
        let found = [moe.experts, moe.chosen, moe.intermediate_size, with_experts];
        assert_eq!(
            (found, moe.routing.normalised, moe.routing.scale),
            (counts, normalised, scale),
            "{name}"
        );
        let sigmoid = name == "deepseek-v3";
        let scores = if sigmoid {
            RouterScores::Sigmoid
        } else {
            RouterScores::Softmax
        };
        assert_eq!(
            (moe.routing.scores, moe.routing.corrected),
            (scores, sigmoid),
            "{name}"
        );
    }
    let shared = |name, intermediate_size, gated| {
        let expected = SharedExpert {
            intermediate_size,
            gated,
        };
        assert_eq!(moe(name).shared, Some(expected), "{name}");
    };
    shared("qwen1.5-moe-a2.7b", 5632, true);
    shared("deepseek-v2-lite", 2816, false);
    shared("deepseek-v2", 3072, false);
    shared("deepseek-v3", 2048, false);
    let groups = |name, kept, best| {
        let count = 8;
        assert_eq!(
            moe(name).routing.groups,
            Some(ExpertGroups { count, kept, best }),
            "{name}"
        );
    };
    groups("deepseek-v2", 3, 1);
    groups("deepseek-v3", 4, 2);
    assert_eq!(moe("deepseek-v2-lite").routing.groups, None);
}

#[test]
fn latents_are_as_wide_as_the_files_say() {
    for (name, queries) in [
        ("deepseek-v2-lite", None),
        ("deepseek-v2", Some(1536)),
        ("deepseek-v3", Some(1536)),
    ] {
        let mla = config(name).mla.unwrap();
        assert_eq!((mla.query_rank, mla.rank), (queries, 512), "{name}");
        assert_eq!(
            (mla.nope_width, mla.rope_width, mla.value_width),
            (128, 64, 128),
            "{name}"
        );
    }
}
