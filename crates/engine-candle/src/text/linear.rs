//! Linear layers: `y = x W^T + b`.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use super::kernels::{Matrix, multiply};
use super::weights::Weights;
use crate::LoadError;

/// A weight of `outputs` times `inputs` and perhaps a bias, applied to the last dimension.
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Loads the named layers as one: their outputs lie side by side in the result. `parts` are
    /// tensor prefixes and output sizes.
    pub(crate) fn load(
        weights: &Weights,
        parts: &[(&str, usize)],
        inputs: usize,
        bias: bool,
    ) -> std::result::Result<Self, LoadError> {
        let named = |suffix: &str| -> Vec<(String, usize)> {
            parts
                .iter()
                .map(|(prefix, outputs)| (format!("{prefix}.{suffix}"), *outputs))
                .collect()
        };
        let weight = weights.load_stacked(&named("weight"), inputs)?;
        let bias = if bias {
            Some(weights.load_stacked_activation(&named("bias"))?)
        } else {
            None
        };
        Ok(Self { weight, bias })
    }

    /// Uses a table that is already loaded, as for tied embeddings; shares its memory.
    pub(crate) fn tied(weight: Tensor) -> Self {
        Self { weight, bias: None }
    }

    /// Applies the layer to `[rows, inputs]`.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let output = if input.device().is_cpu() {
            input.apply_op2_no_bwd(&self.weight, &CpuProduct)?
        } else {
            input.matmul(&self.weight.t()?)?
        };
        match &self.bias {
            Some(bias) => output.broadcast_add(bias),
            None => Ok(output),
        }
    }
}

/// f32 rows times f32 or bf16 weights on the engine's own threads.
struct CpuProduct;

impl CustomOp2 for CpuProduct {
    fn name(&self) -> &'static str {
        "silica-linear"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = input_layout.shape().dims2()?;
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        if columns != inputs {
            bail!("a layer for {inputs} inputs was given {columns}");
        }
        let input = Matrix {
            data: contiguous(input.as_slice::<f32>()?, input_layout)?,
            rows,
            columns,
        };
        let mut output = vec![0.0; rows * outputs];
        match weight {
            CpuStorage::F32(data) => {
                let data = contiguous(data, weight_layout)?;
                multiply(
                    input,
                    Matrix {
                        data,
                        rows: outputs,
                        columns,
                    },
                    &mut output,
                );
            }
            CpuStorage::BF16(data) => {
                let data = contiguous(data, weight_layout)?;
                multiply(
                    input,
                    Matrix {
                        data,
                        rows: outputs,
                        columns,
                    },
                    &mut output,
                );
            }
            _ => bail!("weights must be {:?} or {:?}", DType::F32, DType::BF16),
        }
        Ok((CpuStorage::F32(output), Shape::from((rows, outputs))))
    }
}

/// The elements of a contiguous tensor.
pub(crate) fn contiguous<'data, T>(data: &'data [T], layout: &Layout) -> Result<&'data [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => bail!("the tensor must be contiguous, its layout is {layout:?}"),
    }
}
