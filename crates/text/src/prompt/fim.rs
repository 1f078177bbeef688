//! Prompts for filling the gap between two texts.

use silica_engine::EngineError;
use silica_types::TokenCount;
use tokenizers::Tokenizer;

use super::control_tokens::ControlTokens;
use super::encoder::Encoder;

/// The tokens that a model was trained to fill gaps with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FimTokens {
    prefix: u32,
    suffix: u32,
    middle: u32,
    /// Whether the text before the gap is tokenized as one that begins, with the space that some
    /// tokenizers put before such texts.
    begins: bool,
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
    CODE_LLAMA,
];

/// Its format is `▁<PRE> {prefix} ▁<SUF>{suffix} ▁<MID>`: a space stands before the prefix and none
/// before the suffix (`infilling_prompt_tokens` in Meta's code, and the transformers library).
const CODE_LLAMA: [&str; 3] = ["▁<PRE>", "▁<SUF>", "▁<MID>"];

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
    /// Finds the tokens in the tokenizer, be they added to it or of its own vocabulary; `None` for a
    /// model that cannot fill gaps.
    pub(crate) fn find(tokenizer: &Tokenizer) -> Option<Self> {
        FAMILIES.iter().find_map(|family| {
            let id = |token: &str| tokenizer.token_to_id(token);
            let [prefix, suffix, middle] = *family;
            let (prefix, suffix, middle) = (id(prefix)?, id(suffix)?, id(middle)?);
            let ends = ENDS.iter().filter_map(|token| id(token));
            Some(Self {
                prefix,
                suffix,
                middle,
                begins: *family == CODE_LLAMA,
                stops: [prefix, suffix, middle].into_iter().chain(ends).collect(),
            })
        })
    }

    /// Whether this is how such a token is spelled. Not every tokenizer flags them as special.
    pub(crate) fn is_spelling(text: &str) -> bool {
        FAMILIES.iter().flatten().chain(&ENDS).any(|token| *token == text)
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
        let prefix = control.wrap(prefix);
        ids.extend(if self.begins {
            encoder.encode(&prefix, limit)?
        } else {
            encoder.encode_middle(&prefix, limit)?
        });
        ids.push(self.suffix);
        ids.extend(encoder.encode_middle(&control.wrap(suffix), limit)?);
        ids.push(self.middle);
        Ok(ids)
    }
}
