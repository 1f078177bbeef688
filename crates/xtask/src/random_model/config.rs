//! `config.json`, `generation_config.json` and the manifest that Silica's first start reads.

use serde_json::{Value, json};

use super::Dtype;
use super::shape::Shape;

pub(super) fn config(shape: &Shape, dtype: Dtype) -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": shape.first_special,
        "eos_token_id": shape.first_special + 2,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.context,
        "max_window_layers": shape.layers,
        "model_type": "qwen2",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "sliding_window": shape.context,
        "tie_word_embeddings": true,
        "torch_dtype": match dtype {
            Dtype::F32 => "float32",
            Dtype::Bf16 => "bfloat16",
            Dtype::F16 => "float16",
        },
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": shape.vocabulary,
    })
}

pub(super) fn generation(shape: &Shape) -> Value {
    json!({
        "bos_token_id": shape.first_special,
        "pad_token_id": shape.first_special,
        "eos_token_id": [shape.first_special + 2, shape.first_special],
    })
}

pub(super) fn manifest(shape: &Shape) -> String {
    format!(
        "# Read by Silica on the first start: how this folder appears in the catalogue.\n\
         id = \"{}\"\n\
         type = \"text\"\n\
         sub_type = \"chat\"\n\
         context_length = {}\n\
         features = []\n\
         tags = [\"benchmark\"]\n\
         description = \"Random weights in the shape of a real model, to measure speed. It writes noise.\"\n",
        shape.id, shape.context,
    )
}
