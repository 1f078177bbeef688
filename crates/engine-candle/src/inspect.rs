//! Looks into a model folder without loading it: the configuration, and the headers of the weights.

use std::path::Path;

use candle_core::Device;

use crate::encode::{is_decoder, longest_text};
use crate::text::weights::{Placement, Weights};
use crate::{
    EncoderConfig, EncoderFamily, GGUF_WEIGHTS, GgufModel, LoadError, ModelConfig, ModelKind, Precision,
};

/// What a model folder holds, as far as it can be told without reading the weights' values.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderSummary {
    /// From `config.json` and the files beside it.
    pub shape: ModelShape,
    /// Whether the weights are one GGUF file, and not safetensors.
    pub is_gguf: bool,
    /// The number format that most bytes of the weights have, such as `BF16` or `Q4_K`.
    pub number_format: String,
    /// How many numbers the weights are.
    pub parameters: u64,
}

/// What a model is for, and its sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelShape {
    /// What the folder says that it is for.
    pub kind: ModelKind,
    /// Such as `qwen2` ([`Family::name`](crate::Family::name)), or `bert` or `xlm-roberta`.
    pub family: &'static str,
    /// Token ids that the model knows.
    pub vocabulary: u32,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// The longest sequence, in tokens.
    pub context_length: u32,
}

/// Which of the two ways to look at a sequence a model has.
enum AnyConfig {
    Decoder(ModelConfig),
    Bidirectional(EncoderConfig),
}

impl AnyConfig {
    fn read(folder: &Path) -> Result<Self, LoadError> {
        if is_decoder(folder)? {
            ModelConfig::read(folder).map(Self::Decoder)
        } else {
            EncoderConfig::read(folder).map(Self::Bidirectional)
        }
    }
}

impl ModelShape {
    /// Reads what a folder's configuration says; its weights need not be there.
    ///
    /// # Errors
    /// Names the file and what is missing, malformed or not supported in it.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        Self::of(folder, &AnyConfig::read(folder)?)
    }

    fn of(folder: &Path, config: &AnyConfig) -> Result<Self, LoadError> {
        let kind = ModelKind::of_folder(folder)?;
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let own_limit = |limit: u32| match kind {
            ModelKind::Chat => Ok(limit),
            ModelKind::Embedding | ModelKind::Reranker => {
                longest_text(folder).map(|longest| longest.map_or(limit, |longest| longest.min(limit)))
            }
        };
        Ok(match config {
            AnyConfig::Decoder(config) => Self {
                kind,
                family: config.family.name(),
                vocabulary: number(config.vocab_size),
                hidden_size: config.hidden_size,
                layers: config.layers,
                heads: config.heads,
                kv_heads: config.kv_heads,
                context_length: own_limit(config.context_length)?,
            },
            AnyConfig::Bidirectional(config) => Self {
                kind,
                family: match config.family {
                    EncoderFamily::Bert => "bert",
                    EncoderFamily::XlmRoberta => "xlm-roberta",
                },
                vocabulary: number(config.vocab_size),
                hidden_size: config.hidden_size,
                layers: config.layers,
                heads: config.heads,
                kv_heads: config.heads,
                context_length: own_limit(config.context_length())?,
            },
        })
    }
}

/// Reads `config.json` and the headers of the weights, and checks that these are whole and are the
/// weights of that configuration. Takes time and memory in proportion to the headers only. Blocks.
///
/// # Errors
/// Names the file and what is missing, truncated, malformed or not supported in it.
pub fn inspect(folder: &Path) -> Result<FolderSummary, LoadError> {
    let config = AnyConfig::read(folder)?;
    let shape = ModelShape::of(folder, &config)?;
    let placement = Placement {
        device: Device::Cpu,
        precision: Precision::default(),
    };
    let (weights, layers) = match config {
        AnyConfig::Bidirectional(config) => {
            let weights = Weights::in_safetensors(folder, placement)?;
            weights.check_encoder(&config)?;
            (weights, config.layers)
        }
        AnyConfig::Decoder(mut config) => {
            // Only models that write are loaded from a GGUF.
            let weights = if shape.kind == ModelKind::Chat {
                Weights::in_folder(folder, &config, placement)?
            } else {
                Weights::of_decoder(folder, &config, placement)?
            };
            let has_head = weights.has("lm_head.weight");
            config.settle_head(has_head);
            // One that is not for writing has no use for a head.
            config.tied_embeddings |= shape.kind != ModelKind::Chat && !has_head;
            weights.check(&config)?;
            (weights, config.layers)
        }
    };
    let safetensors = weights.sum(layers)?;
    let is_gguf = safetensors.is_none();
    let (number_format, parameters) = if let Some((format, values)) = safetensors {
        (format.to_owned(), values)
    } else {
        let model = GgufModel::open(&folder.join(GGUF_WEIGHTS))?;
        (model.quantisation().to_owned(), model.parameters())
    };
    Ok(FolderSummary {
        shape,
        is_gguf,
        number_format,
        parameters,
    })
}
