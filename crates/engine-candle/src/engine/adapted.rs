//! A model with an adapter, served by the engine of the model.

use std::path::Path;
use std::sync::Arc;

use silica_engine::{EngineError, GenerateRequest, GenerateStream, TokenEngine};
use silica_types::TokenCount;

use super::CandleEngine;
use crate::text::lora::{Adapter, AdapterFormat, AdapterMemory, Base, BaseNames};
use crate::{CandleOptions, GgufModel, LoadError, ModelConfig};

/// An engine's model with an adapter on top, as an engine of its own: its sequences are computed in the same
/// passes as those of the model and of its other adapters, with the weights in memory once.
///
/// What is computed with one adapter is reused for sequences with the same one only. The adapter's memory is
/// free again when this and the last of its sequences are gone.
pub struct AdaptedEngine {
    engine: Arc<CandleEngine>,
    adapter: Arc<Adapter>,
}

impl AdaptedEngine {
    /// Loads an adapter for the engine's model: a folder as PEFT writes it, with `adapter_config.json` and
    /// `adapter_model.safetensors`. Blocks for as long as reading takes.
    ///
    /// # Errors
    /// Names the file and the setting or tensor that is missing, malformed, not supported or made for another
    /// model; [`LoadError::Adapters`] when it is more than `adapters_mb` allows, and
    /// [`LoadError::NoAdapters`] where the model is not computed on the CPU.
    pub fn load(engine: Arc<CandleEngine>, folder: &Path) -> Result<Self, LoadError> {
        let Some(base) = &engine.base else {
            return Err(LoadError::NoAdapters {
                folder: folder.to_owned(),
            });
        };
        let adapter = Arc::new(Adapter::load(folder, base, &engine.adapters)?);
        tracing::info!(
            engine = engine.name(),
            adapter.folder = %folder.display(),
            adapter.bytes = adapter.bytes(),
            "adapter {} loaded for {}",
            folder.display(),
            engine.name()
        );
        Ok(Self { engine, adapter })
    }

    /// Says whether an adapter fits the model in a folder, as far as that can be said before weights are read.
    ///
    /// # Errors
    /// As [`AdaptedEngine::load`] with an engine that has no adapter yet and these options; and when the
    /// folder's configuration cannot be read.
    pub fn check(folder: &Path, model: &Path, options: &CandleOptions) -> Result<(), LoadError> {
        let config = ModelConfig::read(model)?;
        Self::check_named(folder, config, BaseNames::of_folder(model), options)
    }

    /// As [`AdaptedEngine::check`], of a GGUF file that is already open.
    ///
    /// # Errors
    /// As [`AdaptedEngine::check`].
    pub fn check_gguf(folder: &Path, model: &GgufModel, options: &CandleOptions) -> Result<(), LoadError> {
        let names = BaseNames::of_gguf(model.path(), model.name());
        Self::check_named(folder, model.config()?, names, options)
    }

    fn check_named(
        folder: &Path,
        config: ModelConfig,
        names: BaseNames,
        options: &CandleOptions,
    ) -> Result<(), LoadError> {
        let memory = AdapterMemory::new(u64::from(options.adapters_mb) << 20);
        let base = Base {
            config,
            // What takes the least memory: which one it will be, the weights say.
            format: AdapterFormat::Byte,
            names,
        };
        Adapter::load(folder, &base, &memory).map(drop)
    }
}

impl TokenEngine for AdaptedEngine {
    fn context_length(&self) -> TokenCount {
        self.engine.context_length()
    }

    fn vocabulary_size(&self) -> u32 {
        self.engine.vocabulary_size()
    }

    fn generate(&self, request: GenerateRequest) -> Result<GenerateStream, EngineError> {
        self.engine.submit(request, Some(Arc::clone(&self.adapter)))
    }
}
