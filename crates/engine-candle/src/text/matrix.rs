//! Matrices of weights in memory.

use candle_core::{Device, Result, Tensor, bail};

use crate::kernels::{Input, OutputColumns, PackedMatrix};

/// A matrix that is `rows` times `columns` large: outputs times inputs of a layer, or tokens times
/// the width of their embeddings.
pub(crate) enum Weight {
    /// On the CPU.
    Packed(Packed),
    /// On other devices.
    Tensor(Tensor),
}

/// Matrices of the same width below each other, at least one; in files of mixed formats each may
/// have its own.
pub(crate) struct Packed {
    parts: Vec<PackedMatrix>,
}

impl Weight {
    /// Returns some rows in f32 or the device's format, `[rows, columns]`.
    pub(crate) fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        match self {
            Self::Packed(packed) => packed.rows_of(indices),
            Self::Tensor(tensor) => tensor.index_select(&Tensor::new(indices, tensor.device())?, 0),
        }
    }

    /// Computes the product of some rows with a matrix on the CPU; see [`Packed::multiply`].
    pub(crate) fn multiply(&self, input: &[f32]) -> Result<Vec<f32>> {
        let Self::Packed(packed) = self else {
            bail!("the matrix is not on the CPU")
        };
        let rows = input.len() / packed.columns().max(1);
        let mut output = vec![0.0; rows * packed.rows()];
        packed.multiply(input, &mut output);
        Ok(output)
    }

    /// The names of its number formats, part by part.
    pub(crate) fn formats(&self) -> Vec<&'static str> {
        match self {
            Self::Packed(packed) => packed.parts.iter().map(|part| part.format().name()).collect(),
            Self::Tensor(tensor) => vec![tensor.dtype().as_str()],
        }
    }

    /// The number of its elements.
    pub(crate) fn elements(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.rows() * packed.columns(),
            Self::Tensor(tensor) => tensor.elem_count(),
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.parts.iter().map(PackedMatrix::bytes).sum(),
            Self::Tensor(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
        }
    }
}

impl Packed {
    /// Puts parts of the same width below each other.
    pub(crate) fn new(parts: Vec<PackedMatrix>) -> Self {
        Self { parts }
    }

    /// The number of outputs.
    pub(crate) fn rows(&self) -> usize {
        self.parts.iter().map(PackedMatrix::rows).sum()
    }

    /// The number of inputs.
    pub(crate) fn columns(&self) -> usize {
        self.parts.first().map_or(0, PackedMatrix::columns)
    }

    /// Computes `output[r][n] = sum over k of input[r][k] * weight[n][k]`, each row of `input` for
    /// itself: what else is in the batch changes no bit of it. `output` has as many rows as
    /// `input`, of [`Packed::rows`] elements.
    pub(crate) fn multiply(&self, input: &[f32], output: &mut [f32]) {
        let columns = self.columns();
        let input = Input::new(input, input.len() / columns.max(1), columns);
        let stride = self.rows();
        let mut offset = 0;
        for part in &self.parts {
            let columns = OutputColumns {
                data: &mut *output,
                stride,
                offset,
            };
            part.multiply(&input, columns);
            offset += part.rows();
        }
    }

    fn rows_of(&self, indices: &[u32]) -> Result<Tensor> {
        let width = self.columns();
        let mut values = vec![0.0; indices.len() * width];
        for (index, row) in indices.iter().zip(values.chunks_exact_mut(width.max(1))) {
            let mut inside = *index as usize;
            let part = self.parts.iter().find(|part| {
                let found = inside < part.rows();
                if !found {
                    inside -= part.rows();
                }
                found
            });
            let Some(part) = part else {
                bail!("row {index} is outside a matrix of {} rows", self.rows())
            };
            part.row(inside, row);
        }
        Tensor::from_vec(values, (indices.len(), width), &Device::Cpu)
    }
}
