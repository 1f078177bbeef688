//! Products with AVX-512 and its dot products of bytes (VNNI): what Intel's server processors have
//! since 2019, and AMD's since Zen 4.
//!
//! Each function computes what its twin in `scalar.rs` does, to the bit: integers within a part are
//! exact, and every element has one chain of fused additions. One or two groups at once share what is
//! read of the input.

#![expect(unsafe_code, reason = "vector instructions read through pointers")]

mod floats;
pub(super) mod quads;
mod rounding;

use std::ops::Range;

pub(super) use self::floats::PANEL_ROWS;
pub(super) use self::rounding::round;
use super::input::{Panels, Rounded};
use super::layout::LANES;
use crate::gguf::TensorFormat;

/// Input rows that are multiplied while a group of weight rows is at hand: with as many, multiplying
/// takes longer than reading the weights. The sums of two groups fit the first-level cache.
pub(super) const TILE_ROWS: usize = 256;

/// Whether this processor has the instructions.
pub(super) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512vnni")
}

/// As [`super::scalar::floats`], for one or two groups; `sums` has all values of the first group
/// before those of the second.
///
/// # Safety
/// [`is_available`]. `rows` begin with a panel, and the input has as many columns as the groups;
/// `sums` has 16 values for each group and row.
pub(super) unsafe fn floats<const GROUPS: usize>(
    format: TensorFormat,
    groups: [&[u8]; GROUPS],
    input: &Panels,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    debug_assert_eq!(sums.len(), GROUPS * rows.len() * LANES, "sums of the groups");
    // SAFETY: as the caller promises.
    unsafe {
        match format {
            TensorFormat::F16 => floats::products::<floats::Half, GROUPS>(groups, input, rows, sums),
            TensorFormat::Bf16 => floats::products::<floats::Brain, GROUPS>(groups, input, rows, sums),
            _ => floats::products::<floats::Single, GROUPS>(groups, input, rows, sums),
        }
    }
}

/// As [`super::scalar::quantised`], for one or two groups; `sums` has all values of the first group
/// before those of the second.
///
/// # Safety
/// [`is_available`]. `rows` are rows of the input, which has as many columns as the groups; `sums`
/// has 16 values for each group and row.
pub(super) unsafe fn quantised<const GROUPS: usize>(
    format: TensorFormat,
    groups: [&[u8]; GROUPS],
    input: &Rounded,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    debug_assert_eq!(sums.len(), GROUPS * rows.len() * LANES, "sums of the groups");
    // SAFETY: as the caller promises.
    unsafe {
        match format {
            TensorFormat::Q8_0 => quads::products::<quads::Q8_0, GROUPS>(groups, input, rows, sums),
            TensorFormat::Q4_0 => quads::products::<quads::Q4_0, GROUPS>(groups, input, rows, sums),
            TensorFormat::Q5_0 => quads::products::<quads::Q5_0, GROUPS>(groups, input, rows, sums),
            TensorFormat::Q4K => quads::products::<quads::Q4K, GROUPS>(groups, input, rows, sums),
            TensorFormat::Q6K => quads::products::<quads::Q6K, GROUPS>(groups, input, rows, sums),
            TensorFormat::F32 | TensorFormat::F16 | TensorFormat::Bf16 => {}
        }
    }
}
