//! Matrices of 8-bit floats with a scale for each block of values, as DeepSeek-V3 was published. They are
//! widened to f32 as they are read, some rows at a time.

use std::array;

use super::pack;
use super::read::Located;
use crate::LoadError;
use crate::text::config::Fp8Blocks;

/// What the scales of a matrix are called: its own name and this.
pub(super) const SUFFIX: &str = "_scale_inv";

/// How the rows of a matrix in the file become f32: they are E4M3, each block times its scale.
#[derive(Debug, Clone)]
pub(super) struct Fp8<'weights> {
    /// The scales, a row for each row of blocks of the whole tensor.
    pub(super) scales: Box<Located<'weights>>,
    pub(super) blocks: Fp8Blocks,
    /// Which row of the whole tensor is the first one.
    pub(super) first: usize,
}

/// The scales and the values of all codes, to widen rows with.
pub(super) struct Widener {
    scales: Vec<f32>,
    blocks: Fp8Blocks,
    /// Of the tensor.
    columns: usize,
    values: [f32; 256],
}

impl Fp8<'_> {
    /// Reads the scales for a matrix of `columns`. They take 4 bytes a block.
    ///
    /// # Errors
    /// When they cannot be read, or a value times one of them may be no finite number.
    pub(super) fn widener(&self, columns: usize) -> Result<Widener, LoadError> {
        let mut scales = Vec::with_capacity(self.scales.rows * self.scales.columns);
        pack::append_all(&self.scales, &mut scales)?;
        let unusable = |scale: &f32| !(scale * LARGEST).is_finite();
        if let Some(index) = scales.iter().position(unusable) {
            return Err(self.scales.not_finite(index, scales[index]));
        }
        Ok(Widener {
            scales,
            blocks: self.blocks,
            columns,
            values: array::from_fn(|code| u8::try_from(code).map_or(f32::NAN, value)),
        })
    }
}

impl Widener {
    /// Appends whole rows of the file as f32, little-endian. `first` is the first one's number in the
    /// tensor.
    ///
    /// # Errors
    /// The index in `rows` of a value that is no number.
    pub(super) fn append(&self, first: usize, rows: &[u8], widened: &mut Vec<u8>) -> Result<(), usize> {
        if let Some(index) = rows.iter().position(|code| is_nan(*code)) {
            return Err(index);
        }
        let across = self.columns.div_ceil(self.blocks.columns);
        widened.reserve(rows.len() * 4);
        for (row, codes) in (first..).zip(rows.chunks_exact(self.columns)) {
            let scales = &self.scales[row / self.blocks.rows * across..][..across];
            for (codes, scale) in codes.chunks(self.blocks.columns).zip(scales) {
                let start = widened.len();
                widened.resize(start + codes.len() * 4, 0);
                let (targets, _) = widened[start..].as_chunks_mut::<4>();
                for (target, code) in targets.iter_mut().zip(codes) {
                    *target = (self.values[usize::from(*code)] * scale).to_le_bytes();
                }
            }
        }
        Ok(())
    }
}

/// The largest value of the format.
const LARGEST: f32 = 448.0;

fn is_nan(code: u8) -> bool {
    code & 0x7f == 0x7f
}

/// The value of a code: a sign, 4 bits of exponent with a bias of 7, 3 bits of mantissa; no infinities, one
/// NaN of each sign ("FP8 Formats for Deep Learning", arXiv 2209.05433, section 3).
pub(super) fn value(code: u8) -> f32 {
    if is_nan(code) {
        return f32::NAN;
    }
    let (exponent, mantissa) = (i32::from(code >> 3 & 0xf), f32::from(code & 7));
    let size = if exponent == 0 {
        mantissa / 8.0 * 2.0_f32.powi(-6)
    } else {
        (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7)
    };
    if code & 0x80 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use safetensors::SafeTensors;

    use super::super::layout::Part;
    use super::super::read::{RowOrder, Runs};
    use super::*;
    use crate::gguf::TensorFormat;

    const BLOCKS: Fp8Blocks = Fp8Blocks { rows: 4, columns: 2 };
    const COLUMNS: usize = 5;

    #[test]
    fn all_codes_are_what_torch_makes_of_them() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/deepseek-v3-fp8/reference.safetensors");
        let bytes = fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let view = tensors.tensor("e4m3").unwrap();
        let expected = view.data().as_chunks::<4>().0;
        assert_eq!(expected.len(), 256);
        for (code, expected) in (0..=u8::MAX).zip(expected) {
            let expected = f32::from_le_bytes(*expected);
            assert_eq!(is_nan(code), expected.is_nan(), "{code:#x}");
            assert!(
                is_nan(code) || value(code).to_bits() == expected.to_bits(),
                "{code:#x}: {} is not {expected}",
                value(code)
            );
        }
        assert!((value(0x7e) - LARGEST).abs() < f32::EPSILON && value(0x7f).is_nan());
    }

    /// A matrix of 18 rows whose codes all differ from their neighbours', and its scales, in one file.
    struct File {
        path: tempfile::TempPath,
        codes: Vec<u8>,
        scales: Vec<f32>,
    }

    impl File {
        fn new(change: impl Fn(&mut Vec<u8>, &mut Vec<f32>)) -> Self {
            // Of both signs, and no NaN.
            let code = |index: u32| u8::try_from(index * 37 % 127 + index % 2 * 128).unwrap();
            let mut codes: Vec<u8> = (0..90).map(code).collect();
            let mut scales: Vec<f32> = (1..=15_u8).map(|index| f32::from(index) * 0.3).collect();
            change(&mut codes, &mut scales);
            let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes());
            let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
            fs::write(&path, codes.iter().copied().chain(bytes).collect::<Vec<_>>()).unwrap();
            Self { path, codes, scales }
        }

        fn plain(&self, name: &str, offset: usize, rows: usize, columns: usize) -> Located<'_> {
            Located {
                path: &self.path,
                name: name.to_owned(),
                offset: offset as u64,
                rows,
                columns,
                format: TensorFormat::F32,
                fp8: None,
                order: RowOrder::Plain,
                runs: None,
            }
        }

        fn matrix(&self, rows: usize, order: RowOrder, part: Option<Part>) -> Located<'_> {
            let fp8 = Fp8 {
                scales: Box::new(self.plain("m_scale_inv", self.codes.len(), 5, 3)),
                blocks: BLOCKS,
                first: 0,
            };
            Located {
                fp8: Some(fp8),
                order,
                ..self.plain("m", 0, rows, COLUMNS)
            }
            .part(part)
        }

        /// Some rows, by the definition.
        fn rows(&self, rows: impl IntoIterator<Item = usize>) -> Vec<f32> {
            let value = |row: usize, column: usize| {
                let scale = self.scales[row / BLOCKS.rows * 3 + column / BLOCKS.columns];
                value(self.codes[row * COLUMNS + column]) * scale
            };
            rows.into_iter()
                .flat_map(|row| (0..COLUMNS).map(move |column| value(row, column)))
                .collect()
        }
    }

    fn read(matrix: &Located<'_>) -> Result<Vec<f32>, LoadError> {
        let mut values = Vec::new();
        pack::append_all(matrix, &mut values).map(|()| values)
    }

    #[test]
    fn every_value_is_multiplied_by_the_scale_of_its_block() {
        let file = File::new(|_, _| ());
        let whole = file.matrix(18, RowOrder::Plain, None);
        assert_eq!(read(&whole).unwrap(), file.rows(0..18));
        for rows in [0..1, 3..5, 7..18] {
            assert_eq!(read(&whole.stretch(rows.clone())).unwrap(), file.rows(rows));
        }
    }

    #[test]
    fn parts_in_another_order_keep_the_scales_of_their_rows() {
        let file = File::new(|_, _| ());
        let part = Part {
            total: 18,
            first: 1,
            runs: Runs {
                length: 4,
                distance: 6,
            },
        };
        let order = RowOrder::Heads([0, 2, 1, 3].into());
        let values = read(&file.matrix(8, order, Some(part))).unwrap();
        assert_eq!(values, file.rows([1, 3, 2, 4, 7, 9, 8, 10]));
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_place() {
        for code in [0x7f, 0xff] {
            let file = File::new(|codes, _| codes[13 * COLUMNS + 2] = code);
            let whole = file.matrix(18, RowOrder::Plain, None);
            for matrix in [whole.clone(), whole.stretch(10..15)] {
                let refused = read(&matrix).unwrap_err().to_string();
                assert!(
                    refused.contains("tensor m has NaN in row 13, column 2"),
                    "{refused}"
                );
            }
            assert!(read(&whole.stretch(14..18)).is_ok());
        }
        for scale in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let file = File::new(|_, scales| scales[7] = scale);
            let refused = read(&file.matrix(18, RowOrder::Plain, None)).unwrap_err();
            let expected = format!("tensor m_scale_inv has {scale} in row 2, column 1");
            assert!(refused.to_string().contains(&expected), "{refused}");
        }
    }
}
