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

    /// Takes the residual stream of the rows of all spans, span after span, through the layer. `index` is its
    /// own. Adapters are of families whose layers have heads and a dense block, and no norm after either.
    pub(crate) fn forward(
        &self,
        hidden: &Tensor,
        spans: &[Span<'_>],
        rotation: &Rotation,
        index: usize,
        adapters: &AdapterRows<'_>,
    ) -> Result<Tensor> {
        let (after_attention, after_feed_forward) = match &self.after {
            Some((attention, feed_forward)) => (Some(attention), Some(feed_forward)),
            None => (None, None),
        };
        let input = self.input_norm.forward(hidden)?;
        let hidden = match &self.attention {
            AttentionKind::Heads(attention) => {
                let projected = attention.project(&input)?;
                adapters.add(index, Site::Qkv, &input, &projected)?;
                let attended = attention.attend(&projected, rotation, spans)?;
                added_to(hidden, after_attention, |residual| {
                    let output = attention.project_back(&attended, residual)?;
                    adapters.add(index, Site::Output, &attended, &output)?;
                    Ok(output)
                })
            }
            AttentionKind::Latent(attention) => added_to(hidden, after_attention, |residual| {
                attention.apply(&input, residual, rotation, spans)
            }),
        }?;
        let input = self.attention_norm.forward(&hidden)?;
        added_to(&hidden, after_feed_forward, |residual| match &self.feed_forward {
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
