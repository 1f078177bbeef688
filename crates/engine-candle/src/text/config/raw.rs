//! The fields of `config.json` as they stand in the file.

use serde::Deserialize;

/// Unknown fields are ignored: the files carry many that do not concern inference.
#[derive(Debug, Deserialize)]
pub(super) struct RawConfig {
    pub(super) architectures: Option<Vec<String>>,
    pub(super) model_type: Option<String>,
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    pub(super) hidden_act: Option<String>,
    pub(super) max_position_embeddings: usize,
    pub(super) rms_norm_eps: Option<f32>,
    pub(super) tie_word_embeddings: Option<bool>,
    pub(super) attention_bias: Option<bool>,
    pub(super) mlp_bias: Option<bool>,
    pub(super) rope_theta: Option<f64>,
    pub(super) rope_scaling: Option<RawRope>,
    pub(super) rope_parameters: Option<RawRope>,
    pub(super) original_max_position_embeddings: Option<f64>,
    pub(super) partial_rotary_factor: Option<f64>,
    pub(super) use_sliding_window: Option<bool>,
    pub(super) sliding_window: Option<usize>,
    pub(super) max_window_layers: Option<usize>,
    pub(super) layer_types: Option<Vec<String>>,
    pub(super) torch_dtype: Option<String>,
    pub(super) dtype: Option<String>,
    pub(super) quantization_config: Option<serde_json::Value>,
}

/// `rope_scaling`, or its newer form `rope_parameters`, which also carries the base.
#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct RawRope {
    pub(super) rope_type: Option<String>,
    #[serde(rename = "type")]
    pub(super) old_type: Option<String>,
    pub(super) rope_theta: Option<f64>,
    pub(super) partial_rotary_factor: Option<f64>,
    pub(super) factor: Option<f64>,
    pub(super) original_max_position_embeddings: Option<f64>,
    pub(super) low_freq_factor: Option<f64>,
    pub(super) high_freq_factor: Option<f64>,
    pub(super) attention_factor: Option<f64>,
    pub(super) beta_fast: Option<f64>,
    pub(super) beta_slow: Option<f64>,
    pub(super) mscale: Option<f64>,
    pub(super) mscale_all_dim: Option<f64>,
    pub(super) truncate: Option<bool>,
}
