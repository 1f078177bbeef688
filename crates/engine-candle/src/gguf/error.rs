//! What is wrong with a GGUF file.

use crate::Family;

/// What is wrong with a GGUF file. The file's name stands in the
/// [`LoadError`](crate::LoadError) around it.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file begins with something else.
    #[error("it is no GGUF file: it begins with {found:02x?} instead of `GGUF`")]
    Magic {
        /// Its first bytes.
        found: [u8; 4],
    },
    /// The file was written for machines of the other byte order.
    #[error("its numbers are big-endian; only little-endian files are supported")]
    BigEndian,
    /// A version of the format that this engine does not know.
    #[error("it has version {0} of the format; supported are 2 and 3")]
    Version(u32),
    /// The file ends inside its header.
    #[error("it ends at byte {length} inside {inside}; it is truncated")]
    Truncated {
        /// Bytes there are.
        length: u64,
        /// What was being read.
        inside: String,
    },
    /// The file ends inside a tensor.
    #[error("it has {length} bytes, but tensor {tensor} ends at byte {end}; it is truncated or damaged")]
    TensorTruncated {
        /// Bytes there are.
        length: u64,
        /// The tensor's name.
        tensor: String,
        /// Where it ends.
        end: u64,
    },
    /// The header announces more than any model has.
    #[error("{what} is {value}, more than the limit of {limit}; it is damaged")]
    TooLarge {
        /// What is so large.
        what: String,
        /// Its announced size.
        value: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// The header is not what the format asks for.
    #[error("{what} {problem}")]
    Malformed {
        /// The part of the header.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting is not there.
    #[error("the setting {key} is missing")]
    MissingKey {
        /// The setting.
        key: String,
    },
    /// A setting has a value that this engine does not compute.
    #[error("{key} = {value} is not supported ({expected})")]
    Unsupported {
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What is supported.
        expected: &'static str,
    },
    /// A setting is out of range or contradicts another.
    #[error("{key} {problem}")]
    Invalid {
        /// The setting.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor's quantisation is not one that this engine computes with.
    #[error(
        "tensor {tensor} has the quantisation {format}; supported are F32, F16, BF16, Q4_0, Q5_0, Q8_0, Q4_K and Q6_K"
    )]
    Quantisation {
        /// The tensor's name.
        tensor: String,
        /// The quantisation's name.
        format: String,
    },
    /// The configuration beside the file is that of another family.
    #[error("it is a model of the family {found:?}, config.json is of {expected:?}")]
    OtherFamily {
        /// The file's.
        found: Family,
        /// The configuration's.
        expected: Family,
    },
    /// A tensor that every model has is not there.
    #[error("tensor {0} is missing")]
    MissingTensor(String),
}
