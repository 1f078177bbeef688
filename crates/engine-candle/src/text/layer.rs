//! One layer of a decoder: attention and a feed-forward block, each of one kind.

use candle_core::{Result, Tensor};

use super::attention::Attention;
use super::config::ModelConfig;
use super::lora::{AdapterRows, Site};
use super::matrix::Weight;
use super::mla::LatentAttention;
use super::mlp::Mlp;
use super::moe::Moe;
use super::norm::RmsNorm;
use super::rope::Rotation;
use super::weights::{LayerAttention, LayerFeedForward, LayerTensors, Weights};
use crate::{LoadError, Span};

/// A layer.
pub(crate) struct Layer {
    input_norm: RmsNorm,
    attention: AttentionKind,
    attention_norm: RmsNorm,
    feed_forward: FeedForward,
    /// Of what attention and the feed-forward block say.
    after: Option<(RmsNorm, RmsNorm)>,
}

/// What a layer keeps of the positions before.
enum AttentionKind {
    /// Keys and values of heads.
    Heads(Attention),
    /// Latents.
    Latent(LatentAttention),
}

/// What a layer makes of each position for itself.
enum FeedForward {
    /// The same for all.
    Dense(Mlp),
    /// Each is computed by a few experts.
    Experts(Moe),
}

impl Layer {
    pub(crate) fn load(
        weights: &Weights,
        tensors: &LayerTensors,
        config: &ModelConfig,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let norm = |tensor| RmsNorm::load(weights, tensor, config.norm_eps);
        let attention = match &tensors.attention {
            LayerAttention::Heads(tensors) => {
                AttentionKind::Heads(Attention::load(weights, tensors, config, index)?)
            }
            LayerAttention::Latent(tensors) => {
                AttentionKind::Latent(LatentAttention::load(weights, tensors, config, index)?)
            }
        };
        let feed_forward = match &tensors.feed_forward {
            LayerFeedForward::Dense { gate_up, down } => {
                FeedForward::Dense(Mlp::load(weights, gate_up, down, config.gate)?)
            }
            LayerFeedForward::Experts(tensors) => {
                FeedForward::Experts(Moe::load(weights, tensors, config.gate)?)
            }
        };
        Ok(Self {
            input_norm: norm(&tensors.input_norm)?,
            attention,
            attention_norm: norm(&tensors.attention_norm)?,
            feed_forward,
            after: match &tensors.after {
                Some((attention, feed_forward)) => Some((norm(attention)?, norm(feed_forward)?)),
                None => None,
            },
        })
    }

    /// The matrices.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &Weight> {
        let attention: Vec<&Weight> = match &self.attention {
            AttentionKind::Heads(attention) => attention.weights().into(),
            AttentionKind::Latent(attention) => attention.weights().collect(),
        };
        let feed_forward: Vec<&Weight> = match &self.feed_forward {
            FeedForward::Dense(mlp) => mlp.weights().into(),
            FeedForward::Experts(experts) => experts.weights().collect(),
        };
        attention.into_iter().chain(feed_forward)
    }

    /// Computes the rows of all sequences of a batch, `[rows, hidden]`, span after span; `rotation` is
    /// theirs. Their keys and values are in the spans' blocks afterwards. `index` is the layer's own.
    /// Adapters are of families whose layers have heads and a dense block, and no norm after either.
    pub(crate) fn forward(
        &self,
        hidden: &Tensor,
        spans: &[Span<'_>],
        rotation: &Rotation,
        index: usize,
        adapters: &AdapterRows<'_>,
    ) -> Result<Tensor> {
        let attended = self.attend(hidden, spans, rotation, index, adapters)?;
        self.finish(hidden, &attended, index, adapters)
    }

    /// As [`Layer::forward`], but computes nothing beyond attention for other rows than `wanted`, in
    /// ascending order; returns theirs.
    pub(crate) fn forward_some(
        &self,
        hidden: &Tensor,
        spans: &[Span<'_>],
        rotation: &Rotation,
        index: usize,
        adapters: &AdapterRows<'_>,
        wanted: &[u32],
    ) -> Result<Tensor> {
        let attended = self.attend(hidden, spans, rotation, index, adapters)?;
        if wanted.len() == hidden.dim(0)? {
            return self.finish(hidden, &attended, index, adapters);
        }
        if wanted.is_empty() {
            // No device selects nothing.
            return hidden.narrow(0, 0, 0);
        }
        let rows = Tensor::new(wanted, hidden.device())?;
        let (hidden, attended) = (hidden.index_select(&rows, 0)?, attended.index_select(&rows, 0)?);
        self.finish(&hidden, &attended, index, &adapters.of_rows(wanted))
    }

    /// What attention says, not yet projected back.
    fn attend(
        &self,
        hidden: &Tensor,
        spans: &[Span<'_>],
        rotation: &Rotation,
        index: usize,
        adapters: &AdapterRows<'_>,
    ) -> Result<Tensor> {
        let input = self.input_norm.forward(hidden)?;
        match &self.attention {
            AttentionKind::Heads(attention) => {
                let projected = attention.project(&input)?;
                adapters.add(index, Site::Qkv, &input, &projected)?;
                attention.attend(&projected, rotation, spans)
            }
            AttentionKind::Latent(attention) => attention.attend(&input, rotation, spans),
        }
    }

    /// Each row for itself, from what attention says of it.
    fn finish(
        &self,
        hidden: &Tensor,
        attended: &Tensor,
        index: usize,
        adapters: &AdapterRows<'_>,
    ) -> Result<Tensor> {
        let (after_attention, after_feed_forward) = match &self.after {
            Some((attention, feed_forward)) => (Some(attention), Some(feed_forward)),
            None => (None, None),
        };
        let hidden = added_to(hidden, after_attention, |residual| match &self.attention {
            AttentionKind::Heads(attention) => {
                let output = attention.project_back(attended, residual)?;
                adapters.add(index, Site::Output, attended, &output)?;
                Ok(output)
            }
            AttentionKind::Latent(attention) => attention.project_back(attended, residual),
        })?;
        let input = self.attention_norm.forward(&hidden)?;
        added_to(&hidden, after_feed_forward, |residual| match &self.feed_forward {
            FeedForward::Dense(mlp) if adapters.is_empty() => mlp.apply(&input, residual),
            FeedForward::Dense(mlp) => mlp.apply_adapted(&input, residual, index, adapters),
            FeedForward::Experts(experts) => experts.apply(&input, residual),
        })
    }
}

/// Adds what a block says to the residual stream: the block itself does, where no norm stands between.
fn added_to(
    residual: &Tensor,
    norm: Option<&RmsNorm>,
    block: impl FnOnce(Option<&Tensor>) -> Result<Tensor>,
) -> Result<Tensor> {
    match norm {
        None => block(Some(residual)),
        Some(norm) => norm.forward_onto(&block(None)?, residual),
    }
}
