//! The experts of `config.json`: how many, in which layers, and how a token's are chosen.

use serde::Deserialize;

use super::raw::RawConfig;
use super::{Checker, Family, LoadError};

/// The most experts of a layer; five times as many as any published model has.
const MAX_EXPERTS: usize = 2048;

/// Feed-forward blocks that are made of experts, of which each token is computed by a few.
#[derive(Debug, Clone, PartialEq)]
pub struct MoeConfig {
    /// Experts of a layer.
    pub experts: usize,
    /// How many of them compute a token, at least 1.
    pub chosen: usize,
    /// Width inside an expert.
    pub intermediate_size: usize,
    /// Layer by layer, whether it has experts; the others are dense.
    pub layers: Vec<bool>,
    /// What computes every token beside the chosen experts.
    pub shared: Option<SharedExpert>,
    /// How a token's experts are chosen and weighted.
    pub routing: RoutingConfig,
}

/// An expert that computes every token; several are one that is as wide as all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpert {
    /// Width inside it.
    pub intermediate_size: usize,
    /// Whether a gate of its own scales what it gives, between 0 and 1.
    pub gated: bool,
}

/// How experts are chosen by the router's logits.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingConfig {
    /// What makes scores of logits.
    pub scores: RouterScores,
    /// Whether a learned bias of each expert is added to its score to choose, and not to weight
    /// (DeepSeek-V3, `noaux_tc`).
    pub corrected: bool,
    /// Experts in groups, of which only the best are chosen from.
    pub groups: Option<ExpertGroups>,
    /// Whether the weights of a token's experts are made to sum to 1.
    pub normalised: bool,
    /// Multiplies the weights at last.
    pub scale: f32,
}

/// What makes scores of a router's logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterScores {
    /// Over all experts.
    Softmax,
    /// Of each for itself.
    Sigmoid,
}

/// Experts in groups of the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertGroups {
    /// How many groups; divides the number of experts.
    pub count: usize,
    /// How many of them are chosen from.
    pub kept: usize,
    /// A group is as good as the sum of so many of its best experts.
    pub best: usize,
}

/// The fields of the file; each family has its own of them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RawMoe {
    num_experts: Option<usize>,
    /// Mixtral's `num_experts`. No alias: a file may have both.
    num_local_experts: Option<usize>,
    n_routed_experts: Option<usize>,
    num_experts_per_tok: Option<usize>,
    moe_intermediate_size: Option<usize>,
    n_shared_experts: Option<usize>,
    shared_expert_intermediate_size: Option<usize>,
    norm_topk_prob: Option<bool>,
    decoder_sparse_step: Option<usize>,
    mlp_only_layers: Option<Vec<usize>>,
    first_k_dense_replace: Option<usize>,
    moe_layer_freq: Option<usize>,
    routed_scaling_factor: Option<f32>,
    scoring_func: Option<String>,
    topk_method: Option<String>,
    n_group: Option<usize>,
    topk_group: Option<usize>,
}

impl Checker<RawConfig> {
    /// The experts of a model of this family; `None` for families and models without.
    pub(super) fn moe(&self, family: Family, layers: usize) -> Result<Option<MoeConfig>, LoadError> {
        let config = match family {
            Family::Mixtral => self.mixtral_experts(layers)?,
            Family::Qwen2Moe | Family::Qwen3Moe => self.qwen_experts(family, layers)?,
            Family::DeepSeekV2 | Family::DeepSeekV3 if self.raw.moe.n_routed_experts.is_some() => {
                self.deepseek_experts(family, layers)?
            }
            _ => return Ok(None),
        };
        self.check_experts(&config)?;
        Ok(Some(config))
    }

    fn mixtral_experts(&self, layers: usize) -> Result<MoeConfig, LoadError> {
        let raw = &self.raw.moe;
        Ok(MoeConfig {
            experts: self.needed("num_local_experts", raw.num_local_experts.or(raw.num_experts))?,
            chosen: self.needed("num_experts_per_tok", raw.num_experts_per_tok)?,
            intermediate_size: self.needed("intermediate_size", self.raw.intermediate_size)?,
            layers: vec![true; layers],
            shared: None,
            routing: softmax(true),
        })
    }

    fn qwen_experts(&self, family: Family, layers: usize) -> Result<MoeConfig, LoadError> {
        let raw = &self.raw.moe;
        let step = self.size("decoder_sparse_step", raw.decoder_sparse_step.unwrap_or(1))?;
        let dense = raw.mlp_only_layers.as_deref().unwrap_or_default();
        let shared = if family == Family::Qwen2Moe {
            let width = raw.shared_expert_intermediate_size;
            Some(SharedExpert {
                intermediate_size: self.needed("shared_expert_intermediate_size", width)?,
                gated: true,
            })
        } else {
            None
        };
        Ok(MoeConfig {
            experts: self.needed("num_experts", raw.num_experts.or(raw.num_local_experts))?,
            chosen: self.needed("num_experts_per_tok", raw.num_experts_per_tok)?,
            intermediate_size: self.needed("moe_intermediate_size", raw.moe_intermediate_size)?,
            layers: (0..layers)
                .map(|layer| !dense.contains(&layer) && (layer + 1).is_multiple_of(step))
                .collect(),
            shared,
            routing: softmax(raw.norm_topk_prob.unwrap_or(false)),
        })
    }

    fn deepseek_experts(&self, family: Family, layers: usize) -> Result<MoeConfig, LoadError> {
        let raw = &self.raw.moe;
        let intermediate_size = self.needed("moe_intermediate_size", raw.moe_intermediate_size)?;
        let first = raw.first_k_dense_replace.unwrap_or(0);
        let step = self.size("moe_layer_freq", raw.moe_layer_freq.unwrap_or(1))?;
        let shared = match raw.n_shared_experts {
            None | Some(0) => None,
            Some(count) => Some(SharedExpert {
                intermediate_size: self.size("n_shared_experts", count.saturating_mul(intermediate_size))?,
                gated: false,
            }),
        };
        let routing = if family == Family::DeepSeekV2 {
            self.deepseek_v2_routing()?
        } else {
            self.deepseek_v3_routing()?
        };
        Ok(MoeConfig {
            experts: self.needed("n_routed_experts", raw.n_routed_experts)?,
            chosen: self.needed("num_experts_per_tok", raw.num_experts_per_tok)?,
            intermediate_size,
            layers: (0..layers)
                .map(|layer| layer >= first && layer.is_multiple_of(step))
                .collect(),
            shared,
            routing,
        })
    }

    fn deepseek_v2_routing(&self) -> Result<RoutingConfig, LoadError> {
        let raw = &self.raw.moe;
        self.only("scoring_func", raw.scoring_func.as_ref(), "softmax")?;
        if raw.norm_topk_prob == Some(true) {
            // DeepSeek's code leaves the scale out then, transformers the norm, llama.cpp neither.
            return Err(self.unsupported("norm_topk_prob", "true".to_owned(), "only false"));
        }
        let groups = match raw.topk_method.as_deref() {
            None | Some("greedy") => None,
            Some("group_limited_greedy") => self.groups(1)?,
            Some(other) => {
                let expected = "greedy or group_limited_greedy";
                return Err(self.unsupported("topk_method", other.to_owned(), expected));
            }
        };
        Ok(RoutingConfig {
            groups,
            scale: self.routed_scale()?,
            ..softmax(false)
        })
    }

    fn deepseek_v3_routing(&self) -> Result<RoutingConfig, LoadError> {
        let raw = &self.raw.moe;
        self.only("scoring_func", raw.scoring_func.as_ref(), "sigmoid")?;
        self.only("topk_method", raw.topk_method.as_ref(), "noaux_tc")?;
        Ok(RoutingConfig {
            scores: RouterScores::Sigmoid,
            corrected: true,
            groups: self.groups(2)?,
            normalised: raw.norm_topk_prob.unwrap_or(true),
            scale: self.routed_scale()?,
        })
    }

    /// One group is all experts.
    fn groups(&self, best: usize) -> Result<Option<ExpertGroups>, LoadError> {
        let raw = &self.raw.moe;
        let count = self.needed("n_group", raw.n_group)?;
        let kept = self.needed("topk_group", raw.topk_group)?;
        Ok((count > 1).then_some(ExpertGroups { count, kept, best }))
    }

    fn routed_scale(&self) -> Result<f32, LoadError> {
        let scale = self.raw.moe.routed_scaling_factor.unwrap_or(1.0);
        if scale > 0.0 && scale.is_finite() {
            return Ok(scale);
        }
        Err(self.invalid(
            "routed_scaling_factor",
            format!("({scale}) must be greater than 0"),
        ))
    }

    fn check_experts(&self, config: &MoeConfig) -> Result<(), LoadError> {
        let MoeConfig { experts, chosen, .. } = *config;
        if experts > MAX_EXPERTS {
            let problem = format!("({experts}) must be at most {MAX_EXPERTS}");
            return Err(self.invalid("num_experts", problem));
        }
        if chosen > experts {
            let problem = format!("({chosen}) is more than the {experts} experts of a layer");
            return Err(self.invalid("num_experts_per_tok", problem));
        }
        let Some(ExpertGroups { count, kept, best }) = config.routing.groups else {
            return Ok(());
        };
        if !experts.is_multiple_of(count) || experts / count < best {
            let problem = format!("({count}) makes no groups of {experts} experts");
            return Err(self.invalid("n_group", problem));
        }
        if kept > count || kept * (experts / count) < chosen {
            let problem = format!("({kept}) of {count} groups have no {chosen} experts");
            return Err(self.invalid("topk_group", problem));
        }
        Ok(())
    }

    fn only(
        &self,
        field: &'static str,
        value: Option<&String>,
        expected: &'static str,
    ) -> Result<(), LoadError> {
        match value {
            Some(other) if other != expected => Err(self.unsupported(field, other.clone(), expected)),
            _ => Ok(()),
        }
    }
}

fn softmax(normalised: bool) -> RoutingConfig {
    RoutingConfig {
        scores: RouterScores::Softmax,
        corrected: false,
        groups: None,
        normalised,
        scale: 1.0,
    }
}

#[cfg(test)]
mod tests;
