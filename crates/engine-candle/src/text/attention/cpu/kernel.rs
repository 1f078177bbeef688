//! The inner loops of attention: one key head and the queries that share it.
//!
//! Many queries go through the keys and values together, a strip of positions after the other, so that
//! a strip is read once for all of them and what is computed of it stays in the nearest caches. A
//! query's softmax is corrected whenever a strip brings a larger logit (Milakov and Gimelshein, "Online
//! normalizer calculation for softmax", 2018; Dao and others, "`FlashAttention`", 2022).
//!
//! Strips begin at multiples of [`STRIP`], and every sum runs over the width or the positions in order,
//! so a query's result does not depend on the others, nor on the instructions if additions are fused.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]
#![expect(unsafe_code, reason = "vector instructions read through pointers")]

mod scores;
mod values;

use std::ops::Range;

use super::super::super::cache::blocks::{BLOCK, BlockId};
use super::super::super::cache::store::KvShape;
use super::super::View;
use super::Rows;
use super::numbers::{Softmax, bound};
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::vector::{Portable, Vector};

/// Queries that go through the keys and values together.
pub(super) const QUERIES: usize = 64;
/// Positions that are looked at before the softmax is corrected.
const STRIP: usize = WIDE * BLOCK;
/// Vectors of a wide tile.
const WIDE: usize = 4;

/// The instructions that attention is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    /// The compiler's; with fused additions where these are an instruction, as on 64-bit ARM.
    Portable { fused: bool },
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// The best ones that this processor has.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
            if avx2 && std::arch::is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            } else if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable {
            fused: cfg!(target_arch = "aarch64"),
        }
    }

    /// All that this processor has vector instructions for.
    #[cfg(test)]
    pub(super) fn vectorised() -> Vec<Self> {
        match Self::best() {
            Self::Portable { .. } => Vec::new(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vec![Self::Avx2],
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vec![Self::Avx2, Self::Avx512],
        }
    }
}

/// One key head and the query heads that share it, at some consecutive positions.
pub(super) struct Head<'data> {
    /// `view.first` is the position of the first query.
    pub(super) view: View,
    /// All blocks of the layer.
    pub(super) data: &'data [f32],
    pub(super) shape: KvShape,
    /// The sequence's blocks.
    pub(super) blocks: &'data [BlockId],
    /// `[heads, width]` each.
    pub(super) queries: Rows<'data>,
    pub(super) rows: usize,
    /// Which key head it is.
    pub(super) index: usize,
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// Of each query, the logits of a strip, then their exponentials.
    weights: Vec<f32>,
    /// Of each query, as wide as a head.
    sums: Vec<f32>,
    softmax: Vec<Softmax>,
}

impl Head<'_> {
    /// Writes the result of each position's heads side by side, and of the positions `stride`
    /// apart. The processor must have the instructions.
    pub(super) fn attend(
        &self,
        instructions: Instructions,
        output: &mut [f32],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        // SAFETY: the caller names instructions that the processor has.
        unsafe {
            match instructions {
                Instructions::Portable { fused: false } => {
                    self.attend_with::<Portable<false>>(output, stride, scratch);
                }
                Instructions::Portable { fused: true } => {
                    self.attend_with::<Portable<true>>(output, stride, scratch);
                }
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => attend_avx2(self, output, stride, scratch),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => attend_avx512(self, output, stride, scratch),
            }
        }
    }

    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn attend_with<V: Vector>(&self, output: &mut [f32], stride: usize, scratch: &mut Scratch) {
        let count = self.rows * self.group();
        for first in (0..count).step_by(QUERIES) {
            let queries = first..(first + QUERIES).min(count);
            // SAFETY: as the caller promises.
            unsafe { self.attend_tile::<V>(queries, output, stride, scratch) };
        }
    }

    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn attend_tile<V: Vector>(
        &self,
        queries: Range<usize>,
        output: &mut [f32],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let (width, group) = (self.shape.width, self.group());
        let Scratch {
            weights,
            sums,
            softmax,
        } = scratch;
        weights.resize(queries.len() * STRIP, 0.0);
        sums.clear();
        sums.resize(queries.len() * width, 0.0);
        softmax.clear();
        softmax.resize(queries.len(), Softmax::default());
        // Later queries start and end later or at the same position.
        let seen = self.seen(queries.start).start..self.seen(queries.end - 1).end;
        for strip in (seen.start / STRIP * STRIP..seen.end).step_by(STRIP) {
            let positions = strip.max(seen.start)..(strip + STRIP).min(seen.end);
            // SAFETY: as the caller promises.
            unsafe { self.score::<V>(&queries, &positions, weights) };
            for ((query, weights), (softmax, sums)) in queries
                .clone()
                .zip(weights.chunks_exact_mut(STRIP))
                .zip(softmax.iter_mut().zip(sums.chunks_exact_mut(width)))
            {
                let seen = within(&self.seen(query), &positions);
                if seen.is_empty() {
                    continue;
                }
                let weights = &mut weights[seen.start - strip..seen.end - strip];
                let correction = if V::FUSED {
                    self.weigh::<true>(softmax, weights)
                } else {
                    self.weigh::<false>(softmax, weights)
                };
                if correction < 1.0 {
                    for sum in sums {
                        *sum *= correction;
                    }
                }
            }
            // SAFETY: as the caller promises.
            unsafe { self.sum_values::<V>(&queries, &positions, weights, sums) };
        }
        for ((query, sums), softmax) in queries.zip(sums.chunks_exact(width)).zip(softmax) {
            let total = softmax.total();
            let target = &mut output[query / group * stride + query % group * width..][..width];
            for (target, sum) in target.iter_mut().zip(sums) {
                *target = sum / total;
            }
        }
    }

    /// Query heads per key head.
    #[inline(always)]
    fn group(&self) -> usize {
        self.view.shape.heads / self.view.shape.kv_heads
    }

    /// The positions that a query sees.
    #[inline(always)]
    fn seen(&self, query: usize) -> Range<usize> {
        let position = self.view.first + query / self.group();
        self.view.start(position)..self.view.end(position)
    }

    #[inline(always)]
    fn query(&self, query: usize) -> &[f32] {
        let (group, width) = (self.group(), self.shape.width);
        let head = self.index * group + query % group;
        &self.queries.row(query / group, (head + 1) * width)[head * width..]
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

    /// Takes the logits of some positions into the softmax; returns what was weighed before has to be multiplied
    /// with.
    #[inline(always)]
    fn weigh<const FUSED: bool>(&self, softmax: &mut Softmax, logits: &mut [f32]) -> f32 {
        match self.view.scores.soft_cap {
            None => softmax.add::<FUSED>(logits, self.scale()),
            Some(cap) => {
                bound::<FUSED>(logits, self.scale(), narrow(cap));
                softmax.add::<FUSED>(logits, 1.0)
            }
        }
    }

    #[inline(always)]
    fn scale(&self) -> f32 {
        narrow(self.view.scores.factor)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "f32 is what the logits are in")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

/// The part of `range` that lies in `limits`.
#[inline(always)]
fn within(range: &Range<usize>, limits: &Range<usize>) -> Range<usize> {
    let start = range.start.clamp(limits.start, limits.end);
    start..range.end.clamp(start, limits.end)
}

/// # Safety
/// The processor has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn attend_avx2(head: &Head<'_>, output: &mut [f32], stride: usize, scratch: &mut Scratch) {
    // SAFETY: as the caller promises.
    unsafe { head.attend_with::<Avx2>(output, stride, scratch) };
}

/// # Safety
/// The processor has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn attend_avx512(head: &Head<'_>, output: &mut [f32], stride: usize, scratch: &mut Scratch) {
    // SAFETY: as the caller promises.
    unsafe { head.attend_with::<Avx512>(output, stride, scratch) };
}
