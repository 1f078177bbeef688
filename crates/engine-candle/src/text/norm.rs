//! Root-mean-square norms.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::linear::{contiguous, with_values};
use super::weights::{Vector, Weights};
use crate::LoadError;

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
        candle_nn::ops::rms_norm(input, &self.weight, self.epsilon)
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

/// A norm and an addition in one pass, on the engine's own threads (see `linear.rs`).
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
        with_values(&self.0.weight, width, |weight| {
            let rows = output.par_chunks_mut(width).zip(input.par_chunks(width));
            rows.for_each(|(output, input)| {
                let factor = inverse_root_mean_square(input, self.0.epsilon);
                for ((output, value), weight) in output.iter_mut().zip(input).zip(weight) {
                    *output += value * factor * weight;
                }
            });
        })?;
        Ok((CpuStorage::F32(output), residual_layout.shape().clone()))
    }
}

fn inverse_root_mean_square(values: &[f32], epsilon: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let count = values.len() as f32;
    let squares = values.iter().map(|value| value * value).sum::<f32>();
    1.0 / (squares / count + epsilon).sqrt()
}
