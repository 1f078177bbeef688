//! The inner loops of attention: one key head and the queries that share it.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

use std::array;
use std::ops::Range;

use super::super::super::cache::blocks::{BLOCK, BlockId};
use super::super::super::cache::store::KvShape;
use super::super::View;
use super::numbers::{LANES, bound, multiply_add, softmax};

/// Queries that go through the keys and values together.
const QUERIES: usize = 8;

/// One key head and the query heads that share it, at some consecutive positions.
pub(super) struct Head<'data> {
    /// `view.first` is the position of the first query.
    pub(super) view: View,
    /// All blocks of the layer.
    pub(super) data: &'data [f32],
    pub(super) shape: KvShape,
    /// The sequence's blocks.
    pub(super) blocks: &'data [BlockId],
    /// `[rows, heads, width]`.
    pub(super) queries: &'data [f32],
    pub(super) rows: usize,
    /// Which key head it is.
    pub(super) index: usize,
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// Of each query, one for every position from the start of a block on.
    weights: Vec<f32>,
    /// Of each query, as wide as a head.
    sums: Vec<f32>,
}

/// Queries that are computed together.
struct Tile {
    /// Counted over positions and, within each, the heads of the group.
    queries: Range<usize>,
    /// The first position that one of them sees, and its block.
    start: usize,
    /// Behind the last position that one of them sees.
    end: usize,
}

impl Tile {
    fn first_block(&self) -> usize {
        self.start / BLOCK
    }

    /// Weights per query, unused ones at both ends included.
    fn stride(&self) -> usize {
        (self.end.div_ceil(BLOCK) - self.first_block()) * BLOCK
    }

    /// Where the weights of these positions are among those of a query.
    fn weights_of(&self, positions: &Range<usize>) -> Range<usize> {
        let offset = self.first_block() * BLOCK;
        positions.start - offset..positions.end - offset
    }
}

impl Head<'_> {
    /// Writes the result of each position's heads side by side, and of the positions `stride`
    /// apart.
    pub(super) fn attend(&self, output: &mut [f32], stride: usize, scratch: &mut Scratch) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features that the function is compiled for.
            #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
            unsafe {
                attend_avx2(self, output, stride, scratch);
            }
            return;
        }
        self.attend_with::<{ cfg!(target_arch = "aarch64") }>(output, stride, scratch);
    }

    #[inline(always)]
    fn attend_with<const FUSED: bool>(&self, output: &mut [f32], stride: usize, scratch: &mut Scratch) {
        let width = self.shape.width;
        let group = self.group();
        let count = self.rows * group;
        for first in (0..count).step_by(QUERIES) {
            let queries = first..(first + QUERIES).min(count);
            let tile = Tile {
                start: self.view.start(self.position(queries.start)),
                end: self.view.end(self.position(queries.end - 1)),
                queries,
            };
            self.score::<FUSED>(&tile, &mut scratch.weights);
            scratch.sums.clear();
            scratch.sums.resize(tile.queries.len() * width, 0.0);
            let mut totals = [0.0; QUERIES];
            let weights = scratch.weights.chunks_exact_mut(tile.stride());
            for ((query, weights), total) in tile.queries.clone().zip(weights).zip(&mut totals) {
                let seen = &mut weights[tile.weights_of(&self.seen(query))];
                *total = match self.view.scores.soft_cap {
                    None => softmax::<FUSED>(seen, self.scale()),
                    Some(cap) => {
                        bound::<FUSED>(seen, self.scale(), narrow(cap));
                        softmax::<FUSED>(seen, 1.0)
                    }
                };
            }
            self.sum_values::<FUSED>(&tile, &scratch.weights, &mut scratch.sums);
            let sums = scratch.sums.chunks_exact(width);
            for ((query, sums), total) in tile.queries.clone().zip(sums).zip(totals) {
                let target = &mut output[query / group * stride + query % group * width..][..width];
                for (target, sum) in target.iter_mut().zip(sums) {
                    *target = sum / total;
                }
            }
        }
    }

    /// Query heads per key head.
    #[inline(always)]
    fn group(&self) -> usize {
        self.view.shape.heads / self.view.shape.kv_heads
    }

    #[inline(always)]
    fn position(&self, query: usize) -> usize {
        self.view.first + query / self.group()
    }

    /// The positions that a query sees.
    #[inline(always)]
    fn seen(&self, query: usize) -> Range<usize> {
        let position = self.position(query);
        self.view.start(position)..self.view.end(position)
    }

    #[inline(always)]
    fn query(&self, query: usize) -> &[f32] {
        let (group, width) = (self.group(), self.shape.width);
        let head = self.index * group + query % group;
        &self.queries[(query / group * self.view.shape.heads + head) * width..][..width]
    }

    /// A block's keys, `[width, positions]`.
    #[inline(always)]
    fn keys(&self, block: usize) -> &[f32] {
        let size = self.shape.width * BLOCK;
        let start = self.blocks[block] as usize * self.shape.block() + self.index * size;
        &self.data[start..start + size]
    }

    /// A block's values, `[positions, width]`.
    #[inline(always)]
    fn values(&self, block: usize) -> &[f32] {
        let size = self.shape.width * BLOCK;
        let start =
            self.blocks[block] as usize * self.shape.block() + BLOCK * self.shape.row() + self.index * size;
        &self.data[start..start + size]
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        narrow(self.view.scores.factor)
    }

    /// Fills in the products of queries and keys, also of positions that a query does not see;
    /// those are not looked at afterwards.
    #[inline(always)]
    fn score<const FUSED: bool>(&self, tile: &Tile, weights: &mut Vec<f32>) {
        let stride = tile.stride();
        weights.clear();
        weights.resize(tile.queries.len() * stride, 0.0);
        let first_block = tile.first_block();
        for block in first_block..first_block + stride / BLOCK {
            let keys = self.keys(block);
            let offset = (block - first_block) * BLOCK;
            let mut query = tile.queries.start;
            while query < tile.queries.end {
                let target = &mut weights[(query - tile.queries.start) * stride + offset..];
                query += match tile.queries.end - query {
                    4.. => self.score_block::<4, FUSED>(query, keys, target, stride),
                    2.. => self.score_block::<2, FUSED>(query, keys, target, stride),
                    _ => self.score_block::<1, FUSED>(query, keys, target, stride),
                };
            }
        }
    }

    /// `N` queries from `first` on times the keys of one block. Each sum runs over the width in
    /// order, whatever `N`. Returns `N`.
    #[inline(always)]
    fn score_block<const N: usize, const FUSED: bool>(
        &self,
        first: usize,
        keys: &[f32],
        target: &mut [f32],
        stride: usize,
    ) -> usize {
        let queries: [&[f32]; N] = array::from_fn(|index| self.query(first + index));
        let mut sums = [[0.0_f32; LANES]; N];
        let (keys, _) = keys.as_chunks::<LANES>();
        for (index, keys) in keys.iter().enumerate() {
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = query[index];
                for lane in 0..LANES {
                    sums[lane] = multiply_add::<FUSED>(query, keys[lane], sums[lane]);
                }
            }
        }
        for (index, sums) in sums.iter().enumerate() {
            target[index * stride..][..LANES].copy_from_slice(sums);
        }
        N
    }

    /// Adds up the values of all queries by their weights.
    #[inline(always)]
    fn sum_values<const FUSED: bool>(&self, tile: &Tile, weights: &[f32], sums: &mut [f32]) {
        let mut query = tile.queries.start;
        while query < tile.queries.end {
            query += match tile.queries.end - query {
                4.. => self.sum_some::<4, FUSED>(tile, query, weights, sums),
                2.. => self.sum_some::<2, FUSED>(tile, query, weights, sums),
                _ => self.sum_some::<1, FUSED>(tile, query, weights, sums),
            };
        }
    }

    /// `N` queries from `first` on. Each one's sum runs over its positions in order: those that
    /// only it sees before or after the others one by one, those that all see together. Returns
    /// `N`.
    #[inline(always)]
    fn sum_some<const N: usize, const FUSED: bool>(
        &self,
        tile: &Tile,
        first: usize,
        weights: &[f32],
        sums: &mut [f32],
    ) -> usize {
        let (stride, width) = (tile.stride(), self.shape.width);
        let index = first - tile.queries.start;
        let weights: [&[f32]; N] = array::from_fn(|offset| &weights[(index + offset) * stride..][..stride]);
        let sums = &mut sums[index * width..(index + N) * width];
        // A later query starts and ends later or at the same position.
        let shared = self.seen(first + N - 1).start..self.seen(first).end;
        let shared = shared.start..shared.end.max(shared.start);
        for offset in 0..N {
            let seen = self.seen(first + offset);
            let alone = seen.start..seen.end.min(shared.start);
            let sums = &mut sums[offset * width..][..width];
            self.sum_positions::<1, FUSED>(tile, alone, [weights[offset]], sums);
        }
        self.sum_positions::<N, FUSED>(tile, shared.clone(), weights, sums);
        for offset in 0..N {
            let seen = self.seen(first + offset);
            let alone = seen.start.max(shared.end)..seen.end;
            let sums = &mut sums[offset * width..][..width];
            self.sum_positions::<1, FUSED>(tile, alone, [weights[offset]], sums);
        }
        N
    }

    /// Adds the values of some positions onto the sums of `N` queries.
    #[inline(always)]
    fn sum_positions<const N: usize, const FUSED: bool>(
        &self,
        tile: &Tile,
        positions: Range<usize>,
        weights: [&[f32]; N],
        sums: &mut [f32],
    ) {
        let mut position = positions.start;
        while position < positions.end {
            let end = ((position / BLOCK + 1) * BLOCK).min(positions.end);
            let width = self.shape.width;
            let values =
                &self.values(position / BLOCK)[position % BLOCK * width..][..(end - position) * width];
            let part = tile.weights_of(&(position..end));
            let weights = weights.map(|weights| &weights[part.clone()]);
            sum_block::<N, FUSED>(width, values, weights, sums);
            position = end;
        }
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "f32 is what the logits are in")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn attend_avx2(head: &Head<'_>, output: &mut [f32], stride: usize, scratch: &mut Scratch) {
    head.attend_with::<true>(output, stride, scratch);
}

/// Adds rows of values, each times its weight, onto the sums of `N` queries, row by row in order.
#[inline(always)]
fn sum_block<const N: usize, const FUSED: bool>(
    width: usize,
    values: &[f32],
    weights: [&[f32]; N],
    sums: &mut [f32],
) {
    let whole = width / LANES * LANES;
    for column in (0..whole).step_by(LANES) {
        let mut lanes = [[0.0_f32; LANES]; N];
        for (lanes, sums) in lanes.iter_mut().zip(sums.chunks_exact(width)) {
            lanes.copy_from_slice(&sums[column..column + LANES]);
        }
        for (row, values) in values.chunks_exact(width).enumerate() {
            let values = &values[column..column + LANES];
            for (lanes, weights) in lanes.iter_mut().zip(weights) {
                let weight = weights[row];
                for lane in 0..LANES {
                    lanes[lane] = multiply_add::<FUSED>(weight, values[lane], lanes[lane]);
                }
            }
        }
        for (lanes, sums) in lanes.iter().zip(sums.chunks_exact_mut(width)) {
            sums[column..column + LANES].copy_from_slice(lanes);
        }
    }
    if whole == width {
        return;
    }
    for (weights, sums) in weights.iter().zip(sums.chunks_exact_mut(width)) {
        for (weight, values) in weights.iter().zip(values.chunks_exact(width)) {
            for (sum, value) in sums[whole..].iter_mut().zip(&values[whole..]) {
                *sum = multiply_add::<FUSED>(*weight, *value, *sum);
            }
        }
    }
}
