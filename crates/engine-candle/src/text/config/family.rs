//! The families of decoders, by the names that configurations give them.

/// A decoder family; what differs between them is data in [`ModelConfig`](super::ModelConfig).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3: queries and keys are normalised per head.
    Qwen3,
    /// Llama 2 to 3.x, Yi, and others that are made like them.
    Llama,
    /// Mistral: Llama with sliding windows.
    Mistral,
    /// `InternLM` 2 and 2.5: Llama with packed projections.
    InternLm2,
    /// GLM-4 in the layout of the transformers library: half of each head is rotated.
    Glm,
    /// GLM-4-0414 and GLM-Z1: GLM-4 with norms behind attention and feed-forward block too.
    Glm4,
    /// `ChatGLM2`, `ChatGLM3` and GLM-4 in the layout of their own code.
    ChatGlm,
    /// Gemma 2: bounded logits, norms on both sides, every other layer with a sliding window.
    Gemma2,
    /// `TeleChat` and `TeleChat2`: Llama with keys and values in one projection.
    TeleChat,
    /// Mixtral: Mistral with experts.
    Mixtral,
    /// Qwen1.5-MoE and Qwen2-MoE: Qwen2's attention, experts, and a shared one with a gate.
    Qwen2Moe,
    /// Qwen3-MoE: Qwen3's attention and experts.
    Qwen3Moe,
    /// DeepSeek-V2 and V2.5: latent attention, experts by softmax.
    DeepSeekV2,
    /// DeepSeek-V3 and R1: latent attention, experts by sigmoid and a learned bias.
    DeepSeekV3,
}

/// How the tensors of a decoder are called and packed in safetensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorLayout {
    /// As of Llama in the transformers library: a tensor for each projection.
    Plain,
    /// As `Plain`, but gate and up are one: `gate_up_proj`.
    Glm,
    /// `query_key_value` and `dense_h_to_4h`, each packed part after part.
    ChatGlm,
    /// `wqkv`, packed group by group: the queries of a key head, the keys, the values.
    InternLm2,
    /// As `Plain`, but for the names of the norms.
    Gemma2,
    /// `key_value`, packed head by head: the keys, the values.
    TeleChat,
}

impl Family {
    /// The family that an architecture or a model type belongs to; `None` for one that is not computed.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "Qwen2ForCausalLM" | "qwen2" => Self::Qwen2,
            "Qwen3ForCausalLM" | "Qwen3Model" | "qwen3" => Self::Qwen3,
            "LlamaForCausalLM" | "llama" => Self::Llama,
            "MistralForCausalLM" | "mistral" => Self::Mistral,
            "InternLM2ForCausalLM" | "internlm2" => Self::InternLm2,
            "GlmForCausalLM" | "glm" => Self::Glm,
            "Glm4ForCausalLM" | "glm4" => Self::Glm4,
            "ChatGLMModel" | "ChatGLMForConditionalGeneration" | "chatglm" => Self::ChatGlm,
            "Gemma2ForCausalLM" | "gemma2" => Self::Gemma2,
            "TelechatForCausalLM"
            | "Telechat2ForCausalLM"
            | "TeleChatForCausalLM"
            | "TeleChat2ForCausalLM"
            | "telechat" => Self::TeleChat,
            "MixtralForCausalLM" | "mixtral" => Self::Mixtral,
            "Qwen2MoeForCausalLM" | "qwen2_moe" => Self::Qwen2Moe,
            "Qwen3MoeForCausalLM" | "qwen3_moe" => Self::Qwen3Moe,
            "DeepseekV2ForCausalLM" | "deepseek_v2" => Self::DeepSeekV2,
            "DeepseekV3ForCausalLM" | "deepseek_v3" => Self::DeepSeekV3,
            _ => return None,
        })
    }

    /// Its name for people and programs, such as `qwen2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::InternLm2 => "internlm2",
            Self::Glm => "glm",
            Self::Glm4 => "glm4",
            Self::ChatGlm => "chatglm",
            Self::Gemma2 => "gemma2",
            Self::TeleChat => "telechat",
            Self::Mixtral => "mixtral",
            Self::Qwen2Moe => "qwen2-moe",
            Self::Qwen3Moe => "qwen3-moe",
            Self::DeepSeekV2 => "deepseek-v2",
            Self::DeepSeekV3 => "deepseek-v3",
        }
    }

    /// Whether its attention runs over latents.
    pub(crate) const fn has_latent_attention(self) -> bool {
        matches!(self, Self::DeepSeekV2 | Self::DeepSeekV3)
    }

    /// How its tensors lie in safetensors.
    pub(super) const fn layout(self) -> TensorLayout {
        match self {
            Self::Qwen2
            | Self::Qwen3
            | Self::Llama
            | Self::Mistral
            | Self::Mixtral
            | Self::Qwen2Moe
            | Self::Qwen3Moe
            | Self::DeepSeekV2
            | Self::DeepSeekV3 => TensorLayout::Plain,
            Self::Glm | Self::Glm4 => TensorLayout::Glm,
            Self::ChatGlm => TensorLayout::ChatGlm,
            Self::InternLm2 => TensorLayout::InternLm2,
            Self::Gemma2 => TensorLayout::Gemma2,
            Self::TeleChat => TensorLayout::TeleChat,
        }
    }
}
