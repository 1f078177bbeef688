//! The tokens that are computed: the same as in `crates/server/src/bench/engine/prompt.rs`.

use anyhow::Result;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

/// A prompt of `length` tokens. Prompts of different numbers differ from the first token on.
pub(crate) fn prompt(number: u32, length: u32, vocabulary: u32) -> Vec<LlamaToken> {
    (0..length)
        .map(|position| {
            let index = number.wrapping_mul(65_537).wrapping_add(position);
            index.wrapping_mul(2_654_435_761) % vocabulary
        })
        .map(|id| LlamaToken(id.cast_signed()))
        .collect()
}

/// The number of tokens that the model knows.
pub(crate) fn vocabulary(model: &LlamaModel) -> Result<u32> {
    Ok(u32::try_from(model.n_vocab())?)
}

/// The token of the highest logit.
pub(crate) fn best(logits: &[f32]) -> LlamaToken {
    let mut best = 0;
    for (index, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = index;
        }
    }
    LlamaToken(i32::try_from(best).unwrap_or_default())
}
