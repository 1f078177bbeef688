//! Looks into a model folder without loading it: the configuration, and the headers of the weights.

use std::path::Path;

use candle_core::Device;

use crate::text::weights::{Placement, Weights};
use crate::{GGUF_WEIGHTS, GgufModel, LoadError, ModelConfig, Precision};

/// What a model folder holds, as far as it can be told without reading the weights' values.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderSummary {
    /// From `config.json`.
    pub config: ModelConfig,
    /// Whether the weights are one GGUF file, and not safetensors.
    pub is_gguf: bool,
    /// The number format that most bytes of the weights have, such as `BF16` or `Q4_K`.
    pub number_format: String,
    /// How many numbers the weights are.
    pub parameters: u64,
}

/// Reads `config.json` and the headers of the weights, and checks that these are whole and are the
/// weights of that configuration. Takes time and memory in proportion to the headers only. Blocks.
///
/// # Errors
/// Names the file and what is missing, truncated, malformed or not supported in it.
pub fn inspect(folder: &Path) -> Result<FolderSummary, LoadError> {
    let config = ModelConfig::read(folder)?;
    let placement = Placement {
        device: Device::Cpu,
        precision: Precision::default(),
    };
    let weights = Weights::in_folder(folder, &config, placement)?;
    weights.check(&config)?;
    let safetensors = weights.sum()?;
    let is_gguf = safetensors.is_none();
    let (number_format, parameters) = if let Some((format, values)) = safetensors {
        (format.to_owned(), values)
    } else {
        let model = GgufModel::open(&folder.join(GGUF_WEIGHTS))?;
        (model.quantisation().to_owned(), model.parameters())
    };
    Ok(FolderSummary {
        config,
        is_gguf,
        number_format,
        parameters,
    })
}
