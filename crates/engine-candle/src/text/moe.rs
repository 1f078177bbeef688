//! Feed-forward blocks that are choices among experts.

mod routing;
mod sums;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use self::routing::{Chosen, choose};
use self::sums::{add_on_cpu, gated_onto};
use super::config::{GateFunction, MoeConfig};
use super::linear::Linear;
use super::matrix::Weight;
use super::mlp::Mlp;
use super::weights::{MoeTensors, Role, Weights};
use crate::LoadError;

/// A router and the experts that it chooses from.
pub(crate) struct Moe {
    router: Linear,
    /// Added to the experts' scores when they are chosen.
    correction: Option<Vec<f32>>,
    config: MoeConfig,
    experts: Vec<Mlp>,
    shared: Option<Mlp>,
    shared_gate: Option<Linear>,
}

/// The rows that one expert computes, and their weights.
struct Share<'layer> {
    expert: &'layer Mlp,
    rows: Vec<u32>,
    weights: Vec<f32>,
}

impl Moe {
    pub(crate) fn load(
        weights: &Weights,
        tensors: &MoeTensors,
        gate: GateFunction,
    ) -> std::result::Result<Self, LoadError> {
        let correction = tensors.correction.as_ref();
        let correction = correction.map(|bias| weights.values(&bias.name, bias.size));
        let experts = (0..tensors.config.experts).map(|index| {
            let (gate_up, down) = tensors.expert(index);
            Mlp::load(weights, &gate_up, &down, gate)
        });
        let shared = match &tensors.shared {
            Some((gate_up, down)) => Some(Mlp::load(weights, gate_up, down, gate)?),
            None => None,
        };
        let router = |tensors| Linear::load_as(weights, tensors, Role::Router);
        Ok(Self {
            router: router(&tensors.router)?,
            correction: correction.transpose()?,
            config: tensors.config.clone(),
            experts: experts.collect::<std::result::Result<_, _>>()?,
            shared,
            shared_gate: tensors.shared_gate.as_ref().map(router).transpose()?,
        })
    }

    /// The matrices.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &Weight> {
        let blocks = self.experts.iter().chain(&self.shared);
        let gates = [Some(&self.router), self.shared_gate.as_ref()];
        let gates = gates.into_iter().flatten().map(Linear::weight);
        gates.chain(blocks.flat_map(Mlp::weights))
    }

    /// Applies the block to `[rows, hidden]` and adds the result to the residual stream, if one is
    /// given. What comes out for a row depends on that row alone, bit for bit: its experts are chosen
    /// by its own scores, compute it as any product does, and are added up in their order.
    pub(crate) fn apply(&self, input: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let logits = scores_of(&self.router, input)?.to_vec2::<f32>()?;
        let correction = self.correction.as_deref();
        let chosen: Vec<Vec<Chosen>> = logits
            .iter()
            .map(|logits| choose(&self.config, logits, correction))
            .collect();
        let shares = self.shares(&chosen);
        let computed = shares.par_iter().map(|share| share.compute(input));
        let computed = computed.collect::<Result<Vec<_>>>()?;
        let sum = self.shared_onto(input, residual)?;
        if sum.device().is_cpu() {
            add_on_cpu(&sum, &shares, &computed)
        } else {
            add_on_device(sum, &shares, &computed)
        }
    }

    /// Adds what computes every row.
    fn shared_onto(&self, input: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        match (&self.shared, &self.shared_gate) {
            (None, _) => residual.map_or_else(|| input.zeros_like(), |residual| Ok(residual.clone())),
            (Some(shared), None) => shared.apply(input, residual),
            (Some(shared), Some(gate)) => {
                let gate = scores_of(gate, input)?;
                let shared = shared.apply(input, None)?;
                if shared.device().is_cpu() {
                    return gated_onto(&shared, &gate, residual);
                }
                let gate = candle_nn::ops::sigmoid(&gate)?.to_dtype(shared.dtype())?;
                let shared = shared.broadcast_mul(&gate)?;
                match residual {
                    Some(residual) => shared + residual,
                    None => Ok(shared),
                }
            }
        }
    }

    /// The experts that have something to do, in order, with their rows in order.
    fn shares(&self, chosen: &[Vec<Chosen>]) -> Vec<Share<'_>> {
        let mut shares: Vec<Share<'_>> = self.experts.iter().map(Share::new).collect();
        for (row, chosen) in (0..).zip(chosen) {
            for Chosen { expert, weight } in chosen {
                if let Some(share) = shares.get_mut(*expert) {
                    share.rows.push(row);
                    share.weights.push(*weight);
                }
            }
        }
        shares.retain(|share| !share.rows.is_empty());
        shares
    }
}

impl<'layer> Share<'layer> {
    fn new(expert: &'layer Mlp) -> Self {
        Self {
            expert,
            rows: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// What the expert makes of its rows, `[rows, hidden]`.
    fn compute(&self, input: &Tensor) -> Result<Tensor> {
        let rows = Tensor::new(self.rows.as_slice(), input.device())?;
        self.expert.apply(&input.index_select(&rows, 0)?, None)
    }
}

/// What a router, or a shared expert's gate, says of `[rows, hidden]`, in f32: in bf16 other experts would be
/// chosen where two are about as good.
fn scores_of(router: &Linear, input: &Tensor) -> Result<Tensor> {
    router.forward(&input.to_dtype(DType::F32)?)
}

fn add_on_device(mut sum: Tensor, shares: &[Share<'_>], computed: &[Tensor]) -> Result<Tensor> {
    for (share, computed) in shares.iter().zip(computed) {
        let rows = Tensor::new(share.rows.as_slice(), sum.device())?;
        let weights = Tensor::new(share.weights.as_slice(), sum.device())?.to_dtype(sum.dtype())?;
        let weighted = computed.broadcast_mul(&weights.unsqueeze(1)?)?;
        sum = sum.index_add(&rows, &weighted, 0)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
