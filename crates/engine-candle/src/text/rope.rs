//! Rotary position embeddings and the scaling variants of the supported families.
//!
//! Cosines and sines are computed for the positions of a step, once for all layers; that is a few
//! microseconds for a decoded token, where a table for a long context would take hundreds of
//! megabytes.

use std::f64::consts::PI;
use std::iter;

use candle_core::{DType, Device, Result, Tensor};

use super::config::{RopeConfig, RopeScaling, YarnScaling, real};
use super::linear::with_values;
use crate::kernels::rows;

/// Turns positions into rotations.
pub(crate) struct Rope {
    config: RopeConfig,
    /// One per pair of dimensions that are rotated. For `dynamic` scaling, those below the border.
    frequencies: Vec<f32>,
    /// Multiplies cosine and sine.
    attention_factor: f32,
}

/// Cosines and sines of some consecutive positions, `[positions, head dim / 2]`.
pub(crate) struct Rotation {
    cosines: Tensor,
    sines: Tensor,
}

impl Rope {
    pub(crate) fn new(config: RopeConfig) -> Self {
        let frequencies = frequencies(&config);
        let attention_factor = match &config.scaling {
            RopeScaling::Yarn(yarn) => yarn.attention_factor,
            _ => 1.0,
        };
        Self {
            config,
            frequencies,
            attention_factor: narrow(attention_factor),
        }
    }

    /// The rotations of `count` positions from `first` on.
    ///
    /// `length` only matters for `dynamic` scaling: the frequencies are those of a sequence of
    /// that many positions. Like the reference, which rotates keys before it caches them, a prompt
    /// is computed with its own full length (whatever the chunks it is computed in) and each later
    /// position with the length it has then; keys that are cached stay as they were rotated.
    pub(crate) fn rotation(
        &self,
        first: usize,
        count: usize,
        length: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Rotation> {
        let stretched = self.stretched(length);
        let frequencies = stretched.as_ref().unwrap_or(&self.frequencies);
        // Pairs that are not rotated: a cosine of 1 and a sine of 0.
        let passed = (self.config.head_dim - self.config.rotated) / 2;
        let size = count * (frequencies.len() + passed);
        let (mut cosines, mut sines) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for position in first..first + count {
            for frequency in frequencies {
                // In f32 throughout, as the reference computes it.
                #[expect(clippy::cast_precision_loss, reason = "positions are far below 2^24")]
                let (sine, cosine) = (position as f32 * frequency).sin_cos();
                cosines.push(cosine * self.attention_factor);
                sines.push(sine * self.attention_factor);
            }
            cosines.extend(iter::repeat_n(1.0, passed));
            sines.extend(iter::repeat_n(0.0, passed));
        }
        let shape = (count, frequencies.len() + passed);
        Ok(Rotation {
            cosines: Tensor::from_vec(cosines, shape, device)?.to_dtype(dtype)?,
            sines: Tensor::from_vec(sines, shape, device)?.to_dtype(dtype)?,
        })
    }

    /// The frequencies of `dynamic` scaling beyond the original length.
    fn stretched(&self, length: usize) -> Option<Vec<f32>> {
        let RopeScaling::Dynamic {
            factor,
            original_positions,
        } = self.config.scaling
        else {
            return None;
        };
        let length = real(length);
        if length <= original_positions {
            return None;
        }
        let width = real(self.config.rotated);
        let growth = factor * length / original_positions - (factor - 1.0);
        let base = self.config.theta * growth.powf(width / (width - 2.0));
        Some(
            plain_frequencies(base, self.config.rotated)
                .into_iter()
                .map(narrow)
                .collect(),
        )
    }
}

impl Rotation {
    /// Puts the positions of several sequences below each other.
    pub(crate) fn join(mut parts: Vec<Self>) -> Result<Self> {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return Ok(only);
        }
        let (cosines, sines): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|part| (part.cosines, part.sines)).unzip();
        Ok(Self {
            cosines: Tensor::cat(&cosines, 0)?,
            sines: Tensor::cat(&sines, 0)?,
        })
    }

    /// The rotations of `count` positions, counted from the first one's.
    pub(crate) fn part(&self, start: usize, count: usize) -> Result<Self> {
        Ok(Self {
            cosines: self.cosines.narrow(0, start, count)?,
            sines: self.sines.narrow(0, start, count)?,
        })
    }

    /// Lends a function that rotates a head of one of `rows` positions, on the CPU.
    pub(crate) fn with_head<R>(
        &self,
        rows: usize,
        work: impl FnOnce(&(dyn Fn(usize, &mut [f32]) + Sync)) -> R,
    ) -> Result<R> {
        let half = self.cosines.dim(1)?;
        with_values(&self.cosines, rows * half, |cosines| {
            with_values(&self.sines, rows * half, |sines| {
                work(&|row, head: &mut [f32]| {
                    let angles = row * half..(row + 1) * half;
                    rows::rotate(head, &cosines[angles.clone()], &sines[angles]);
                })
            })
        })?
    }

    /// Rotates `[positions, heads, head dim]`, which must be contiguous.
    pub(crate) fn apply(&self, heads: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope_thd(&heads.unsqueeze(0)?, &self.cosines, &self.sines)?.squeeze(0)
    }
}

/// The angle per position of each pair of dimensions.
fn frequencies(config: &RopeConfig) -> Vec<f32> {
    let plain = plain_frequencies(config.theta, config.rotated);
    let scaled: Vec<f64> = match &config.scaling {
        RopeScaling::Default | RopeScaling::Dynamic { .. } => plain,
        RopeScaling::Linear { factor } => plain.into_iter().map(|frequency| frequency / factor).collect(),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_positions,
        } => {
            let scale = |frequency: f64| {
                let rotations = original_positions * frequency / (2.0 * PI);
                if rotations < *low_freq_factor {
                    frequency / factor
                } else if rotations > *high_freq_factor {
                    frequency
                } else {
                    let smooth = (rotations - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            };
            plain.into_iter().map(scale).collect()
        }
        RopeScaling::Yarn(yarn) => yarn_frequencies(&plain, yarn, config),
    };
    scaled.into_iter().map(narrow).collect()
}

fn plain_frequencies(theta: f64, rotated: usize) -> Vec<f64> {
    (0..rotated / 2)
        .map(|pair| theta.powf(-real(2 * pair) / real(rotated)))
        .collect()
}

/// High frequencies are kept, low ones divided by the factor, with a ramp between that is linear
/// in the dimension.
fn yarn_frequencies(plain: &[f64], yarn: &YarnScaling, config: &RopeConfig) -> Vec<f64> {
    let width = real(config.rotated);
    // The (fractional) dimension that turns this often within the original length.
    let dimension_of = |rotations: f64| {
        width * (yarn.original_positions / (rotations * 2.0 * PI)).ln() / (2.0 * config.theta.ln())
    };
    let (mut low, mut high) = (dimension_of(yarn.beta_fast), dimension_of(yarn.beta_slow));
    if yarn.truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    low = low.max(0.0);
    high = high.min(width - 1.0);
    if (high - low).abs() < f64::EPSILON {
        high += 0.001; // The reference's way out of a division by zero.
    }
    let interpolate = |(pair, frequency): (usize, &f64)| {
        let ramp = ((real(pair) - low) / (high - low)).clamp(0.0, 1.0);
        frequency / yarn.factor * ramp + frequency * (1.0 - ramp)
    };
    plain.iter().enumerate().map(interpolate).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "f32 is what the rotations are computed in"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests;
