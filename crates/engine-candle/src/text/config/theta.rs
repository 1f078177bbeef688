//! The base of rotary embeddings in families whose configurations do not name it.

use super::raw::RawConfig;
use super::{Checker, Family, LoadError, real};

/// What `rope_ratio` of `ChatGLM` does.
pub(super) enum RopeRatio {
    /// The base is multiplied with it.
    Multiplies(f64),
    /// Positions are divided by it, which is at least 1.
    Divides(f64),
}

/// Tokens of `ChatGLM2` and `ChatGLM3`; GLM-4 has others.
const CHAT_GLM_2_AND_3_VOCABULARY: usize = 65_024;

impl Checker<RawConfig> {
    /// The base of a family whose configurations do not name it.
    pub(super) fn own_theta(&self, family: Family, rotated: usize) -> Result<f64, LoadError> {
        const BASE: f64 = 10_000.0;
        match family {
            Family::ChatGlm => match self.rope_ratio()? {
                RopeRatio::Multiplies(ratio) => Ok(BASE * ratio),
                RopeRatio::Divides(_) => Ok(BASE),
            },
            Family::Mixtral => Ok(1e6),
            Family::TeleChat if self.raw.rope_scaling.is_none() => {
                let trained = real(self.positions(family)?);
                // What the code of the models that do not name it has.
                let base = self.raw.tele_chat.base_seqlen.unwrap_or(4096);
                let base = real(self.size("base_seqlen", base)?);
                let growth = ((trained / base).log2() + 1.0).ceil().exp2() - 1.0;
                let width = real(rotated);
                Ok(BASE * growth.max(1.0).powf(width / (width - 2.0)))
            }
            _ => Ok(BASE),
        }
    }

    /// `ChatGLM2` divides positions by `rope_ratio`, `ChatGLM3` and GLM-4 multiply the base with it (`RotaryEmbedding` in
    /// `modeling_chatglm.py` of THUDM/chatglm2-6b-32k, chatglm3-6b-32k and glm-4-9b-chat), and the class is the same.
    pub(super) fn rope_ratio(&self) -> Result<RopeRatio, LoadError> {
        let ratio = self.positive("rope_ratio", Some(self.raw.chat_glm.rope_ratio.unwrap_or(1.0)))?;
        if (ratio - 1.0).abs() <= f64::EPSILON {
            return Ok(RopeRatio::Multiplies(ratio));
        }
        let name = self.raw.name.as_deref().unwrap_or_default().to_lowercase();
        let vocabulary = self.raw.padded_vocab_size.or(self.raw.vocab_size);
        if name.contains("chatglm2") {
            return if ratio >= 1.0 {
                Ok(RopeRatio::Divides(ratio))
            } else {
                Err(self.invalid("rope_ratio", format!("({ratio}) must be at least 1")))
            };
        }
        // Of the two generations with a vocabulary of this size, only the name says which it is.
        if name.contains("chatglm3") || vocabulary != Some(CHAT_GLM_2_AND_3_VOCABULARY) {
            return Ok(RopeRatio::Multiplies(ratio));
        }
        Err(self.unsupported(
            "rope_ratio",
            ratio.to_string(),
            "with a `_name_or_path` that contains chatglm2 or chatglm3, which rotate differently by it",
        ))
    }
}
