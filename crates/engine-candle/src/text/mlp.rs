//! The gated feed-forward block: `down(f(gate(x)) * up(x))`, where `f` is `SiLU` in most families.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::config::GateFunction;
use super::linear::{Linear, contiguous};
use super::lora::{AdapterRows, Site};
use super::matrix::Weight;
use super::weights::{Projections, Weights};
use crate::LoadError;

/// Gate and up projections are one layer, so that the input is read once.
pub(crate) struct Mlp {
    gate_up: Linear,
    down: Linear,
    gate: GateFunction,
}

impl Mlp {
    pub(crate) fn load(
        weights: &Weights,
        gate_up: &Projections,
        down: &Projections,
        gate: GateFunction,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            gate_up: Linear::load(weights, gate_up)?,
            down: Linear::load(weights, down)?,
            gate,
        })
    }

    /// The matrices.
    pub(crate) fn weights(&self) -> [&Weight; 2] {
        [self.gate_up.weight(), self.down.weight()]
    }

    /// Applies the block to `[rows, hidden]` and adds the result to the residual stream, if one is given.
    pub(crate) fn apply(&self, input: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        self.apply_adapted(input, residual, 0, &AdapterRows::default())
    }

    /// As [`Mlp::apply`] in `layer`, with what adapters say of it.
    pub(crate) fn apply_adapted(
        &self,
        input: &Tensor,
        residual: Option<&Tensor>,
        layer: usize,
        adapters: &AdapterRows<'_>,
    ) -> Result<Tensor> {
        let both = self.gate_up.forward(input)?;
        adapters.add(layer, Site::GateUp, input, &both)?;
        let gated = if both.device().is_cpu() {
            both.apply_op1_no_bwd(&CpuGate(self.gate))?
        } else {
            let inner = both.dim(1)? / 2;
            let gate = both.narrow(1, 0, inner)?;
            let gate = match self.gate {
                GateFunction::Silu => gate.silu(),
                GateFunction::GeluTanh => gate.gelu(),
            };
            (gate? * both.narrow(1, inner, inner)?)?
        };
        let output = self.down.apply(&gated, residual)?;
        adapters.add(layer, Site::Down, &gated, &output)?;
        Ok(output)
    }
}

/// `f(left half) * right half` of every row, in one pass.
struct CpuGate(GateFunction);

impl CustomOp1 for CpuGate {
    fn name(&self) -> &'static str {
        "silica-gate"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let inner = columns / 2;
        let input = contiguous(storage.as_slice::<f32>()?, layout)?;
        let mut output = vec![0.0; rows * inner];
        let gate_row = |(output, input): (&mut [f32], &[f32])| match self.0 {
            GateFunction::Silu => gate_row(output, input, silu),
            GateFunction::GeluTanh => gate_row(output, input, gelu),
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

fn gate_row(output: &mut [f32], input: &[f32], function: impl Fn(f32) -> f32) {
    let (gate, up) = input.split_at(output.len());
    for ((output, gate), up) in output.iter_mut().zip(gate).zip(up) {
        *output = function(*gate) * up;
    }
}

fn silu(value: f32) -> f32 {
    value / (1.0 + (-value).exp())
}

/// By the tangent, as `gelu_pytorch_tanh` is.
fn gelu(value: f32) -> f32 {
    /// The root of 2 / pi.
    const ROOT: f32 = 0.797_884_6;
    let inner = ROOT * (value + 0.044_715 * value * value * value);
    // 0.5 * (1 + tanh(x)) is 1 / (1 + exp(-2x)).
    value / (1.0 + (-2.0 * inner).exp())
}
