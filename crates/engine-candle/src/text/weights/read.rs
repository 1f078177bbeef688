//! Reading tensors' values from weight files, a bounded part at a time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use half::{bf16, f16};

use super::super::config::file_error;
use crate::LoadError;
use crate::gguf::TensorFormat;
use crate::kernels::ShapeError;

/// How much of a file is held besides the values that are kept.
const READ_BLOCK_BYTES: usize = 1 << 20;

/// One tensor's place, its shape and format already checked.
#[derive(Debug, Clone)]
pub(super) struct Located<'weights> {
    pub(super) path: &'weights Path,
    /// The tensor's name in the file.
    pub(super) name: String,
    /// Where the values begin, in bytes from the beginning of the file.
    pub(super) offset: u64,
    /// Rows of a matrix, or values of a vector.
    pub(super) rows: usize,
    /// Values of a row, a multiple of the format's block; 1 for a vector.
    pub(super) columns: usize,
    pub(super) format: TensorFormat,
    pub(super) order: RowOrder,
}

/// How a tensor's rows lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// As this engine has them.
    Plain,
    /// Row `j` of the first half of a head beside row `j` of its second half: llama.cpp rotates
    /// neighbours where this engine, like transformers, rotates halves.
    Interleaved {
        /// Rows of a head, even; divides the number of rows.
        head: usize,
    },
}

impl Located<'_> {
    /// Bytes of a row.
    pub(super) fn row_bytes(&self) -> usize {
        // Both are below 2^8.
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        self.columns / size(self.format.block_values()) * size(self.format.block_bytes())
    }

    /// Says which tensor does not fit into memory as it should.
    pub(super) fn layout_error(&self, source: ShapeError) -> LoadError {
        LoadError::Layout {
            path: self.path.to_owned(),
            name: self.name.clone(),
            source: Box::new(source),
        }
    }

    /// Reads all rows in this engine's order and lends them, some whole rows at a time.
    ///
    /// # Errors
    /// When the file cannot be read, or has become shorter, or for an error of `take`.
    pub(super) fn read(&self, mut take: impl FnMut(&[u8]) -> Result<(), LoadError>) -> Result<(), LoadError> {
        let failed = |source| file_error(self.path, source);
        let mut file = File::open(self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let row = self.row_bytes();
        let unit = match self.order {
            RowOrder::Plain => 1,
            RowOrder::Interleaved { head } => head,
        };
        let most = (READ_BLOCK_BYTES / (row * unit)).max(1) * unit;
        let mut block = vec![0; most.min(self.rows) * row];
        let mut ordered = Vec::new();
        let mut left = self.rows;
        while left > 0 {
            let rows = left.min(most);
            let part = &mut block[..rows * row];
            file.read_exact(part).map_err(failed)?;
            match self.order {
                RowOrder::Plain => take(part)?,
                RowOrder::Interleaved { head } => {
                    ordered.clear();
                    part.chunks_exact(head * row)
                        .for_each(|part| append_halves(part, row, &mut ordered));
                    take(&ordered)?;
                }
            }
            left -= rows;
        }
        Ok(())
    }
}

/// Appends the even rows of a head, then the odd ones.
fn append_halves(head: &[u8], row: usize, ordered: &mut Vec<u8>) {
    for first in [0, 1] {
        for row in head.chunks_exact(row).skip(first).step_by(2) {
            ordered.extend_from_slice(row);
        }
    }
}

/// Appends the values of `bytes`, whole rows of a format without blocks.
pub(super) fn append_floats(format: FloatFormat, bytes: &[u8], values: &mut Vec<f32>) {
    match format {
        FloatFormat::F32 => {
            let (chunks, _) = bytes.as_chunks::<4>();
            values.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
        }
        FloatFormat::F16 => {
            let (chunks, _) = bytes.as_chunks::<2>();
            values.extend(chunks.iter().map(|chunk| f16::from_le_bytes(*chunk).to_f32()));
        }
        FloatFormat::Bf16 => {
            let (chunks, _) = bytes.as_chunks::<2>();
            values.extend(chunks.iter().map(|chunk| bf16::from_le_bytes(*chunk).to_f32()));
        }
    }
}

/// A format whose values stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatFormat {
    F32,
    F16,
    Bf16,
}

impl FloatFormat {
    /// `None` for quantised formats.
    pub(super) fn of(format: TensorFormat) -> Option<Self> {
        match format {
            TensorFormat::F32 => Some(Self::F32),
            TensorFormat::F16 => Some(Self::F16),
            TensorFormat::Bf16 => Some(Self::Bf16),
            TensorFormat::Q4_0
            | TensorFormat::Q5_0
            | TensorFormat::Q8_0
            | TensorFormat::Q4K
            | TensorFormat::Q6K => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rows(rows: usize, columns: usize, order: RowOrder) -> Vec<f32> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values");
        let mut bytes = b"before".to_vec();
        for row in 0..rows {
            let value = f32::from(u16::try_from(row).unwrap());
            bytes.extend(value.to_le_bytes().repeat(columns));
        }
        fs::write(&path, bytes).unwrap();
        let located = Located {
            path: &path,
            name: "values".to_owned(),
            offset: 6,
            rows,
            columns,
            format: TensorFormat::F32,
            order,
        };
        let mut values = Vec::new();
        located
            .read(|part| {
                append_floats(FloatFormat::F32, part, &mut values);
                Ok(())
            })
            .unwrap();
        values.into_iter().step_by(columns).collect()
    }

    #[test]
    fn neighbours_become_halves_head_by_head() {
        let order = RowOrder::Interleaved { head: 4 };
        assert_eq!(rows(8, 3, order), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert_eq!(rows(4, 1, order), [0.0, 2.0, 1.0, 3.0]);
    }

    /// Three heads of half a block each.
    #[test]
    fn heads_are_not_torn_by_the_blocks_that_are_read() {
        let (head, columns) = (64, READ_BLOCK_BYTES / 4 / 128);
        let values = rows(3 * head, columns, RowOrder::Interleaved { head });
        let expected = (0..3).flat_map(|first| {
            let row = move |row: usize| f32::from(u16::try_from(first * 64 + row).unwrap());
            (0..64).step_by(2).chain((1..64).step_by(2)).map(row)
        });
        assert_eq!(values, expected.collect::<Vec<_>>());
    }

    #[test]
    fn long_matrices_come_in_order() {
        let values = rows(1000, 1000, RowOrder::Plain);
        assert!(values.windows(2).all(|pair| pair[1] > pair[0]));
        assert_eq!(values.len(), 1000);
    }
}
