//! Whether a folder is a model that this Silica can serve: the engine's and the text layer's own
//! checks, of headers and text files.

use std::path::Path;

use silica_engine::Feature;
use silica_engine_candle::{FolderSummary, ModelKind, ModelShape};
use silica_text::TextSummary;
use silica_types::TokenCount;

use crate::{ModelFacts, ModelId, StoreError, WeightFormat};

/// Checks configuration, tokenizer and templates, before the weights are there. Blocks.
pub(crate) fn texts(id: &ModelId, folder: &Path) -> Result<(), StoreError> {
    let shape = ModelShape::read(folder).map_err(|source| StoreError::Weights {
        id: id.clone(),
        source: Box::new(source),
    })?;
    summary_of_texts(id, folder, &shape).map(drop)
}

/// Checks a whole folder and tells what it is. Blocks.
pub(crate) fn folder(id: &ModelId, folder: &Path) -> Result<ModelFacts, StoreError> {
    let weights = silica_engine_candle::inspect(folder).map_err(|source| StoreError::Weights {
        id: id.clone(),
        source: Box::new(source),
    })?;
    let texts = summary_of_texts(id, folder, &weights.shape)?;
    Ok(facts(weights, texts.as_ref()))
}

/// Checks the text files; tells what they provide for, of a model that writes texts.
fn summary_of_texts(
    id: &ModelId,
    folder: &Path,
    shape: &ModelShape,
) -> Result<Option<TextSummary>, StoreError> {
    let refused = |source| StoreError::Text {
        id: id.clone(),
        source: Box::new(source),
    };
    let context = TokenCount(shape.context_length);
    match shape.kind {
        ModelKind::Chat => silica_text::inspect(folder, shape.vocabulary, context)
            .map(Some)
            .map_err(refused),
        ModelKind::Embedding | ModelKind::Reranker => silica_text::inspect_reader(folder, shape.vocabulary)
            .map(|_tokens| None)
            .map_err(refused),
    }
}

fn facts(weights: FolderSummary, texts: Option<&TextSummary>) -> ModelFacts {
    let shape = weights.shape;
    let mut features: Vec<String> = texts
        .iter()
        .flat_map(|texts| &texts.features)
        .filter_map(|feature| match feature {
            Feature::JsonMode => Some("json"),
            Feature::Tools => Some("tools"),
            Feature::Prefix => Some("prefix"),
            Feature::FillInMiddle => Some("fim"),
            _ => None,
        })
        .map(str::to_owned)
        .collect();
    if texts.is_some_and(|texts| texts.reasons) {
        features.push("reasoning".to_owned());
    }
    ModelFacts {
        format: if weights.is_gguf {
            WeightFormat::Gguf
        } else {
            WeightFormat::Safetensors
        },
        quantisation: weights.number_format,
        sub_type: shape.kind.as_str().to_owned(),
        architecture: shape.family.to_owned(),
        parameters: weights.parameters,
        layers: shape.layers as u64,
        hidden_size: shape.hidden_size as u64,
        heads: shape.heads as u64,
        kv_heads: shape.kv_heads as u64,
        vocabulary: shape.vocabulary.into(),
        context_length: shape.context_length,
        features,
    }
}
