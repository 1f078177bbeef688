//! What the headers alone tell about the weights of a folder.

use super::Weights;
use super::read::FileFormat;
use crate::{LoadError, ModelConfig};

impl Weights {
    /// Checks the shapes of the tensors that every layer and every model has, so that the weights
    /// of another model, or a layer that lies in no file, are found without reading any values.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<(), LoadError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        self.locate("model.embed_tokens.weight", &[config.vocab_size, width])?;
        for layer in 0..config.layers {
            let named = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let heads = [config.heads * config.head_dim, width];
            self.locate(&named("self_attn.q_proj"), &heads)?;
            self.locate(&named("mlp.down_proj"), &[width, inner])?;
        }
        self.locate("model.norm.weight", &[width])?;
        if !config.tied_embeddings {
            self.locate("lm_head.weight", &[config.vocab_size, width])?;
        }
        Ok(())
    }

    /// The number format that most values have, and how many values there are.
    ///
    /// # Errors
    /// Names the tensor that the index promises and its file lacks.
    pub(crate) fn sum(&self) -> Result<(&'static str, u64), LoadError> {
        let mut values = [("F32", 0), ("BF16", 0), ("F16", 0), ("other", 0)];
        for (name, position) in &self.routes {
            let missing = || LoadError::MissingTensor {
                path: self.index.clone(),
                name: name.clone(),
            };
            let file = self.files.get(*position).ok_or_else(missing)?;
            let info = file.metadata.info(name).ok_or_else(missing)?;
            let place = match FileFormat::of(info.dtype) {
                Some(FileFormat::F32) => 0,
                Some(FileFormat::Bf16) => 1,
                Some(FileFormat::F16) => 2,
                // Something that is no weight; what is one, was checked.
                None => 3,
            };
            let sizes = info.shape.iter().map(|size| *size as u64);
            values[place].1 += sizes.fold(1, u64::saturating_mul);
        }
        let all = values.iter().map(|(_, count)| count).sum();
        let most = values.into_iter().max_by_key(|(_, count)| *count);
        Ok((most.map_or("none", |(format, _)| format), all))
    }
}
