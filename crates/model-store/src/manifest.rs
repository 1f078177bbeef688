//! The manifest of a model: `silica-model.json` in its folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ModelId, StoreError};

/// The manifest's file in a model's folder. A folder without it is no model of the store.
pub const MANIFEST: &str = "silica-model.json";

/// The layout of manifests that this version writes and reads.
const VERSION: u32 = 1;

/// What is known about a model of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of this file.
    version: u32,
    /// The model's name in the store.
    pub id: ModelId,
    /// Where it came from.
    pub origin: Origin,
    /// When it was put into the store.
    pub added_at: Timestamp,
    /// What it is.
    pub facts: ModelFacts,
    /// Its files, by name, without the manifest.
    pub files: Vec<ModelFile>,
}

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// A hub.
    Hub {
        /// `huggingface`, `modelscope`, or the address of a hub.
        hub: String,
        /// The repository.
        repo: String,
        /// The branch, tag or commit that was asked for.
        revision: String,
        /// The commit that this was, where the hub says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// The file that was asked for, for a GGUF.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// A folder of this machine.
    Folder {
        /// Where it was.
        path: PathBuf,
    },
    /// A GGUF file of this machine.
    Gguf {
        /// Where it was.
        path: PathBuf,
    },
}

/// The form of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// One or more safetensors files.
    Safetensors,
    /// One GGUF file.
    Gguf,
}

impl WeightFormat {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Gguf => "gguf",
        }
    }
}

/// What a model is, from its configuration, headers and text files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The form of the weights.
    pub format: WeightFormat,
    /// The number format that most weights have, such as `BF16` or `Q4_K`.
    pub quantisation: String,
    /// What its files say that it is for, in the catalogue's words: `chat`, `embedding` or `reranker`.
    /// Manifests of earlier versions are of chat models and do not say so.
    #[serde(default = "chat")]
    pub sub_type: String,
    /// The family, such as `qwen2`, `llama` or `bert`.
    pub architecture: String,
    /// How many numbers the weights are.
    pub parameters: u64,
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Token ids that the model knows.
    pub vocabulary: u64,
    /// The longest sequence, in tokens.
    pub context_length: u32,
    /// What the chat template and the special tokens provide for, in the catalogue's words: `tools`,
    /// `prefix`, `fim`, `reasoning`.
    pub features: Vec<String>,
}

fn chat() -> String {
    "chat".to_owned()
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its name in the folder; a path with `/` when it lies in a folder of that.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    pub(crate) const fn new(
        id: ModelId,
        origin: Origin,
        added_at: Timestamp,
        facts: ModelFacts,
        files: Vec<ModelFile>,
    ) -> Self {
        Self {
            version: VERSION,
            id,
            origin,
            added_at,
            facts,
            files,
        }
    }

    /// The size of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Reads the manifest of a folder; `None` when it has none.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is of a later version.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(StoreError::read(path, source)),
        };
        let malformed = |problem: String| StoreError::Manifest {
            path: path.clone(),
            problem,
        };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(malformed(format!("it has version {}", manifest.version)));
        }
        Ok(Some(manifest))
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(MANIFEST);
        let text = serde_json::to_string_pretty(self).map_err(|error| StoreError::Manifest {
            path: path.clone(),
            problem: error.to_string(),
        })?;
        fs::write(&path, text + "\n").map_err(|source| StoreError::write(path, source))
    }
}
