//! Looks into the text side of a model folder without an engine.

use std::path::Path;
use std::sync::Arc;

use silica_engine::Feature;
use silica_types::{SystemClock, TokenCount};

use crate::TextError;
use crate::model::TextModel;

/// What the text files of a model folder provide for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSummary {
    /// Token ids of the tokenizer.
    pub tokens: usize,
    /// The features that the chat template and the special tokens allow for, in a fixed order.
    pub features: Vec<Feature>,
    /// Whether the model writes its reasoning between `<think>` and `</think>`.
    pub reasons: bool,
    /// Whether any token ends an answer; without one every answer runs into its limit.
    pub has_stop_tokens: bool,
}

/// Reads and checks the text side of a folder as [`crate::TextEngine::load`] does, for a model with
/// `logits` token ids and this context. Blocks for up to seconds.
///
/// # Errors
/// Names the file that is missing or wrong.
pub fn inspect(folder: &Path, logits: u32, context_length: TokenCount) -> Result<TextSummary, TextError> {
    let model = TextModel::load(folder, logits, context_length, Arc::new(SystemClock))?;
    let offered = [
        Feature::JsonMode,
        Feature::Tools,
        Feature::Prefix,
        Feature::FillInMiddle,
        Feature::Thinking,
        Feature::ThinkingBudget,
    ];
    Ok(TextSummary {
        tokens: model.vocabulary().len(),
        features: offered
            .into_iter()
            .filter(|feature| model.supports(*feature))
            .collect(),
        reasons: model.reasons(),
        has_stop_tokens: model.has_stop_tokens(),
    })
}
