//! Matrix products on the CPU: weights in one number format, packed once for the instructions that
//! read them, times rows of activations.
//!
//! - [`PackedMatrix`] is a weight matrix in the layout of `kernels/layout.rs`. It comes from the
//!   bytes of a weight file or from values that are rounded to a format ([`PackedBuilder`]).
//! - [`Input`] are rows of activations. For quantised weights they are rounded to int8 in blocks of
//!   32, as llama.cpp does, with scales in f32.
//! - [`PackedMatrix::multiply`] computes a product on the threads of the rayon pool that the calling
//!   thread belongs to, and on no others, so that a busy model leaves room for everything else.
//! - [`rows`] is what happens between the products.
//!
//! The instructions are chosen at run time (`product.rs`): AMX for many rows (`amx.rs`), AVX-512 with
//! VNNI (`avx512.rs`), AVX2 (`avx2.rs`), or what the compiler makes of plain code (`scalar.rs`).
//!
//! An element of a product is what its input row and its weight row make it, bit for bit: it does
//! not depend on the other rows in the batch nor on the number of threads. Each element is one chain
//! of additions in the order of the columns (of the blocks of 32 columns, within which int8 products
//! are added exactly), in every instruction set.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod buffer;
mod builder;
mod input;
mod layout;
#[cfg(any(target_arch = "aarch64", test))]
mod neon;
mod output;
mod product;
pub(crate) mod rows;
mod scalar;

pub(crate) use self::buffer::Buffer;
pub(crate) use self::builder::PackedBuilder;
pub(crate) use self::input::Input;
use self::layout::{LANES, block_values, chunk_bytes, is_quantised};
pub(crate) use self::output::OutputColumns;
pub(crate) use self::product::Path;
use crate::gguf::TensorFormat;

/// A weight matrix of `rows` (outputs) times `columns` (inputs) in one number format, laid out for
/// products.
pub(crate) struct PackedMatrix {
    format: TensorFormat,
    rows: usize,
    columns: usize,
    /// Bytes of a group of rows.
    group_bytes: usize,
    /// All groups; the rows that the last one lacks are zeros.
    data: Buffer,
}

/// Values that do not make a matrix of the shape or the format asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    #[error(
        "rows of {columns} values cannot be cut into {} blocks of {} values",
        format.name(),
        format.block_values()
    )]
    Columns { format: TensorFormat, columns: usize },
    #[error("{actual} bytes or values are not whole rows that fit into the {expected} that are left")]
    Size { expected: usize, actual: usize },
    #[error("{actual} rows were given for a matrix of {expected}")]
    Rows { expected: usize, actual: usize },
    #[error("values cannot be rounded to {}, which is only read", format.name())]
    NoRounding { format: TensorFormat },
    #[error("a value is infinite, no number, or too large for {}", format.name())]
    Values { format: TensorFormat },
    #[error("the system does not give {bytes} bytes of memory")]
    Memory { bytes: usize },
}

impl PackedMatrix {
    /// Packs the bytes of a weight file: row-major, little-endian values or ggml blocks.
    ///
    /// # Errors
    /// When the bytes are not a matrix of this shape.
    pub(crate) fn from_bytes(
        format: TensorFormat,
        rows: usize,
        columns: usize,
        bytes: &[u8],
    ) -> Result<Self, ShapeError> {
        let mut builder = PackedBuilder::new(format, rows, columns)?;
        builder.push_rows(bytes)?;
        builder.finish()
    }

    /// Rounds row-major values to a format, as ggml's reference does, and packs them.
    ///
    /// # Errors
    /// When the values are not a matrix of this shape, and for Q4_K and Q6_K, which are only read.
    #[cfg(test)]
    pub(crate) fn quantize(
        format: TensorFormat,
        rows: usize,
        columns: usize,
        values: &[f32],
    ) -> Result<Self, ShapeError> {
        let mut builder = PackedBuilder::new(format, rows, columns)?;
        builder.push_values(values)?;
        builder.finish()
    }

    /// The number of outputs.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The number of inputs.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The number format.
    pub(crate) fn format(&self) -> TensorFormat {
        self.format
    }

    /// How much memory the weights take, in bytes; a product reads all of it once.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes().len()
    }

    /// Widens row `index` to f32 (an embedding's look-up); `output` has a value for each column.
    pub(crate) fn row(&self, index: usize, output: &mut [f32]) {
        debug_assert!(index < self.rows, "row {index} of {}", self.rows);
        debug_assert_eq!(output.len(), self.columns, "columns of a row");
        let lane = index % LANES;
        let chunks = self.group(index / LANES).chunks_exact(chunk_bytes(self.format));
        if !is_quantised(self.format) {
            for (output, chunk) in output.iter_mut().zip(chunks) {
                *output = layout::float(self.format, chunk, lane);
            }
            return;
        }
        for (output, chunk) in output.chunks_exact_mut(block_values(self.format)).zip(chunks) {
            for (index, output) in output.chunks_exact_mut(blocks::BLOCK).enumerate() {
                let part = layout::part(self.format, chunk, lane, index);
                for (output, value) in output.iter_mut().zip(part.values) {
                    *output = f32::from(value) * part.scale - part.minimum;
                }
            }
        }
    }

    /// How many groups of rows there are.
    fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The bytes of one group of rows.
    fn group(&self, index: usize) -> &[u8] {
        &self.data.bytes()[index * self.group_bytes..][..self.group_bytes]
    }
}

#[cfg(test)]
mod tests;
