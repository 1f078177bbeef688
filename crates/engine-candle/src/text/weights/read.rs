//! Reading tensors' values from weight files, a bounded part at a time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use half::{bf16, f16};

use super::super::config::file_error;
use super::fp8::{Fp8, Widener};
use super::layout::Part;
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
    /// Of the values that are lent.
    pub(super) format: TensorFormat,
    /// How the file's values become those, where they are 8-bit floats; `format` is f32 then.
    pub(super) fp8: Option<Fp8<'weights>>,
    pub(super) order: RowOrder,
    /// Where its rows lie apart from each other: as parts of a packed tensor.
    pub(super) runs: Option<Runs>,
}

/// How a tensor's rows lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// As this engine has them.
    Plain,
    /// Head by head in another order, of as many rows as there are numbers, which divides the number of
    /// rows: which one of the file's comes first, second and so on.
    Heads(Arc<[usize]>),
}

/// Rows that lie in stretches of the same length, at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runs {
    /// Rows of a stretch; divides the number of rows, and is a multiple of the rows of a head.
    pub(super) length: usize,
    /// Rows from the beginning of one to that of the next.
    pub(super) distance: usize,
}

impl Located<'_> {
    /// Of a packed tensor, one of its parts.
    pub(super) fn part(mut self, part: Option<Part>) -> Self {
        if let Some(part) = part {
            self.skip(part.first);
            self.runs = Some(part.runs);
        }
        self
    }

    /// Begins some rows later in the file.
    fn skip(&mut self, rows: usize) {
        self.offset += (rows * self.file_row_bytes()) as u64;
        if let Some(fp8) = &mut self.fp8 {
            fp8.first += rows;
        }
    }

    /// Bytes of a row in the file.
    fn file_row_bytes(&self) -> usize {
        match self.fp8 {
            Some(_) => self.columns,
            None => self.row_bytes(),
        }
    }

    /// Bytes of a row that is lent.
    pub(super) fn row_bytes(&self) -> usize {
        // Both are below 2^8.
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        self.columns / size(self.format.block_values()) * size(self.format.block_bytes())
    }

    /// Some rows that lie one after the other, of a tensor whose rows all do and are in this engine's
    /// order.
    pub(super) fn stretch(&self, rows: Range<usize>) -> Self {
        debug_assert!(self.order == RowOrder::Plain && self.runs.is_none() && rows.end <= self.rows);
        let mut stretch = self.clone();
        stretch.skip(rows.start);
        stretch.rows = rows.len();
        stretch
    }

    /// Says which value of the tensor is none. `index` counts row by row.
    pub(super) fn not_finite(&self, index: usize, value: f32) -> LoadError {
        LoadError::NotFinite {
            path: self.path.to_owned(),
            name: self.name.clone(),
            row: index / self.columns,
            column: index % self.columns,
            value,
        }
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
    /// When the file cannot be read, or has become shorter, or has what is no number where it is widened,
    /// or for an error of `take`.
    pub(super) fn read(&self, mut take: impl FnMut(&[u8]) -> Result<(), LoadError>) -> Result<(), LoadError> {
        let failed = |source| file_error(self.path, source);
        let mut file = File::open(self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let (row, file_row) = (self.row_bytes(), self.file_row_bytes());
        let fp8 = self.fp8.as_ref().map(|fp8| fp8.widener(self.columns));
        let widener = fp8.transpose()?;
        let unit = match &self.order {
            RowOrder::Plain => 1,
            RowOrder::Heads(rows) => rows.len(),
        };
        let most = (READ_BLOCK_BYTES / (row * unit)).max(1) * unit;
        let run = self.runs.map_or(self.rows, |runs| runs.length);
        let mut block = vec![0; most.min(run) * file_row];
        let (mut widened, mut ordered) = (Vec::new(), Vec::new());
        let mut done = 0;
        while done < self.rows {
            let inside = done % run;
            let distance = self.runs.map_or(0, |runs| runs.distance);
            let first = done / run * distance + inside;
            if inside == 0 && self.runs.is_some() {
                let start = self.offset + (first * file_row) as u64;
                file.seek(SeekFrom::Start(start)).map_err(failed)?;
            }
            let rows = most.min(run - inside);
            let part = &mut block[..rows * file_row];
            file.read_exact(part).map_err(failed)?;
            let part = self.widen(widener.as_ref(), first, part, &mut widened)?;
            match &self.order {
                RowOrder::Plain => take(part)?,
                RowOrder::Heads(order) => {
                    ordered.clear();
                    part.chunks_exact(unit * row)
                        .for_each(|head| append_ordered(head, order, row, &mut ordered));
                    take(&ordered)?;
                }
            }
            done += rows;
        }
        Ok(())
    }

    /// Returns rows of the file as they are lent; `first` is the first one's number in this tensor.
    fn widen<'rows>(
        &self,
        widener: Option<&Widener>,
        first: usize,
        rows: &'rows [u8],
        widened: &'rows mut Vec<u8>,
    ) -> Result<&'rows [u8], LoadError> {
        let (Some(widener), Some(fp8)) = (widener, &self.fp8) else {
            return Ok(rows);
        };
        let first = fp8.first + first;
        widened.clear();
        widener
            .append(first, rows, widened)
            .map_err(|index| self.not_finite(first * self.columns + index, f32::NAN))?;
        Ok(widened)
    }
}

/// Appends the rows of a head in this engine's order.
fn append_ordered(head: &[u8], order: &[usize], row: usize, ordered: &mut Vec<u8>) {
    for index in order {
        ordered.extend_from_slice(&head[index * row..(index + 1) * row]);
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
    use std::ops::Range;

    use super::*;

    fn rows(rows: usize, columns: usize, order: RowOrder) -> Vec<f32> {
        read(rows, columns, order, 0..rows, None)
    }

    /// Some rows of a file of which each row is its number.
    fn read(
        total: usize,
        columns: usize,
        order: RowOrder,
        taken: Range<usize>,
        runs: Option<Runs>,
    ) -> Vec<f32> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values");
        let mut bytes = b"before".to_vec();
        for row in 0..total {
            let value = f32::from(u16::try_from(row).unwrap());
            bytes.extend(value.to_le_bytes().repeat(columns));
        }
        fs::write(&path, bytes).unwrap();
        let located = Located {
            path: &path,
            name: "values".to_owned(),
            offset: 6 + (taken.start * columns * 4) as u64,
            rows: taken.len(),
            columns,
            format: TensorFormat::F32,
            fp8: None,
            order,
            runs,
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

    fn neighbours(head: usize) -> RowOrder {
        RowOrder::Heads((0..head).step_by(2).chain((1..head).step_by(2)).collect())
    }

    #[test]
    fn neighbours_become_halves_head_by_head() {
        let order = neighbours(4);
        assert_eq!(
            rows(8, 3, order.clone()),
            [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
        );
        assert_eq!(rows(4, 1, order), [0.0, 2.0, 1.0, 3.0]);
    }

    /// Three heads of half a block each.
    #[test]
    fn heads_are_not_torn_by_the_blocks_that_are_read() {
        let (head, columns) = (64, READ_BLOCK_BYTES / 4 / 128);
        let values = rows(3 * head, columns, neighbours(head));
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

    #[test]
    fn parts_of_a_packed_matrix_are_its_rows_alone() {
        let runs = Runs {
            length: 4,
            distance: 6,
        };
        let values = read(18, 2, neighbours(4), 1..9, Some(runs));
        assert_eq!(values, [1.0, 3.0, 2.0, 4.0, 7.0, 9.0, 8.0, 10.0]);
        let stretch = Runs {
            length: 5,
            distance: 5,
        };
        assert_eq!(
            read(9, 3, RowOrder::Plain, 4..9, Some(stretch)),
            [4.0, 5.0, 6.0, 7.0, 8.0]
        );
    }
}
