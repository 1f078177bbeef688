//! `config.json` from the metadata of a GGUF file.

use std::fmt::Display;

use serde_json::{Map, Value, json};

use super::file::GgufFile;
use super::{GgufError, rope};
use crate::Family;

/// A family of models, by the name that GGUF files give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    Qwen2,
    Qwen3,
    Llama,
}

impl Architecture {
    pub(super) fn of(file: &GgufFile) -> Result<Self, GgufError> {
        let key = "general.architecture";
        match file.text(key)?.ok_or_else(|| missing(key))? {
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            "llama" => Ok(Self::Llama),
            other => Err(GgufError::Unsupported {
                key: key.to_owned(),
                value: format!("`{}`", super::value::shortened(other)),
                expected: "supported architectures are qwen2, qwen3 and llama",
            }),
        }
    }

    /// The prefix of its settings.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
        }
    }

    /// The family that the engine computes it as.
    pub(super) fn family(self) -> Family {
        match self {
            Self::Qwen2 => Family::Qwen2,
            Self::Qwen3 => Family::Qwen3,
            Self::Llama => Family::Llama,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Llama => "LlamaForCausalLM",
        }
    }
}

/// The settings of one architecture, by their names without the prefix.
pub(super) struct Settings<'file> {
    pub(super) file: &'file GgufFile,
    architecture: Architecture,
}

impl<'file> Settings<'file> {
    pub(super) fn new(file: &'file GgufFile, architecture: Architecture) -> Self {
        Self { file, architecture }
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture.name())
    }

    pub(super) fn real(&self, name: &str) -> Result<Option<f64>, GgufError> {
        self.file.real(&self.key(name))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'file str>, GgufError> {
        self.file.text(&self.key(name))
    }

    pub(super) fn size(&self, name: &str) -> Result<Option<u64>, GgufError> {
        self.file.unsigned(&self.key(name))
    }

    pub(super) fn needed(&self, name: &str) -> Result<u64, GgufError> {
        self.size(name)?.ok_or_else(|| missing(&self.key(name)))
    }

    pub(super) fn unsupported(&self, name: &str, value: &dyn Display, expected: &'static str) -> GgufError {
        GgufError::Unsupported {
            key: self.key(name),
            value: value.to_string(),
            expected,
        }
    }

    /// A size that may also be given once for each layer, if it is the same for all.
    fn size_of_layers(&self, name: &str) -> Result<Option<u64>, GgufError> {
        let key = self.key(name);
        let Ok(Some(values)) = self.file.integers(&key) else {
            return self.file.unsigned(&key);
        };
        match values {
            [first, rest @ ..] if rest.iter().all(|value| value == first) => {
                u64::try_from(*first).map(Some).map_err(|_| GgufError::Invalid {
                    key,
                    problem: format!("({first}) must be 0 or more"),
                })
            }
            _ => Err(self.unsupported(name, &"different sizes", "the same for all layers")),
        }
    }
}

/// The whole file; token ids that end an answer are added by the caller.
///
/// # Errors
/// Names the setting that is missing, contradictory or not computed by this engine.
pub(super) fn model_config(
    file: &GgufFile,
    architecture: Architecture,
) -> Result<Map<String, Value>, GgufError> {
    let settings = Settings::new(file, architecture);
    refuse_unsupported(&settings)?;
    let embedding = file
        .tensor("token_embd.weight")
        .ok_or_else(|| GgufError::MissingTensor("token_embd.weight".to_owned()))?;
    let hidden_size = settings.needed("embedding_length")?;
    let heads = settings.size_of_layers("attention.head_count")?;
    let heads = heads.ok_or_else(|| missing(&settings.key("attention.head_count")))?;
    let kv_heads = settings
        .size_of_layers("attention.head_count_kv")?
        .unwrap_or(heads);
    let head_dim = head_dim(&settings, hidden_size, heads)?;
    let feed_forward = settings.size_of_layers("feed_forward_length")?;
    let feed_forward = feed_forward.ok_or_else(|| missing(&settings.key("feed_forward_length")))?;
    let norm = "attention.layer_norm_rms_epsilon";
    let norm_eps = settings.real(norm)?.ok_or_else(|| missing(&settings.key(norm)))?;
    let has = |name: &str| file.tensor(name).is_some();
    let config = json!({
        "architectures": [architecture.class()],
        "model_type": architecture.name(),
        "vocab_size": embedding.shape.first().copied().unwrap_or_default(),
        "hidden_size": hidden_size,
        "intermediate_size": feed_forward,
        "num_hidden_layers": settings.needed("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": settings.needed("context_length")?,
        "rms_norm_eps": norm_eps,
        "rope_theta": settings.real("rope.freq_base")?.unwrap_or(10_000.0),
        "rope_scaling": rope::scaling(&settings, head_dim)?,
        "tie_word_embeddings": !has("output.weight"),
        // The Qwen2 family always has these biases, and its configurations do not mention them.
        "attention_bias": architecture != Architecture::Qwen2 && has("blk.0.attn_q.bias"),
        "mlp_bias": has("blk.0.ffn_gate.bias"),
        "use_sliding_window": false,
    });
    match config {
        Value::Object(config) => Ok(config),
        _ => Ok(Map::new()),
    }
}

fn head_dim(settings: &Settings<'_>, hidden_size: u64, heads: u64) -> Result<u64, GgufError> {
    let divided = hidden_size.checked_div(heads);
    let divided = divided.filter(|_| hidden_size.is_multiple_of(heads));
    let given = settings.size("attention.key_length")?;
    let head_dim = given.or(divided).ok_or_else(|| GgufError::Invalid {
        key: settings.key("attention.head_count"),
        problem: format!("({heads}) does not divide the embedding_length ({hidden_size})"),
    })?;
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(other) = settings.size(name)?
            && other != head_dim
        {
            return Err(settings.unsupported(name, &other, "only the width of a head's keys"));
        }
    }
    Ok(head_dim)
}

/// Refuses what would otherwise be computed wrongly and silently.
fn refuse_unsupported(settings: &Settings<'_>) -> Result<(), GgufError> {
    let key = "split.count";
    if let Some(parts @ 2..) = settings.file.unsigned(key)? {
        return Err(GgufError::Unsupported {
            key: key.to_owned(),
            value: parts.to_string(),
            expected: "a model in one file; `llama-gguf-split --merge` joins the parts",
        });
    }
    if let Some(experts @ 1..) = settings.size("expert_count")? {
        return Err(settings.unsupported("expert_count", &experts, "models without experts"));
    }
    let window = "attention.sliding_window";
    if let Some(positions) = settings.size(window)?
        && (1..settings.needed("context_length")?).contains(&positions)
    {
        return Err(settings.unsupported(window, &positions, "attention over the whole context"));
    }
    if let Some(false) = settings.file.bool(&settings.key("attention.causal"))? {
        return Err(settings.unsupported("attention.causal", &false, "models that generate text"));
    }
    Ok(())
}

pub(super) fn missing(key: &str) -> GgufError {
    GgufError::MissingKey { key: key.to_owned() }
}
