mod families;

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

/// What the published files of a family say, sizes included.
fn published(content: &Value) -> ModelConfig {
    ModelConfig::of(Path::new("config.json"), content).unwrap()
}

#[test]
fn mistral_has_windows_unless_the_file_says_none() {
    let of = |window: Value, mut content: Value| {
        content["sliding_window"] = window;
        published(&content)
    };
    let first = json!({
        "architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
        "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "torch_dtype": "bfloat16", "vocab_size": 32000,
    });
    let windowed = of(4096.into(), first.clone());
    assert_eq!(
        (windowed.windows.as_slice(), windowed.head_dim),
        ([Some(4096); 32].as_slice(), 128)
    );
    assert_eq!(of(Value::Null, first.clone()).windows, [None; 32]);
    // The library's default.
    assert_eq!(published(&first).windows, [Some(4096); 32]);
    let mut nemo = first;
    nemo["hidden_size"] = 5120.into();
    nemo["head_dim"] = 128.into();
    assert_eq!(of(Value::Null, nemo).head_dim, 128);
}

#[test]
fn glm4_in_its_own_layout_has_the_sizes_of_the_one_of_transformers() {
    let own = published(&json!({
        "architectures": ["ChatGLMModel"], "model_type": "chatglm", "add_bias_linear": false, "add_qkv_bias": true,
        "apply_query_key_layer_scaling": true, "apply_residual_connection_post_layernorm": false,
        "attention_softmax_in_fp32": true, "ffn_hidden_size": 13696, "fp32_residual_connection": false,
        "hidden_size": 4096, "kv_channels": 128, "layernorm_epsilon": 1.5625e-7, "multi_query_attention": true,
        "multi_query_group_num": 2, "num_attention_heads": 32, "num_hidden_layers": 40, "num_layers": 40,
        "rope_ratio": 500, "original_rope": true, "padded_vocab_size": 151_552, "post_layer_norm": true,
        "rmsnorm": true, "seq_length": 131_072, "torch_dtype": "bfloat16", "tie_word_embeddings": false,
        "vocab_size": 151_552,
    }));
    let transformers = published(&json!({
        "architectures": ["GlmForCausalLM"], "attention_bias": true, "head_dim": 128, "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 13696, "max_position_embeddings": 131_072, "model_type": "glm",
        "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 2, "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1.5625e-7, "rope_theta": 5_000_000.0, "torch_dtype": "bfloat16", "vocab_size": 151_552,
    }));
    let expected = ModelConfig {
        family: own.family,
        layout: own.layout,
        ..transformers
    };
    assert_eq!(own, expected);
    assert_eq!((own.rope.rotated, own.rope.head_dim), (64, 128));
}

#[test]
fn gemma2_ties_its_head_and_alternates_its_windows_where_the_file_says_nothing() {
    let config = published(&json!({
        "architectures": ["Gemma2ForCausalLM"], "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "head_dim": 128, "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 4608, "intermediate_size": 36864, "max_position_embeddings": 8192, "model_type": "gemma2",
        "num_attention_heads": 32, "num_hidden_layers": 46, "num_key_value_heads": 16,
        "query_pre_attn_scalar": 144, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "sliding_window": 4096,
        "sliding_window_size": 4096, "torch_dtype": "float32", "vocab_size": 256_000,
    }));
    assert!(config.tied_embeddings && config.norms.after && config.norms.unit_offset);
    assert_eq!(config.windows[..3], [Some(4096), None, Some(4096)]);
    assert_eq!(config.logit_soft_cap, Some(30.0));
    assert!((config.scores.factor - 1.0 / 12.0).abs() < 1e-12);
    let gelu = json!({"architectures": ["Gemma2ForCausalLM"], "hidden_act": "gelu"});
    assert!(refused(&gelu).contains("only gelu_pytorch_tanh"));
}

#[test]
fn internlm2_has_a_name_of_its_own_for_biases() {
    let content = json!({
        "architectures": ["InternLM2ForCausalLM"], "bias": false, "hidden_act": "silu", "hidden_size": 4096,
        "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "internlm2",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
        "rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_theta": 1_000_000, "torch_dtype": "bfloat16",
        "vocab_size": 92544,
    });
    let config = published(&content);
    assert_eq!(
        (config.biases.qkv, config.biases.output, config.context_length),
        (false, false, 65536)
    );
    assert_eq!(config.layout, TensorLayout::InternLm2);
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
        // Memory for each, long before a weight is missed.
        (
            json!({"num_hidden_layers": 16_000_000}),
            "num_hidden_layers (16000000) must be at most 4096",
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 2048}}),
            "original_max_position_embeddings (2048) is more than the 1024",
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": -1.0}}),
            "mscale (-1)",
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 1e300, "mscale_all_dim": 1.0}}),
            "mscale (1000",
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 1e300}}),
            "mscale_all_dim (1000",
        ),
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
    // What one does not say, the other may.
    let both = json!({"rope_theta": null, "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "rope_scaling": old["rope_scaling"]});
    assert_eq!(read(&both).unwrap(), read(&old).unwrap());
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
