//! Whether a folder is a model that this Silica can serve: the engine's and the text layer's own
//! checks, of headers and text files.

use std::path::Path;

use silica_engine::Feature;
use silica_engine_candle::{Family, FolderSummary, ModelConfig};
use silica_text::TextSummary;
use silica_types::TokenCount;

use crate::{ModelFacts, ModelId, StoreError, WeightFormat};

/// Checks configuration, tokenizer and templates, before the weights are there. Blocks.
pub(crate) fn texts(id: &ModelId, folder: &Path) -> Result<(), StoreError> {
    let config = ModelConfig::read(folder).map_err(|source| StoreError::Weights {
        id: id.clone(),
        source: Box::new(source),
    })?;
    summary_of_texts(id, folder, &config).map(drop)
}

/// Checks a whole folder and tells what it is. Blocks.
pub(crate) fn folder(id: &ModelId, folder: &Path) -> Result<ModelFacts, StoreError> {
    let weights = silica_engine_candle::inspect(folder).map_err(|source| StoreError::Weights {
        id: id.clone(),
        source: Box::new(source),
    })?;
    let texts = summary_of_texts(id, folder, &weights.config)?;
    Ok(facts(weights, &texts))
}

fn summary_of_texts(id: &ModelId, folder: &Path, config: &ModelConfig) -> Result<TextSummary, StoreError> {
    let logits = u32::try_from(config.vocab_size).unwrap_or(u32::MAX);
    let context = TokenCount(config.context_length);
    silica_text::inspect(folder, logits, context).map_err(|source| StoreError::Text {
        id: id.clone(),
        source: Box::new(source),
    })
}

fn facts(weights: FolderSummary, texts: &TextSummary) -> ModelFacts {
    let config = weights.config;
    let mut features: Vec<String> = texts
        .features
        .iter()
        .filter_map(|feature| match feature {
            Feature::JsonMode => Some("json"),
            Feature::Tools => Some("tools"),
            Feature::Prefix => Some("prefix"),
            Feature::FillInMiddle => Some("fim"),
            _ => None,
        })
        .map(str::to_owned)
        .collect();
    if texts.reasons {
        features.push("reasoning".to_owned());
    }
    ModelFacts {
        format: if weights.is_gguf {
            WeightFormat::Gguf
        } else {
            WeightFormat::Safetensors
        },
        quantisation: weights.number_format,
        architecture: match config.family {
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
            Family::Llama => "llama",
        }
        .to_owned(),
        parameters: weights.parameters,
        layers: config.layers as u64,
        hidden_size: config.hidden_size as u64,
        heads: config.heads as u64,
        kv_heads: config.kv_heads as u64,
        vocabulary: config.vocab_size as u64,
        context_length: config.context_length,
        features,
    }
}
