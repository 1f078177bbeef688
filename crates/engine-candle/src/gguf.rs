//! GGUF files: the checked header (metadata and tensor infos), and the text files of a model folder
//! made from it.
//!
//! - [`GgufFile`] is the header. Everything in it is bounded and checked against the file's length
//!   before it is believed; tensors' values are read elsewhere.
//! - [`GgufModel`] is a file that this engine can serve, and makes `config.json`, `tokenizer.json`,
//!   `tokenizer_config.json` and `generation_config.json` of its metadata.

mod config;
mod error;
mod file;
mod import;
mod read;
mod rope;
mod tensor;
mod tokenizer;
mod value;

pub use self::error::GgufError;
pub(crate) use self::file::GgufFile;
pub use self::import::GgufModel;
pub(crate) use self::tensor::{GgufTensor, TensorFormat};

/// The name of the weight file in a model folder whose weights are a GGUF.
pub const GGUF_WEIGHTS: &str = "model.gguf";
