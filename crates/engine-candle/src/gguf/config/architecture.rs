//! The architectures of GGUF files that are computed.

use super::experts;
use crate::Family;
use crate::gguf::GgufError;
use crate::gguf::file::GgufFile;
use crate::gguf::value::shortened;
use crate::text::config::RotaryPairs;

/// A family of models, by the name that GGUF files give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gguf) enum Architecture {
    Qwen2,
    Qwen3,
    /// Mistral's too.
    Llama,
    InternLm2,
    /// GLM-4 in either of its layouts, and `ChatGLM3`.
    ChatGlm,
    /// GLM-4-0414.
    Glm4,
    Gemma2,
    /// Llama with experts.
    Mixtral,
    Qwen2Moe,
    Qwen3Moe,
    /// llama.cpp calls it and its successor by the same name.
    DeepSeekV2,
    DeepSeekV3,
}

impl Architecture {
    /// Of those with the same name, the first says which of them it is.
    const ALL: [Self; 10] = [
        Self::Qwen2,
        Self::Qwen3,
        Self::Llama,
        Self::InternLm2,
        Self::ChatGlm,
        Self::Glm4,
        Self::Gemma2,
        Self::Qwen2Moe,
        Self::Qwen3Moe,
        Self::DeepSeekV2,
    ];

    pub(in crate::gguf) fn of(file: &GgufFile) -> Result<Self, GgufError> {
        let key = "general.architecture";
        let name = file.text(key)?.ok_or_else(|| super::missing(key))?;
        let found = Self::ALL
            .into_iter()
            .find(|architecture| architecture.name() == name);
        let found = found.ok_or_else(|| GgufError::Unsupported {
            key: key.to_owned(),
            value: format!("`{}`", shortened(name)),
            expected: "supported architectures are qwen2, qwen3, llama, internlm2, chatglm, glm4, gemma2, qwen2moe, qwen3moe and deepseek2",
        })?;
        match found {
            Self::Llama
                if file
                    .unsigned("llama.expert_count")?
                    .is_some_and(|count| count > 0) =>
            {
                Ok(Self::Mixtral)
            }
            Self::DeepSeekV2 => experts::deepseek(file),
            found => Ok(found),
        }
    }

    /// The prefix of its settings.
    pub(in crate::gguf) const fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama | Self::Mixtral => "llama",
            Self::Qwen2Moe => "qwen2moe",
            Self::Qwen3Moe => "qwen3moe",
            Self::DeepSeekV2 | Self::DeepSeekV3 => "deepseek2",
            Self::InternLm2 => "internlm2",
            Self::ChatGlm => "chatglm",
            Self::Glm4 => "glm4",
            Self::Gemma2 => "gemma2",
        }
    }

    /// The family that the engine computes it as; of several, the first.
    pub(in crate::gguf) const fn family(self) -> Family {
        match self {
            Self::Qwen2 => Family::Qwen2,
            Self::Qwen3 => Family::Qwen3,
            Self::Llama => Family::Llama,
            Self::InternLm2 => Family::InternLm2,
            Self::ChatGlm => Family::Glm,
            Self::Glm4 => Family::Glm4,
            Self::Gemma2 => Family::Gemma2,
            Self::Mixtral => Family::Mixtral,
            Self::Qwen2Moe => Family::Qwen2Moe,
            Self::Qwen3Moe => Family::Qwen3Moe,
            Self::DeepSeekV2 => Family::DeepSeekV2,
            Self::DeepSeekV3 => Family::DeepSeekV3,
        }
    }

    /// Whether a model of this family may have its weights in such a file.
    pub(in crate::gguf) fn computes(self, family: Family) -> bool {
        match self {
            Self::Llama => matches!(family, Family::Llama | Family::Mistral),
            Self::ChatGlm => matches!(family, Family::Glm | Family::ChatGlm),
            _ => self.family() == family,
        }
    }

    /// Which dimensions of a head llama.cpp rotates with each other (`llama_model_rope_type`): its
    /// converter reorders the query and key projections of Llama and of what is made like it.
    pub(in crate::gguf) const fn rotary_pairs(self) -> RotaryPairs {
        match self {
            Self::Llama
            | Self::Mixtral
            | Self::InternLm2
            | Self::ChatGlm
            | Self::Glm4
            | Self::DeepSeekV2
            | Self::DeepSeekV3 => RotaryPairs::Neighbours,
            Self::Qwen2 | Self::Qwen3 | Self::Gemma2 | Self::Qwen2Moe | Self::Qwen3Moe => RotaryPairs::Halves,
        }
    }

    /// The name in `config.json`. `windowed` says whether the file gives a sliding window.
    pub(super) const fn class(self, windowed: bool) -> &'static str {
        match self {
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Llama if windowed => "MistralForCausalLM",
            Self::Llama => "LlamaForCausalLM",
            Self::InternLm2 => "InternLM2ForCausalLM",
            Self::ChatGlm => "GlmForCausalLM",
            Self::Glm4 => "Glm4ForCausalLM",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Mixtral => "MixtralForCausalLM",
            Self::Qwen2Moe => "Qwen2MoeForCausalLM",
            Self::Qwen3Moe => "Qwen3MoeForCausalLM",
            Self::DeepSeekV2 => "DeepseekV2ForCausalLM",
            Self::DeepSeekV3 => "DeepseekV3ForCausalLM",
        }
    }
}
