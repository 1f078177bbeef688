//! Attention on the CPU: per key head and block of queries, two products and a softmax between,
//! without tensors for masks, repeated heads or reordered copies.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, bail};
use gemm::Parallelism;
use rayon::prelude::*;

use super::super::kernels::{Operand, Target, product};
use super::super::linear::contiguous;
use super::{HeadShape, View};

/// Queries computed together. Blocks keep the logits small and skip most of what causality hides.
const BLOCK_ROWS: usize = 32;

/// Queries `[rows, heads, width]`, keys and values `[positions, kv heads, width]`, all f32 and
/// contiguous; the result is `[rows, heads * width]`.
pub(super) struct CpuAttention(pub(super) View);

impl CustomOp3 for CpuAttention {
    fn name(&self) -> &'static str {
        "silica-attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        query_layout: &Layout,
        keys: &CpuStorage,
        key_layout: &Layout,
        values: &CpuStorage,
        value_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.0.shape;
        let (rows, query_heads, query_width) = query_layout.shape().dims3()?;
        let (positions, key_heads, _) = key_layout.shape().dims3()?;
        if (query_heads, query_width, key_heads) != (heads, width, kv_heads)
            || positions < self.0.first + rows
        {
            bail!(
                "attention over {query_layout:?} and {key_layout:?} does not fit {:?}",
                self.0
            );
        }
        let input = Input {
            view: self.0,
            queries: contiguous(queries.as_slice::<f32>()?, query_layout)?,
            keys: contiguous(keys.as_slice::<f32>()?, key_layout)?,
            values: contiguous(values.as_slice::<f32>()?, value_layout)?,
        };
        let mut output = vec![0.0; rows * heads * width];
        if rows == 1 {
            // One task per key head: its query heads lie side by side in the output.
            let group = heads / kv_heads * width;
            output
                .par_chunks_mut(group)
                .enumerate()
                .for_each_init(Vec::new, |logits, (head, output)| {
                    input.attend(
                        head,
                        0,
                        Target {
                            data: output,
                            row_stride: width,
                        },
                        logits,
                    );
                });
        } else {
            let block = BLOCK_ROWS * heads * width;
            output.par_chunks_mut(block).enumerate().for_each_init(
                Scratch::default,
                |scratch, (index, output)| {
                    input.attend_block(index * BLOCK_ROWS, output, scratch);
                },
            );
        }
        Ok((CpuStorage::F32(output), Shape::from((rows, heads * width))))
    }
}

struct Input<'data> {
    view: View,
    queries: &'data [f32],
    keys: &'data [f32],
    values: &'data [f32],
}

#[derive(Default)]
struct Scratch {
    logits: Vec<f32>,
}

impl Input<'_> {
    /// One query position and one key head: the group's heads are the rows of the products.
    fn attend(&self, kv_head: usize, row: usize, target: Target<'_>, logits: &mut Vec<f32>) {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.view.shape;
        let group = heads / kv_heads;
        let position = self.view.first + row;
        let start = self.view.start(position);
        let queries = Operand {
            data: &self.queries[(row * heads + kv_head * group) * width..][..group * width],
            rows: group,
            columns: width,
            row_stride: width,
            column_stride: 1,
        };
        let seen = position + 1 - start;
        self.weigh(kv_head, start, queries, seen, logits, |_| (0, seen));
        let weights = Operand {
            data: logits,
            rows: group,
            columns: seen,
            row_stride: seen,
            column_stride: 1,
        };
        product(
            weights,
            self.value_rows(kv_head, start, seen),
            target,
            Parallelism::None,
        );
    }

    /// Up to [`BLOCK_ROWS`] query positions, head by head.
    fn attend_block(&self, first_row: usize, output: &mut [f32], scratch: &mut Scratch) {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.view.shape;
        let rows = output.len() / (heads * width);
        let first = self.view.first + first_row;
        // The block's keys: from the first that its first query sees to the last query's own.
        let start = self.view.start(first);
        let seen = first + rows - start;
        for head in 0..heads {
            let kv_head = head / (heads / kv_heads);
            let queries = Operand {
                data: &self.queries[(first_row * heads + head) * width..],
                rows,
                columns: width,
                row_stride: heads * width,
                column_stride: 1,
            };
            let visible = |row: usize| (self.view.start(first + row) - start, first + row + 1 - start);
            self.weigh(kv_head, start, queries, seen, &mut scratch.logits, visible);
            let weights = Operand {
                data: &scratch.logits,
                rows,
                columns: seen,
                row_stride: seen,
                column_stride: 1,
            };
            let target = Target {
                data: &mut output[head * width..],
                row_stride: heads * width,
            };
            product(
                weights,
                self.value_rows(kv_head, start, seen),
                target,
                Parallelism::None,
            );
        }
    }

    /// Fills `logits` with the attention weights of the queries over `seen` keys from `start` on;
    /// `visible` gives the range of them that a row may see.
    fn weigh(
        &self,
        kv_head: usize,
        start: usize,
        queries: Operand<'_>,
        seen: usize,
        logits: &mut Vec<f32>,
        visible: impl Fn(usize) -> (usize, usize),
    ) {
        let HeadShape { kv_heads, width, .. } = self.view.shape;
        logits.clear();
        logits.resize(queries.rows * seen, 0.0);
        let keys = Operand {
            data: &self.keys[(start * kv_heads + kv_head) * width..],
            rows: width,
            columns: seen,
            row_stride: 1,
            column_stride: kv_heads * width,
        };
        product(
            queries,
            keys,
            Target {
                data: logits,
                row_stride: seen,
            },
            Parallelism::None,
        );
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what the logits are in")]
        let scale = self.view.scale() as f32;
        for (row, logits) in logits.chunks_exact_mut(seen).enumerate() {
            let (from, to) = visible(row);
            logits[..from].fill(0.0);
            logits[to..].fill(0.0);
            softmax(&mut logits[from..to], scale);
        }
    }

    fn value_rows(&self, kv_head: usize, start: usize, seen: usize) -> Operand<'_> {
        let HeadShape { kv_heads, width, .. } = self.view.shape;
        Operand {
            data: &self.values[(start * kv_heads + kv_head) * width..],
            rows: seen,
            columns: width,
            row_stride: kv_heads * width,
            column_stride: 1,
        }
    }
}

/// Softmax of `scale * logits`, in place.
fn softmax(logits: &mut [f32], scale: f32) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = ((*logit - largest) * scale).exp();
        sum += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= sum;
    }
}
