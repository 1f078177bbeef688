//! Root-mean-square norms.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::linear::{contiguous, with_values};
use super::weights::{Vector, Weights};
use crate::LoadError;
use crate::kernels::rows;

/// Scales the last dimension to a root mean square of 1, then by learned weights.
pub(crate) struct RmsNorm {
    weight: Tensor,
    epsilon: f32,
}

impl RmsNorm {
    pub(crate) fn load(
        weights: &Weights,
        tensor: &Vector,
        epsilon: f32,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            weight: weights.norm(&tensor.name, tensor.size)?,
            epsilon,
        })
    }

    /// Applies the norm; `input` must be contiguous.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        if input.device().is_cpu() {
            input.apply_op1_no_bwd(&CpuNorm(self))
        } else {
            candle_nn::ops::rms_norm(input, &self.weight, self.epsilon)
        }
    }

    /// Lends a function that applies the norm to one row of the CPU's.
    pub(crate) fn with_row<R>(&self, work: impl FnOnce(&(dyn Fn(&mut [f32]) + Sync)) -> R) -> Result<R> {
        with_values(&self.weight, self.weight.elem_count(), |weights| {
            work(&|row: &mut [f32]| rows::rms_norm(row, weights, self.epsilon))
        })
    }

    /// Applies the norm to `[rows, hidden]` and adds the result to the residual stream.
    pub(crate) fn forward_onto(&self, input: &Tensor, residual: &Tensor) -> Result<Tensor> {
        if input.device().is_cpu() {
            input.apply_op2_no_bwd(residual, &CpuNormOnto(self))
        } else {
            self.forward(input)? + residual
        }
    }
}

/// A norm on the engine's own threads (see `linear.rs`).
struct CpuNorm<'layer>(&'layer RmsNorm);

impl CustomOp1 for CpuNorm<'_> {
    fn name(&self) -> &'static str {
        "silica-norm"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.0.weight.elem_count();
        if layout.shape().dims().last() != Some(&width) {
            bail!("a norm of {width} values was given {:?}", layout.shape());
        }
        let mut output = contiguous(input.as_slice::<f32>()?, layout)?.to_vec();
        self.0
            .with_row(|normalise| output.par_chunks_mut(width).for_each(normalise))?;
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}

/// A norm and an addition in one pass.
struct CpuNormOnto<'layer>(&'layer RmsNorm);

impl CustomOp2 for CpuNormOnto<'_> {
    fn name(&self) -> &'static str {
        "silica-norm-onto"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = input_layout.shape().dims2()?;
        let input = contiguous(input.as_slice::<f32>()?, input_layout)?;
        let mut output = contiguous(residual.as_slice::<f32>()?, residual_layout)?.to_vec();
        with_values(&self.0.weight, width, |weights| {
            let rows = output.par_chunks_mut(width).zip(input.par_chunks(width));
            rows.for_each(|(output, input)| rows::rms_norm_onto(output, input, weights, self.0.epsilon));
        })?;
        Ok((CpuStorage::F32(output), residual_layout.shape().clone()))
    }
}
