//! The bidirectional model: one forward pass for BERT and XLM-RoBERTa, and their classifiers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Result};
use rayon::prelude::*;
use silica_engine::TokenSequence;

use super::config::{EncoderConfig, EncoderFamily};
use super::layer::Layer;
use super::operations::{Dense, LayerNorm, add};
use crate::text::matrix::Weight;
use crate::text::weights::{Placement, Role, Weights};
use crate::{LoadError, Precision};

/// A loaded model. It computes on the CPU in every build.
pub(super) struct Encoder {
    config: EncoderConfig,
    words: Arc<Weight>,
    /// `[positions, hidden]`.
    positions: Vec<f32>,
    /// `[types, hidden]`.
    types: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    classifier: Option<Classifier>,
}

/// What makes a score of the first token's row: a dense layer, the hyperbolic tangent, and a row of weights.
struct Classifier {
    dense: Dense,
    output: Dense,
}

impl Encoder {
    /// Loads a model folder.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(super) fn load(folder: &Path, precision: Precision) -> std::result::Result<Self, LoadError> {
        let config = EncoderConfig::read(folder)?;
        let placement = Placement {
            device: Device::Cpu,
            precision,
        };
        let weights = Weights::in_safetensors(folder, placement)?;
        let base = weights.base_of(&config);
        let width = config.hidden_size;
        let words = [(
            format!("{base}embeddings.word_embeddings.weight"),
            config.vocab_size,
        )];
        let table = |name: &str, rows| weights.table(&format!("{base}embeddings.{name}.weight"), rows, width);
        let norm = format!("{base}embeddings.LayerNorm");
        let layers = (0..config.layers)
            .map(|index| Layer::load(&weights, &config, &format!("{base}encoder.layer.{index}")));
        Ok(Self {
            words: weights.matrix(&words, width, Role::Inner)?,
            positions: table("position_embeddings", config.positions)?,
            types: table("token_type_embeddings", config.types)?,
            norm: LayerNorm::load(&weights, &norm, width, config.norm_eps)?,
            layers: layers.collect::<std::result::Result<_, _>>()?,
            classifier: Classifier::load(&weights, &config, base)?,
            config,
        })
    }

    /// The model's configuration.
    pub(super) fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Returns the memory of the matrices, in bytes.
    pub(super) fn weight_bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(Layer::weights);
        layers.chain([&*self.words]).map(Weight::bytes).sum()
    }

    /// Computes the last layer's rows of whole sequences, sequence after sequence; everything but attention
    /// runs over the rows of all of them at once. `None` when `goes_on` says no before the end.
    ///
    /// # Errors
    /// For an id outside the vocabulary and a sequence longer than there are positions.
    pub(super) fn forward(
        &self,
        sequences: &[&TokenSequence],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>> {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.tokens.len()).collect();
        let mut rows = self.embed(sequences)?;
        let memory = Mutex::default();
        for layer in &self.layers {
            if !goes_on() {
                return Ok(None);
            }
            rows = layer.forward(&rows, &lengths, &memory)?;
        }
        Ok(Some(rows))
    }

    /// The scores of rows.
    ///
    /// # Errors
    /// When the model has no classifier.
    pub(super) fn classify(&self, rows: &[f32]) -> Result<Vec<f32>> {
        let Some(classifier) = &self.classifier else {
            candle_core::bail!("the model has no classifier");
        };
        let inner = classifier.dense.forward_then(rows, |_, row| {
            for value in row {
                *value = value.tanh();
            }
        })?;
        classifier.output.forward(&inner)
    }

    fn embed(&self, sequences: &[&TokenSequence]) -> Result<Vec<f32>> {
        let width = self.config.hidden_size;
        let tokens: Vec<u32> = sequences
            .iter()
            .flat_map(|sequence| &sequence.tokens)
            .copied()
            .collect();
        let vocabulary = self.config.vocab_size;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            candle_core::bail!("token {token} is outside the vocabulary of {vocabulary}");
        }
        let mut rows: Vec<f32> = self.words.rows(&tokens)?.flatten_all()?.to_vec1()?;
        let mut places = Vec::with_capacity(tokens.len());
        for sequence in sequences {
            let length = sequence.tokens.len();
            if length > self.config.positions - self.config.first_position {
                candle_core::bail!("a sequence of {length} tokens is longer than the model's positions");
            }
            // A model without a second type has its first one for both texts.
            let second = sequence
                .second
                .filter(|_| self.config.types > 1)
                .unwrap_or(length);
            places.extend((0..length).map(|position| (position, usize::from(position >= second))));
        }
        let first = self.config.first_position;
        let target = rows.par_chunks_mut(width).zip(places.par_iter());
        target.for_each(|(row, (position, kind))| {
            add(row, &self.types[kind * width..][..width]);
            add(row, &self.positions[(first + position) * width..][..width]);
            self.norm.apply(row);
        });
        Ok(rows)
    }
}

impl Classifier {
    fn load(
        weights: &Weights,
        config: &EncoderConfig,
        base: &str,
    ) -> std::result::Result<Option<Self>, LoadError> {
        if !config.classifies {
            return Ok(None);
        }
        let width = config.hidden_size;
        let (dense, output) = match config.family {
            EncoderFamily::Bert => (format!("{base}pooler.dense"), "classifier"),
            EncoderFamily::XlmRoberta => ("classifier.dense".to_owned(), "classifier.out_proj"),
        };
        Ok(Some(Self {
            dense: Dense::load(weights, &dense, (width, width), Role::Head)?,
            output: Dense::load(weights, output, (width, 1), Role::Head)?,
        }))
    }
}

impl Weights {
    /// What stands before the names of the tensors: a model that was saved with a head has its own name
    /// there.
    pub(crate) fn base_of(&self, config: &EncoderConfig) -> &'static str {
        let base = match config.family {
            EncoderFamily::Bert => "bert.",
            EncoderFamily::XlmRoberta => "roberta.",
        };
        if self.has(&format!("{base}embeddings.word_embeddings.weight")) {
            base
        } else {
            ""
        }
    }
}
