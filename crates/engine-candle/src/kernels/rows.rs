//! What happens to rows of activations between the products: norms, gates and rotations.
//!
//! Plain loops, compiled once for each instruction set and written so that the compiler makes vector
//! code of them. Sums run in lanes whose number does not depend on the instructions, and additions are
//! fused wherever they are an instruction, so a row becomes the same bit for bit with AVX2 and AVX-512.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

mod exponential;

pub(crate) use self::exponential::{exponential, multiply_add};

/// Elements of a sum that are added up side by side.
const LANES: usize = 16;

/// `gate * logistic(gate) * up`, where `input` is gates and then as many ups: a gate with `SiLU`.
pub(crate) fn gate_silu(output: &mut [f32], input: &[f32]) {
    vectorised(Gate::<SILU> { output, input });
}

/// As [`gate_silu`] with GELU by the tangent, as `gelu_pytorch_tanh` is.
pub(crate) fn gate_gelu(output: &mut [f32], input: &[f32]) {
    vectorised(Gate::<GELU> { output, input });
}

/// Scales a row to a root mean square of 1, then by weights.
pub(crate) fn rms_norm(row: &mut [f32], weights: &[f32], epsilon: f32) {
    vectorised(Norm {
        row,
        weights,
        epsilon,
    });
}

/// As [`rms_norm`] of `input`, and adds the result to `output`.
pub(crate) fn rms_norm_onto(output: &mut [f32], input: &[f32], weights: &[f32], epsilon: f32) {
    vectorised(NormOnto {
        output,
        input,
        weights,
        epsilon,
    });
}

/// Turns each pair `(row[i], row[i + half])` by the angle whose cosine and sine are given.
pub(crate) fn rotate(row: &mut [f32], cosines: &[f32], sines: &[f32]) {
    vectorised(Rotate { row, cosines, sines });
}

/// Loops that are compiled for several instruction sets.
trait Loops {
    /// `FUSED` where a multiplication and an addition are one instruction.
    fn run<const FUSED: bool>(self);
}

/// Runs the loops with the best instructions that this processor has.
fn vectorised(loops: impl Loops) {
    #[cfg(target_arch = "x86_64")]
    if super::avx512::is_available() {
        // SAFETY: the processor has the instructions that the function is compiled for.
        #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
        return unsafe { with_avx512(loops) };
    } else if super::avx2::is_available() {
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
        return unsafe { with_avx2(loops) };
    }
    if cfg!(target_arch = "aarch64") {
        loops.run::<true>();
    } else {
        loops.run::<false>();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
fn with_avx512(loops: impl Loops) {
    loops.run::<true>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(loops: impl Loops) {
    loops.run::<true>();
}

const SILU: u8 = 0;
const GELU: u8 = 1;

struct Gate<'data, const FUNCTION: u8> {
    output: &'data mut [f32],
    input: &'data [f32],
}

impl<const FUNCTION: u8> Loops for Gate<'_, FUNCTION> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (gates, ups) = self.input.split_at(self.output.len());
        for ((output, gate), up) in self.output.iter_mut().zip(gates).zip(ups) {
            let bent = if FUNCTION == GELU {
                gelu::<FUSED>(*gate)
            } else {
                *gate * logistic::<FUSED>(*gate)
            };
            *output = bent * up;
        }
    }
}

/// `0.5 * (1 + tanh(x))` is the logistic function of `2x`.
#[inline(always)]
fn gelu<const FUSED: bool>(value: f32) -> f32 {
    /// The root of 2 / pi.
    const ROOT: f32 = 0.797_884_6;
    let inner = multiply_add::<FUSED>(0.044_715 * value * value, value, value);
    value * logistic::<FUSED>(2.0 * ROOT * inner)
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
fn logistic<const FUSED: bool>(value: f32) -> f32 {
    let power = exponential::<FUSED>(-value.abs());
    // Of a negative number 1 / (1 + 1 / power).
    let over = if value < 0.0 { power } else { 1.0 };
    over / (1.0 + power)
}

struct Norm<'data> {
    row: &'data mut [f32],
    weights: &'data [f32],
    epsilon: f32,
}

impl Loops for Norm<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let factor = inverse_root_mean_square::<FUSED>(self.row, self.epsilon);
        for (value, weight) in self.row.iter_mut().zip(self.weights) {
            *value = *value * factor * weight;
        }
    }
}

struct NormOnto<'data> {
    output: &'data mut [f32],
    input: &'data [f32],
    weights: &'data [f32],
    epsilon: f32,
}

impl Loops for NormOnto<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let factor = inverse_root_mean_square::<FUSED>(self.input, self.epsilon);
        for ((output, value), weight) in self.output.iter_mut().zip(self.input).zip(self.weights) {
            *output += value * factor * weight;
        }
    }
}

#[inline(always)]
fn inverse_root_mean_square<const FUSED: bool>(values: &[f32], epsilon: f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = multiply_add::<FUSED>(*value, *value, *sum);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = multiply_add::<FUSED>(*value, *value, *sum);
    }
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let count = values.len() as f32;
    1.0 / (sums.iter().sum::<f32>() / count + epsilon).sqrt()
}

struct Rotate<'data> {
    row: &'data mut [f32],
    cosines: &'data [f32],
    sines: &'data [f32],
}

impl Loops for Rotate<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (left, right) = self.row.split_at_mut(self.row.len() / 2);
        let pairs = left.iter_mut().zip(right);
        for ((left, right), (cosine, sine)) in pairs.zip(self.cosines.iter().zip(self.sines)) {
            (*left, *right) = (
                multiply_add::<FUSED>(*left, *cosine, -(*right * sine)),
                multiply_add::<FUSED>(*left, *sine, *right * cosine),
            );
        }
    }
}

#[cfg(test)]
mod tests;
