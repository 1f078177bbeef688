//! Attention on the CPU, over the blocks of many sequences at once.
//!
//! What comes out for a position depends on its query and on the keys and values that it sees, and
//! on nothing else: not on how many rows are computed with it, where a prompt was cut, or which
//! blocks it lies in. Every sum runs in an order that follows from the positions alone, so a
//! sequence's answer is the same bit for bit, alone or in a batch, computed or reused.

mod kernel;
mod latent;
mod numbers;
mod turn;
mod vector;

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use rayon::prelude::*;

use self::kernel::{Head, Instructions, QUERIES, Scratch};
pub(crate) use self::latent::CpuLatentAttention;
pub(super) use self::turn::CpuTurn;
use super::super::cache::blocks::{BLOCK, BlockId};
use super::super::cache::store::{KvShape, lock, write_rows};
use super::super::config::AttentionScores;
use super::super::linear::contiguous;
use super::{HeadShape, View};
use crate::Span;
use crate::memory::to_be_overwritten;

/// The fewest positions of one sequence computed by one task, if it has so many.
const TASK_ROWS: usize = 8;

/// Rows of queries, keys and values, `[rows, (heads + 2 * kv heads) * width]`, f32 and contiguous, span
/// after span. Keys and values are put into the spans' blocks; the result is `[rows, heads * width]`.
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

impl CustomOp1 for CpuAttention<'_> {
    fn name(&self) -> &'static str {
        "silica-attention"
    }

    fn cpu_fwd(&self, projected: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.shape;
        let rows: usize = self.spans.iter().map(|span| span.rows).sum();
        let stride = (heads + 2 * kv_heads) * width;
        if layout.shape().dims() != [rows, stride] {
            bail!(
                "attention over {layout:?} does not fit {:?} and {rows} rows",
                self.shape
            );
        }
        let projected = contiguous(projected.as_slice::<f32>()?, layout)?;
        let part = |start: usize| Rows {
            data: projected.get(start * width..).unwrap_or_default(),
            stride,
        };
        let parts = [part(0), part(heads), part(heads + kv_heads)];
        let mut output = to_be_overwritten(rows * heads * width);
        self.compute(parts, &mut output)?;
        Ok((CpuStorage::F32(output), Shape::from((rows, heads * width))))
    }
}

/// Rows that lie `stride` elements apart.
#[derive(Clone, Copy)]
struct Rows<'data> {
    data: &'data [f32],
    stride: usize,
}

impl<'data> Rows<'data> {
    /// The first `width` elements of a row.
    fn row(self, index: usize, width: usize) -> &'data [f32] {
        &self.data[index * self.stride..][..width]
    }

    /// The rows from `index` on.
    fn from(self, index: usize) -> Self {
        Self {
            data: self.data.get(index * self.stride..).unwrap_or_default(),
            ..self
        }
    }
}

/// Attention of whole sequences, in which every position sees all others. `rows` are queries, keys
/// and values, `[rows, heads * width]` each, sequence after sequence; so is `output`. `memory` is
/// what the keys and values are put into; it keeps its size for the next call.
pub(crate) fn attend_whole(
    shape: HeadShape,
    lengths: &[usize],
    rows: [&[f32]; 3],
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
    let count: usize = lengths.iter().sum();
    let widths = [shape.heads, shape.kv_heads, shape.kv_heads].map(|heads| heads * shape.width);
    let fits = |(data, stride): (&[f32], usize)| data.len() == count * stride;
    if !rows.into_iter().zip(widths).all(fits) || output.len() != count * shape.heads * shape.width {
        bail!("attention over rows that are not {count} of {shape:?}");
    }
    let [queries, keys, values] = rows;
    let parts = [(queries, 0), (keys, 1), (values, 2)].map(|(data, part)| Rows {
        data,
        stride: widths[part],
    });
    attention.compute(parts, output)
}

/// Some positions of a span and some of their heads: what one thread computes at a time.
struct Task<'data> {
    span: SpanRows<'data>,
    /// The positions' queries, all heads of them.
    queries: Rows<'data>,
    /// The position of the first one.
    first: usize,
    /// The first key head; how many there are follows from the output's size.
    kv_head: usize,
    /// Rows of the task's heads.
    output: &'data mut [f32],
    rows: usize,
}

impl CpuAttention<'_> {
    /// Puts the keys and values into their blocks, and attends. `rows` are queries, keys and values.
    fn compute(&self, rows: [Rows<'_>; 3], output: &mut [f32]) -> Result<()> {
        self.compute_with(Instructions::best(), rows, output)
    }

    /// As [`Self::compute`], with the instructions named, which this processor must have.
    fn compute_with(
        &self,
        instructions: Instructions,
        [queries, keys, values]: [Rows<'_>; 3],
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
    fn write(&self, data: &mut [f32], keys: Rows<'_>, values: Rows<'_>) -> Result<()> {
        let shape = self.kv_shape();
        let mut start = 0;
        for span in &self.spans {
            let width = shape.row();
            let rows = (start..start + span.rows).map(|row| (keys.row(row, width), values.row(row, width)));
            write_rows(data, shape, span.blocks, span.first, rows)?;
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
    fn tasks<'data>(&'data self, queries: Rows<'data>, mut output: &'data mut [f32]) -> Vec<Task<'data>> {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.shape;
        let row = heads * width;
        // As many as go through the keys and values together.
        let task_rows = TASK_ROWS.max(QUERIES / (heads / kv_heads).max(1));
        let mut tasks = Vec::new();
        let mut start = 0;
        for span in &self.spans {
            let queries = queries.from(start);
            start += span.rows;
            let (own_output, rest) = std::mem::take(&mut output).split_at_mut(span.rows * row);
            output = rest;
            if span.rows == 1 {
                let parts = own_output.chunks_mut(row / kv_heads).enumerate();
                tasks.extend(parts.map(|(kv_head, output)| Task {
                    span: *span,
                    queries,
                    first: span.first,
                    kv_head,
                    output,
                    rows: 1,
                }));
                continue;
            }
            let parts = own_output.chunks_mut(task_rows * row).enumerate();
            tasks.extend(parts.map(|(index, output)| Task {
                span: *span,
                queries: queries.from(index * task_rows),
                first: span.first + index * task_rows,
                kv_head: 0,
                rows: output.len() / row,
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
