//! Reading tensors' values from weight files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use half::{bf16, f16};
use safetensors::Dtype as FileDtype;
use safetensors::tensor::TensorInfo;

use super::super::config::file_error;
use super::super::kernels::Weight;
use super::WeightFile;
use crate::LoadError;

/// How much of a file is held besides the converted values.
const READ_BLOCK_BYTES: usize = 1 << 20;

/// One tensor's place, its shape and format already checked.
pub(super) struct Located<'weights> {
    pub(super) file: &'weights WeightFile,
    pub(super) info: &'weights TensorInfo,
    pub(super) format: FileFormat,
}

#[derive(Clone, Copy)]
pub(super) enum FileFormat {
    F32,
    Bf16,
    F16,
}

impl FileFormat {
    pub(super) fn of(dtype: FileDtype) -> Option<Self> {
        match dtype {
            FileDtype::F32 => Some(Self::F32),
            FileDtype::BF16 => Some(Self::Bf16),
            FileDtype::F16 => Some(Self::F16),
            _ => None,
        }
    }

    /// Appends the values of `bytes`, whose length is a multiple of the format's size.
    fn append<T>(self, bytes: &[u8], values: &mut Vec<T>, convert: impl Fn(f32) -> T) {
        match self {
            Self::F32 => {
                let (chunks, _) = bytes.as_chunks::<4>();
                values.extend(chunks.iter().map(|chunk| convert(f32::from_le_bytes(*chunk))));
            }
            Self::Bf16 => {
                let (chunks, _) = bytes.as_chunks::<2>();
                values.extend(
                    chunks
                        .iter()
                        .map(|chunk| convert(bf16::from_le_bytes(*chunk).widen())),
                );
            }
            Self::F16 => {
                let (chunks, _) = bytes.as_chunks::<2>();
                values.extend(
                    chunks
                        .iter()
                        .map(|chunk| convert(f16::from_le_bytes(*chunk).to_f32())),
                );
            }
        }
    }
}

/// Reads tensors one after the other into one vector.
pub(super) fn read_all<T>(tensors: &[Located<'_>], convert: impl Fn(f32) -> T) -> Result<Vec<T>, LoadError> {
    let count = tensors
        .iter()
        .map(|tensor| tensor.info.shape.iter().product::<usize>())
        .sum();
    let mut values = Vec::with_capacity(count);
    let mut block = vec![0; READ_BLOCK_BYTES];
    for tensor in tensors {
        let path = &tensor.file.path;
        let (start, end) = tensor.info.data_offsets;
        let mut file = File::open(path).map_err(|source| file_error(path, source))?;
        let position = tensor.file.data_start + start as u64;
        file.seek(SeekFrom::Start(position))
            .map_err(|source| file_error(path, source))?;
        let mut left = end - start;
        while left > 0 {
            let part = &mut block[..left.min(READ_BLOCK_BYTES)];
            file.read_exact(part).map_err(|source| file_error(path, source))?;
            tensor.format.append(part, &mut values, &convert);
            left -= part.len();
        }
    }
    Ok(values)
}
