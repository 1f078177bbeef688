//! Softmax and its exponentials, many at once and in a fixed order.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

use super::super::super::cache::blocks::BLOCK;
pub(super) use crate::kernels::rows::{exponential, multiply_add};

/// Elements that are computed side by side.
pub(super) const LANES: usize = BLOCK;

/// A softmax that takes its logits part by part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Softmax {
    /// The largest logit so far.
    largest: f32,
    /// Sums of the exponentials so far, each of the logits' places modulo the number of lanes.
    sums: [f32; LANES],
}

impl Default for Softmax {
    fn default() -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            sums: [0.0; LANES],
        }
    }
}

impl Softmax {
    /// Replaces logits by the exponentials of `scale` times their distance from the largest so far.
    /// Returns what earlier exponentials have to be multiplied with, at most 1.
    #[inline(always)]
    pub(super) fn add<const FUSED: bool>(&mut self, logits: &mut [f32], scale: f32) -> f32 {
        let before = self.largest;
        let (chunks, rest) = logits.as_chunks_mut::<LANES>();
        let mut largest = [before; LANES];
        for chunk in &*chunks {
            for (largest, logit) in largest.iter_mut().zip(chunk) {
                *largest = if *logit > *largest { *logit } else { *largest };
            }
        }
        for (largest, logit) in largest.iter_mut().zip(&*rest) {
            *largest = if *logit > *largest { *logit } else { *largest };
        }
        let largest = largest_of(largest);
        self.largest = largest;
        let correction = if largest > before {
            exponential::<FUSED>((before - largest) * scale)
        } else {
            1.0
        };
        if correction < 1.0 {
            for sum in &mut self.sums {
                *sum *= correction;
            }
        }
        for chunk in chunks {
            for (logit, sum) in chunk.iter_mut().zip(&mut self.sums) {
                *logit = exponential::<FUSED>((*logit - largest) * scale);
                *sum += *logit;
            }
        }
        for (logit, sum) in rest.iter_mut().zip(&mut self.sums) {
            *logit = exponential::<FUSED>((*logit - largest) * scale);
            *sum += *logit;
        }
        correction
    }

    /// The sum of all exponentials.
    #[inline(always)]
    pub(super) fn total(&self) -> f32 {
        self.sums.iter().sum()
    }
}

/// The largest of all lanes, none of which is no number; half of them at a time.
#[inline(always)]
fn largest_of(mut lanes: [f32; LANES]) -> f32 {
    let mut count = LANES;
    while count > 1 {
        count /= 2;
        for lane in 0..count {
            if lanes[lane + count] > lanes[lane] {
                lanes[lane] = lanes[lane + count];
            }
        }
    }
    lanes[0]
}

/// Replaces logits by `cap * tanh(logit * scale / cap)`.
#[inline(always)]
pub(super) fn bound<const FUSED: bool>(logits: &mut [f32], scale: f32, cap: f32) {
    let scale = 2.0 * scale / cap;
    for logit in logits {
        // tanh(x) is (1 - e) / (1 + e) with e = exp(-2x); for the sign of x that keeps e below 1.
        let twice = *logit * scale;
        let power = exponential::<FUSED>(-twice.abs());
        *logit = (cap * (1.0 - power) / (1.0 + power)).copysign(twice);
    }
}

#[cfg(test)]
mod tests;
