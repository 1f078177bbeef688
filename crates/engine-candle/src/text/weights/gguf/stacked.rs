//! Matrices of experts and of heads, which lie behind one another in one tensor of three dimensions.

use super::super::layout::{InLayer, in_layer};

/// One of the matrices of a tensor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stacked {
    /// The tensor's name in llama.cpp.
    pub(super) name: String,
    /// Which of the matrices.
    pub(super) index: usize,
    /// Whose they are.
    pub(super) of: Owners,
}

/// What has a matrix for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    Experts,
    Heads,
}

impl Stacked {
    /// `None` for what is a tensor by itself.
    pub(super) fn of(name: &str) -> Option<Self> {
        let InLayer { layer, module, kind } = in_layer(name)?;
        let (module, index, of) = expert(module).or_else(|| head(module))?;
        Some(Self {
            name: format!("blk.{layer}.{module}.{kind}"),
            index: index.parse().ok()?,
            of,
        })
    }
}

fn expert(module: &str) -> Option<(&'static str, &str, Owners)> {
    let expert = module.strip_prefix("mlp.experts.");
    let expert = expert.or_else(|| module.strip_prefix("block_sparse_moe.experts."))?;
    let (number, projection) = expert.split_once('.')?;
    let name = match projection {
        "gate_proj" | "w1" => "ffn_gate_exps",
        "up_proj" | "w3" => "ffn_up_exps",
        "down_proj" | "w2" => "ffn_down_exps",
        _ => return None,
    };
    Some((name, number, Owners::Experts))
}

fn head(module: &str) -> Option<(&'static str, &str, Owners)> {
    let (projection, number) = module.strip_prefix("self_attn.")?.split_once('.')?;
    let name = match projection {
        "k_b_proj" => "attn_k_b",
        "v_b_proj" => "attn_v_b",
        _ => return None,
    };
    Some((name, number, Owners::Heads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_of_experts_and_heads_are_parts_of_one_tensor() {
        for (name, expected, index, of) in [
            (
                "model.layers.2.mlp.experts.15.down_proj.weight",
                "blk.2.ffn_down_exps.weight",
                15,
                Owners::Experts,
            ),
            (
                "model.layers.2.block_sparse_moe.experts.7.w3.weight",
                "blk.2.ffn_up_exps.weight",
                7,
                Owners::Experts,
            ),
            (
                "model.layers.2.self_attn.v_b_proj.0.weight",
                "blk.2.attn_v_b.weight",
                0,
                Owners::Heads,
            ),
        ] {
            let name = Stacked::of(name);
            let expected = expected.to_owned();
            assert_eq!(
                name,
                Some(Stacked {
                    name: expected,
                    index,
                    of
                })
            );
        }
    }

    #[test]
    fn what_stands_alone_is_no_part() {
        for name in [
            "model.layers.2.mlp.shared_experts.down_proj.weight",
            "model.layers.2.mlp.gate.weight",
            "model.layers.2.self_attn.kv_b_proj.weight",
            "model.layers.2.self_attn.q_proj.weight",
            "lm_head.weight",
        ] {
            assert_eq!(Stacked::of(name), None, "{name}");
        }
    }
}
