//! Packing a matrix row by row.

use super::buffer::Buffer;
use super::layout::{LANES, block_bytes, block_values, chunk_bytes, write_row};
use super::{PackedMatrix, ShapeError, blocks};
use crate::gguf::TensorFormat;

/// Takes the rows of a matrix one after another, so that a large file need not be in memory twice.
pub(crate) struct PackedBuilder {
    matrix: PackedMatrix,
    next_row: usize,
    /// A rounded row, kept for the next one.
    rounded: Vec<u8>,
}

impl PackedBuilder {
    /// # Errors
    /// [`ShapeError::Columns`] when the rows are not made of whole blocks; [`ShapeError::Memory`] when there
    /// is not enough for them.
    pub(crate) fn new(format: TensorFormat, rows: usize, columns: usize) -> Result<Self, ShapeError> {
        let block = block_values(format);
        if columns == 0 || !columns.is_multiple_of(block) {
            return Err(ShapeError::Columns { format, columns });
        }
        let group_bytes = columns / block * chunk_bytes(format);
        let bytes = rows.div_ceil(LANES).saturating_mul(group_bytes);
        Ok(Self {
            matrix: PackedMatrix {
                format,
                rows,
                columns,
                group_bytes,
                data: Buffer::zeroed(bytes).map_err(|_| ShapeError::Memory { bytes })?,
            },
            next_row: 0,
            rounded: Vec::new(),
        })
    }

    /// Appends rows as they are in a weight file: row-major, little-endian values or ggml blocks.
    ///
    /// # Errors
    /// [`ShapeError::Size`] when these are not whole rows, or more than there are.
    pub(crate) fn push_rows(&mut self, bytes: &[u8]) -> Result<(), ShapeError> {
        let format = self.matrix.format;
        let row_bytes = self.matrix.columns / block_values(format) * block_bytes(format);
        let room = (self.matrix.rows - self.next_row) * row_bytes;
        if bytes.len() > room || !bytes.len().is_multiple_of(row_bytes) {
            return Err(ShapeError::Size {
                expected: room,
                actual: bytes.len(),
            });
        }
        let group_bytes = self.matrix.group_bytes;
        for row in bytes.chunks_exact(row_bytes) {
            let group =
                &mut self.matrix.data.bytes_mut()[self.next_row / LANES * group_bytes..][..group_bytes];
            write_row(format, row, self.next_row % LANES, group);
            self.next_row += 1;
        }
        Ok(())
    }

    /// Rounds rows of values to the matrix's format, as ggml's reference does, and appends them.
    ///
    /// # Errors
    /// [`ShapeError::Size`] when these are not whole rows, or more than there are;
    /// [`ShapeError::NoRounding`] for the formats that are only read; [`ShapeError::Values`] for values that
    /// a quantised format has nothing for.
    pub(crate) fn push_values(&mut self, values: &[f32]) -> Result<(), ShapeError> {
        let columns = self.matrix.columns;
        let room = (self.matrix.rows - self.next_row) * columns;
        if values.len() > room || !values.len().is_multiple_of(columns) {
            return Err(ShapeError::Size {
                expected: room,
                actual: values.len(),
            });
        }
        let mut bytes = std::mem::take(&mut self.rounded);
        for row in values.chunks_exact(columns) {
            bytes.clear();
            blocks::quantise(self.matrix.format, row, &mut bytes)?;
            self.push_rows(&bytes)?;
        }
        self.rounded = bytes;
        Ok(())
    }

    /// The matrix, once all rows are there.
    ///
    /// # Errors
    /// [`ShapeError::Rows`] when some are missing.
    pub(crate) fn finish(self) -> Result<PackedMatrix, ShapeError> {
        if self.next_row != self.matrix.rows {
            return Err(ShapeError::Rows {
                expected: self.matrix.rows,
                actual: self.next_row,
            });
        }
        Ok(self.matrix)
    }
}
