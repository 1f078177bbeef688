//! The gated feed-forward block: `down(f(gate(x)) * up(x))`, where `f` is `SiLU` in most families.

use std::cell::Cell;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::config::GateFunction;
use super::linear::{CpuLinear, Linear, contiguous, with_values};
use super::lora::{AdapterRows, Site};
use super::matrix::Weight;
use super::weights::{Projections, Weights};
use crate::LoadError;
use crate::kernels::rows;
use crate::memory::to_be_overwritten;

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
        match (self.gate_up.on_cpu(), self.down.on_cpu()) {
            (Some(gate_up), Some(down)) => input.apply_op1_no_bwd(&CpuMlp {
                gate_up,
                down,
                gate: self.gate,
                residual,
            }),
            _ => self.apply_adapted(input, residual, 0, &AdapterRows::default()),
        }
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

/// The whole block, some rows after the other, so that what lies between its products stays in the
/// caches and in memory that is at hand.
struct CpuMlp<'layer> {
    gate_up: CpuLinear<'layer>,
    down: CpuLinear<'layer>,
    gate: GateFunction,
    residual: Option<&'layer Tensor>,
}

/// Rows that go through the block together: enough that reading the weights again for the next ones costs
/// nothing beside the products.
const STRIP: usize = 128;

thread_local! {
    /// What lies between the products of a strip; kept, because memory that is handed out anew for each
    /// layer has to be cleared each time.
    static BETWEEN: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl CustomOp1 for CpuMlp<'_> {
    fn name(&self) -> &'static str {
        "silica-mlp"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        if columns != self.gate_up.inputs() || self.gate_up.outputs() != 2 * self.down.inputs() {
            bail!("a block for {} inputs was given {columns}", self.gate_up.inputs());
        }
        let input = contiguous(storage.as_slice::<f32>()?, layout)?;
        let mut output = to_be_overwritten(rows * self.down.outputs());
        match self.residual {
            Some(residual) => with_values(residual, output.len(), |residual| {
                self.strips(input, &mut output, Some(residual))
            })??,
            None => self.strips(input, &mut output, None)?,
        }
        Ok((CpuStorage::F32(output), Shape::from((rows, self.down.outputs()))))
    }
}

impl CpuMlp<'_> {
    fn strips(&self, input: &[f32], output: &mut [f32], residual: Option<&[f32]>) -> Result<()> {
        let (inner, outputs) = (self.down.inputs(), self.down.outputs());
        let mut between = BETWEEN.take();
        let inputs = input.chunks(STRIP * self.gate_up.inputs());
        for (strip, (input, output)) in inputs.zip(output.chunks_mut(STRIP * outputs)).enumerate() {
            let rows = output.len() / outputs;
            if between.len() < 3 * rows * inner {
                between.resize(3 * rows * inner, 0.0);
            }
            let (both, gated) = between[..3 * rows * inner].split_at_mut(2 * rows * inner);
            self.gate_up.apply(input, both, None)?;
            gate_rows(self.gate, gated, both, inner);
            let residual = residual.map(|residual| &residual[strip * STRIP * outputs..][..rows * outputs]);
            self.down.apply(gated, output, residual)?;
        }
        BETWEEN.set(between);
        Ok(())
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
        let mut output = to_be_overwritten(rows * inner);
        gate_rows(self.0, &mut output, input, inner);
        Ok((CpuStorage::F32(output), Shape::from((rows, inner))))
    }
}

fn gate_rows(function: GateFunction, output: &mut [f32], input: &[f32], inner: usize) {
    let gate = match function {
        GateFunction::Silu => rows::gate_silu,
        GateFunction::GeluTanh => rows::gate_gelu,
    };
    let rows = output.par_chunks_mut(inner).zip(input.par_chunks(2 * inner));
    rows.for_each(|(output, input)| gate(output, input));
}
