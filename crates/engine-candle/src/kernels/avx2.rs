//! Products with AVX2, FMA and F16C: what the x86-64 processors since 2013 have.
//!
//! Each function computes what its twin in `scalar.rs` does, to the bit: integers within a part are
//! exact, and every element has one chain of fused additions.

#![expect(unsafe_code, reason = "vector instructions read through pointers")]

mod bytes;
mod floats;
mod quads;

use std::ops::Range;

use super::input::Rounded;
use crate::gguf::TensorFormat;

/// Input rows that are multiplied while a group of weight rows is at hand: with wide inputs (4864
/// columns in int8) as many fit the second-level cache, and their sums the first.
pub(super) const TILE_ROWS: usize = quads::MOST_ROWS;

/// Whether this processor has the instructions.
pub(super) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
}

/// As [`super::scalar::floats`].
///
/// # Safety
/// [`is_available`]. `rows` are rows of the input, which has as many columns as the group, and
/// `sums` has 16 values for each.
pub(super) unsafe fn floats(
    format: TensorFormat,
    group: &[u8],
    input: &[f32],
    rows: Range<usize>,
    sums: &mut [f32],
) {
    // SAFETY: as the caller promises.
    unsafe {
        match format {
            TensorFormat::F16 => floats::products::<floats::Half>(group, input, rows, sums),
            TensorFormat::Bf16 => floats::products::<floats::Brain>(group, input, rows, sums),
            _ => floats::products::<floats::Single>(group, input, rows, sums),
        }
    }
}

/// As [`super::scalar::quantised`].
///
/// # Safety
/// [`is_available`]. `rows` are at most [`TILE_ROWS`] rows of the input, which has as many columns
/// as the group, and `sums` has a value for each of them and each lane.
pub(super) unsafe fn quantised(
    format: TensorFormat,
    group: &[u8],
    input: &Rounded,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    // SAFETY: as the caller promises.
    unsafe {
        match format {
            TensorFormat::Q8_0 => bytes::products(group, input, rows, sums),
            TensorFormat::Q4_0 => quads::products::<quads::Q4_0>(group, input, rows, sums),
            TensorFormat::Q5_0 => quads::products::<quads::Q5_0>(group, input, rows, sums),
            TensorFormat::Q4K => quads::products::<quads::Q4K>(group, input, rows, sums),
            TensorFormat::Q6K => quads::products::<quads::Q6K>(group, input, rows, sums),
            TensorFormat::F32 | TensorFormat::F16 | TensorFormat::Bf16 => {}
        }
    }
}
