//! Attention on the CPU, over the blocks of many sequences at once.
//!
//! What comes out for a position depends on its query and on the keys and values that it sees, and
//! on nothing else: not on how many rows are computed with it, where a prompt was cut, or which
//! blocks it lies in. Every sum runs in an order that follows from the positions alone, so a
//! sequence's answer is the same bit for bit, alone or in a batch, computed or reused.

mod kernel;
mod latent;
mod numbers;
mod vector;

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, bail};
use rayon::prelude::*;

use self::kernel::{Head, Instructions, QUERIES, Scratch};
pub(crate) use self::latent::CpuLatentAttention;
use super::super::cache::blocks::{BLOCK, BlockId};
use super::super::cache::store::{KvShape, lock, write_rows};
use super::super::config::AttentionScores;
use super::super::linear::contiguous;
use super::{HeadShape, View};
use crate::Span;

/// The fewest positions of one sequence computed by one task, if it has so many.
const TASK_ROWS: usize = 8;

/// Queries `[rows, heads, width]`, keys and values of the same positions `[rows, kv heads, width]`,
/// all f32 and contiguous, span after span. Keys and values are put into the spans' blocks; the
/// result is `[rows, heads * width]`.
pub(super) struct CpuAttention<'pass> {
    pub(super) shape: HeadShape,
    pub(super) window: Option<usize>,
    pub(super) scores: AttentionScores,
    /// Whether the spans are whole sequences whose positions see all others of theirs.
    pub(super) whole: bool,
    /// The blocks' memory in this layer.
    pub(super) data: &'pass Mutex<Vec<f32>>,
    pub(super) spans: Vec<SpanRows<'pass>>,
}

/// Some consecutive positions of one sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanRows<'pass> {
    pub(super) rows: usize,
    /// The first one's position.
    pub(super) first: usize,
    /// All blocks of the sequence.
    pub(super) blocks: &'pass [BlockId],
}

impl<'pass> SpanRows<'pass> {
    /// What attention needs to know of a span.
    pub(crate) fn of(span: &'pass Span<'_>) -> Self {
        Self {
            rows: span.tokens.len(),
            first: span.cache.table.len(),
            blocks: span.cache.table.blocks(),
        }
    }
}

impl CustomOp3 for CpuAttention<'_> {
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
        } = self.shape;
        let rows: usize = self.spans.iter().map(|span| span.rows).sum();
        let is = |layout: &Layout, heads| layout.shape().dims() == [rows, heads, width];
        if !is(query_layout, heads) || !is(key_layout, kv_heads) || !is(value_layout, kv_heads) {
            bail!(
                "attention over {query_layout:?} and {key_layout:?} does not fit {:?} and {rows} rows",
                self.shape
            );
        }
        let queries = contiguous(queries.as_slice::<f32>()?, query_layout)?;
        let keys = contiguous(keys.as_slice::<f32>()?, key_layout)?;
        let values = contiguous(values.as_slice::<f32>()?, value_layout)?;
        let mut output = vec![0.0; rows * heads * width];
        self.compute(queries, keys, values, &mut output)?;
        Ok((CpuStorage::F32(output), Shape::from((rows, heads * width))))
    }
}

/// Attention of whole sequences, in which every position sees all others. `rows` are queries, keys
/// and values, `[rows, heads * width]` each, sequence after sequence; so is `output`. `memory` is
/// what the keys and values are put into; it keeps its size for the next call.
pub(crate) fn attend_whole(
    shape: HeadShape,
    lengths: &[usize],
    [queries, keys, values]: [&[f32]; 3],
    memory: &Mutex<Vec<f32>>,
    output: &mut [f32],
) -> Result<()> {
    let count = lengths.iter().map(|length| length.div_ceil(BLOCK)).sum::<usize>();
    let blocks = (0..).take(count).collect::<Vec<BlockId>>();
    let mut left = blocks.as_slice();
    let spans = lengths.iter().map(|length| {
        let (own, rest) = left.split_at(length.div_ceil(BLOCK));
        left = rest;
        SpanRows {
            rows: *length,
            first: 0,
            blocks: own,
        }
    });
    let attention = CpuAttention {
        shape,
        window: None,
        scores: AttentionScores::of_width(shape.width),
        whole: true,
        spans: spans.collect(),
        data: memory,
    };
    let size = count * attention.kv_shape().block();
    let mut data = lock(memory);
    if data.len() < size {
        data.resize(size, 0.0);
    }
    drop(data);
    attention.compute(queries, keys, values, output)
}

/// Some positions of a span and some of their heads: what one thread computes at a time.
struct Task<'data> {
    span: SpanRows<'data>,
    /// The positions' queries, all heads of them.
    queries: &'data [f32],
    /// The position of the first one.
    first: usize,
    /// The first key head; how many there are follows from the output's size.
    kv_head: usize,
    /// Rows of the task's heads.
    output: &'data mut [f32],
    rows: usize,
}

impl CpuAttention<'_> {
    /// Puts the keys and values into their blocks, and attends.
    fn compute(&self, queries: &[f32], keys: &[f32], values: &[f32], output: &mut [f32]) -> Result<()> {
        self.compute_with(Instructions::best(), [queries, keys, values], output)
    }

    /// As [`Self::compute`], with the instructions named, which this processor must have.
    fn compute_with(
        &self,
        instructions: Instructions,
        [queries, keys, values]: [&[f32]; 3],
        output: &mut [f32],
    ) -> Result<()> {
        let mut data = lock(self.data);
        self.write(&mut data, keys, values)?;
        let data = data.as_slice();
        let tasks = self.tasks(queries, output).into_par_iter();
        tasks.for_each_init(Scratch::default, |scratch, mut task| {
            self.run(instructions, data, &mut task, scratch);
        });
        Ok(())
    }

    /// Puts the new keys and values into their blocks.
    fn write(&self, data: &mut [f32], keys: &[f32], values: &[f32]) -> Result<()> {
        let shape = self.kv_shape();
        let mut start = 0;
        for span in &self.spans {
            let part = start * shape.row()..(start + span.rows) * shape.row();
            write_rows(
                data,
                shape,
                span.blocks,
                span.first,
                &keys[part.clone()],
                &values[part],
            )?;
            start += span.rows;
        }
        Ok(())
    }

    fn kv_shape(&self) -> KvShape {
        KvShape {
            kv_heads: self.shape.kv_heads,
            width: self.shape.width,
        }
    }

    /// Cuts the work into pieces. A single position is cut by key heads, whose query heads lie side
    /// by side in the output; several are cut into groups of positions.
    fn tasks<'data>(
        &'data self,
        mut queries: &'data [f32],
        mut output: &'data mut [f32],
    ) -> Vec<Task<'data>> {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.shape;
        let row = heads * width;
        // As many as go through the keys and values together.
        let task_rows = TASK_ROWS.max(QUERIES / (heads / kv_heads).max(1));
        let mut tasks = Vec::new();
        for span in &self.spans {
            let (own_queries, rest) = queries.split_at(span.rows * row);
            queries = rest;
            let (own_output, rest) = std::mem::take(&mut output).split_at_mut(span.rows * row);
            output = rest;
            if span.rows == 1 {
                let parts = own_output.chunks_mut(row / kv_heads).enumerate();
                tasks.extend(parts.map(|(kv_head, output)| Task {
                    span: *span,
                    queries: own_queries,
                    first: span.first,
                    kv_head,
                    output,
                    rows: 1,
                }));
                continue;
            }
            let parts = own_queries
                .chunks(task_rows * row)
                .zip(own_output.chunks_mut(task_rows * row));
            tasks.extend(parts.enumerate().map(|(index, (queries, output))| Task {
                span: *span,
                queries,
                first: span.first + index * task_rows,
                kv_head: 0,
                rows: queries.len() / row,
                output,
            }));
        }
        tasks
    }

    fn run(&self, instructions: Instructions, data: &[f32], task: &mut Task<'_>, scratch: &mut Scratch) {
        let group = self.shape.heads / self.shape.kv_heads;
        let stride = task.output.len() / task.rows;
        for index in 0..stride / (group * self.shape.width) {
            Head {
                view: View {
                    shape: self.shape,
                    first: task.first,
                    window: self.window,
                    scores: self.scores,
                    whole: self.whole.then_some(task.span.rows),
                },
                data,
                shape: self.kv_shape(),
                blocks: task.span.blocks,
                queries: task.queries,
                rows: task.rows,
                index: task.kv_head + index,
            }
            .attend(
                instructions,
                &mut task.output[index * group * self.shape.width..],
                stride,
                scratch,
            );
        }
    }
}

#[cfg(test)]
mod tests;
