//! A GGUF file as a model: checked as a whole, and the text files of a model folder made from it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::GgufError;
use super::config::{Architecture, model_config};
use super::file::GgufFile;
use super::tensor::{GgufTensor, TensorFormat};
use super::tokenizer::{TokenizerFiles, tokenizer_files};
use crate::{LoadError, ModelConfig};

/// A GGUF file that this engine can serve.
///
/// Served by itself, it gives its text files from memory ([`GgufModel::files`]). A model folder
/// whose weights are a GGUF holds it as [`GGUF_WEIGHTS`](super::GGUF_WEIGHTS) beside the same text
/// files as any other model folder, which [`GgufModel::write_files`] makes.
#[derive(Debug)]
pub struct GgufModel {
    file: Arc<GgufFile>,
    architecture: &'static str,
    name: Option<String>,
    quantisation: &'static str,
    parameters: u64,
    files: [(&'static str, Value); 4],
}

impl GgufModel {
    /// Reads the header and works out all text files; the weights are not read. Takes time and
    /// memory in proportion to the header only, and that is bounded.
    ///
    /// # Errors
    /// Names the file and what is wrong with it: no GGUF file, truncated, damaged, or of an
    /// architecture, quantisation or tokenizer that this engine does not compute.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let file = Arc::new(GgufFile::open(path)?);
        Self::of(&file).map_err(|error| file.error(error))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The architecture's name, as in the file, such as `qwen2`.
    pub fn architecture(&self) -> &str {
        self.architecture
    }

    /// What the file calls the model.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The number format that most bytes of the weights have, such as `Q8_0`.
    pub fn quantisation(&self) -> &str {
        self.quantisation
    }

    /// How many numbers the weights are.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// The text files of a model folder, made of the metadata: names and contents.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        self.files
            .iter()
            .map(|(name, content)| (*name, format!("{content:#}\n").into_bytes()))
    }

    /// The configuration, checked.
    ///
    /// # Errors
    /// Names the file and what is contradictory or not supported.
    pub fn config(&self) -> Result<ModelConfig, LoadError> {
        let [(_, config), ..] = &self.files;
        ModelConfig::of(self.path(), config)
    }

    pub(crate) fn file(&self) -> Arc<GgufFile> {
        Arc::clone(&self.file)
    }

    /// Writes `config.json`, `generation_config.json`, `tokenizer.json` and
    /// `tokenizer_config.json` into a folder. Files that are already there are the operator's
    /// and stay as they are.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write_files(&self, folder: &Path) -> Result<(), LoadError> {
        for (name, content) in self.files() {
            let path = folder.join(name);
            if path.exists() {
                continue;
            }
            fs::write(&path, content).map_err(|source| LoadError::Write { path, source })?;
        }
        Ok(())
    }

    fn of(file: &Arc<GgufFile>) -> Result<Self, GgufError> {
        let architecture = Architecture::of(file)?;
        let mut config = model_config(file, architecture)?;
        let rows = file
            .tensor("token_embd.weight")
            .and_then(|tensor| tensor.shape.first());
        let rows = rows.copied().unwrap_or_default();
        let TokenizerFiles {
            tokenizer,
            config: tokenizer_config,
            stop_ids,
            bos_id,
        } = tokenizer_files(file, architecture, rows)?;
        config.insert("bos_token_id".to_owned(), json!(bos_id));
        config.insert("eos_token_id".to_owned(), json!(stop_ids.first()));
        let values = |tensor: &GgufTensor| {
            tensor
                .shape
                .iter()
                .fold(1, |product: u64, size| product.saturating_mul(*size as u64))
        };
        Ok(Self {
            file: Arc::clone(file),
            architecture: architecture.name(),
            name: file.text("general.name")?.map(str::to_owned),
            quantisation: prevailing(file),
            parameters: file.tensors().map(values).fold(0, u64::saturating_add),
            files: [
                ("config.json", Value::Object(config)),
                (
                    "generation_config.json",
                    json!({ "bos_token_id": bos_id, "eos_token_id": stop_ids }),
                ),
                ("tokenizer.json", tokenizer),
                ("tokenizer_config.json", tokenizer_config),
            ],
        })
    }
}

fn prevailing(file: &GgufFile) -> &'static str {
    let bytes_of = |format: TensorFormat| -> u64 {
        let tensors = file.tensors().filter(|tensor| tensor.format == format);
        tensors.map(|tensor| tensor.bytes).fold(0, u64::saturating_add)
    };
    let most = TensorFormat::ALL
        .into_iter()
        .max_by_key(|format| bytes_of(*format));
    most.map_or("none", TensorFormat::name)
}
