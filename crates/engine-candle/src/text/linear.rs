//! Linear layers: `y = x W^T + b`.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::matrix::{Packed, Weight};
use super::weights::{Projections, Role, Weights};
use crate::LoadError;

/// A weight of `outputs` times `inputs` and perhaps a bias, applied to the last dimension.
pub(crate) struct Linear {
    weight: Arc<Weight>,
    bias: Option<Tensor>,
}

impl Linear {
    /// Loads the projections as one: their outputs lie side by side in the result.
    pub(crate) fn load(weights: &Weights, tensors: &Projections) -> std::result::Result<Self, LoadError> {
        Self::load_as(weights, tensors, Role::Inner)
    }

    /// As [`Linear::load`], of a matrix for something else.
    pub(crate) fn load_as(
        weights: &Weights,
        tensors: &Projections,
        role: Role,
    ) -> std::result::Result<Self, LoadError> {
        let weight = weights.matrix(&tensors.weights(), tensors.inputs, role)?;
        let bias = if tensors.bias {
            Some(weights.vectors(&tensors.biases())?)
        } else {
            None
        };
        Ok(Self { weight, bias })
    }

    /// Uses a matrix that is already loaded, as for tied embeddings.
    pub(crate) fn of(weight: Arc<Weight>) -> Self {
        Self { weight, bias: None }
    }

    /// The matrix.
    pub(crate) fn weight(&self) -> &Weight {
        &self.weight
    }

    /// Applies the layer to `[rows, inputs]`.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.apply(input, None)
    }

    /// Applies the layer and adds its result to the residual stream, `[rows, outputs]`, if one is given.
    pub(crate) fn apply(&self, input: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let weight = match &*self.weight {
            Weight::Packed(weight) => {
                let product = CpuProduct {
                    weight,
                    bias: self.bias.as_ref(),
                    residual,
                };
                return input.apply_op1_no_bwd(&product);
            }
            Weight::Tensor(weight) => weight,
        };
        let mut output = input.matmul(&weight.t()?)?;
        if let Some(bias) = &self.bias {
            output = output.broadcast_add(bias)?;
        }
        match residual {
            Some(residual) => output + residual,
            None => Ok(output),
        }
    }
}

/// f32 rows times packed weights on the engine's own threads. The additions are part of it because
/// candle's own spread over all cores of the machine as soon as a tensor is large.
struct CpuProduct<'layer> {
    weight: &'layer Packed,
    bias: Option<&'layer Tensor>,
    residual: Option<&'layer Tensor>,
}

impl CustomOp1 for CpuProduct<'_> {
    fn name(&self) -> &'static str {
        "silica-linear"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let (outputs, inputs) = (self.weight.rows(), self.weight.columns());
        if columns != inputs {
            bail!("a layer for {inputs} inputs was given {columns}");
        }
        let mut output = vec![0.0; rows * outputs];
        let input = contiguous(input.as_slice::<f32>()?, layout)?;
        self.weight.multiply(input, &mut output);
        if let Some(bias) = self.bias {
            with_values(bias, outputs, |bias| {
                output.par_chunks_mut(outputs).for_each(|row| add(row, bias));
            })?;
        }
        if let Some(residual) = self.residual {
            with_values(residual, rows * outputs, |residual| {
                let rows = output.par_chunks_mut(outputs).zip(residual.par_chunks(outputs));
                rows.for_each(|(row, residual)| add(row, residual));
            })?;
        }
        Ok((CpuStorage::F32(output), Shape::from((rows, outputs))))
    }
}

fn add(target: &mut [f32], values: &[f32]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += value;
    }
}

/// Lends the elements of a contiguous f32 tensor on the CPU.
pub(crate) fn with_values(tensor: &Tensor, count: usize, work: impl FnOnce(&[f32])) -> Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("the tensor is not on the CPU")
    };
    let values = contiguous(storage.as_slice::<f32>()?, layout)?;
    if values.len() != count {
        bail!("expected {count} values, the shape is {:?}", layout.shape());
    }
    work(values);
    Ok(())
}

/// The elements of a contiguous tensor.
pub(crate) fn contiguous<'data, T>(data: &'data [T], layout: &Layout) -> Result<&'data [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => bail!("the tensor must be contiguous, its layout is {layout:?}"),
    }
}
