//! Attention over latents on the CPU: all heads have the same keys, and values are a part of them.
//!
//! As in [`super`], what comes out for a head of a position depends on its query and on the rows
//! that it sees, and on nothing else.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

use std::array;
use std::ops::Range;
use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, bail};
use rayon::prelude::*;

use super::super::super::cache::blocks::{BLOCK, BlockId};
use super::super::super::cache::store::{LatentShape, lock, write_latents};
use super::super::super::linear::contiguous;
use super::SpanRows;
use super::numbers::{Softmax, multiply_add};

/// Heads of a position that go through the rows together.
const QUERIES: usize = 16;
/// Elements of a row that are multiplied side by side.
const LANES: usize = 8;
/// Elements of a latent that are summed side by side.
const COLUMNS: usize = 16;

/// Queries `[rows, heads, width]` and the rows of the same positions `[rows, width]`, all f32 and
/// contiguous, span after span. The rows are put into the spans' blocks; the result is `[rows,
/// heads, rank]`.
pub(crate) struct CpuLatentAttention<'pass> {
    pub(crate) heads: usize,
    pub(crate) shape: LatentShape,
    /// The factor of the logits.
    pub(crate) scale: f32,
    /// The blocks' memory in this layer.
    pub(crate) data: &'pass Mutex<Vec<f32>>,
    pub(crate) spans: Vec<SpanRows<'pass>>,
}

impl CustomOp2 for CpuLatentAttention<'_> {
    fn name(&self) -> &'static str {
        "silica-latent-attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        query_layout: &Layout,
        latents: &CpuStorage,
        latent_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows: usize = self.spans.iter().map(|span| span.rows).sum();
        let width = self.shape.row();
        if query_layout.shape().dims() != [rows, self.heads, width]
            || latent_layout.shape().dims() != [rows, width]
        {
            bail!("attention over {query_layout:?} and {latent_layout:?} does not fit {rows} rows");
        }
        let queries = contiguous(queries.as_slice::<f32>()?, query_layout)?;
        let latents = contiguous(latents.as_slice::<f32>()?, latent_layout)?;
        let shape = (rows, self.heads, self.shape.rank);
        let mut output = vec![0.0; rows * self.heads * self.shape.rank];
        self.compute(queries, latents, &mut output)?;
        Ok((CpuStorage::F32(output), Shape::from(shape)))
    }
}

/// Some heads of one position: what one thread computes at a time.
struct Task<'data> {
    shape: LatentShape,
    scale: f32,
    /// All blocks of the layer.
    data: &'data [f32],
    /// The sequence's blocks.
    blocks: &'data [BlockId],
    /// How many positions it sees.
    seen: usize,
    /// `[heads, width]`.
    queries: &'data [f32],
    /// `[heads, rank]`, zeros.
    output: &'data mut [f32],
}

impl CpuLatentAttention<'_> {
    fn compute(&self, queries: &[f32], latents: &[f32], output: &mut [f32]) -> Result<()> {
        let mut data = lock(self.data);
        let width = self.shape.row();
        let mut rows = latents;
        for span in &self.spans {
            let (own, rest) = rows.split_at(span.rows * width);
            write_latents(&mut data, self.shape, span.blocks, span.first, own)?;
            rows = rest;
        }
        let tasks = self.tasks(&data, queries, output).into_par_iter();
        tasks.for_each_init(Vec::new, |weights, mut task| task.attend(weights));
        Ok(())
    }

    fn tasks<'data>(
        &'data self,
        data: &'data [f32],
        queries: &'data [f32],
        output: &'data mut [f32],
    ) -> Vec<Task<'data>> {
        let (width, rank) = (self.shape.row(), self.shape.rank);
        let positions = self.spans.iter().flat_map(|span| {
            let positions = span.first..span.first + span.rows;
            positions.map(|position| (span.blocks, position))
        });
        let heads = queries
            .chunks(self.heads * width)
            .zip(output.chunks_mut(self.heads * rank));
        let task = |((blocks, position), (queries, output))| {
            let parts = <[f32]>::chunks(queries, QUERIES * width);
            let parts = parts.zip(<[f32]>::chunks_mut(output, QUERIES * rank));
            parts.map(move |(queries, output)| Task {
                shape: self.shape,
                scale: self.scale,
                data,
                blocks,
                seen: position + 1,
                queries,
                output,
            })
        };
        positions.zip(heads).flat_map(task).collect()
    }
}

impl Task<'_> {
    fn attend(&mut self, weights: &mut Vec<f32>) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features that the function is compiled for.
            #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
            unsafe {
                attend_avx2(self, weights);
            }
            return;
        }
        self.attend_with::<{ cfg!(target_arch = "aarch64") }>(weights);
    }

    #[inline(always)]
    fn attend_with<const FUSED: bool>(&mut self, weights: &mut Vec<f32>) {
        let heads = self.queries.len() / self.shape.row();
        let (seen, rank) = (self.seen, self.shape.rank);
        weights.clear();
        weights.resize(heads * seen, 0.0);
        for first in (0..seen).step_by(BLOCK) {
            let positions = first..seen.min(first + BLOCK);
            in_fours(heads, |head, count| match count {
                4 => self.score::<4, FUSED>(head, positions.clone(), weights),
                2 => self.score::<2, FUSED>(head, positions.clone(), weights),
                _ => self.score::<1, FUSED>(head, positions.clone(), weights),
            });
        }
        let mut totals = [0.0; QUERIES];
        for (weights, total) in weights.chunks_exact_mut(seen).zip(&mut totals) {
            let mut softmax = Softmax::default();
            softmax.add::<FUSED>(weights, self.scale);
            *total = softmax.total();
        }
        for first in (0..seen).step_by(BLOCK) {
            let positions = first..seen.min(first + BLOCK);
            in_fours(heads, |head, count| match count {
                4 => self.sum::<4, FUSED>(head, positions.clone(), weights),
                2 => self.sum::<2, FUSED>(head, positions.clone(), weights),
                _ => self.sum::<1, FUSED>(head, positions.clone(), weights),
            });
        }
        for (sums, total) in self.output.chunks_exact_mut(rank).zip(totals) {
            for sum in sums {
                *sum /= total;
            }
        }
    }

    /// The rows of positions of one block.
    #[inline(always)]
    fn rows(&self, positions: &Range<usize>) -> &[f32] {
        let width = self.shape.row();
        let block = self.blocks[positions.start / BLOCK] as usize;
        let start = block * self.shape.block() + positions.start % BLOCK * width;
        &self.data[start..][..positions.len() * width]
    }

    /// Fills in the products of `N` heads' queries with the rows of some positions.
    #[inline(always)]
    fn score<const N: usize, const FUSED: bool>(
        &self,
        head: usize,
        positions: Range<usize>,
        weights: &mut [f32],
    ) {
        let width = self.shape.row();
        let queries: [&[f32]; N] = array::from_fn(|index| &self.queries[(head + index) * width..][..width]);
        let mut put = |position: usize, products: [f32; N]| {
            for (index, product) in products.into_iter().enumerate() {
                weights[(head + index) * self.seen + position] = product;
            }
        };
        let rows = self.rows(&positions);
        let mut pairs = rows.chunks_exact(2 * width);
        let mut position = positions.start;
        for pair in pairs.by_ref() {
            let (left, right) = pair.split_at(width);
            let products = products::<N, 2, FUSED>(queries, [left, right]);
            put(position, products.map(|products| products[0]));
            put(position + 1, products.map(|products| products[1]));
            position += 2;
        }
        if !pairs.remainder().is_empty() {
            let products = products::<N, 1, FUSED>(queries, [pairs.remainder()]);
            put(position, products.map(|products| products[0]));
        }
    }

    /// Adds the latents of some positions, each times its weight, onto the sums of `N` heads, row
    /// by row in order.
    #[inline(always)]
    fn sum<const N: usize, const FUSED: bool>(
        &mut self,
        head: usize,
        positions: Range<usize>,
        weights: &[f32],
    ) {
        let (width, rank, seen) = (self.shape.row(), self.shape.rank, self.seen);
        let block = self.blocks[positions.start / BLOCK] as usize;
        let start = block * self.shape.block() + positions.start % BLOCK * width;
        let rows = &self.data[start..][..positions.len() * width];
        let weights: [&[f32]; N] =
            array::from_fn(|index| &weights[(head + index) * seen..][positions.clone()]);
        let sums = &mut self.output[head * rank..][..N * rank];
        let whole = rank / COLUMNS * COLUMNS;
        for column in (0..whole).step_by(COLUMNS) {
            let mut lanes = [[0.0_f32; COLUMNS]; N];
            for (lanes, sums) in lanes.iter_mut().zip(sums.chunks_exact(rank)) {
                lanes.copy_from_slice(&sums[column..column + COLUMNS]);
            }
            for (row, values) in rows.chunks_exact(width).enumerate() {
                let values = &values[column..column + COLUMNS];
                for (lanes, weights) in lanes.iter_mut().zip(weights) {
                    let weight = weights[row];
                    for lane in 0..COLUMNS {
                        lanes[lane] = multiply_add::<FUSED>(weight, values[lane], lanes[lane]);
                    }
                }
            }
            for (lanes, sums) in lanes.iter().zip(sums.chunks_exact_mut(rank)) {
                sums[column..column + COLUMNS].copy_from_slice(lanes);
            }
        }
        for (weights, sums) in weights.iter().zip(sums.chunks_exact_mut(rank)) {
            for (weight, values) in weights.iter().zip(rows.chunks_exact(width)) {
                for (sum, value) in sums[whole..].iter_mut().zip(&values[whole..rank]) {
                    *sum = multiply_add::<FUSED>(*weight, *value, *sum);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn attend_avx2(task: &mut Task<'_>, weights: &mut Vec<f32>) {
    task.attend_with::<true>(weights);
}

/// Goes through `count` heads four, two or one at a time.
#[inline(always)]
fn in_fours(count: usize, mut work: impl FnMut(usize, usize)) {
    let mut first = 0;
    while first < count {
        let together = match count - first {
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        work(first, together);
        first += together;
    }
}

/// The products of `N` queries with `P` keys of the same width. Each is summed in an order that
/// follows from the width alone, whatever `N` and `P`.
#[inline(always)]
fn products<const N: usize, const P: usize, const FUSED: bool>(
    queries: [&[f32]; N],
    keys: [&[f32]; P],
) -> [[f32; P]; N] {
    let width = keys[0].len();
    let whole = width / LANES * LANES;
    let mut sums = [[[0.0_f32; LANES]; P]; N];
    for start in (0..whole).step_by(LANES) {
        let keys = keys.map(|key| &key[start..start + LANES]);
        for (sums, query) in sums.iter_mut().zip(queries) {
            let query = &query[start..start + LANES];
            for (sums, key) in sums.iter_mut().zip(keys) {
                for lane in 0..LANES {
                    sums[lane] = multiply_add::<FUSED>(query[lane], key[lane], sums[lane]);
                }
            }
        }
    }
    for (sums, query) in sums.iter_mut().zip(queries) {
        for (sums, key) in sums.iter_mut().zip(keys) {
            for (lane, index) in (whole..width).enumerate() {
                sums[lane] = multiply_add::<FUSED>(query[index], key[index], sums[lane]);
            }
        }
    }
    sums.map(|sums| sums.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h))))
}

#[cfg(test)]
mod tests;
