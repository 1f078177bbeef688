//! Loads engines that run inside the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use silica_engine::{Engines as Abilities, TokenEngine};
use silica_engine_candle::{AdaptedEngine, CandleEncoder, CandleEngine, CandleOptions, GgufModel, ModelKind};
use silica_gateway::LoadError;
use silica_platform::SubType;
use silica_text::{TextEmbedder, TextEngine, TextFiles, TextRanker};

use super::bases::{Bases, Key, Lease, Tenant};

/// A replica that is computed in this process.
pub(super) struct Embedded {
    /// The model's folder or GGUF file.
    pub(super) path: PathBuf,
    /// The folder of what is added to the model.
    pub(super) adapter: Option<PathBuf>,
    /// What the catalogue says that its models are for.
    pub(super) sub_type: Option<SubType>,
    /// With the deployment's name.
    pub(super) options: CandleOptions,
}

/// The model of a replica is not there.
#[derive(Debug, thiserror::Error)]
#[error("the model {0} does not exist; if it was moved, deploy it again from its new place")]
struct ModelGone(String);

/// An adapter for a model that does not write.
#[derive(Debug, thiserror::Error)]
#[error("{adapter}: adapters are for models that chat, and {path} is loaded to {purpose}")]
struct AdapterOfReader {
    adapter: String,
    path: String,
    purpose: &'static str,
}

impl Embedded {
    /// Loads the model for what the catalogue says that it is for. A file, and a folder of whose models the
    /// catalogue says nothing, tell for themselves. Blocks.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub(super) fn load(self, bases: &Bases) -> Result<Abilities, LoadError> {
        if self.path.is_dir() {
            let kind = match self.sub_type {
                Some(SubType::Embedding) => ModelKind::Embedding,
                Some(SubType::Reranker) => ModelKind::Reranker,
                Some(SubType::Chat) => ModelKind::Chat,
                _ => ModelKind::of_folder(&self.path).map_err(LoadError::engine)?,
            };
            if kind != ModelKind::Chat {
                return self.load_reader(kind);
            }
            return self.load_chat(bases, Weights::Folder(&self.path));
        }
        if self.path.is_file() {
            // Its text files stay in memory: the place beside it may be read-only, and is the operator's.
            let model = GgufModel::open(&self.path).map_err(LoadError::engine)?;
            return self.load_chat(bases, Weights::Gguf(&model));
        }
        Err(self.gone())
    }

    fn gone(&self) -> LoadError {
        LoadError::engine(ModelGone(self.path.display().to_string()))
    }

    fn load_chat(&self, bases: &Bases, weights: Weights<'_>) -> Result<Abilities, LoadError> {
        let key = Key {
            model: self.path.canonicalize().map_err(|_| self.gone())?,
            precision: self.options.precision(),
        };
        let Some(adapter) = &self.adapter else {
            let options = self.options.clone();
            let lease = bases.lease(&key, Tenant::Plain, || weights.load(options))?;
            let tokens = Arc::clone(lease.engine());
            return self.with_texts(weights, lease, tokens);
        };
        let load = || {
            weights.check_adapter(adapter, &self.options)?;
            weights.load(self.shared_options(&key))
        };
        let lease = bases.lease(&key, Tenant::Adapted, load)?;
        let tokens = AdaptedEngine::load(Arc::clone(lease.engine()), adapter).map_err(LoadError::engine)?;
        tracing::info!(
            deployment.name = %self.options.name,
            engine = lease.engine().name(),
            "deployment {} runs on the engine {} with its adapter",
            self.options.name,
            lease.engine().name()
        );
        self.with_texts(weights, lease, tokens)
    }

    /// Of an engine that is started for an adapter: it is the model's, and may outlive the deployment.
    fn shared_options(&self, key: &Key) -> CandleOptions {
        let name = key
            .model
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let mut name = name.unwrap_or_else(|| self.options.name.clone());
        // Its engine with other weights has metrics of its own.
        if let Some(quantization) = key.precision.quantize {
            name.push_str(&format!(" ({quantization:?})").to_ascii_lowercase());
        }
        CandleOptions {
            name,
            ..self.options.clone()
        }
    }

    fn with_texts(
        &self,
        weights: Weights<'_>,
        lease: Lease,
        tokens: impl TokenEngine + 'static,
    ) -> Result<Abilities, LoadError> {
        let files = match weights {
            Weights::Folder(folder) => TextFiles::from(folder),
            Weights::Gguf(model) => TextFiles::made(&self.path, model.files()),
        };
        let health = lease.engine().health();
        let chat = TextEngine::load(files, lease.with(tokens), self.options.name.clone());
        Ok(Abilities {
            health: Some(health),
            ..Abilities::chat(Arc::new(chat.map_err(LoadError::engine)?))
        })
    }

    /// Loads a folder's model for embedding or ranking.
    fn load_reader(self, kind: ModelKind) -> Result<Abilities, LoadError> {
        if let Some(adapter) = &self.adapter {
            return Err(LoadError::engine(AdapterOfReader {
                adapter: adapter.display().to_string(),
                path: self.path.display().to_string(),
                purpose: if kind == ModelKind::Embedding {
                    "embed"
                } else {
                    "rank"
                },
            }));
        }
        let engine = CandleEncoder::load(&self.path, kind, self.options).map_err(LoadError::engine)?;
        if kind == ModelKind::Embedding {
            let embedder = TextEmbedder::load(&self.path, engine).map_err(LoadError::engine)?;
            return Ok(Abilities {
                embed: Some(Arc::new(embedder)),
                ..Abilities::default()
            });
        }
        let ranker = TextRanker::load(&self.path, engine).map_err(LoadError::engine)?;
        Ok(Abilities {
            rerank: Some(Arc::new(ranker)),
            ..Abilities::default()
        })
    }
}

/// Where the weights of a model that writes are.
#[derive(Clone, Copy)]
enum Weights<'replica> {
    Folder(&'replica Path),
    Gguf(&'replica GgufModel),
}

impl Weights<'_> {
    fn load(self, options: CandleOptions) -> Result<CandleEngine, LoadError> {
        match self {
            Self::Folder(folder) => CandleEngine::load(folder, options),
            Self::Gguf(model) => CandleEngine::load_gguf(model, options),
        }
        .map_err(LoadError::engine)
    }

    /// Refuses an adapter that does not fit before the weights are read: a deployment that cannot be loaded is
    /// tried again and again.
    fn check_adapter(self, adapter: &Path, options: &CandleOptions) -> Result<(), LoadError> {
        match self {
            Self::Folder(folder) => AdaptedEngine::check(adapter, folder, options),
            Self::Gguf(model) => AdaptedEngine::check_gguf(adapter, model, options),
        }
        .map_err(LoadError::engine)
    }
}

#[cfg(test)]
mod tests {
    use silica_engine_candle::Quantization;

    use super::*;

    #[test]
    fn engines_of_one_folder_in_two_precisions_have_two_names() {
        let name = |quantize| {
            let embedded = Embedded {
                path: PathBuf::from("/srv/models/Qwen3-8B"),
                adapter: None,
                sub_type: None,
                options: CandleOptions {
                    quantize,
                    ..CandleOptions::default()
                },
            };
            let key = Key {
                model: embedded.path.clone(),
                precision: embedded.options.precision(),
            };
            embedded.shared_options(&key).name
        };
        assert_eq!(name(None), "Qwen3-8B");
        assert_eq!(name(Some(Quantization::Q8_0)), "Qwen3-8B (q8_0)");
    }
}
