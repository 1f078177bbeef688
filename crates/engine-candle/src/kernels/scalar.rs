//! Products without vector instructions: what runs where there are none that we know, and what the
//! others are compared with, bit for bit.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

use std::ops::Range;

use super::blocks::BLOCK;
use super::input::Rounded;
use super::layout::{self, block_values, chunk_bytes, lanes};
use crate::gguf::TensorFormat;

/// Products of one group of float rows with the input rows `rows`, of `columns` values each, into
/// `sums`: a group's lanes for each row. The products of an element are added one after the other.
pub(super) fn floats<const FUSED: bool>(
    format: TensorFormat,
    group: &[u8],
    input: &[f32],
    rows: Range<usize>,
    sums: &mut [f32],
) {
    let lanes = lanes(format);
    let columns = group.len() / chunk_bytes(format);
    for (row, sums) in rows.zip(sums.chunks_exact_mut(lanes)) {
        let input = &input[row * columns..][..columns];
        sums.fill(0.0);
        for (value, chunk) in input.iter().zip(group.chunks_exact(chunk_bytes(format))) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = multiply_add::<FUSED>(layout::float(format, chunk, lane), *value, *sum);
            }
        }
    }
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
    let lanes = lanes(format);
    let parts = block_values(format) / BLOCK;
    sums.fill(0.0);
    for (chunk_index, chunk) in group.chunks_exact(chunk_bytes(format)).enumerate() {
        for part_index in 0..parts {
            let block = chunk_index * parts + part_index;
            let values = &input.block(block)[rows.clone()];
            let scales = &input.scales(block)[rows.clone()];
            let input_sums = &input.sums(block)[rows.clone()];
            for lane in 0..lanes {
                let part = layout::part(format, chunk, lane, part_index);
                for (row, values) in values.iter().enumerate() {
                    let sum = &mut sums[row * lanes + lane];
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
