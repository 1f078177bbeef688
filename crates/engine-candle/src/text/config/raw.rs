//! The fields of `config.json` as they stand in the file.

use serde::Deserialize;

use super::mla::RawMla;
use super::moe::RawMoe;

/// Unknown fields are ignored: the files carry many that do not concern inference. Where families call
/// the same thing differently, it has several fields here.
#[derive(Debug, Deserialize)]
pub(super) struct RawConfig {
    pub(super) architectures: Option<Vec<String>>,
    pub(super) model_type: Option<String>,
    /// Which model it is, or was made of: the only trace of that in some files.
    #[serde(rename = "_name_or_path")]
    pub(super) name: Option<String>,
    pub(super) vocab_size: Option<usize>,
    pub(super) padded_vocab_size: Option<usize>,
    pub(super) hidden_size: Option<usize>,
    pub(super) intermediate_size: Option<usize>,
    pub(super) ffn_hidden_size: Option<usize>,
    pub(super) num_hidden_layers: Option<usize>,
    pub(super) num_layers: Option<usize>,
    pub(super) n_layer: Option<usize>,
    pub(super) num_attention_heads: Option<usize>,
    pub(super) n_head: Option<usize>,
    pub(super) num_key_value_heads: Option<usize>,
    pub(super) multi_query_group_num: Option<usize>,
    pub(super) head_dim: Option<usize>,
    pub(super) kv_channels: Option<usize>,
    pub(super) hidden_act: Option<String>,
    pub(super) hidden_activation: Option<String>,
    pub(super) max_position_embeddings: Option<usize>,
    pub(super) seq_length: Option<usize>,
    pub(super) rms_norm_eps: Option<f32>,
    pub(super) layernorm_epsilon: Option<f32>,
    pub(super) layer_norm_epsilon: Option<f32>,
    pub(super) tie_word_embeddings: Option<bool>,
    pub(super) attention_bias: Option<bool>,
    pub(super) mlp_bias: Option<bool>,
    /// `InternLM2`'s `attention_bias`.
    pub(super) bias: Option<bool>,
    pub(super) rope_theta: Option<f64>,
    pub(super) rope_scaling: Option<RawRope>,
    pub(super) rope_parameters: Option<RawRope>,
    pub(super) original_max_position_embeddings: Option<f64>,
    pub(super) partial_rotary_factor: Option<f64>,
    pub(super) use_sliding_window: Option<bool>,
    #[serde(default)]
    pub(super) sliding_window: RawSetting<usize>,
    pub(super) max_window_layers: Option<usize>,
    pub(super) layer_types: Option<Vec<String>>,
    pub(super) torch_dtype: Option<String>,
    pub(super) dtype: Option<String>,
    pub(super) quantization_config: Option<serde_json::Value>,
    /// Qwen2-MoE's `attention_bias`.
    pub(super) qkv_bias: Option<bool>,
    #[serde(flatten)]
    pub(super) gemma: RawGemma,
    #[serde(flatten)]
    pub(super) chat_glm: RawChatGlm,
    #[serde(flatten)]
    pub(super) tele_chat: RawTeleChat,
    #[serde(flatten)]
    pub(super) moe: RawMoe,
    #[serde(flatten)]
    pub(super) mla: RawMla,
}

/// A setting of which null and nothing mean different things.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub(super) enum RawSetting<T> {
    #[default]
    LeftOut,
    Null,
    Of(T),
}

impl<T> From<Option<T>> for RawSetting<T> {
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Null, Self::Of)
    }
}

impl<T> RawSetting<T> {
    /// The value, where one that is left out is `default`.
    pub(super) fn or(self, default: T) -> Option<T> {
        match self {
            Self::LeftOut => Some(default),
            Self::Null => None,
            Self::Of(value) => Some(value),
        }
    }
}

/// What only Gemma 2 has.
#[derive(Debug, Deserialize)]
pub(super) struct RawGemma {
    pub(super) query_pre_attn_scalar: Option<f64>,
    #[serde(default)]
    pub(super) attn_logit_softcapping: RawSetting<f64>,
    #[serde(default)]
    pub(super) final_logit_softcapping: RawSetting<f64>,
}

/// What only `ChatGLM` has, and for one of them `TeleChat`.
#[derive(Debug, Deserialize)]
pub(super) struct RawChatGlm {
    pub(super) rope_ratio: Option<f64>,
    pub(super) original_rope: Option<bool>,
    pub(super) add_qkv_bias: Option<bool>,
    pub(super) add_bias_linear: Option<bool>,
    pub(super) multi_query_attention: Option<bool>,
    pub(super) rmsnorm: Option<bool>,
    pub(super) post_layer_norm: Option<bool>,
    pub(super) apply_residual_connection_post_layernorm: Option<bool>,
    pub(super) position_encoding_2d: Option<bool>,
    pub(super) pre_seq_len: Option<u64>,
    pub(super) vision_config: Option<serde_json::Value>,
}

/// What only `TeleChat` has.
#[derive(Debug, Deserialize)]
pub(super) struct RawTeleChat {
    pub(super) training_seqlen: Option<usize>,
    pub(super) base_seqlen: Option<usize>,
    pub(super) embed_layernorm: Option<bool>,
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
