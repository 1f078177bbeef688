//! What is wrong with a `tokenizer.model`.

use crate::MAX_MERGES;

/// What is wrong with a `tokenizer.model`. The file's name stands in the error around it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PiecesError {
    /// Lines of byte sequences in base64, as in the first version of GLM-4.
    #[error("it is a list of byte sequences in base64, as tiktoken has it, and no SentencePiece model")]
    Tiktoken,
    /// The file ends inside something.
    #[error("it ends inside {inside} at byte {at}; it is truncated, or no SentencePiece model")]
    Truncated {
        /// What was being read.
        inside: &'static str,
        /// Where, in bytes from the beginning.
        at: usize,
    },
    /// It is not what the format asks for.
    #[error("{what} {problem}; it is damaged, or no SentencePiece model")]
    Malformed {
        /// Which part of it.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Its pieces can be put together in too many ways.
    #[error("it has more than {MAX_MERGES} ways to put its pieces together")]
    ManyMerges,
    /// It has a setting that is not read.
    #[error("{field} = {value} is not supported ({expected})")]
    Unsupported {
        /// The setting, by its name in `sentencepiece_model.proto`.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is supported.
        expected: &'static str,
    },
}

impl PiecesError {
    pub(crate) fn malformed(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Malformed {
            what: what.into(),
            problem: problem.into(),
        }
    }
}
