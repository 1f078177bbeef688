//! The tokens that are computed: the same as in `bench/llama-cpp/src/tokens.rs`.

/// A prompt of `length` tokens below `vocabulary`. Prompts of different numbers differ from the
/// first token on, so no cache serves one from another.
pub(super) fn prompt(number: u32, length: u32, vocabulary: u32) -> Vec<u32> {
    (0..length)
        .map(|position| {
            let index = number.wrapping_mul(65_537).wrapping_add(position);
            // Knuth's multiplicative hashing: neighbours lie far apart in the vocabulary.
            index.wrapping_mul(2_654_435_761) % vocabulary.max(1)
        })
        .collect()
}
