//! What a model folder is for.

use std::path::Path;

use serde::Deserialize;

use super::modules::Modules;
use crate::LoadError;
use crate::text::config::read_file;

/// What a model is for. A folder tells by its files; where these leave it open (the published
/// Qwen3-Reranker has the files of a chat model), whoever serves it has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Writes texts.
    Chat,
    /// Turns texts into vectors.
    Embedding,
    /// Tells how well a document answers a query.
    Reranker,
}

#[derive(Deserialize)]
struct Architectures {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
}

impl Architectures {
    fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("config.json");
        serde_json::from_slice(&read_file(&path)?).map_err(|source| LoadError::Json { path, source })
    }

    /// `architectures` decides; `model_type` stands in where it is absent.
    fn name(&self) -> &str {
        let first = self.architectures.as_ref().and_then(|names| names.first());
        first
            .or(self.model_type.as_ref())
            .map(String::as_str)
            .unwrap_or_default()
    }
}

/// Whether a folder's model is a decoder, which sees what came before only.
pub(crate) fn is_decoder(folder: &Path) -> Result<bool, LoadError> {
    let config = Architectures::read(folder)?;
    let name = config.name().to_lowercase();
    Ok(!name.starts_with("bert") && !name.starts_with("xlm"))
}

impl ModelKind {
    /// What the files of a folder say.
    ///
    /// # Errors
    /// Names the file that is missing or malformed.
    pub fn of_folder(folder: &Path) -> Result<Self, LoadError> {
        let config = Architectures::read(folder)?;
        let name = config.name();
        if name.ends_with("ForSequenceClassification") {
            return Ok(Self::Reranker);
        }
        // The name of a base model, but for `ChatGLM`'s, which is also what its configurations call the whole.
        let is_base = name.ends_with("Model") && name != "ChatGLMModel";
        if matches!(name, "bert" | "xlm-roberta") || is_base {
            return Ok(Self::Embedding);
        }
        Ok(match Modules::read(folder)? {
            Some(modules) if modules.judges => Self::Reranker,
            Some(_) => Self::Embedding,
            None => Self::Chat,
        })
    }

    /// Its name: `chat`, `embedding` or `reranker`, as the catalogue has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
            Self::Reranker => "reranker",
        }
    }
}
