//! Why a model folder cannot be used.

use std::path::PathBuf;

use silica_pieces::{MAX_PIECE_BYTES, MAX_PIECES, PiecesError};

pub use crate::vocabulary::UnsupportedDecoder;

/// Why the text side of a model folder was refused; every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file that must be there is not.
    #[error("{} is missing", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// There is no `tokenizer.json`, and the `tokenizer.model` in its place cannot be used.
    #[error(
        "{} cannot be read; convert it to tokenizer.json (in the transformers library: load a fast tokenizer of the \
        folder and `save_pretrained` it), or serve a GGUF file of the model, which carries its tokenizer",
        file.display()
    )]
    Pieces {
        /// The file.
        file: PathBuf,
        /// What it is, or what is wrong with it.
        source: PiecesError,
    },
    /// A file names a token beside those of `tokenizer.model` that cannot be one.
    #[error(
        "{} gives the id {id} to a token of {bytes} bytes; ids go up to {}, and tokens have 1 to {} bytes",
        file.display(), MAX_PIECES - 1, MAX_PIECE_BYTES
    )]
    AddedToken {
        /// The file that names it.
        file: PathBuf,
        /// Its id.
        id: u32,
        /// The length of its spelling.
        bytes: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{} is not valid", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The tokenizer cannot be built.
    #[error("{} is not a valid tokenizer", file.display())]
    Tokenizer {
        /// The file.
        file: PathBuf,
        /// The tokenizer library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokenizer's decoder cannot be used for a stream.
    #[error("the tokenizer {} cannot be used", file.display())]
    Decoder {
        /// The file.
        file: PathBuf,
        /// What is unusual.
        source: UnsupportedDecoder,
    },
    /// A chat template does not compile.
    #[error("the chat template in {} does not compile", file.display())]
    Template {
        /// The file that holds the template.
        file: PathBuf,
        /// The line and the reason.
        source: Box<minijinja::Error>,
    },
    /// A special token that a file names is not in the tokenizer.
    #[error("{} names the special token {token:?}, which the tokenizer lacks", file.display())]
    UnknownToken {
        /// The file that names it.
        file: PathBuf,
        /// Its spelling.
        token: String,
    },
    /// The engine's model is for something else than its texts are read for.
    #[error("{} is read for another use than its model has", file.display())]
    OtherUse {
        /// The tokenizer's file.
        file: PathBuf,
    },
    /// The tokenizer has ids that the model has no logits for: the files are of two models.
    #[error("{} has {tokens} token ids, but the model has logits for {logits} only", file.display())]
    VocabularyTooLarge {
        /// The tokenizer's file.
        file: PathBuf,
        /// The tokenizer's number of ids.
        tokens: usize,
        /// The model's number of ids.
        logits: u32,
    },
}
