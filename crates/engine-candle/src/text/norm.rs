//! Root-mean-square norms.

use candle_core::{Result, Tensor};

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
            weight: weights.vector(&tensor.name, tensor.size)?,
            epsilon,
        })
    }

    /// Applies the norm; `input` must be contiguous.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(input, &self.weight, self.epsilon)
    }
}
