//! Prompts for filling the gap between two texts.

use silica_engine::EngineError;
use silica_types::TokenCount;

use super::control_tokens::ControlTokens;
use super::encoder::Encoder;
use crate::vocabulary::Vocabulary;

/// The tokens that a model was trained to fill gaps with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FimTokens {
    prefix: u32,
    suffix: u32,
    middle: u32,
    /// These end the answer, besides the model's own stop tokens.
    stops: Vec<u32>,
}

/// Families by their three spellings, in the order prefix, suffix, middle: Qwen and `DeepSeek`,
/// then `StarCoder` and its kin, then `CodeLlama`.
const FAMILIES: [[&str; 3]; 5] = [
    ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
    ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],
    ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
    ["<fim-prefix>", "<fim-suffix>", "<fim-middle>"],
    ["▁<PRE>", "▁<SUF>", "▁<MID>"],
];

/// Tokens that these families write after the middle, or that can only mean that it has ended.
const ENDS: [&str; 9] = [
    "<|endoftext|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<｜end▁of▁sentence｜>",
    "<fim_pad>",
    "<file_sep>",
    "▁<EOT>",
    "<|end_of_text|>",
];

impl FimTokens {
    /// Finds the tokens in the tokenizer; `None` for a model that cannot fill gaps.
    pub(crate) fn find(vocabulary: &Vocabulary) -> Option<Self> {
        FAMILIES.iter().find_map(|[prefix, suffix, middle]| {
            let (prefix, suffix, middle) = (
                vocabulary.added_token(prefix)?,
                vocabulary.added_token(suffix)?,
                vocabulary.added_token(middle)?,
            );
            let ends = ENDS.iter().filter_map(|token| vocabulary.added_token(token));
            Some(Self {
                prefix,
                suffix,
                middle,
                stops: [prefix, suffix, middle].into_iter().chain(ends).collect(),
            })
        })
    }

    /// Ids that end the answer, besides the model's own.
    pub(crate) fn stops(&self) -> &[u32] {
        &self.stops
    }

    /// Builds prefix, suffix, middle: the order that all these families know.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub(crate) fn prompt(
        &self,
        encoder: &Encoder,
        control: &ControlTokens,
        (prefix, suffix): (&str, &str),
        limit: TokenCount,
    ) -> Result<Vec<u32>, EngineError> {
        let mut ids = encoder.preamble().to_vec();
        ids.push(self.prefix);
        ids.extend(encoder.encode_middle(&control.wrap(prefix), limit)?);
        ids.push(self.suffix);
        ids.extend(encoder.encode_middle(&control.wrap(suffix), limit)?);
        ids.push(self.middle);
        Ok(ids)
    }
}
