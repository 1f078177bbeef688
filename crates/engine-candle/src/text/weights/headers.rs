//! What the headers alone tell about the weights of a model.

use super::{ModelTensors, Source, Weights};
use crate::{LoadError, ModelConfig};

impl Weights {
    /// Checks that every tensor that will be loaded is there, in a shape and a number format that
    /// can be, so that the weights of another model, or half of them, are found without reading
    /// any values.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<(), LoadError> {
        let tensors = ModelTensors::of(config);
        let layers = (0..config.layers).flat_map(|index| tensors.layer(index).all());
        for (name, shape) in tensors.outside_layers().into_iter().chain(layers) {
            self.locate(&name, shape)?;
        }
        Ok(())
    }

    /// The number format that most values have, and how many values there are; `None` for a GGUF
    /// file, which `GgufModel` tells about.
    ///
    /// # Errors
    /// Names the tensor that the index promises and its file lacks.
    pub(crate) fn sum(&self) -> Result<Option<(&'static str, u64)>, LoadError> {
        match &self.source {
            Source::Safetensors(files) => files.sum().map(Some),
            Source::Gguf(_) => Ok(None),
        }
    }
}
