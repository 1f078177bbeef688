//! What the headers alone tell about the weights of a model.

use super::{LayerAttention, ModelTensors, Shape, Source, Weights};
use crate::{EncoderConfig, EncoderFamily, LoadError, ModelConfig};

impl Weights {
    /// Checks that every tensor that will be loaded is there, in a shape and a number format that
    /// can be, so that the weights of another model, or half of them, are found without reading
    /// any values.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<(), LoadError> {
        let tensors = ModelTensors::of(config);
        for (name, shape) in tensors.outside_layers() {
            self.locate(&name, shape)?;
        }
        for index in 0..config.layers {
            let layer = tensors.layer(index);
            if let LayerAttention::Latent(attention) = &layer.attention {
                self.check_heads(&attention.heads)?;
            }
            for (name, shape) in layer.all() {
                self.locate(&name, shape)?;
            }
        }
        Ok(())
    }

    /// As [`Weights::check`], of a bidirectional model.
    pub(crate) fn check_encoder(&self, config: &EncoderConfig) -> Result<(), LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let base = self.base_of(config);
        let table = |name: &str, rows| {
            let name = format!("{base}embeddings.{name}_embeddings.weight");
            self.locate(&name, Shape::Matrix(rows, width)).map(drop)
        };
        table("word", config.vocab_size)?;
        table("position", config.positions)?;
        table("token_type", config.types)?;
        for layer in 0..config.layers {
            let named = |part: &str| format!("{base}encoder.layer.{layer}.{part}.weight");
            self.locate(&named("attention.self.query"), Shape::Matrix(width, width))?;
            self.locate(&named("output.dense"), Shape::Matrix(width, inner))?;
        }
        if config.classifies {
            let name = match config.family {
                EncoderFamily::Bert => "classifier.weight",
                EncoderFamily::XlmRoberta => "classifier.out_proj.weight",
            };
            self.locate(name, Shape::Matrix(1, width))?;
        }
        Ok(())
    }

    /// The number format that most values have, and how many values there are; `None` for a GGUF
    /// file, which `GgufModel` tells about. What stands behind the model's layers is not counted:
    /// published DeepSeek-V3 files have there what predicts further tokens (`model.layers.61` of
    /// 61 layers), which is not computed.
    ///
    /// # Errors
    /// Names the tensor that the index promises and its file lacks.
    pub(crate) fn sum(&self, layers: usize) -> Result<Option<(&'static str, u64)>, LoadError> {
        match &self.source {
            Source::Safetensors(files, _) => files.sum(|name| is_inside(name, layers)).map(Some),
            Source::Gguf(_) => Ok(None),
        }
    }
}

/// Whether a tensor is not of a layer behind the last.
fn is_inside(name: &str, layers: usize) -> bool {
    let inner = name.strip_prefix("model.").unwrap_or(name);
    let layer = inner
        .strip_prefix("layers.")
        .and_then(|rest| rest.split('.').next());
    layer
        .and_then(|layer| layer.parse().ok())
        .is_none_or(|layer: usize| layer < layers)
}
