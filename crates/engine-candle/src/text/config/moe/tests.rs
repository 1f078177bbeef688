use std::fs;

use serde_json::{Value, json};

use super::super::{ModelConfig, RopeScaling, RotaryPairs};
use super::*;

fn base(class: &str, own: &Value) -> Value {
    let mut config = json!({
        "architectures": [class], "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8,
        "max_position_embeddings": 1024, "hidden_act": "silu", "num_experts_per_tok": 2,
    });
    set(&mut config, own);
    config
}

fn set(config: &mut Value, changes: &Value) {
    for (field, value) in changes.as_object().unwrap() {
        config[field] = value.clone();
    }
}

fn mixtral() -> Value {
    base("MixtralForCausalLM", &json!({"num_local_experts": 8}))
}

fn qwen(class: &str) -> Value {
    let own = json!({
        "num_experts": 8, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 40,
        "decoder_sparse_step": 1, "mlp_only_layers": [],
    });
    base(class, &own)
}

fn deepseek(class: &str) -> Value {
    let own = json!({
        "kv_lora_rank": 32, "q_lora_rank": null, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
        "v_head_dim": 12, "n_routed_experts": 8, "n_shared_experts": 2, "moe_intermediate_size": 24,
        "first_k_dense_replace": 1, "moe_layer_freq": 1, "routed_scaling_factor": 2.5, "n_group": 4,
        "topk_group": 2,
    });
    base(class, &own)
}

fn v2() -> Value {
    deepseek("DeepseekV2ForCausalLM")
}

fn v3() -> Value {
    deepseek("DeepseekV3ForCausalLM")
}

/// A configuration with some fields replaced (null removes).
fn read(mut config: Value, changes: &Value) -> Result<ModelConfig, LoadError> {
    set(&mut config, changes);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    ModelConfig::read(folder.path())
}

fn experts(config: Value, changes: &Value) -> MoeConfig {
    *read(config, changes).unwrap().moe.unwrap()
}

#[test]
fn mixtral_has_experts_in_all_layers_and_no_latents() {
    let config = read(mixtral(), &json!({"sliding_window": 128})).unwrap();
    assert_eq!(config.windows, [Some(128); 4]);
    assert_eq!(config.mla, None);
    let expected = MoeConfig {
        experts: 8,
        chosen: 2,
        intermediate_size: 96,
        layers: vec![true; 4],
        shared: None,
        routing: softmax(true),
    };
    assert_eq!(config.moe, Some(Box::new(expected)));
}

/// As transformers writes for some models.
#[test]
fn a_file_may_have_both_names_for_the_number_of_experts() {
    let both = json!({"num_experts": 8, "num_local_experts": 8});
    assert_eq!(experts(mixtral(), &both).experts, 8);
    assert_eq!(experts(qwen("Qwen3MoeForCausalLM"), &both).experts, 8);
    let other = json!({"num_experts": null, "num_local_experts": 4});
    assert_eq!(experts(qwen("Qwen3MoeForCausalLM"), &other).experts, 4);
    let dense = json!({"architectures": ["LlamaForCausalLM"], "num_experts": 8, "num_local_experts": 8});
    assert_eq!(read(mixtral(), &dense).unwrap().moe, None);
}

#[test]
fn mixtral_has_a_base_of_its_own_where_the_file_gives_none() {
    let theta = |changes: Value| read(mixtral(), &changes).unwrap().rope.theta;
    assert!((theta(json!({})) - 1e6).abs() < 1e-3);
    assert!((theta(json!({"rope_theta": 20_000.0})) - 20_000.0).abs() < 1e-3);
}

#[test]
fn qwen_s_dense_layers_are_listed_or_between_steps() {
    let layers = |changes: &Value| experts(qwen("Qwen3MoeForCausalLM"), changes).layers;
    assert_eq!(layers(&json!({})), [true; 4]);
    assert_eq!(
        layers(&json!({"mlp_only_layers": [0, 2]})),
        [false, true, false, true]
    );
    assert_eq!(
        layers(&json!({"decoder_sparse_step": 2})),
        [false, true, false, true]
    );
    let both = json!({"decoder_sparse_step": 2, "mlp_only_layers": [1]});
    assert_eq!(layers(&both), [false, false, false, true]);
}

#[test]
fn only_qwen2_has_a_shared_expert_with_a_gate() {
    let shared = |class| experts(qwen(class), &json!({})).shared;
    let gated = SharedExpert {
        intermediate_size: 40,
        gated: true,
    };
    assert_eq!(shared("Qwen2MoeForCausalLM"), Some(gated));
    assert_eq!(shared("Qwen3MoeForCausalLM"), None);
}

#[test]
fn qwen2_has_biases_unless_its_file_says_no() {
    let biases = |changes| read(qwen("Qwen2MoeForCausalLM"), &changes).unwrap().biases.qkv;
    assert!(biases(json!({})));
    assert!(!biases(json!({"qkv_bias": false})));
}

#[test]
fn deepseek_s_shared_experts_are_one_as_wide_as_all() {
    let config = experts(v2(), &json!({}));
    let shared = SharedExpert {
        intermediate_size: 48,
        gated: false,
    };
    assert_eq!(config.shared, Some(shared));
    assert_eq!(config.layers, [false, true, true, true]);
    assert_eq!(experts(v2(), &json!({"n_shared_experts": null})).shared, None);
    let every_second = json!({"first_k_dense_replace": 0, "moe_layer_freq": 2});
    assert_eq!(experts(v2(), &every_second).layers, [true, false, true, false]);
    assert_eq!(read(v2(), &json!({"n_routed_experts": null})).unwrap().moe, None);
}

#[test]
fn deepseek_v2_chooses_among_all_experts_or_those_of_the_best_groups() {
    let groups = |changes: Value| experts(v2(), &changes).routing.groups;
    assert_eq!(groups(json!({})), None);
    assert_eq!(groups(json!({"topk_method": "greedy"})), None);
    let limited = ExpertGroups {
        count: 4,
        kept: 2,
        best: 1,
    };
    assert_eq!(
        groups(json!({"topk_method": "group_limited_greedy"})),
        Some(limited)
    );
    let one = json!({"topk_method": "group_limited_greedy", "n_group": 1, "topk_group": 1});
    assert_eq!(groups(one), None);
}

#[test]
fn deepseek_v3_chooses_by_corrected_sigmoids() {
    let expected = RoutingConfig {
        scores: RouterScores::Sigmoid,
        corrected: true,
        groups: Some(ExpertGroups {
            count: 4,
            kept: 2,
            best: 2,
        }),
        normalised: true,
        scale: 2.5,
    };
    assert_eq!(experts(v3(), &json!({})).routing, expected);
}

#[test]
fn latents_are_as_wide_as_the_file_says() {
    let config = read(v3(), &json!({"q_lora_rank": 20, "head_dim": 8})).unwrap();
    assert_eq!((config.head_dim, config.rope.head_dim), (24, 8));
    let mla = config.mla.unwrap();
    assert_eq!((mla.query_rank, mla.rank), (Some(20), 32));
    assert_eq!((mla.nope_width, mla.rope_width, mla.value_width), (16, 8, 12));
    assert_eq!(config.rope.pairs, RotaryPairs::Neighbours);
    assert!((config.scores.factor - 1.0 / 24.0_f64.sqrt()).abs() < 1e-12);
    let halves = read(v3(), &json!({"rope_interleave": false})).unwrap();
    assert_eq!(halves.rope.pairs, RotaryPairs::Halves);
}

/// As in DeepSeek-V2-Lite: the rotation is left as it is, and the logits get the square.
#[test]
fn yarn_scales_the_logits_and_not_the_rotation() {
    let scaling = json!({"rope_scaling": {
        "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
        "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707,
    }});
    let config = read(v2(), &scaling).unwrap();
    let RopeScaling::Yarn(yarn) = &config.rope.scaling else {
        panic!("not yarn")
    };
    assert!((yarn.attention_factor - 1.0).abs() < 1e-12);
    let mscale = 0.0707 * 40.0_f64.ln() + 1.0;
    let scale = config.scores.factor;
    assert!(
        (scale - mscale * mscale / 24.0_f64.sqrt()).abs() < 1e-9,
        "{scale}"
    );
    assert_eq!(config.context_length, 163_840);
}

#[test]
fn what_is_not_computed_is_named() {
    for (config, changes, parts) in [
        (
            v2(),
            json!({"norm_topk_prob": true}),
            ["norm_topk_prob", "only false"],
        ),
        (
            v2(),
            json!({"topk_method": "noaux_tc"}),
            ["topk_method", "noaux_tc"],
        ),
        (
            v2(),
            json!({"scoring_func": "sigmoid"}),
            ["scoring_func", "softmax"],
        ),
        (
            v3(),
            json!({"scoring_func": "softmax"}),
            ["scoring_func", "sigmoid"],
        ),
        (
            v3(),
            json!({"topk_method": "greedy"}),
            ["topk_method", "noaux_tc"],
        ),
        (
            v3(),
            json!({"attention_bias": true}),
            ["attention_bias", "only false"],
        ),
        (
            v3(),
            json!({"quantization_config": {"quant_method": "fp8"}}),
            ["quantization_config.weight_block_size", "[128, 128]"],
        ),
        (
            qwen("Qwen3MoeForCausalLM"),
            json!({"use_sliding_window": true}),
            ["use_sliding_window", "with experts"],
        ),
        (mixtral(), json!({"hidden_act": "gelu"}), ["hidden_act", "gelu"]),
    ] {
        let text = read(config, &changes).unwrap_err().to_string();
        for part in parts {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}

#[test]
fn impossible_experts_and_latents_are_refused() {
    for (config, changes, field) in [
        (
            mixtral(),
            json!({"num_local_experts": null}),
            "num_local_experts is missing",
        ),
        (
            mixtral(),
            json!({"num_local_experts": 100_000}),
            "num_experts (100000)",
        ),
        (
            mixtral(),
            json!({"num_experts_per_tok": 9}),
            "num_experts_per_tok (9)",
        ),
        (
            mixtral(),
            json!({"num_experts_per_tok": 0}),
            "num_experts_per_tok (0)",
        ),
        (
            qwen("Qwen3MoeForCausalLM"),
            json!({"decoder_sparse_step": 0}),
            "decoder_sparse_step (0)",
        ),
        (v3(), json!({"n_group": 3}), "n_group (3)"),
        (v3(), json!({"n_group": 8}), "n_group (8)"),
        (v3(), json!({"topk_group": 5}), "topk_group (5)"),
        (v3(), json!({"n_group": null}), "n_group is missing"),
        (
            v3(),
            json!({"topk_group": 1, "num_experts_per_tok": 3}),
            "topk_group (1)",
        ),
        (
            v3(),
            json!({"routed_scaling_factor": 0.0}),
            "routed_scaling_factor (0)",
        ),
        (
            v3(),
            json!({"moe_intermediate_size": null}),
            "moe_intermediate_size is missing",
        ),
        (v3(), json!({"kv_lora_rank": null}), "kv_lora_rank is missing"),
        (v3(), json!({"qk_rope_head_dim": 7}), "qk_rope_head_dim (7)"),
        (v3(), json!({"q_lora_rank": 0}), "q_lora_rank (0)"),
    ] {
        let text = read(config, &changes).unwrap_err().to_string();
        assert!(text.contains(field), "{text} does not say {field}");
    }
}
