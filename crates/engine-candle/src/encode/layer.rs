//! One layer of a bidirectional model: attention, then the feed-forward block, a norm behind each.

use std::sync::Mutex;

use candle_core::Result;

use super::config::{Activation, EncoderConfig};
use super::operations::{Dense, LayerNorm, add};
use crate::LoadError;
use crate::text::attention::{HeadShape, attend_whole};
use crate::text::matrix::Weight;
use crate::text::weights::{Role, Weights};

pub(super) struct Layer {
    query: Dense,
    key: Dense,
    value: Dense,
    output: Dense,
    attention_norm: LayerNorm,
    up: Dense,
    down: Dense,
    norm: LayerNorm,
    activation: Activation,
    shape: HeadShape,
}

impl Layer {
    /// `prefix` ends in the layer's number.
    pub(super) fn load(
        weights: &Weights,
        config: &EncoderConfig,
        prefix: &str,
    ) -> std::result::Result<Self, LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let dense = |name: &str, shape| Dense::load(weights, &format!("{prefix}.{name}"), shape, Role::Inner);
        let norm = |name: &str| LayerNorm::load(weights, &format!("{prefix}.{name}"), width, config.norm_eps);
        Ok(Self {
            query: dense("attention.self.query", (width, width))?,
            key: dense("attention.self.key", (width, width))?,
            value: dense("attention.self.value", (width, width))?,
            output: dense("attention.output.dense", (width, width))?,
            attention_norm: norm("attention.output.LayerNorm")?,
            up: dense("intermediate.dense", (width, inner))?,
            down: dense("output.dense", (inner, width))?,
            norm: norm("output.LayerNorm")?,
            activation: config.activation,
            shape: HeadShape {
                heads: config.heads,
                kv_heads: config.heads,
                width: width / config.heads,
            },
        })
    }

    /// The matrices.
    pub(super) fn weights(&self) -> [&Weight; 6] {
        [
            &self.query,
            &self.key,
            &self.value,
            &self.output,
            &self.up,
            &self.down,
        ]
        .map(Dense::weight)
    }

    /// Computes the rows of whole sequences of these lengths.
    pub(super) fn forward(
        &self,
        rows: &[f32],
        lengths: &[usize],
        memory: &Mutex<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let width = self.shape.heads * self.shape.width;
        let (queries, keys, values) = (
            self.query.forward(rows)?,
            self.key.forward(rows)?,
            self.value.forward(rows)?,
        );
        let mut attended = vec![0.0; rows.len()];
        attend_whole(
            self.shape,
            lengths,
            [&queries, &keys, &values],
            memory,
            &mut attended,
        )?;
        let middle = self.output.forward_then(&attended, |index, row| {
            add(row, &rows[index * width..][..width]);
            self.attention_norm.apply(row);
        })?;
        let inner = self
            .up
            .forward_then(&middle, |_, row| self.activation.apply(row))?;
        self.down.forward_then(&inner, |index, row| {
            add(row, &middle[index * width..][..width]);
            self.norm.apply(row);
        })
    }
}
