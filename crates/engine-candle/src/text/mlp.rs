//! The gated feed-forward block: `down(silu(gate(x)) * up(x))`.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::linear::{Linear, contiguous};
use super::lora::{AdapterRows, Site};
use super::matrix::Weight;
use super::weights::{Projections, Weights};
use crate::LoadError;

/// Gate and up projections are one layer, so that the input is read once.
pub(crate) struct Mlp {
    gate_up: Linear,
    down: Linear,
}

impl Mlp {
    pub(crate) fn load(
        weights: &Weights,
        gate_up: &Projections,
        down: &Projections,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            gate_up: Linear::load(weights, gate_up)?,
            down: Linear::load(weights, down)?,
        })
    }

    /// The matrices.
    pub(crate) fn weights(&self) -> [&Weight; 2] {
        [self.gate_up.weight(), self.down.weight()]
    }

    /// Applies the block, which is that of `layer`, to `[rows, hidden]` and adds the result to the residual
    /// stream.
    pub(crate) fn forward_onto(
        &self,
        input: &Tensor,
        residual: &Tensor,
        layer: usize,
        adapters: &AdapterRows<'_>,
    ) -> Result<Tensor> {
        let both = self.gate_up.forward(input)?;
        adapters.add(layer, Site::GateUp, input, &both)?;
        let gated = if both.device().is_cpu() {
            both.apply_op1_no_bwd(&CpuGate)?
        } else {
            let inner = both.dim(1)? / 2;
            (both.narrow(1, 0, inner)?.silu()? * both.narrow(1, inner, inner)?)?
        };
        let output = self.down.forward_onto(&gated, residual)?;
        adapters.add(layer, Site::Down, &gated, &output)?;
        Ok(output)
    }
}

/// `silu(left half) * right half` of every row, in one pass.
struct CpuGate;

impl CustomOp1 for CpuGate {
    fn name(&self) -> &'static str {
        "silica-gate"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let inner = columns / 2;
        let input = contiguous(storage.as_slice::<f32>()?, layout)?;
        let mut output = vec![0.0; rows * inner];
        let gate_row = |(output, input): (&mut [f32], &[f32])| {
            let (gate, up) = input.split_at(inner);
            for ((output, gate), up) in output.iter_mut().zip(gate).zip(up) {
                *output = gate / (1.0 + (-gate).exp()) * up;
            }
        };
        if rows == 1 {
            gate_row((&mut output, input));
        } else {
            output
                .par_chunks_mut(inner)
                .zip(input.par_chunks(columns))
                .for_each(gate_row);
        }
        Ok((CpuStorage::F32(output), Shape::from((rows, inner))))
    }
}
