//! The tensors of a layer's experts.

use super::{Named, Projections, Vector};
use crate::text::config::{Family, ModelConfig, MoeConfig};

/// The tensors of a router and its experts.
pub(crate) struct MoeTensors {
    pub(crate) config: MoeConfig,
    pub(crate) router: Projections,
    /// Added to the experts' scores when they are chosen.
    pub(crate) correction: Option<Vector>,
    /// Gate and up, and down, of what computes every token.
    pub(crate) shared: Option<(Projections, Projections)>,
    pub(crate) shared_gate: Option<Projections>,
    /// `model.layers.N.mlp`, or what the family calls it.
    prefix: String,
    names: ExpertNames,
    /// Width of the residual stream.
    width: usize,
}

/// What a family calls the projections of an expert.
#[derive(Clone, Copy)]
struct ExpertNames {
    gate: &'static str,
    up: &'static str,
    down: &'static str,
}

const PROJECTIONS: ExpertNames = ExpertNames {
    gate: "gate_proj",
    up: "up_proj",
    down: "down_proj",
};

impl MoeTensors {
    /// `layer` is the name of the layer.
    pub(super) fn of(model: &ModelConfig, config: &MoeConfig, layer: &str) -> Self {
        let (module, names, shared) = match model.family {
            Family::Mixtral => {
                let (gate, up, down) = ("w1", "w3", "w2");
                ("block_sparse_moe", ExpertNames { gate, up, down }, "")
            }
            Family::Qwen2Moe => ("mlp", PROJECTIONS, "shared_expert"),
            _ => ("mlp", PROJECTIONS, "shared_experts"),
        };
        let prefix = format!("{layer}.{module}");
        let width = model.hidden_size;
        let one = |name: &str, outputs| single(format!("{prefix}.{name}"), outputs, width);
        let shared_expert = config.shared.map(|expert| {
            let prefix = format!("{prefix}.{shared}");
            block(&prefix, PROJECTIONS, width, expert.intermediate_size)
        });
        let gated = config.shared.is_some_and(|expert| expert.gated);
        Self {
            router: one("gate", config.experts),
            correction: config.routing.corrected.then(|| Vector {
                name: format!("{prefix}.gate.e_score_correction_bias"),
                size: config.experts,
            }),
            shared: shared_expert,
            shared_gate: gated.then(|| one("shared_expert_gate", 1)),
            names,
            width,
            prefix,
            config: config.clone(),
        }
    }

    /// Gate and up, and down, of one expert.
    pub(crate) fn expert(&self, index: usize) -> (Projections, Projections) {
        let prefix = format!("{}.experts.{index}", self.prefix);
        block(&prefix, self.names, self.width, self.config.intermediate_size)
    }

    pub(super) fn all(self) -> Vec<Named> {
        let experts = (0..self.config.experts).map(|index| self.expert(index));
        let mut blocks: Vec<(Projections, Projections)> = experts.collect();
        // Every field by name, so that one that is added is checked too.
        let Self {
            config: _,
            router,
            correction,
            shared,
            shared_gate,
            prefix: _,
            names: _,
            width: _,
        } = self;
        blocks.extend(shared);
        let projections = blocks.into_iter().flat_map(|(gate_up, down)| [gate_up, down]);
        let projections = projections.chain([router]).chain(shared_gate);
        let mut named: Vec<Named> = projections
            .flat_map(|projections| projections.named().collect::<Vec<_>>())
            .collect();
        named.extend(correction.map(Vector::named));
        named
    }
}

/// A feed-forward block.
fn block(prefix: &str, names: ExpertNames, width: usize, inner: usize) -> (Projections, Projections) {
    let part = |name: &str| (format!("{prefix}.{name}"), inner);
    let gate_up = Projections {
        parts: vec![part(names.gate), part(names.up)],
        inputs: width,
        bias: false,
    };
    (gate_up, single(format!("{prefix}.{}", names.down), width, inner))
}

fn single(name: String, outputs: usize, inputs: usize) -> Projections {
    Projections {
        parts: vec![(name, outputs)],
        inputs,
        bias: false,
    }
}
