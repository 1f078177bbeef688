//! `config.json` of a Hugging Face folder: read, checked, and turned into plain numbers.

mod checker;
mod raw;
mod rope;

use std::fs;
use std::path::Path;

use serde::Deserialize;

pub(crate) use self::checker::Checker;
use self::raw::RawConfig;
pub use self::rope::{RopeConfig, RopeScaling, YarnScaling};
use crate::LoadError;

/// A decoder family; what differs between them is data in [`ModelConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3: queries and keys are normalised per head.
    Qwen3,
    /// Llama 2 to 3.x.
    Llama,
}

/// Everything that the forward pass needs to know about a model, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family it belongs to.
    pub family: Family,
    /// Token ids the model has logits for.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head, even.
    pub head_dim: usize,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// Whether the output projection is the embedding table.
    pub tied_embeddings: bool,
    /// Which projections have biases.
    pub biases: Biases,
    /// Per layer, how many positions back (the own one included) it sees; `None` sees all.
    pub windows: Vec<Option<usize>>,
    /// Rotary position embedding.
    pub rope: RopeConfig,
    /// The longest sequence the model is made for, rope scaling included, in tokens.
    pub context_length: u32,
}

/// Which projections have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The attention's output.
    pub output: bool,
    /// Gate, up and down of the feed-forward block.
    pub mlp: bool,
}

impl ModelConfig {
    /// Reads and checks `config.json` in `folder`.
    ///
    /// # Errors
    /// Names the file and what is missing, malformed, contradictory or not supported.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("config.json");
        let text = read_file(&path)?;
        let raw = serde_json::from_slice(&text).map_err(|source| LoadError::Json {
            path: path.clone(),
            source,
        })?;
        Checker { path, raw }.check()
    }

    /// As [`ModelConfig::read`], of the contents that `path` has for `config.json`.
    pub(crate) fn of(path: &Path, content: &serde_json::Value) -> Result<Self, LoadError> {
        let path = path.to_owned();
        match RawConfig::deserialize(content) {
            Ok(raw) => Checker { path, raw }.check(),
            Err(source) => Err(LoadError::Json { path, source }),
        }
    }
}

/// Reads a whole small file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| file_error(path, source))
}

/// Tells a missing file from one that cannot be read.
pub(crate) fn file_error(path: &Path, source: std::io::Error) -> LoadError {
    let path = path.to_owned();
    if source.kind() == std::io::ErrorKind::NotFound {
        LoadError::Missing { path }
    } else {
        LoadError::Read { path, source }
    }
}

/// A size as a real number; exact below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "sizes and positions are far below 2^53"
)]
pub(crate) fn real(value: usize) -> f64 {
    value as f64
}

impl Checker<RawConfig> {
    fn check(self) -> Result<ModelConfig, LoadError> {
        let family = self.family()?;
        self.refuse_unsupported()?;
        let raw = &self.raw;
        let heads = self.size("num_attention_heads", raw.num_attention_heads)?;
        let kv_heads = self.size("num_key_value_heads", raw.num_key_value_heads.unwrap_or(heads))?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(self.invalid(
                "num_attention_heads",
                format!("({heads}) is not a multiple of num_key_value_heads ({kv_heads})"),
            ));
        }
        let hidden_size = self.size("hidden_size", raw.hidden_size)?;
        let head_dim = self.head_dim(family, hidden_size, heads)?;
        let layers = self.size("num_hidden_layers", raw.num_hidden_layers)?;
        let attention_bias = raw.attention_bias.unwrap_or(false);
        let rope = self.rope(head_dim)?;
        let norm_eps = raw.rms_norm_eps.unwrap_or(1e-6);
        if !(norm_eps >= 0.0 && norm_eps.is_finite()) {
            return Err(self.invalid("rms_norm_eps", format!("({norm_eps}) must be 0 or more")));
        }
        Ok(ModelConfig {
            family,
            vocab_size: self.size("vocab_size", raw.vocab_size)?,
            hidden_size,
            intermediate_size: self.size("intermediate_size", raw.intermediate_size)?,
            layers,
            heads,
            kv_heads,
            head_dim,
            norm_eps,
            tied_embeddings: raw.tie_word_embeddings.unwrap_or(false),
            biases: Biases {
                qkv: family == Family::Qwen2 || attention_bias,
                output: family != Family::Qwen2 && attention_bias,
                mlp: family == Family::Llama && raw.mlp_bias.unwrap_or(false),
            },
            windows: self.windows(family, layers)?,
            context_length: self.context_length(&rope)?,
            rope,
        })
    }

    /// `architectures` decides; `model_type` stands in where it is absent.
    fn family(&self) -> Result<Family, LoadError> {
        let architecture = self.raw.architectures.as_ref().and_then(|names| names.first());
        let name = architecture.or(self.raw.model_type.as_ref());
        match name.map(String::as_str) {
            Some("Qwen2ForCausalLM" | "qwen2") => Ok(Family::Qwen2),
            Some("Qwen3ForCausalLM" | "Qwen3Model" | "qwen3") => Ok(Family::Qwen3),
            Some("LlamaForCausalLM" | "llama") => Ok(Family::Llama),
            other => Err(LoadError::UnknownArchitecture {
                path: self.path.clone(),
                value: other.map_or_else(|| "(none given)".to_owned(), |name| format!("`{name}`")),
            }),
        }
    }

    /// Refuses what would otherwise be computed wrongly and silently.
    fn refuse_unsupported(&self) -> Result<(), LoadError> {
        if let Some(activation) = self.raw.hidden_act.as_ref().filter(|name| *name != "silu") {
            return Err(self.unsupported("hidden_act", activation.clone(), "only silu"));
        }
        if let Some(quantization) = &self.raw.quantization_config {
            return Err(self.unsupported(
                "quantization_config",
                quantization.to_string(),
                "only unquantised weights in f32, bf16 or f16",
            ));
        }
        let dtype = self.raw.dtype.as_ref().or(self.raw.torch_dtype.as_ref());
        match dtype.map(|name| name.trim_start_matches("torch.")) {
            None | Some("float32" | "bfloat16" | "float16") => Ok(()),
            Some(other) => {
                Err(self.unsupported("torch_dtype", other.to_owned(), "float32, bfloat16 or float16"))
            }
        }
    }

    fn head_dim(&self, family: Family, hidden_size: usize, heads: usize) -> Result<usize, LoadError> {
        let head_dim = match (self.raw.head_dim, family) {
            (Some(width), _) => width,
            // The reference's default for this family is a constant, not a quotient.
            (None, Family::Qwen3) => 128,
            (None, Family::Qwen2 | Family::Llama) if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            (None, Family::Qwen2 | Family::Llama) => {
                let problem = format!("({hidden_size}) is not a multiple of num_attention_heads ({heads})");
                return Err(self.invalid("hidden_size", problem));
            }
        };
        let head_dim = self.size("head_dim", head_dim)?;
        if head_dim.is_multiple_of(2) {
            Ok(head_dim)
        } else {
            Err(self.invalid(
                "head_dim",
                format!("({head_dim}) must be even for rotary embeddings"),
            ))
        }
    }

    /// Sliding windows: explicit `layer_types` win, else the layers from `max_window_layers` on.
    fn windows(&self, family: Family, layers: usize) -> Result<Vec<Option<usize>>, LoadError> {
        let raw = &self.raw;
        if family == Family::Llama || !raw.use_sliding_window.unwrap_or(false) {
            return Ok(vec![None; layers]);
        }
        let window = self.size("sliding_window", raw.sliding_window.unwrap_or(4096))?;
        let Some(types) = &raw.layer_types else {
            let first = raw.max_window_layers.unwrap_or(28);
            return Ok((0..layers)
                .map(|layer| (layer >= first).then_some(window))
                .collect());
        };
        if types.len() != layers {
            let problem = format!("has {} entries for {layers} layers", types.len());
            return Err(self.invalid("layer_types", problem));
        }
        let window_of = |kind: &String| match kind.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(Some(window)),
            other => Err(self.unsupported(
                "layer_types",
                other.to_owned(),
                "full_attention or sliding_attention",
            )),
        };
        types.iter().map(window_of).collect()
    }

    /// The position limit, stretched where the rope scaling is what makes longer sequences work
    /// (linear, dynamic and yarn name the original limit; llama3 configurations the final one).
    fn context_length(&self, rope: &RopeConfig) -> Result<u32, LoadError> {
        let positions = self.size("max_position_embeddings", self.raw.max_position_embeddings)?;
        let stretched = match &rope.scaling {
            RopeScaling::Default | RopeScaling::Llama3 { .. } => real(positions),
            RopeScaling::Linear { factor } | RopeScaling::Dynamic { factor, .. } => real(positions) * factor,
            RopeScaling::Yarn(yarn) => yarn.original_positions * yarn.factor,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by the clamp"
        )]
        Ok(stretched.clamp(1.0, f64::from(u32::MAX)) as u32)
    }
}

#[cfg(test)]
mod tests;
