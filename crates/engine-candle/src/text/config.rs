//! `config.json` of a Hugging Face folder: read, checked, and turned into plain numbers.

mod check;
mod checker;
mod family;
mod fp8;
mod mla;
mod moe;
mod raw;
mod rope;
mod theta;
mod windows;

use std::fs;
use std::path::Path;

use serde::Deserialize;

pub(crate) use self::checker::Checker;
pub use self::family::{Family, TensorLayout};
pub use self::fp8::Fp8Blocks;
pub use self::mla::MlaConfig;
pub use self::moe::{ExpertGroups, MoeConfig, RouterScores, RoutingConfig, SharedExpert};
use self::raw::RawConfig;
pub use self::rope::{RopeConfig, RopeScaling, RotaryPairs, YarnScaling};
use crate::LoadError;

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
    /// Whether weights without an output projection have the embedding table for it: the file does not
    /// say (`TeleChat`, some of whose models are saved so).
    pub tied_without_head: bool,
    /// Which projections have biases.
    pub biases: Biases,
    /// Per layer, how many positions back (the own one included) it sees; `None` sees all.
    pub windows: Vec<Option<usize>>,
    /// Rotary position embedding.
    pub rope: RopeConfig,
    /// The longest sequence the model is made for, rope scaling included, in tokens.
    pub context_length: u32,
    /// Where norms stand besides those before attention and feed-forward block.
    pub norms: Norms,
    /// What the gate of the feed-forward block goes through.
    pub gate: GateFunction,
    /// What becomes of attention's logits before their softmax.
    pub scores: AttentionScores,
    /// Bounds the model's logits, if anything does: `cap * tanh(logit / cap)`.
    pub logit_soft_cap: Option<f64>,
    /// Multiplies the embeddings; 1 in most families.
    pub embedding_factor: f64,
    /// How the tensors are called and packed in safetensors.
    pub layout: TensorLayout,
    /// What stands in place of attention by heads; `None` where there are heads.
    pub mla: Option<Box<MlaConfig>>,
    /// The experts; `None` where all layers are dense.
    pub moe: Option<Box<MoeConfig>>,
    /// The blocks that share a scale, where matrices in safetensors are 8-bit floats.
    pub fp8: Option<Fp8Blocks>,
}

/// Where norms stand, and what their weights mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Norms {
    /// Queries and keys are normalised, each head for itself.
    pub heads: bool,
    /// The results of attention and of the feed-forward block are normalised too, before they are added.
    pub after: bool,
    /// In safetensors, a norm multiplies by one plus its weight.
    pub unit_offset: bool,
}

/// What the gate of a feed-forward block goes through before it multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateFunction {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU, approximated with the hyperbolic tangent.
    GeluTanh,
}

/// What becomes of the products of queries and keys before their softmax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionScores {
    /// Multiplies them.
    pub factor: f64,
    /// Bounds them, if anything does: `cap * tanh(product * factor / cap)`.
    pub soft_cap: Option<f64>,
}

impl AttentionScores {
    /// One over the root of the width of a head, and no bound.
    pub fn of_width(head_dim: usize) -> Self {
        Self {
            factor: 1.0 / real(head_dim).sqrt(),
            soft_cap: None,
        }
    }
}

/// Which projections have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one answer for each projection, none of which follows from another"
)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The attention's output.
    pub output: bool,
    /// Gate and up of the feed-forward block.
    pub gate_up: bool,
    /// Down of the feed-forward block.
    pub down: bool,
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

    /// Takes the embedding table for the output projection where the weights lack one and may.
    pub(crate) fn settle_head(&mut self, there: bool) {
        self.tied_embeddings |= self.tied_without_head && !there;
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

#[cfg(test)]
mod tests;
