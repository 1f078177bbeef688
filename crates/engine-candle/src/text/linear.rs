//! Linear layers: `y = x W^T + b`.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::matrix::{Packed, Weight};
use super::weights::{Projections, Role, Weights};
use crate::LoadError;
use crate::memory::to_be_overwritten;

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
        if let Some(layer) = self.on_cpu() {
            return input.apply_op1_no_bwd(&CpuProduct { layer, residual });
        }
        let Weight::Tensor(weight) = &*self.weight else {
            bail!("the matrix is not a tensor");
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

    /// The layer where it is on the CPU.
    pub(crate) fn on_cpu(&self) -> Option<CpuLinear<'_>> {
        match &*self.weight {
            Weight::Packed(weight) => Some(CpuLinear {
                weight,
                bias: self.bias.as_ref(),
            }),
            Weight::Tensor(_) => None,
        }
    }
}

/// A layer on the CPU. Its additions are its own because candle's spread over all cores of the machine
/// as soon as a tensor is large; these stay on the engine's threads.
#[derive(Clone, Copy)]
pub(crate) struct CpuLinear<'layer> {
    weight: &'layer Packed,
    bias: Option<&'layer Tensor>,
}

impl CpuLinear<'_> {
    /// Elements of an output row.
    pub(crate) fn outputs(self) -> usize {
        self.weight.rows()
    }

    /// Elements of an input row.
    pub(crate) fn inputs(self) -> usize {
        self.weight.columns()
    }

    /// Writes the products of some rows, with the bias, to `output`, and adds as many rows of the residual
    /// stream, if there are any.
    pub(crate) fn apply(self, input: &[f32], output: &mut [f32], residual: Option<&[f32]>) -> Result<()> {
        let outputs = self.outputs();
        self.weight.multiply(input, output);
        if let Some(bias) = self.bias {
            with_values(bias, outputs, |bias| {
                output.par_chunks_mut(outputs).for_each(|row| add(row, bias));
            })?;
        }
        if let Some(residual) = residual {
            let rows = output.par_chunks_mut(outputs).zip(residual.par_chunks(outputs));
            rows.for_each(|(row, residual)| add(row, residual));
        }
        Ok(())
    }
}

/// f32 rows times packed weights.
struct CpuProduct<'layer> {
    layer: CpuLinear<'layer>,
    residual: Option<&'layer Tensor>,
}

impl CustomOp1 for CpuProduct<'_> {
    fn name(&self) -> &'static str {
        "silica-linear"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let (outputs, inputs) = (self.layer.outputs(), self.layer.inputs());
        if columns != inputs {
            bail!("a layer for {inputs} inputs was given {columns}");
        }
        let mut output = to_be_overwritten(rows * outputs);
        let input = contiguous(input.as_slice::<f32>()?, layout)?;
        match self.residual {
            Some(residual) => with_values(residual, rows * outputs, |residual| {
                self.layer.apply(input, &mut output, Some(residual))
            })??,
            None => self.layer.apply(input, &mut output, None)?,
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
pub(crate) fn with_values<R>(tensor: &Tensor, count: usize, work: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("the tensor is not on the CPU")
    };
    let values = contiguous(storage.as_slice::<f32>()?, layout)?;
    if values.len() != count {
        bail!("expected {count} values, the shape is {:?}", layout.shape());
    }
    Ok(work(values))
}

/// The elements of a contiguous tensor.
pub(crate) fn contiguous<'data, T>(data: &'data [T], layout: &Layout) -> Result<&'data [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => bail!("the tensor must be contiguous, its layout is {layout:?}"),
    }
}
