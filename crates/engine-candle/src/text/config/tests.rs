use serde_json::{Value, json};

use super::*;

fn base() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 100, "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
        "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 1_000_000.0, "hidden_act": "silu",
    })
}

/// The base configuration with some fields replaced (null removes).
fn read(changes: &Value) -> Result<ModelConfig, LoadError> {
    let mut config = base();
    for (field, value) in changes.as_object().unwrap() {
        config[field] = value.clone();
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    ModelConfig::read(folder.path())
}

fn refused(changes: &Value) -> String {
    let text = read(changes).unwrap_err().to_string();
    assert!(text.contains("config.json"), "{text} does not name the file");
    text
}

#[test]
fn qwen2_has_biases_that_its_file_does_not_mention() {
    let config = read(&json!({})).unwrap();
    assert_eq!(
        config.biases,
        Biases {
            qkv: true,
            output: false,
            gate_up: false,
            down: false,
        }
    );
    assert_eq!((config.head_dim, config.context_length), (8, 1024));
    assert_eq!(
        config.rope,
        RopeConfig {
            theta: 1_000_000.0,
            head_dim: 8,
            rotated: 8,
            pairs: RotaryPairs::Halves,
            scaling: RopeScaling::Default
        }
    );
}

#[test]
fn qwen3_has_heads_of_128_unless_told_otherwise() {
    let changes = json!({"architectures": ["Qwen3ForCausalLM"], "attention_bias": true});
    let config = read(&changes).unwrap();
    assert_eq!(config.head_dim, 128);
    assert_eq!(
        config.biases,
        Biases {
            qkv: true,
            output: true,
            gate_up: false,
            down: false,
        }
    );
}

#[test]
fn llama_takes_key_value_heads_from_heads_and_biases_from_the_file() {
    let changes = json!({
        "architectures": ["LlamaForCausalLM"], "num_key_value_heads": null, "mlp_bias": true,
        "use_sliding_window": true, "sliding_window": 8,
    });
    let config = read(&changes).unwrap();
    assert_eq!(config.kv_heads, 8);
    assert_eq!(
        config.biases,
        Biases {
            qkv: false,
            output: false,
            gate_up: true,
            down: true,
        }
    );
    assert_eq!(config.windows, [None; 4], "this family has no windows");
}

#[test]
fn model_type_stands_in_for_architectures() {
    let config = read(&json!({"architectures": null, "model_type": "llama"})).unwrap();
    assert_eq!(config.family, Family::Llama);
}

#[test]
fn unknown_architectures_are_named() {
    let text = refused(&json!({"architectures": ["MambaForCausalLM"]}));
    assert!(text.contains("`MambaForCausalLM`"), "{text}");
    assert!(refused(&json!({"architectures": null, "model_type": null})).contains("none given"));
}

#[test]
fn settings_we_do_not_compute_are_named() {
    for (changes, parts) in [
        (json!({"hidden_act": "gelu"}), ["hidden_act", "gelu"]),
        (json!({"torch_dtype": "int8"}), ["torch_dtype", "int8"]),
        (
            json!({"quantization_config": {"quant_method": "awq"}}),
            ["quantization_config", "awq"],
        ),
        (
            json!({"rope_scaling": {"type": "longrope", "factor": 2.0}}),
            ["rope_type", "longrope"],
        ),
        (
            json!({"partial_rotary_factor": 0.5}),
            ["partial_rotary_factor", "0.5"],
        ),
        (
            json!({"use_sliding_window": true, "layer_types": ["chunked_attention", "", "", ""]}),
            ["layer_types", "chunked_attention"],
        ),
    ] {
        let text = refused(&changes);
        assert!(
            parts.iter().all(|part| text.contains(part)),
            "{text} lacks one of {parts:?}"
        );
    }
}

#[test]
fn impossible_sizes_are_refused() {
    for (changes, field) in [
        (json!({"num_attention_heads": 7}), "num_attention_heads"),
        (json!({"num_key_value_heads": 0}), "num_key_value_heads"),
        (
            json!({"hidden_size": 68, "num_key_value_heads": 8}),
            "hidden_size",
        ),
        (json!({"head_dim": 7}), "head_dim"),
        (json!({"vocab_size": 0}), "vocab_size"),
        (json!({"vocab_size": 1_u64 << 40}), "vocab_size"),
        (json!({"num_hidden_layers": 0}), "num_hidden_layers"),
        (json!({"rope_theta": 0.5}), "rope_theta"),
        (json!({"rope_scaling": {"type": "linear"}}), "factor"),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 0.5}}),
            "factor",
        ),
        (
            json!({"rope_scaling": {"type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0}}),
            "high_freq_factor",
        ),
        (
            json!({"use_sliding_window": true, "layer_types": ["full_attention"]}),
            "layer_types",
        ),
    ] {
        let text = refused(&changes);
        assert!(text.contains(field), "{text} does not name {field}");
    }
}

#[test]
fn a_field_of_the_wrong_type_is_located() {
    let text = refused(&json!({"hidden_size": "wide"}));
    assert!(text.contains("line 1"), "{text}");
}

#[test]
fn both_spellings_of_rope_settings_mean_the_same() {
    let old =
        json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}});
    let new = json!({"rope_theta": null, "rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256, "rope_theta": 1_000_000.0,
    }});
    assert_eq!(read(&old).unwrap(), read(&new).unwrap());
}

#[test]
fn yarn_infers_what_the_file_leaves_out() {
    let changes =
        json!({"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 256, "beta_fast": 0}});
    let RopeScaling::Yarn(yarn) = read(&changes).unwrap().rope.scaling else {
        panic!("not yarn")
    };
    assert_eq!(
        (yarn.factor, yarn.beta_fast, yarn.beta_slow, yarn.truncate),
        (4.0, 32.0, 1.0, true)
    );
    assert!((yarn.attention_factor - (0.1 * 4.0_f64.ln() + 1.0)).abs() < 1e-12);
}

#[test]
fn scaling_stretches_the_context() {
    for (scaling, expected) in [
        (json!({"type": "linear", "factor": 4.0}), 4096),
        (json!({"type": "dynamic", "factor": 2.0}), 2048),
        (
            json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}),
            4096,
        ),
        (
            json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}),
            1024,
        ),
        (
            json!({"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128}),
            1024,
        ),
    ] {
        assert_eq!(
            read(&json!({"rope_scaling": scaling})).unwrap().context_length,
            expected,
            "{scaling}"
        );
    }
}

#[test]
fn windows_begin_at_the_named_layer_or_follow_layer_types() {
    let by_layer = json!({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 3});
    assert_eq!(read(&by_layer).unwrap().windows, [None, None, None, Some(16)]);
    let by_type = json!({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "full_attention", "full_attention"]});
    assert_eq!(read(&by_type).unwrap().windows, [Some(16), None, None, None]);
    assert_eq!(
        read(&json!({"sliding_window": 16, "max_window_layers": 0}))
            .unwrap()
            .windows,
        [None; 4]
    );
}
