//! How the next token is drawn.

/// Sampling parameters with every default already filled in (contract section 3.1).
///
/// The order of application is: penalties, temperature, top-k, top-p, min-p, draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 to 2; 0 is greedy (the most likely token, ties to the lowest id).
    pub temperature: f32,
    /// Keeps the smallest set of tokens whose probabilities reach this sum; 0 < `top_p` <= 1.
    pub top_p: f32,
    /// Keeps this many tokens; `None` keeps all.
    pub top_k: Option<u32>,
    /// Drops tokens less likely than this share of the most likely one; 0 to 1, 0 drops none.
    pub min_p: f32,
    /// Subtracted from a token's logit once per earlier occurrence in the answer; -2 to 2.
    pub frequency_penalty: f32,
    /// Subtracted from a token's logit if it occurred in the answer; -2 to 2.
    pub presence_penalty: f32,
    /// Added to the logit of a token id before anything else; -100 to 100.
    pub logit_bias: Vec<(u32, f32)>,
    /// The seed of the draw; `None` takes a random one. The same seed, prompt and parameters on
    /// the same build give the same answer.
    pub seed: Option<u64>,
}

impl Sampling {
    /// Always takes the most likely token.
    pub const fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: None,
            min_p: 0.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}
