//! What `ChatGLM`, Gemma 2 and `TeleChat` have of their own.

use super::*;

#[test]
fn shapes_of_chatglm_that_are_not_computed_are_named() {
    let chat_glm3 = json!({
        "architectures": ["ChatGLMModel"], "add_qkv_bias": true, "ffn_hidden_size": 13696, "hidden_size": 4096,
        "kv_channels": 128, "multi_query_attention": true, "multi_query_group_num": 2, "num_attention_heads": 32,
        "num_layers": 28, "padded_vocab_size": 65024, "seq_length": 8192, "vocab_size": 65024,
    });
    let config = published(&chat_glm3);
    assert_eq!((config.layers, config.rope.theta.round()), (28, 10_000.0));
    for (field, value) in [
        ("position_encoding_2d", json!(true)),
        ("multi_query_attention", json!(false)),
        ("rmsnorm", json!(false)),
        ("original_rope", json!(false)),
        ("pre_seq_len", json!(128)),
        ("vision_config", json!({"hidden_size": 1792})),
    ] {
        let mut content = chat_glm3.clone();
        content[field] = value;
        let refused = ModelConfig::of(Path::new("config.json"), &content).unwrap_err();
        assert!(refused.to_string().contains(field), "{refused}");
    }
}

/// Both have a `rope_ratio`, a class and a vocabulary in common, and rotate differently by it.
#[test]
fn chatglm2_divides_positions_where_its_successors_grow_the_base() {
    let of = |name: Value, ratio: f64, vocabulary: u32| {
        let content = json!({
            "_name_or_path": name, "architectures": ["ChatGLMModel"], "add_qkv_bias": true, "ffn_hidden_size": 13696,
            "hidden_size": 4096, "kv_channels": 128, "multi_query_attention": true, "multi_query_group_num": 2,
            "num_attention_heads": 32, "num_layers": 28, "padded_vocab_size": vocabulary, "rope_ratio": ratio,
            "seq_length": 32768,
        });
        ModelConfig::of(Path::new("config.json"), &content)
    };
    let second = of("THUDM/chatglm2-6b-32k".into(), 50.0, 65_024).unwrap();
    assert_eq!(second.rope.scaling, RopeScaling::Linear { factor: 50.0 });
    assert_eq!(
        (second.rope.theta.round(), second.context_length),
        (10_000.0, 32_768)
    );
    for (name, vocabulary) in [
        (json!("THUDM/chatglm3-6b-32k"), 65_024),
        (json!("THUDM/glm-4-9b-chat"), 151_552),
        (Value::Null, 151_552),
    ] {
        let later = of(name, 50.0, vocabulary).unwrap();
        assert_eq!(later.rope.scaling, RopeScaling::Default);
        assert_eq!(
            (later.rope.theta.round(), later.context_length),
            (500_000.0, 32_768)
        );
    }
    let unknown = of(Value::Null, 50.0, 65_024).unwrap_err().to_string();
    assert!(
        unknown.contains("rope_ratio") && unknown.contains("_name_or_path"),
        "{unknown}"
    );
    let plain = of(Value::Null, 1.0, 65_024).unwrap();
    assert_eq!(
        (plain.rope.theta.round(), plain.rope.scaling),
        (10_000.0, RopeScaling::Default)
    );
    assert!(of("chatglm2".into(), 0.5, 65_024).is_err());
}

#[test]
fn gemma2_bounds_logits_unless_its_file_says_null() {
    let of = |changes: &Value| {
        let mut content = json!({
            "architectures": ["Gemma2ForCausalLM"], "hidden_size": 64, "intermediate_size": 96, "vocab_size": 100,
            "num_attention_heads": 8, "num_hidden_layers": 2, "max_position_embeddings": 1024,
        });
        for (field, value) in changes.as_object().unwrap() {
            content[field] = value.clone();
        }
        let config = published(&content);
        (config.scores.soft_cap, config.logit_soft_cap)
    };
    // As in the reference, which takes what is left out for its own.
    assert_eq!(of(&json!({})), (Some(50.0), Some(30.0)));
    let none = json!({"attn_logit_softcapping": null, "final_logit_softcapping": null});
    assert_eq!(of(&none), (None, None));
    let others = json!({"attn_logit_softcapping": 20.0, "final_logit_softcapping": 10});
    assert_eq!(of(&others), (Some(20.0), Some(10.0)));
    let llama = read(&json!({"architectures": ["LlamaForCausalLM"]})).unwrap();
    assert_eq!((llama.scores.soft_cap, llama.logit_soft_cap), (None, None));
}

/// The class of the first models writes a width that nothing reads, and leaves the head to the library.
#[test]
fn telechat_has_its_width_under_its_own_name_and_its_head_where_the_weights_have_one() {
    let content = json!({
        "architectures": ["TelechatForCausalLM"], "model_type": "telechat", "ffn_hidden_size": 12288,
        "hidden_act": "fastgelu", "hidden_size": 4096, "intermediate_size": 1, "layer_norm_epsilon": 1e-5,
        "logn": true, "max_position_embeddings": 4096, "n_head": 32, "n_layer": 30, "training_seqlen": 8192,
        "torch_dtype": "float16", "vocab_size": 160_256,
    });
    let mut config = published(&content);
    assert_eq!((config.intermediate_size, config.kv_heads), (12288, 32));
    assert!(!config.tied_embeddings && config.tied_without_head);
    config.settle_head(true);
    assert!(!config.tied_embeddings);
    config.settle_head(false);
    assert!(config.tied_embeddings);
    for tied in [false, true] {
        let mut content = content.clone();
        content["tie_word_embeddings"] = tied.into();
        let mut config = published(&content);
        config.settle_head(false);
        assert_eq!(config.tied_embeddings, tied);
    }
    let mut other = read(&json!({})).unwrap();
    other.settle_head(false);
    assert!(!other.tied_embeddings, "a head that is missing is named");
}

#[test]
fn telechat2_reads_names_of_its_own_and_grows_its_base() {
    let telechat = json!({
        "architectures": ["TelechatForCausalLM"], "model_type": "telechat", "base_seqlen": 8192,
        "embed_layernorm": false, "ffn_hidden_size": 12288, "hidden_size": 4096, "layer_norm_epsilon": 1e-5,
        "logn": false, "n_head": 32, "n_layer": 30, "num_key_value_heads": 32, "training_seqlen": 8192,
        "torch_dtype": "float16", "vocab_size": 160_256,
    });
    let config = published(&telechat);
    assert_eq!(
        (config.layers, config.heads, config.context_length),
        (30, 32, 8192)
    );
    assert!((config.rope.theta - 10_000.0).abs() < 1e-6);
    assert_eq!(
        (config.biases.qkv, config.biases.output, config.biases.down),
        (false, true, true)
    );
    let mut longer = telechat.clone();
    longer["training_seqlen"] = 32768.into();
    // 2^ceil(log2(32768 / 8192) + 1) - 1 = 7.
    let expected = 10_000.0 * 7.0_f64.powf(128.0 / 126.0);
    assert!((published(&longer).rope.theta - expected).abs() < 1e-6);
    for field in ["embed_layernorm", "apply_residual_connection_post_layernorm"] {
        let mut normed = telechat.clone();
        normed[field] = true.into();
        let refused = ModelConfig::of(Path::new("config.json"), &normed).unwrap_err();
        assert!(refused.to_string().contains(field), "{refused}");
    }
}
