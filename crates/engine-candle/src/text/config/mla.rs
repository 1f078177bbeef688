//! Multi-head latent attention in `config.json` (DeepSeek-V2, arXiv 2405.04434, section 2.1).

use serde::Deserialize;

use super::raw::RawConfig;
use super::{Checker, Family, LoadError, RopeScaling, RotaryPairs};

/// Attention over latents: what is kept of a position is one vector for all heads.
#[derive(Debug, Clone, PartialEq)]
pub struct MlaConfig {
    /// Width of the latent that queries come from; `None` where they come from the hidden state.
    pub query_rank: Option<usize>,
    /// Width of the latent that keys and values come from.
    pub rank: usize,
    /// The part of a head's queries and keys that is not rotated.
    pub nope_width: usize,
    /// The part that is; the key's is the same for all heads.
    pub rope_width: usize,
    /// Width of a head's values.
    pub value_width: usize,
}

impl MlaConfig {
    /// Width of a head's queries.
    pub(crate) fn query_width(&self) -> usize {
        self.nope_width + self.rope_width
    }
}

/// The fields of the file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RawMla {
    q_lora_rank: Option<usize>,
    kv_lora_rank: Option<usize>,
    qk_nope_head_dim: Option<usize>,
    qk_rope_head_dim: Option<usize>,
    v_head_dim: Option<usize>,
    rope_interleave: Option<bool>,
}

impl Checker<RawConfig> {
    /// The latent attention of a model of this family; `None` for families without.
    pub(super) fn mla(&self, family: Family) -> Result<Option<MlaConfig>, LoadError> {
        if !family.has_latent_attention() {
            return Ok(None);
        }
        if self.raw.attention_bias == Some(true) {
            return Err(self.unsupported("attention_bias", "true".to_owned(), "only false"));
        }
        let raw = &self.raw.mla;
        let query_rank = raw.q_lora_rank.map(|rank| self.size("q_lora_rank", rank));
        Ok(Some(MlaConfig {
            query_rank: query_rank.transpose()?,
            rank: self.needed("kv_lora_rank", raw.kv_lora_rank)?,
            nope_width: self.needed("qk_nope_head_dim", raw.qk_nope_head_dim)?,
            rope_width: self.latent_rope_width()?,
            value_width: self.needed("v_head_dim", raw.v_head_dim)?,
        }))
    }

    /// Which dimensions are rotated with each other.
    pub(super) fn latent_pairs(&self) -> RotaryPairs {
        if self.raw.mla.rope_interleave.unwrap_or(true) {
            RotaryPairs::Neighbours
        } else {
            RotaryPairs::Halves
        }
    }

    /// Width of a head's queries.
    pub(super) fn latent_query_width(&self) -> Result<usize, LoadError> {
        let plain = self.needed("qk_nope_head_dim", self.raw.mla.qk_nope_head_dim)?;
        Ok(plain + self.latent_rope_width()?)
    }

    /// The width that is rotated, even.
    fn latent_rope_width(&self) -> Result<usize, LoadError> {
        let width = self.needed("qk_rope_head_dim", self.raw.mla.qk_rope_head_dim)?;
        if width.is_multiple_of(2) {
            return Ok(width);
        }
        let problem = format!("({width}) must be even for rotary embeddings");
        Err(self.invalid("qk_rope_head_dim", problem))
    }

    /// What YaRN scales queries and keys by in these models, the parts that are not rotated too;
    /// only the ratio of `mscale` to it is left for the rotation.
    pub(super) fn mscale(&self, scaling: &RopeScaling) -> f64 {
        let RopeScaling::Yarn(yarn) = scaling else {
            return 1.0;
        };
        // Checked with the rest of the scaling.
        let raw = self.raw.rope_scaling.as_ref();
        let raw = raw.or(self.raw.rope_parameters.as_ref());
        let weight = raw.and_then(|raw| raw.mscale_all_dim).unwrap_or(0.0);
        if yarn.factor > 1.0 {
            0.1 * weight * yarn.factor.ln() + 1.0
        } else {
            1.0
        }
    }
}
