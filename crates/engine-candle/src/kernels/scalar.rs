//! Products without vector instructions: what runs where there are none that we know, and what the
//! others are compared with, bit for bit.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

use std::ops::Range;

use half::f16;

use super::blocks::BLOCK;
use super::input::Rounded;
use super::layout::{self, LANES, block_values, chunk_bytes};
use crate::gguf::TensorFormat;

/// Input rows that share the widened weights of a column.
const TILE: usize = 4;

/// Products of one group of float rows with the input rows `rows`, of as many values as the group has
/// columns, into `sums`: a group's lanes for each row. The products of an element are added one after
/// the other.
pub(super) fn floats<const FUSED: bool>(
    format: TensorFormat,
    group: &[u8],
    input: &[f32],
    rows: Range<usize>,
    sums: &mut [f32],
) {
    let columns = group.len() / chunk_bytes(format);
    let sums = sums.as_chunks_mut::<LANES>().0;
    for (start, sums) in rows.step_by(TILE).zip(sums.chunks_mut(TILE)) {
        let input = &input[start * columns..][..sums.len() * columns];
        match format {
            TensorFormat::F16 => {
                let widen = |bytes: &[u8; 2]| f16::from_le_bytes(*bytes).to_f32();
                tile::<FUSED, 2>(group, input, sums, widen);
            }
            // Not the library's function, whose branch for values that are no numbers keeps the
            // compiler from using vector instructions.
            TensorFormat::Bf16 => tile::<FUSED, 2>(group, input, sums, |bytes| {
                f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16)
            }),
            _ => tile::<FUSED, 4>(group, input, sums, |bytes| f32::from_le_bytes(*bytes)),
        }
    }
}

/// Written so that the compiler turns it into vector code of whatever it is compiled for.
#[inline(always)]
fn tile<const FUSED: bool, const BYTES: usize>(
    group: &[u8],
    input: &[f32],
    sums: &mut [[f32; LANES]],
    widen: impl Fn(&[u8; BYTES]) -> f32,
) {
    let columns = input.len() / sums.len();
    let mut totals = [[0.0; LANES]; TILE];
    let weights = group.as_chunks::<BYTES>().0.as_chunks::<LANES>().0;
    for (column, weights) in weights.iter().enumerate() {
        let weights: [f32; LANES] = std::array::from_fn(|lane| widen(&weights[lane]));
        for (totals, input) in totals.iter_mut().zip(input.chunks_exact(columns)) {
            for (total, weight) in totals.iter_mut().zip(weights) {
                *total = multiply_add::<FUSED>(weight, input[column], *total);
            }
        }
    }
    sums.copy_from_slice(&totals[..sums.len()]);
}

/// As [`floats`], for quantised rows: the products within a part are exact integers, and the parts
/// are added one after the other.
pub(super) fn quantised<const FUSED: bool>(
    format: TensorFormat,
    group: &[u8],
    input: &Rounded,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    let parts = block_values(format) / BLOCK;
    sums.fill(0.0);
    for (chunk_index, chunk) in group.chunks_exact(chunk_bytes(format)).enumerate() {
        for part_index in 0..parts {
            let block = chunk_index * parts + part_index;
            let values = &input.block(block)[rows.clone()];
            let scales = &input.scales(block)[rows.clone()];
            let input_sums = &input.sums(block)[rows.clone()];
            for lane in 0..LANES {
                let part = layout::part(format, chunk, lane, part_index);
                for (row, values) in values.iter().enumerate() {
                    let sum = &mut sums[row * LANES + lane];
                    let scale = part.scale * scales[row];
                    *sum = multiply_add::<FUSED>(dot(&part.values, values), scale, *sum);
                    if format == TensorFormat::Q4K {
                        let total = f32::from(input_sums[row][0] + input_sums[row][1]);
                        *sum = multiply_add::<FUSED>(-total, part.minimum * scales[row], *sum);
                    }
                }
            }
        }
    }
}

/// Below 2^24 in every format, so an f32 holds it exactly.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn dot(weights: &[i16; BLOCK], values: &[i8; BLOCK]) -> f32 {
    let products = weights
        .iter()
        .zip(values)
        .map(|(weight, value)| i32::from(*weight) * i32::from(*value));
    products.sum::<i32>() as f32
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(left: f32, right: f32, sum: f32) -> f32 {
    // Without the instruction a fused operation would be a slow library call.
    if FUSED {
        left.mul_add(right, sum)
    } else {
        left * right + sum
    }
}
