//! What the headers alone tell about the weights of a model.

use super::{Shape, Source, Weights};
use crate::{LoadError, ModelConfig};

impl Weights {
    /// Checks the shapes of the tensors that every layer and every model has, so that the weights
    /// of another model, or a layer that lies in no file, are found without reading any values.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<(), LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let table = Shape::Matrix(config.vocab_size, width);
        self.locate("model.embed_tokens.weight", table)?;
        for layer in 0..config.layers {
            let named = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let queries = Shape::Matrix(config.heads * config.head_dim, width);
            self.locate(&named("self_attn.q_proj"), queries)?;
            self.locate(&named("mlp.down_proj"), Shape::Matrix(width, inner))?;
        }
        self.locate("model.norm.weight", Shape::Vector(width))?;
        if !config.tied_embeddings {
            self.locate("lm_head.weight", table)?;
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
