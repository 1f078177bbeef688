//! Self-attention of one layer over the blocks of many sequences.

mod cpu;

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use self::cpu::{CpuAttention, CpuTurn};
pub(crate) use self::cpu::{CpuLatentAttention, SpanRows, attend_whole};
use super::cache::store::{LayerStore, append_rows};
use super::config::{AttentionScores, ModelConfig};
use super::linear::Linear;
use super::matrix::Weight;
use super::norm::RmsNorm;
use super::rope::Rotation;
use super::soft_cap::bounded;
use super::weights::{AttentionTensors, Weights};
use crate::{LoadError, Span};

/// Query, key and value projections are one layer, so that the input is read once.
pub(crate) struct Attention {
    layer: usize,
    qkv: Linear,
    output: Linear,
    /// Norms of queries and keys, per head.
    head_norms: Option<(RmsNorm, RmsNorm)>,
    shape: HeadShape,
    window: Option<usize>,
    scores: AttentionScores,
}

/// How heads lie in the projections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadShape {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) width: usize,
}

impl Attention {
    pub(crate) fn load(
        weights: &Weights,
        tensors: &AttentionTensors,
        config: &ModelConfig,
        layer: usize,
    ) -> std::result::Result<Self, LoadError> {
        let shape = HeadShape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            width: config.head_dim,
        };
        let norm = |tensor| RmsNorm::load(weights, tensor, config.norm_eps);
        let head_norms = match &tensors.head_norms {
            Some((queries, keys)) => Some((norm(queries)?, norm(keys)?)),
            None => None,
        };
        Ok(Self {
            layer,
            qkv: Linear::load(weights, &tensors.qkv)?,
            output: Linear::load(weights, &tensors.output)?,
            head_norms,
            shape,
            window: config.windows.get(layer).copied().flatten(),
            scores: config.scores,
        })
    }

    /// The matrices.
    pub(crate) fn weights(&self) -> [&Weight; 2] {
        [self.qkv.weight(), self.output.weight()]
    }

    /// Projects the rows of all sequences of a batch at once: `[rows, hidden]` to
    /// `[rows, queries + keys + values]`.
    pub(crate) fn project(&self, input: &Tensor) -> Result<Tensor> {
        self.qkv.forward(input)
    }

    /// Attends within each sequence. `projected` are the rows of all of them, span after span, as
    /// [`Attention::project`] returns them, and nobody else's: on the CPU they are changed. `rotation` is
    /// theirs; the result is `[rows, heads * width]`. The rows' keys and values are in the spans' blocks
    /// afterwards.
    pub(crate) fn attend(
        &self,
        projected: &Tensor,
        rotation: &Rotation,
        spans: &[Span<'_>],
    ) -> Result<Tensor> {
        let mut attended = Vec::new();
        let mut start = 0;
        // In an engine all sequences are in one store.
        for group in spans.chunk_by(|left, right| std::ptr::eq(left.cache.store, right.cache.store)) {
            let count = group.iter().map(|span| span.tokens.len()).sum();
            let projected = projected.narrow(0, start, count)?;
            attended.push(self.attend_in_store(&projected, &rotation.part(start, count)?, group)?);
            start += count;
        }
        joined(attended)
    }

    /// As [`Attention::attend`], for spans of the same store.
    fn attend_in_store(&self, projected: &Tensor, rotation: &Rotation, spans: &[Span<'_>]) -> Result<Tensor> {
        let Some(first) = spans.first() else {
            candle_core::bail!("attention of no spans");
        };
        match first.cache.store.layer(self.layer)? {
            LayerStore::Cpu(data) => {
                projected.inplace_op1(&CpuTurn {
                    shape: self.shape,
                    norms: self.head_norms.as_ref(),
                    rotation,
                })?;
                projected.apply_op1_no_bwd(&CpuAttention {
                    shape: self.shape,
                    window: self.window,
                    scores: self.scores,
                    whole: false,
                    data,
                    spans: spans.iter().map(SpanRows::of).collect(),
                })
            }
            LayerStore::Device { keys, values } => {
                self.attend_on_device(projected, rotation, (keys, values), spans)
            }
            LayerStore::DeviceLatents(_) => candle_core::bail!("the cache is of latents, the model of heads"),
        }
    }

    /// As [`Attention::attend_in_store`], over a store of tensors.
    fn attend_on_device(
        &self,
        projected: &Tensor,
        rotation: &Rotation,
        store: (&Tensor, &Tensor),
        spans: &[Span<'_>],
    ) -> Result<Tensor> {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.shape;
        let rows = projected.dim(0)?;
        let part = |start: usize, count: usize| {
            projected
                .narrow(1, start * width, count * width)?
                .contiguous()?
                .reshape((rows, count, width))
        };
        let (mut queries, mut keys) = (part(0, heads)?, part(heads, kv_heads)?);
        let values = part(heads + kv_heads, kv_heads)?;
        if let Some((query_norm, key_norm)) = &self.head_norms {
            queries = query_norm.forward(&queries)?;
            keys = key_norm.forward(&keys)?;
        }
        let (queries, keys) = (rotation.apply(&queries)?, rotation.apply(&keys)?);
        let mut attended = Vec::with_capacity(spans.len());
        let mut start = 0;
        for span in spans {
            let (rows, first) = (span.tokens.len(), span.cache.table.len());
            let part = |rows_of: &Tensor| rows_of.narrow(0, start, rows);
            let blocks = span.cache.table.blocks();
            let (keys, values) = append_rows(store, blocks, first, &part(&keys)?, &part(&values)?)?;
            let view = View {
                shape: self.shape,
                first,
                window: self.window,
                scores: self.scores,
                whole: None,
            };
            attended.push(view.attend(&part(&queries)?, &keys, &values)?);
            start += rows;
        }
        joined(attended)
    }

    /// Projects back to `[rows, hidden]`, again for all sequences at once, and adds the result to
    /// the residual stream, if one is given.
    pub(crate) fn project_back(&self, attended: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        self.output.apply(attended, residual)
    }
}

/// Puts rows below each other.
pub(crate) fn joined(mut parts: Vec<Tensor>) -> Result<Tensor> {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return Ok(only);
    }
    Tensor::cat(&parts, 0)
}

/// Which positions see which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) shape: HeadShape,
    /// The position of the first query.
    pub(crate) first: usize,
    /// How far back a query sees, itself included.
    pub(crate) window: Option<usize>,
    /// What becomes of the products before their softmax.
    pub(crate) scores: AttentionScores,
    /// The length of a sequence whose positions see all others; `None` where they see none that
    /// come later.
    pub(crate) whole: Option<usize>,
}

impl View {
    /// The first key that the query at `position` sees.
    pub(crate) fn start(&self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Behind the last key that the query at `position` sees.
    pub(crate) fn end(&self, position: usize) -> usize {
        self.whole.unwrap_or(position + 1)
    }

    /// Attention out of plain tensor operations, for devices other than the CPU. Queries are
    /// `[rows, heads, width]`, keys and values `[positions, kv heads, width]`.
    fn attend(&self, queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.shape;
        let (rows, positions, group) = (queries.dim(0)?, keys.dim(0)?, heads / kv_heads);
        // The query heads that share a key head become rows of one product.
        let queries = queries
            .reshape((rows, kv_heads, group, width))?
            .permute((1, 2, 0, 3))?;
        let queries = queries.contiguous()?.reshape((kv_heads, group * rows, width))?;
        let keys = keys.permute((1, 2, 0))?.contiguous()?;
        let values = values.transpose(0, 1)?.contiguous()?;
        let mut logits = ((queries.matmul(&keys)? * self.scores.factor)?).to_dtype(DType::F32)?;
        if let Some(cap) = self.scores.soft_cap {
            logits = bounded(&logits, cap)?;
        }
        let mut logits = logits.reshape((kv_heads * group, rows, positions))?;
        if rows > 1 || self.window.is_some() {
            logits = logits.broadcast_add(&self.mask(rows, positions, logits.device())?)?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&logits)?.to_dtype(values.dtype())?;
        let attended = weights
            .reshape((kv_heads, group * rows, positions))?
            .matmul(&values)?;
        let attended = attended
            .reshape((kv_heads, group, rows, width))?
            .permute((2, 0, 1, 3))?;
        attended.contiguous()?.reshape((rows, heads * width))
    }

    /// 0 where a key is seen and negative infinity where not, `[rows, positions]`.
    fn mask(&self, rows: usize, positions: usize, device: &Device) -> Result<Tensor> {
        let seen = (self.first..self.first + rows).map(|position| self.start(position)..self.end(position));
        mask_of(seen, positions, device)
    }
}

/// The mask of `rows` positions from `first` on that see themselves and what is before them.
pub(crate) fn causal_mask(first: usize, rows: usize, positions: usize, device: &Device) -> Result<Tensor> {
    mask_of(
        (first..first + rows).map(|position| 0..position + 1),
        positions,
        device,
    )
}

/// 0 where a row sees a key and negative infinity where not.
fn mask_of(
    seen: impl ExactSizeIterator<Item = Range<usize>>,
    positions: usize,
    device: &Device,
) -> Result<Tensor> {
    let shape = (seen.len(), positions);
    let mut mask = Vec::with_capacity(shape.0 * positions);
    for seen in seen {
        mask.extend((0..positions).map(|key| {
            if seen.contains(&key) {
                0.0
            } else {
                f32::NEG_INFINITY
            }
        }));
    }
    Tensor::from_vec(mask, shape, device)
}

#[cfg(test)]
mod tests;
