//! Values of the metadata.

use std::fmt;

pub(super) use silica_pieces::shortened;

/// A value of the metadata; numbers are widened, since writers differ in the widths they choose.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Any integer.
    Integer(i128),
    /// f32 or f64.
    Float(f64),
    Bool(bool),
    Text(String),
    Array(Array),
}

/// An array; arrays within arrays do not occur.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Array {
    /// Integers of any width; u64 values beyond the signed range are refused when read.
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Bools(Vec<bool>),
    Texts(Vec<String>),
}

/// The type numbers of the format (`gguf_type` in gguf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    /// An unsigned or signed integer and its width in bytes.
    Unsigned(u8),
    Signed(u8),
    F32,
    F64,
    Bool,
    Text,
    Array,
}

impl ValueType {
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Unsigned(1),
            1 => Self::Signed(1),
            2 => Self::Unsigned(2),
            3 => Self::Signed(2),
            4 => Self::Unsigned(4),
            5 => Self::Signed(4),
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::Unsigned(8),
            11 => Self::Signed(8),
            12 => Self::F64,
            _ => return None,
        })
    }
}

/// What a message says of a value: short, whatever the file says.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Float(value) => write!(formatter, "{value}"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Text(text) => write!(formatter, "`{}`", shortened(text)),
            Self::Array(array) => write!(formatter, "an array of {} entries", array.len()),
        }
    }
}

impl Array {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Bools(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}
