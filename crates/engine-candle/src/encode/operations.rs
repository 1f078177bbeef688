//! What the layers of a bidirectional model compute beside attention: dense layers, norms, activations.
//!
//! Every row is computed for itself, in an order that follows from its width alone.

use std::sync::Arc;

use candle_core::Result;
use rayon::prelude::*;

use super::config::Activation;
use crate::LoadError;
use crate::text::matrix::Weight;
use crate::text::weights::{Role, Weights};

/// Sums that run side by side.
const LANES: usize = 16;

/// `y = x W^T + b`.
pub(super) struct Dense {
    weight: Arc<Weight>,
    bias: Vec<f32>,
}

impl Dense {
    /// Loads `NAME.weight` and `NAME.bias`.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        (inputs, outputs): (usize, usize),
        role: Role,
    ) -> std::result::Result<Self, LoadError> {
        let matrix = [(format!("{name}.weight"), outputs)];
        Ok(Self {
            weight: weights.matrix(&matrix, inputs, role)?,
            bias: weights.values(&format!("{name}.bias"), outputs)?,
        })
    }

    /// The matrix.
    pub(super) fn weight(&self) -> &Weight {
        &self.weight
    }

    /// Applies the layer to some rows.
    pub(super) fn forward(&self, input: &[f32]) -> Result<Vec<f32>> {
        self.forward_then(input, |_, _| {})
    }

    /// Applies the layer, and `finish` to each row of the result; it is told which row it is.
    pub(super) fn forward_then(
        &self,
        input: &[f32],
        finish: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Vec<f32>> {
        let mut output = self.weight.multiply(input)?;
        let rows = output.par_chunks_mut(self.bias.len()).enumerate();
        rows.for_each(|(index, row)| {
            for (value, bias) in row.iter_mut().zip(&self.bias) {
                *value += bias;
            }
            finish(index, row);
        });
        Ok(output)
    }
}

/// Scales rows to a mean of 0 and a variance of 1, then by learned weights.
pub(super) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl LayerNorm {
    /// Loads `NAME.weight` and `NAME.bias`.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        size: usize,
        epsilon: f32,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            weight: weights.values(&format!("{name}.weight"), size)?,
            bias: weights.values(&format!("{name}.bias"), size)?,
            epsilon,
        })
    }

    /// Applies the norm to one row.
    pub(super) fn apply(&self, row: &mut [f32]) {
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
        let count = row.len() as f32;
        let mean = sum(row, |value| value) / count;
        let variance = sum(row, |value| (value - mean) * (value - mean)) / count;
        let scale = 1.0 / (variance + self.epsilon).sqrt();
        for (value, (weight, bias)) in row.iter_mut().zip(self.weight.iter().zip(&self.bias)) {
            *value = (*value - mean) * scale * weight + bias;
        }
    }
}

/// Adds values onto others.
pub(super) fn add(target: &mut [f32], values: &[f32]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += value;
    }
}

/// Scales a vector to length 1; one of zeros stays what it is.
pub(super) fn normalise(vector: &mut [f32]) {
    let length = sum(vector, |value| value * value).sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

/// The sum of what a function makes of the values.
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += of(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += of(*value);
    }
    lanes.iter().sum()
}

impl Activation {
    /// Applies the function to one row.
    pub(super) fn apply(self, row: &mut [f32]) {
        match self {
            Self::Gelu => row.iter_mut().for_each(|value| *value = gelu(*value)),
            Self::GeluTanh => row.iter_mut().for_each(|value| *value = gelu_tanh(*value)),
            Self::Relu => row.iter_mut().for_each(|value| *value = value.max(0.0)),
        }
    }
}

fn gelu(value: f32) -> f32 {
    0.5 * value * (1.0 + error_function(value * std::f32::consts::FRAC_1_SQRT_2))
}

fn gelu_tanh(value: f32) -> f32 {
    // The square root of 2 / pi.
    const SCALE: f32 = 0.797_884_6;
    0.5 * value * (1.0 + (SCALE * (value + 0.044_715 * value * value * value)).tanh())
}

/// With an absolute error below 5e-7 (Abramowitz and Stegun, 7.1.26, is exact to 1.5e-7; the rest is
/// f32's).
fn error_function(value: f32) -> f32 {
    const COEFFICIENTS: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    let distance = value.abs();
    let place = 1.0 / (1.0 + 0.327_591_1 * distance);
    let series = COEFFICIENTS
        .into_iter()
        .fold(0.0_f32, |sum, coefficient| (sum + coefficient) * place);
    (1.0 - series * (-distance * distance).exp()).copysign(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_that_of_the_error_function() {
        // From `torch.nn.functional.gelu` in f64.
        for (value, expected) in [
            (0.0, 0.0),
            (0.5, 0.345_731_2),
            (-0.5, -0.154_268_8),
            (1.0, 0.841_344_7),
            (-3.0, -0.004_049_7),
            (6.0, 6.0),
            (-20.0, 0.0),
        ] {
            assert!((gelu(value) - expected).abs() < 2e-6, "gelu of {value}");
        }
        assert!(gelu(f32::NAN).is_nan());
    }

    #[test]
    fn vectors_have_length_1_and_nothing_stays_nothing() {
        let mut vector = vec![3.0, 0.0, 4.0];
        normalise(&mut vector);
        assert_eq!(vector, [0.6, 0.0, 0.8]);
        let mut nothing = vec![0.0; 3];
        normalise(&mut nothing);
        assert_eq!(nothing, [0.0; 3]);
    }
}
