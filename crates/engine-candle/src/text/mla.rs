//! Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
//!
//! Of a position one latent is kept, and beside it the part of the key that is rotated. Keys and
//! values of heads are never made: the matrix that makes a head's keys of latents is multiplied
//! with the queries instead, and the one that makes values with what attention gives, so that
//! attention runs over the latents themselves, for prompts as for single tokens.

mod heads;

use candle_core::{D, DType, Result, Tensor};

use self::heads::HeadProducts;
use super::attention::{CpuLatentAttention, SpanRows, causal_mask, joined};
use super::cache::store::{LatentShape, LayerStore, append_latents};
use super::config::{MlaConfig, ModelConfig};
use super::linear::Linear;
use super::matrix::Weight;
use super::norm::RmsNorm;
use super::rope::Rotation;
use super::weights::{MlaTensors, Weights};
use crate::{LoadError, Span};

/// Added to the mean square in the norms of the latents. The reference's constant, whatever
/// `rms_norm_eps` is.
const LATENT_NORM_EPS: f32 = 1e-6;

/// Latent attention of one layer.
pub(crate) struct LatentAttention {
    layer: usize,
    heads: usize,
    config: MlaConfig,
    /// The factor of the logits.
    scale: f64,
    /// To queries or their latents, and side by side with them to latents and rotated keys.
    input: Linear,
    /// From the queries' latents to the queries.
    queries: Option<(RmsNorm, Linear)>,
    latent_norm: RmsNorm,
    /// From a head's queries to queries of latents.
    keys: HeadProducts,
    /// From a head's sums of latents to its values.
    values: HeadProducts,
    output: Linear,
}

/// Queries and latents of the same rows, as attention takes them.
struct Projected {
    /// `[rows, heads, rank + rope]`.
    queries: Tensor,
    /// `[rows, rank + rope]`.
    latents: Tensor,
}

impl LatentAttention {
    pub(crate) fn load(
        weights: &Weights,
        tensors: &MlaTensors,
        model: &ModelConfig,
        layer: usize,
    ) -> std::result::Result<Self, LoadError> {
        let queries = match &tensors.queries {
            Some((norm, projection)) => Some((
                RmsNorm::load(weights, norm, LATENT_NORM_EPS)?,
                Linear::load(weights, projection)?,
            )),
            None => None,
        };
        let (keys, values) = weights.head_matrices(&tensors.heads)?;
        Ok(Self {
            layer,
            heads: model.heads,
            config: tensors.config.clone(),
            scale: model.scores.factor,
            input: Linear::load(weights, &tensors.input)?,
            queries,
            latent_norm: RmsNorm::load(weights, &tensors.latent_norm, LATENT_NORM_EPS)?,
            keys: HeadProducts::new(keys),
            values: HeadProducts::new(values),
            output: Linear::load(weights, &tensors.output)?,
        })
    }

    /// The matrices.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &Weight> {
        let projections = [Some(&self.input), Some(&self.output)];
        let queries = self.queries.as_ref().map(|(_, projection)| projection);
        let projections = projections.into_iter().chain([queries]).flatten();
        let heads = self.keys.weights().chain(self.values.weights());
        projections.map(Linear::weight).chain(heads)
    }

    /// Attends within each sequence; returns sums of latents, `[rows, heads, rank]`. `input` are the rows
    /// of all of them, span after span, and `rotation` is theirs; the rows' latents are in the spans'
    /// blocks afterwards.
    pub(crate) fn attend(&self, input: &Tensor, rotation: &Rotation, spans: &[Span<'_>]) -> Result<Tensor> {
        let projected = self.project(input, rotation)?;
        let mut attended = Vec::new();
        let mut start = 0;
        // In an engine all sequences are in one store.
        for group in spans.chunk_by(|left, right| std::ptr::eq(left.cache.store, right.cache.store)) {
            let count = group.iter().map(|span| span.tokens.len()).sum();
            attended.push(self.attend_in_store(&projected.part(start, count)?, group)?);
            start += count;
        }
        joined(attended)
    }

    /// Makes values of the sums, projects them back to `[rows, hidden]` and adds the result to the residual
    /// stream, if one is given.
    pub(crate) fn project_back(&self, attended: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let values = self.values.forward(attended)?;
        self.output.apply(&values.flatten_from(1)?, residual)
    }

    /// `[rows, hidden]` to queries and latents.
    fn project(&self, input: &Tensor, rotation: &Rotation) -> Result<Projected> {
        let MlaConfig {
            rank,
            nope_width,
            rope_width,
            ..
        } = self.config;
        let projected = self.input.forward(input)?;
        let (rows, columns) = projected.dims2()?;
        let before = columns - rank - rope_width;
        let part = |start, count| projected.narrow(1, start, count)?.contiguous();
        let mut queries = part(0, before)?;
        if let Some((norm, projection)) = &self.queries {
            queries = projection.forward(&norm.forward(&queries)?)?;
        }
        let queries = queries.reshape((rows, self.heads, nope_width + rope_width))?;
        let plain = self
            .keys
            .forward(&queries.narrow(2, 0, nope_width)?.contiguous()?)?;
        let rotated = rotation.apply(&queries.narrow(2, nope_width, rope_width)?.contiguous()?)?;
        let latents = self.latent_norm.forward(&part(before, rank)?)?;
        let keys = part(before + rank, rope_width)?.unsqueeze(1)?;
        let keys = rotation.apply(&keys)?.squeeze(1)?;
        Ok(Projected {
            queries: Tensor::cat(&[plain, rotated], 2)?,
            latents: Tensor::cat(&[latents, keys], 1)?,
        })
    }

    /// Attends within spans of the same store; returns sums of latents, `[rows, heads, rank]`.
    fn attend_in_store(&self, projected: &Projected, spans: &[Span<'_>]) -> Result<Tensor> {
        let Some(first) = spans.first() else {
            candle_core::bail!("attention of no spans");
        };
        let all = match first.cache.store.layer(self.layer)? {
            LayerStore::Cpu(data) => {
                #[expect(clippy::cast_possible_truncation, reason = "f32 is what the logits are in")]
                let attention = CpuLatentAttention {
                    heads: self.heads,
                    shape: self.shape(),
                    scale: self.scale as f32,
                    data,
                    spans: spans.iter().map(SpanRows::of).collect(),
                };
                let Projected { queries, latents } = projected;
                return queries.apply_op2_no_bwd(latents, &attention);
            }
            LayerStore::DeviceLatents(all) => all,
            LayerStore::Device { .. } => candle_core::bail!("the cache is of heads, the model of latents"),
        };
        let mut attended = Vec::with_capacity(spans.len());
        let mut start = 0;
        for span in spans {
            let (rows, first) = (span.tokens.len(), span.cache.table.len());
            let Projected { queries, latents } = projected.part(start, rows)?;
            let latents = append_latents(all, span.cache.table.blocks(), first, &latents)?;
            attended.push(self.attend_to(&queries, &latents, first)?);
            start += rows;
        }
        joined(attended)
    }

    /// Attention out of plain tensor operations, for devices other than the CPU. `first` is the
    /// position of the first query.
    fn attend_to(&self, queries: &Tensor, latents: &Tensor, first: usize) -> Result<Tensor> {
        let (rows, heads, width) = queries.dims3()?;
        let positions = latents.dim(0)?;
        let logits = queries.reshape((rows * heads, width))?.matmul(&latents.t()?)?;
        let logits = (logits * self.scale)?.to_dtype(DType::F32)?;
        let mut logits = logits.reshape((rows, heads, positions))?;
        if rows > 1 {
            let mask = causal_mask(first, rows, positions, logits.device())?;
            logits = logits.broadcast_add(&mask.unsqueeze(1)?)?;
        }
        let weights = candle_nn::ops::softmax(&logits, D::Minus1)?.to_dtype(latents.dtype())?;
        let values = latents.narrow(1, 0, self.config.rank)?.contiguous()?;
        let sums = weights.reshape((rows * heads, positions))?.matmul(&values)?;
        sums.reshape((rows, heads, self.config.rank))
    }

    fn shape(&self) -> LatentShape {
        LatentShape {
            rank: self.config.rank,
            rope: self.config.rope_width,
        }
    }
}

impl Projected {
    fn part(&self, start: usize, count: usize) -> Result<Self> {
        Ok(Self {
            queries: self.queries.narrow(0, start, count)?,
            latents: self.latents.narrow(0, start, count)?,
        })
    }
}

#[cfg(test)]
mod tests;
