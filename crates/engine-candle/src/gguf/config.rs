//! `config.json` from the metadata of a GGUF file.

mod architecture;
mod experts;

use std::fmt::Display;

use serde_json::{Map, Value, json};

pub(super) use self::architecture::Architecture;
use super::file::GgufFile;
use super::{GgufError, rope};

/// The settings of one architecture, by their names without the prefix.
pub(super) struct Settings<'file> {
    pub(super) file: &'file GgufFile,
    architecture: Architecture,
}

impl<'file> Settings<'file> {
    pub(super) fn new(file: &'file GgufFile, architecture: Architecture) -> Self {
        Self { file, architecture }
    }

    pub(super) fn has_latent_attention(&self) -> bool {
        self.architecture.family().has_latent_attention()
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

    /// How far back layers see, where that is less than the context.
    fn window(&self) -> Result<Option<u64>, GgufError> {
        let name = "attention.sliding_window";
        let given = self.size(name)?;
        match self.architecture {
            Architecture::Gemma2 => Ok(Some(given.unwrap_or(4096))),
            architecture => {
                let context = self.needed("context_length")?;
                match given.filter(|positions| (1..context).contains(positions)) {
                    // Which of the layers have it, files of other architectures do not say.
                    Some(positions)
                        if !matches!(architecture, Architecture::Llama | Architecture::Mixtral) =>
                    {
                        Err(self.unsupported(name, &positions, "attention over the whole context"))
                    }
                    window => Ok(window),
                }
            }
        }
    }

    /// A size that may also be given once for each layer, if it is the same for all.
    pub(super) fn size_of_layers(&self, name: &str) -> Result<Option<u64>, GgufError> {
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
    let window = settings.window()?;
    let layers = settings.needed("block_count")?;
    let config = json!({
        "architectures": [architecture.class(window.is_some())],
        "model_type": architecture.name(),
        "vocab_size": embedding.shape.first().copied().unwrap_or_default(),
        "hidden_size": hidden_size,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_act": if architecture == Architecture::Gemma2 { "gelu_pytorch_tanh" } else { "silu" },
        "max_position_embeddings": settings.needed("context_length")?,
        "rms_norm_eps": norm_eps,
        "rope_theta": settings.real("rope.freq_base")?.unwrap_or(10_000.0),
        "rope_scaling": rope::scaling(&settings, head_dim)?,
        "partial_rotary_factor": rotated_part(&settings, head_dim)?,
        "tie_word_embeddings": !has("output.weight"),
        // The Qwen2 family always has these biases, and its configurations do not mention them.
        "attention_bias": !matches!(architecture, Architecture::Qwen2 | Architecture::Qwen2Moe)
            && (has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias")),
        "bias": has("blk.0.attn_q.bias"),
        "mlp_bias": has("blk.0.ffn_gate.bias"),
        "use_sliding_window": false,
        "sliding_window": window,
    });
    let Value::Object(mut config) = config else {
        return Ok(Map::new());
    };
    if architecture == Architecture::Gemma2 {
        // As in llama.cpp: the file does not say, and one of the sizes is scaled in another way.
        let scalar = if layers == 46 {
            hidden_size / heads
        } else {
            head_dim
        };
        let cap = |name, default| settings.real(name).map(|given| json!(given.unwrap_or(default)));
        config.insert("query_pre_attn_scalar".to_owned(), json!(scalar));
        config.insert(
            "attn_logit_softcapping".to_owned(),
            cap("attn_logit_softcapping", 50.0)?,
        );
        config.insert(
            "final_logit_softcapping".to_owned(),
            cap("final_logit_softcapping", 30.0)?,
        );
    }
    experts::add(&settings, &mut config)?;
    Ok(config)
}

/// The part of a head that is rotated; null for all of it.
fn rotated_part(settings: &Settings<'_>, head_dim: u64) -> Result<Value, GgufError> {
    let name = "rope.dimension_count";
    let Some(rotated) = settings.size(name)?.filter(|rotated| *rotated != head_dim) else {
        return Ok(Value::Null);
    };
    if !matches!(settings.architecture, Architecture::ChatGlm | Architecture::Glm4) {
        return Err(settings.unsupported(name, &rotated, "only the width of a head's keys"));
    }
    let sizes = u32::try_from(rotated).ok().zip(u32::try_from(head_dim).ok());
    let part = sizes.map(|(rotated, head_dim)| f64::from(rotated) / f64::from(head_dim));
    Ok(json!(part))
}

fn head_dim(settings: &Settings<'_>, hidden_size: u64, heads: u64) -> Result<u64, GgufError> {
    if settings.has_latent_attention() {
        // What is rotated; the widths of heads are settings of their own.
        return settings.needed("rope.dimension_count");
    }
    let divided = hidden_size.checked_div(heads);
    let divided = divided.filter(|_| hidden_size.is_multiple_of(heads));
    let given = settings.size("attention.key_length")?;
    let head_dim = given.or(divided).ok_or_else(|| GgufError::Invalid {
        key: settings.key("attention.head_count"),
        problem: format!("({heads}) does not divide the embedding_length ({hidden_size})"),
    })?;
    let name = "attention.value_length";
    match settings.size(name)? {
        Some(other) if other != head_dim => {
            Err(settings.unsupported(name, &other, "only the width of a head's keys"))
        }
        _ => Ok(head_dim),
    }
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
    let architecture = settings.architecture;
    if matches!(architecture, Architecture::Qwen2 | Architecture::Qwen3)
        && let Some(experts @ 1..) = settings.size("expert_count")?
    {
        return Err(settings.unsupported("expert_count", &experts, "models without experts"));
    }
    if let Some(false) = settings.file.bool(&settings.key("attention.causal"))? {
        return Err(settings.unsupported("attention.causal", &false, "models that generate text"));
    }
    Ok(())
}

pub(super) fn missing(key: &str) -> GgufError {
    GgufError::MissingKey { key: key.to_owned() }
}
